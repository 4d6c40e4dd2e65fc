"""A report page as one HTML file: its data, style and scripts stand in it, and nothing is fetched."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from compiler.report_page.page import Page

STYLES = ("page.css",)
SCRIPTS = (
    "drawing.js",
    "unpack.js",
    "charts.js",
    "network.js",
    "layers.js",
    "sparsity.js",
    "groups.js",
    "cores.js",
    "ir_text.js",
    "explorer.js",
    "page.js",
)
"""In the order in which they are needed."""
OF_DIFFERENCES = ("drawing.js", "unpack.js", "difference.js")


def render(page: Page) -> str:
    """The report of a program as a whole file."""
    return _filled("page.html", SCRIPTS, page)


def render_differences(page: Page) -> str:
    """The page of two compilations as a whole file."""
    return _filled("difference.html", OF_DIFFERENCES, page)


def _filled(body: str, scripts: Sequence[str], page: Page) -> str:
    """Data are packed with gzip and written as base64, which every current browser can unpack."""
    text = json.dumps(page.data, separators=(",", ":"), allow_nan=False)
    # No time stamp: the same program gives the same file.
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode("ascii")
    parts = {
        "TITLE": escape(page.title),
        "STYLE": "\n".join(map(_asset, STYLES)),
        "SCRIPT": "\n".join(map(_asset, scripts)),
        "DATA": packed,
        "BODY": _asset(body).rstrip("\n"),
    }
    return re.sub(f"@({'|'.join(parts)})@", lambda found: parts[found[1]], _asset("frame.html"))


def _asset(name: str) -> str:
    return (files("compiler.report_page") / "assets" / name).read_text(encoding="utf-8")
