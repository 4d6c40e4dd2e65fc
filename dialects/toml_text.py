"""Plain data as TOML writes it, for messages; what reads descriptions without checking them needs no more."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from typing import cast

from dialects.diagnostics import escaped

EXTENDS = "extends"
"""The key by which a description says which other one it changes."""
_SHOWN = 80
"""Characters after which a text is cut."""
_LONGEST_DECIMAL = 256
"""Bits of the largest whole number that is shown in decimal."""
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PART = r"""\s*(?:"[^"\n]*"|'[^'\n]*'|[^."'\s]+)\s*"""
_DOTTED = re.compile(rf"{_PART}(?:\.{_PART})*")
_KEY_IN_MESSAGE = re.compile(r"""((?:"(?:\\.|[^"\\])*"|(?!: ).)+?): """)
_IN_TEXT = re.compile(r"line (\d+) of the text")


def written(value: object) -> str:
    """Plain data as TOML writes it in one line, all of it."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)
        case dict():
            table = cast("dict[str, object]", value)
            return f"{{{', '.join(f'{toml_key(key)} = {written(inner)}' for key, inner in table.items())}}}"
        case list() | tuple():
            return f"[{', '.join(map(written, cast('list[object]', value)))}]"
        case _:
            return str(value)


def as_toml(value: object, depth: int = 3) -> str:
    """Plain data as TOML writes it in one line, cut where it is long or deep."""
    match value:
        case bool():
            text = str(value).lower()
        case str():
            text = json.dumps(value, ensure_ascii=False)
        case int() if value.bit_length() > _LONGEST_DECIMAL:
            text = hex(value)  # Python writes no more than some thousand digits in decimal, and slowly
        case dict() | list() | tuple() if not depth:
            text = "..."
        case dict():
            table = cast("dict[str, object]", value)
            text = f"{{{', '.join(f'{toml_key(key)} = {as_toml(inner, depth - 1)}' for key, inner in table.items())}}}"
        case list() | tuple():
            text = f"[{', '.join(as_toml(inner, depth - 1) for inner in cast('list[object]', value))}]"
        case _:
            text = str(value)
    return shortened(text)


def shortened(text: str) -> str:
    """A text, cut where it is long."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def lines_of(text: str) -> list[str]:
    """The lines of TOML: only a line feed, with or without a carriage return, ends one."""
    lines = text.replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def key_parts(key: str) -> list[str]:
    """The parts of a dotted key, of which those in quotes may have dots."""
    if not _DOTTED.fullmatch(key):
        return key.split(".")
    return [part.strip().strip("\"'") for part in re.findall(_PART, key)]


def dotted(parts: Iterable[str]) -> str:
    """A dotted key as messages show it: on one line, with characters that cannot be seen written as Python does.

    A part with a colon and a space stands in quotes: messages about a key begin with it, and go on after these.
    """
    return ".".join(_shown(part) for part in parts)


def _shown(part: str) -> str:
    return json.dumps(part, ensure_ascii=False) if not part or ": " in part else escaped(part)


def key_in(message: str) -> str:
    """The key that a message begins with, as `dotted` shows it; all of it if no colon follows."""
    found = _KEY_IN_MESSAGE.match(message)
    return message.partition(": ")[0] if found is None else found[1]


def too_long_number(text: str) -> int:
    """The first line with a number of more digits than Python reads; 0 if there is none."""
    most = sys.get_int_max_str_digits()
    digits = re.compile(rf"[0-9](?:_?[0-9]){{{most},}}")
    return next((number for number, line in enumerate(lines_of(text), 1) if digits.search(line)), 0)


def toml_key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def in_text(line: int) -> str:
    """Where something is in a text of several lines that is a value; from 1."""
    return f"line {line} of the text"


def line_in_text(where: str) -> int | None:
    """The line that `in_text` said, if it did."""
    found = _IN_TEXT.fullmatch(where)
    return None if found is None else int(found[1])
