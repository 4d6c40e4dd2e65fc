"""Descriptions in TOML, some of which start from another file and give only what differs."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from compiler.files import read_text
from dialects.diagnostics import CatenaError, Diagnostic

if TYPE_CHECKING:
    from dialects.hierarchy import Hierarchy

EXTENDS = "extends"


def read_description(path: Path) -> dict[str, Any]:
    """One file. Raises `CatenaError`: CAT-C002 if it cannot be read, CAT-C003 if it is not TOML."""
    try:
        return tomllib.loads(read_text(str(path)))
    except tomllib.TOMLDecodeError as error:
        raise CatenaError(wrong_description(str(path), f"the target description is not TOML: {error}")) from error


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A description with some keys changed; tables are merged, everything else is replaced."""
    result = dict(base)
    for key, value in changes.items():
        inherited = result.get(key)
        if isinstance(inherited, dict) and isinstance(value, dict):
            result[key] = merged(cast("dict[str, Any]", inherited), cast("dict[str, Any]", value))
        else:
            result[key] = value
    return result


def wrong_description(where: str, message: str, hint: str = "") -> Diagnostic:
    """What is wrong with a description."""
    return Diagnostic("CAT-C003", message, stage="target", where=where, hint=hint)


def read_hierarchy(path: Path, changes: Mapping[str, Any] | None = None) -> Hierarchy:
    """The machine that a file describes, with some keys changed; `extends = "other.toml"` is relative to the file.

    Raises `CatenaError`: CAT-C002 for a file that cannot be read, CAT-C003 for a description that is not valid.
    """
    from dialects.hierarchy import parse_hierarchy

    return parse_hierarchy(merged(_whole(path, ()), changes or {}), where=str(path))


def _whole(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path in seen:
        chain = " -> ".join(map(str, (*seen, path)))
        raise CatenaError(wrong_description(str(path), f"the description extends itself: {chain}"))
    description = read_description(path)
    base = description.pop(EXTENDS, None)
    if base is None:
        return description
    if not isinstance(base, str):
        raise CatenaError(wrong_description(str(path), f"{EXTENDS} is the name of a file", f'{EXTENDS} = "other.toml"'))
    return merged(_whole(path.parent / base, (*seen, path)), description)
