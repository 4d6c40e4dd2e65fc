"""Pages in a browser, where there is one, and the data that stand in them."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
NARROW, WIDE = "390,844", "1280,800"


def data_of(html: str) -> dict[str, Any]:
    """What the script of a page unpacks."""
    packed = re.search(r'<script id="data"[^>]*>([^<]*)</script>', html)
    assert packed is not None
    return json.loads(gzip.decompress(base64.b64decode(packed[1])))


def in_browser(address: str, size: str, *more: str) -> subprocess.CompletedProcess[str]:
    """The page as the browser has it when scripts have run; its console stands on standard error."""
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=60000")
    command = [str(CHROMIUM), *options, *more, f"--window-size={size}", "--dump-dom", address]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def drawn(address: str, size: str) -> str:
    """The page, if it was drawn without an error."""
    shown = in_browser(address, size)
    assert 'data-ready="yes"' in shown.stdout
    assert 'id="failure"' not in shown.stdout
    assert "CONSOLE" not in shown.stderr
    return shown.stdout


def needed_width(page: Path, width: int) -> int:
    """How wide a page is in a frame of so many pixels; windows of browsers are no narrower than 500."""
    frame = page.with_name(f"frame-{page.name}")
    frame.write_text(
        f"<iframe src='{page.name}' width={width} height=844 style='border:0'></iframe><script>\n"
        "const look = () => {\n"
        "  const page = document.querySelector('iframe').contentDocument.documentElement;\n"
        "  if (page.dataset.ready) document.body.dataset.wide = page.scrollWidth;\n"
        "  else setTimeout(look, 50);\n"
        "};\nlook();\n</script>"
    )
    shown = in_browser(f"file://{frame}", WIDE, "--allow-file-access-from-files").stdout
    found = re.search(r'data-wide="(\d+)"', shown)
    assert found is not None
    return int(found[1])
