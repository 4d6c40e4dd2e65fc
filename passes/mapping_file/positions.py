"""The lines at which keys of a TOML file stand, for messages about them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from dialects.toml_text import lines_of

_PART = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)"""
_KEYS = rf"{_PART}(?:\s*\.\s*{_PART})*"
_TABLE = re.compile(rf"\s*\[{{1,2}}\s*({_KEYS})\s*\]")
_KEY = re.compile(rf"\s*({_KEYS})\s*=\s*")
_DELIMITERS = ('"""', "'''")


@dataclass(frozen=True)
class Position:
    """The line of a key, from 1, and that at which the text of its value begins."""

    line: int
    text: int


def positions(text: str) -> Mapping[tuple[str, ...], Position]:
    """Where tables and keys stand in TOML that can be read; keys of inline tables are left out."""
    found: dict[tuple[str, ...], Position] = {}
    table: tuple[str, ...] = ()
    until = ""
    for number, line in enumerate(lines_of(text), 1):
        if until:
            until = "" if until in line else until
        elif match := _TABLE.match(line):
            table = _parts(match[1])
            found[table] = Position(number, number)
        elif match := _KEY.match(line):
            value = line[match.end() :]
            until = next((each for each in _DELIMITERS if value.startswith(each)), "")
            begins = number + 1 if until and not value[len(until) :].strip() else number
            if until in value[len(until) :]:
                until = ""
            found[(*table, *_parts(match[1]))] = Position(number, begins)
    return found


def _parts(keys: str) -> tuple[str, ...]:
    """A dotted key as its parts."""
    parts: list[str] = []
    value: object = tomllib.loads(f"{keys} = 0")
    while isinstance(value, dict):
        ((part, value),) = cast("dict[str, object]", value).items()
        parts.append(part)
    return tuple(parts)
