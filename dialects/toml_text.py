"""Plain data as TOML writes it, for messages; what reads descriptions without checking them needs no more."""

from __future__ import annotations

import json
from typing import cast

_SHOWN = 80
"""Characters after which a text is cut."""


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
            text = f"{{{', '.join(f'{key} = {as_toml(inner, depth - 1)}' for key, inner in table.items())}}}"
        case list() | tuple():
            text = f"[{', '.join(as_toml(inner, depth - 1) for inner in cast('list[object]', value))}]"
        case _:
            text = str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
