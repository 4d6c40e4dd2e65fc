"""The pages as a site: built by Sphinx where it is installed (extra `docs`), with warnings as errors."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_every_page_is_in_the_table_of_contents() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    named = {name for block in re.findall(r"```\{toctree\}\n(.*?)```", index, re.DOTALL) for name in block.split()}
    paths = [path for kind in ("*.md", "*.ipynb") for path in DOCS.rglob(kind)]
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in paths} - {"index"}
    listed = {page for page in pages if page in named or (page.startswith("target-") and "target-*" in named)}
    assert listed == pages
    assert {name for name in named if (DOCS / name).suffix == "" and "/" in name} <= pages


@pytest.mark.slow
def test_the_site_is_built_without_warnings(tmp_path: Path) -> None:
    for module in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(module)
    words = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "html",
        str(DOCS),
        str(tmp_path / "site"),
    ]
    done = subprocess.run([*words, "-d", str(tmp_path / "trees")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first = (tmp_path / "site" / "guide" / "first-ten-minutes.html").read_text(encoding="utf-8")
    assert "The first ten minutes" in first
    assert re.sub(r"<[^>]+>", "", first).count("catena ") >= 10
    assert (tmp_path / "site" / "command-line.html").exists()
    notebook = (tmp_path / "site" / "notebooks" / "eyeriss.html").read_text(encoding="utf-8")
    assert "<td>first + first_relu</td>" in notebook
    assert "<svg" in notebook
