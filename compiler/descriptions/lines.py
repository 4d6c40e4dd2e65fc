"""Where a description says something: the file and line of a key, for messages about it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from compiler.files import read_text
from dialects.diagnostics import Diagnostic
from dialects.toml_text import dotted, key_in, lines_of

_PART = r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|[^\s=\[\]{}#,."']+)"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_TABLE = re.compile(rf"\s*\[{{1,2}}\s*({_DOTTED})\s*\]")
_OPENS_TEXT = re.compile(r"=\s*(?:\"\"\"|''')(.*)$")
_WHOLE = r""""{3}(?:\\.|(?!"{3}).)*"{3,5}|'{3}(?:(?!'{3}).)*'{3,5}|"(?!"")(?:\\.|[^"\\])*"|'(?!'')[^']*'|#.*"""
_TEXTS = re.compile(rf"{_WHOLE}|(?P<open>\"{{3}}|'{{3}}).*")
"""Texts that end in their line, comments, and what opens a text that goes on."""
_KEY = re.compile(rf"\s*({_DOTTED})\s*=")


def located(problem: Diagnostic, files: Sequence[Path]) -> Diagnostic:
    """A problem whose message starts with a key and a colon, with the first of some files that gives it, and the line.

    Of a key that no file gives, the table that it would be in is shown, if any.
    """
    key = key_in(problem.message)
    for find in (line_of, nearest_line):
        for file in files:
            if (line := find(key, file)) is not None:
                return replace(problem, where=f"{file}, line {line}")
    return problem


def line_of(key: str, path: Path) -> int | None:
    """The line of a file that gives a dotted key or begins its table, if one does."""
    return next((line for line, found in _keys(path) if found == key), None)


def line_in_value(key: str, path: Path, line: int) -> int | None:
    """The line of a file that has a line, from 1, of the text that a key gives; that of the key where that is unclear.

    A text in three quotes starts after them, or in the next line if nothing follows them. With lines that are joined
    by backslashes, its lines are not those of the file.
    """
    start = line_of(key, path)
    if start is None:
        return None
    first, *rest = lines_of(read_text(str(path)))[start - 1 :]
    opened = _OPENS_TEXT.search(first)
    if opened is None or any(each.rstrip().endswith("\\") for each in [first, *rest][:line]):
        return start
    return min(start + line - (1 if opened[1] else 0), start + len(rest))


def nearest_line(key: str, path: Path) -> int | None:
    """The line of a key; of one that the file has not, the line of the closest table that it would be in.

    A table that begins nowhere is where the first of its keys is.
    """
    around = [(len(found), -line) for line, found in _keys(path) if f"{key}.".startswith(f"{found}.")]
    if around:
        return -max(around)[1]
    parts = key.split(".")
    tables = (".".join(parts[:count]) for count in reversed(range(1, len(parts))))
    return next((line for table in tables if (line := first_line_in(table, path)) is not None), None)


def first_line_in(table: str, path: Path) -> int | None:
    """The first line that says something of a table."""
    for line, parts in _parts_in(read_text(str(path))):
        if table in accumulate(parts, "{}.{}".format):
            return line
    return None


def _keys(path: Path) -> Iterator[tuple[int, str]]:
    """Every line that begins a table or gives a key, with the whole key. Keys of inline tables have no line."""
    return keys_in(read_text(str(path)))


def keys_in(text: str) -> Iterator[tuple[int, str]]:
    """As for a file, of its text."""
    return ((line, ".".join(parts)) for line, parts in _parts_in(text))


def _parts_in(text: str) -> Iterator[tuple[int, list[str]]]:
    """Every line that begins a table or gives a key, with the parts of the whole key."""
    table: list[str] = []
    quotes = ""
    for number, line in enumerate(lines_of(text), 1):
        if quotes:
            quotes = "" if line.count(quotes) % 2 else quotes
            continue
        quotes = next((each["open"] for each in _TEXTS.finditer(line) if each["open"]), "")
        if found := _TABLE.match(line):
            table = _parts(found[1])
            yield number, table
        elif found := _KEY.match(line):
            yield number, [*table, *_parts(found[1])]


def _parts(key: str) -> list[str]:
    """The parts of a dotted key as messages show them, without quotes and spaces; quoted parts may hold dots."""
    return [dotted([_unquoted(part)]) for part in re.findall(_PART, key)]


def _unquoted(part: str) -> str:
    if "\\" not in part or part[0] != '"':
        return part.strip("\"'")
    try:
        return tomllib.loads(f"part = {part}")["part"]
    except tomllib.TOMLDecodeError:  # of text that is no TOML, lines are looked up, too
        return part[1:-1]
