"""Descriptions in TOML: a file as plain data, and one description with parts of another."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from compiler.files import read_text
from compiler.toml_mistakes import what_is_no_toml
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.toml_text import as_toml, lines_of, too_long_number


def read_description(path: Path) -> dict[str, Any]:
    """One file. Raises `CatenaError`: CAT-C002 if it cannot be read, CAT-C003 if it is not TOML."""
    text = read_text(str(path), "a TOML file in UTF-8")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        wrong = what_is_no_toml(str(error), text)
        message = f"the target description is not TOML: {wrong.reason}"
        raise CatenaError(wrong_description(f"{path}, line {wrong.line}", message, wrong.hint)) from error
    except ValueError as error:
        message = "the target description has a number of too many digits"
        hint = "no key takes a number of more than 64 bits"
        raise CatenaError(wrong_description(f"{path}, line {too_long_number(text)}", message, hint)) from error
    except RecursionError:
        # The traceback of so many frames helps nobody.
        message = "the target description has too many lists or tables inside one another"
        hint = "no key needs more than three"
        raise CatenaError(wrong_description(f"{path}, line {_deepest_line(text)}", message, hint)) from None


def _deepest_line(text: str) -> int:
    """The line that opens the most lists and tables."""
    opened = [line.count("[") + line.count("{") for line in lines_of(text)]
    return opened.index(max(opened)) + 1


def check_tables(description: Mapping[str, Any], where: str) -> None:
    """Raises `CatenaError` (CAT-C003) where a file has no tables with names, but lists of tables, or something else.

    Tables are called by their keys, and have no other names inside.
    """
    problems = [
        replace(
            wrong_description(where, f"{name}: must be a table of tables", f"write [{name}.NAME]"),
            found=as_toml(description[name]),
        )
        for name in ("levels", "accesses")
        if name in description and not isinstance(description[name], dict)
    ]
    for tables in ("levels", "accesses"):
        for name, table in _inner_table(description, tables).items():
            kind = _inner_table({name: table}, name).get("kind", "")
            if tables == "levels" and not isinstance(kind, str):
                message, hint = (
                    f"levels.{name}.kind: must be a text",
                    'every level has kind = "memory" or kind = "axis"',
                )
                problems.append(replace(wrong_description(where, message, hint), found=as_toml(kind)))
            if "name" in _inner_table({name: table}, name):
                message = f"{tables}.{name}.name: there is no such key"
                problems.append(wrong_description(where, message, f"the name is that of the table: [{tables}.NAME]"))
    if problems:
        raise CatenaError(problems)


def _inner_table(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    inner = table.get(key)
    return cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}


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
