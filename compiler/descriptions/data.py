"""Descriptions in TOML: a file as plain data, and one description with parts of another."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from compiler.files import read_text
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.toml_text import as_toml, dotted, lines_of, shortened, too_long_number


def read_description(path: Path, kind: str = "target description", stage: str = "target") -> dict[str, Any]:
    """One file of a `kind`, as messages call it, that a stage reads.

    Raises `CatenaError`: CAT-C002 if it cannot be read, CAT-C003 if it is not TOML.
    """
    text = read_text(str(path), "a TOML file in UTF-8")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        from compiler.descriptions.toml_mistakes import what_is_no_toml

        wrong = what_is_no_toml(str(error), text)
        message = f"the {kind} is not TOML: {wrong.reason}"
        raise CatenaError(_no_toml(path, text, wrong.line, message, "a line of TOML", wrong.hint, stage)) from error
    except ValueError as error:
        message = f"the {kind} has a number of too many digits"
        expected, hint = "a number of at most 64 bits", "no key takes a number of more than 64 bits"
        raise CatenaError(_no_toml(path, text, too_long_number(text), message, expected, hint, stage)) from error
    except RecursionError:
        # The traceback of so many frames helps nobody.
        message = f"the {kind} has too many lists or tables inside one another"
        expected, hint = "three at most", "no key needs more than three"
        raise CatenaError(_no_toml(path, text, _deepest_line(text), message, expected, hint, stage)) from None


def read_physics(path: Path) -> dict[str, Any]:
    """A file that says how crossbars compute; raises as `read_description`."""
    return read_description(path, "physics file", "emulation")


def _no_toml(path: Path, text: str, line: int, message: str, expected: str, hint: str, stage: str) -> Diagnostic:
    """Why a text cannot be read, with the line that is to blame."""
    found = dict(enumerate(lines_of(text), 1)).get(line, "").strip()
    wrong = wrong_description(f"{path}, line {line}", message, expected, found or "an empty line", hint)
    return replace(wrong, stage=stage)


def _deepest_line(text: str) -> int:
    """The line that opens the most lists and tables."""
    opened = [line.count("[") + line.count("{") for line in lines_of(text)]
    return opened.index(max(opened)) + 1


def wrong_tables(description: Mapping[str, Any], where: str) -> Iterator[Diagnostic]:
    """Where a description has no tables with names, but lists of tables, or something else (CAT-C003).

    Tables are called by their keys, and have no other names inside.
    """
    for tables in ("levels", "accesses"):
        if tables in description and not isinstance(description[tables], dict):
            message, found = f"{tables}: must be a table of tables", as_toml(description[tables])
            yield wrong_description(where, message, "a table of tables", found, f"write [{tables}.NAME]")
        for name, table in _inner_table(description, tables).items():
            key = dotted((tables, name))
            inner = _inner_table({name: table}, name)
            kind = inner.get("kind", "")
            if tables == "levels" and not isinstance(kind, str):
                expected = 'kind = "memory" or kind = "axis"'
                message, hint = f"{key}.kind: must be a text", f"every level has {expected}"
                yield wrong_description(where, message, expected, as_toml(kind), hint)
            if "name" in inner:
                message, hint = f"{key}.name: there is no such key", f"the table's own: [{tables}.NAME]"
                if "name" not in description:
                    hint = "name is said of the whole machine: it stands before the first table of the file"
                yield wrong_description(where, message, "no other name", as_toml(inner["name"]), hint)


def is_second_name(problem: Diagnostic) -> bool:
    """Whether a problem is that a table has a name beside its own: the rest of the description can be read."""
    return problem.message.endswith(".name: there is no such key")


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


def wrong_description(where: str, message: str, expected: str, found: str, hint: str) -> Diagnostic:
    """What is wrong with a description."""
    return Diagnostic("CAT-C003", message, "target", "", where, expected, shortened(found), hint)
