"""A page: its title and its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Page:
    """The title of a page, and its data for JSON: words, cycles, pJ and ms."""

    title: str
    data: Mapping[str, Any]
