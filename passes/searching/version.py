"""Which search this is: what is found by another one is not found again."""

from __future__ import annotations

import numpy as np

from dialects.code_digest import code_digest

_FOLDERS = ("dialects", "passes/mapper", "passes/mapping", "passes/searching")
"""Folders with the code that says what a search finds."""


def search_version() -> str:
    """The search's own code, and what it computes with."""
    return f"{code_digest(*_FOLDERS)} numpy {np.__version__}"
