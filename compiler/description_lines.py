"""Where a description says something: the file and line of a key, for messages about it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from compiler.files import read_text
from dialects.diagnostics import Diagnostic

_TABLE = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\"'-]+?)\s*=")


def located(diagnostic: Diagnostic, files: Sequence[Path]) -> Diagnostic:
    """A diagnostic whose message starts with a key, with the first of some files that has it, and the line there.

    Of a key that no file has, the table that it would be in is shown, if any.
    """
    key = diagnostic.message.partition(":")[0]
    if " " in key or not key:
        return diagnostic
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        for path in files:
            line = next((n for n, found in _keys(read_text(str(path))) if found == parts[:length]), None)
            if line is not None:
                return replace(diagnostic, where=f"{path}, line {line}")
    return diagnostic


def _keys(text: str) -> Iterator[tuple[int, list[str]]]:
    """Every line that begins a table or gives a key, with the whole key. Keys of inline tables have no line."""
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if found := _TABLE.match(line):
            table = _parts(found[1])
            yield number, table
        elif found := _KEY.match(line):
            yield number, [*table, *_parts(found[1])]


def _parts(key: str) -> list[str]:
    """The parts of a dotted key; quoted parts may hold dots."""
    return [part.strip("\"'") for part in re.findall(r"\"[^\"]*\"|'[^']*'|[^.\s]+", key)]
