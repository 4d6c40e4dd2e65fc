"""Plain data as TOML writes it, for messages; what reads descriptions without checking them needs no more."""

from __future__ import annotations

import json
import re
from typing import cast

EXTENDS = "extends"
"""The key by which a description says which other one it changes."""
_SHOWN = 80
"""Characters after which a text is cut."""
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_IN_TEXT = re.compile(r"line (\d+) of the text")


def as_toml(value: object, depth: int = 3) -> str:
    """Plain data as TOML writes it in one line, cut where it is long or deep."""
    match value:
        case bool():
            text = str(value).lower()
        case str():
            text = json.dumps(value, ensure_ascii=False)
        case dict() | list() | tuple() if not depth:
            text = "..."
        case dict():
            table = cast("dict[str, object]", value)
            text = f"{{{', '.join(f'{_key(key)} = {as_toml(inner, depth - 1)}' for key, inner in table.items())}}}"
        case list() | tuple():
            text = f"[{', '.join(as_toml(inner, depth - 1) for inner in cast('list[object]', value))}]"
        case _:
            text = str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def in_text(line: int) -> str:
    """Where something is in a text of several lines that is a value; from 1."""
    return f"line {line} of the text"


def line_in_text(where: str) -> int | None:
    """The line that `in_text` said, if it did."""
    found = _IN_TEXT.fullmatch(where)
    return None if found is None else int(found[1])
