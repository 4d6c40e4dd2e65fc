"""Descriptions in TOML: a file as plain data, and one description with parts of another."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from compiler.files import read_text
from dialects.diagnostics import CatenaError, Diagnostic

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
