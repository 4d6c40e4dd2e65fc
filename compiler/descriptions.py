"""Descriptions in TOML: a file as plain data, and one description with parts of another."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from compiler.files import read_text
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.toml_text import as_toml

EXTENDS = "extends"


def read_description(path: Path) -> dict[str, Any]:
    """One file. Raises `CatenaError`: CAT-C002 if it cannot be read, CAT-C003 if it is not TOML."""
    text = read_text(str(path))
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, line = _reason_and_line(str(error), text)
        message = f"the target description is not TOML: {reason}"
        raise CatenaError(wrong_description(f"{path}, line {line}", message)) from error
    except RecursionError:
        # The traceback of so many frames helps nobody.
        message = "the target description has too many lists or tables inside one another"
        raise CatenaError(wrong_description(f"{path}, line {_deepest_line(text)}", message)) from None


_POSITION = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def _reason_and_line(message: str, text: str) -> tuple[str, int]:
    """What a TOML error says, and the line that it says it of."""
    found = _POSITION.search(message)
    last = max(len(text.splitlines()), 1)
    if found is None:
        return message, last
    at_end = found[1] is None
    return message[: found.start()] + (" at the end of the file" if at_end else ""), last if at_end else int(found[1])


def _deepest_line(text: str) -> int:
    """The line that opens the most lists and tables."""
    opened = [line.count("[") + line.count("{") for line in text.splitlines()]
    return opened.index(max(opened)) + 1


def check_tables(description: Mapping[str, Any], where: str) -> None:
    """Raises `CatenaError` (CAT-C003) where a file has no tables with names, but lists of tables, or something else."""
    problems = [
        replace(
            wrong_description(where, f"{name}: must be a table of tables", f"write [{name}.NAME]"),
            found=as_toml(description[name]),
        )
        for name in ("levels", "accesses")
        if name in description and not isinstance(description[name], dict)
    ]
    if problems:
        raise CatenaError(problems)


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
