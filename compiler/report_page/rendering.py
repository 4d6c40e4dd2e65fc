"""A report page as one HTML file: its data, style and scripts stand in it, and nothing is fetched."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html import escape
from importlib.resources import files

from compiler.report_page.data import Page

STYLES = ("page.css",)
SCRIPTS = (
    "drawing.js",
    "charts.js",
    "network.js",
    "layers.js",
    "groups.js",
    "cores.js",
    "ir_text.js",
    "explorer.js",
    "page.js",
)
"""In the order in which they are needed."""


def render(page: Page) -> str:
    """The whole file. Data are packed with gzip and written as base64, which every current browser can unpack."""
    shell = _asset("page.html")
    text = json.dumps(page.data, separators=(",", ":"), allow_nan=False)
    # No time stamp: the same program gives the same file.
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode("ascii")
    parts = {
        "TITLE": escape(page.title),
        "STYLE": "\n".join(map(_asset, STYLES)),
        "SCRIPT": "\n".join(map(_asset, SCRIPTS)),
        "DATA": packed,
    }
    return re.sub(f"@({'|'.join(parts)})@", lambda found: parts[found[1]], shell)


def _asset(name: str) -> str:
    return (files("compiler.report_page") / "assets" / name).read_text(encoding="utf-8")
