"""Which change of a description makes a problem with a key that it does not give itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any, cast

from compiler.descriptions.data import merged, read_description
from compiler.descriptions.files import DescribedTarget
from compiler.descriptions.lines import nearest_line
from dialects.toml_text import EXTENDS, dotted

MessagesOf = Callable[[DescribedTarget], set[str]]
"""What is wrong with a description."""
_Path = Sequence[str]
_Change = Callable[[Mapping[str, Any], _Path], dict[str, Any]]


class Causes:
    """The changes that a file makes to what it extends, one by one."""

    def __init__(self, described: DescribedTarget, messages_of: MessagesOf):
        self._described = described
        self._messages_of = messages_of
        self._known: dict[tuple[_Path, _Change], set[str]] = {}

    def line(self, message: str, key: str) -> int | None:
        """The line of a change without which a problem is gone, else of one that makes it alone; none if there is none.

        Of several, it is the first of those that have most in common with the key that the problem is about.
        """
        base = self._described.base
        if base is None:
            return None
        changes = {each: value for each, value in read_description(self._described.file).items() if each != EXTENDS}
        paths = sorted(_paths(changes), key=lambda path: -_in_common(path, key))
        for part in (_without, _only):
            for path in paths:
                if (message in self._messages(base, changes, path, part)) == (part is _only):
                    return nearest_line(dotted(path), self._described.file)
        return None

    def _messages(self, base: DescribedTarget, changes: Mapping[str, Any], path: _Path, part: _Change) -> set[str]:
        """What is wrong with what is extended if a part of the changes is made."""
        if (path, part) not in self._known:
            description = merged(base.description, part(changes, path))
            self._known[path, part] = self._messages_of(replace(self._described, description=description))
        return self._known[path, part]


def _paths(table: Mapping[str, Any]) -> Iterator[_Path]:
    """The keys of a table and of those inside it that have values."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from ((key, *inner) for inner in _paths(cast("dict[str, Any]", value)))
        else:
            yield (key,)


def _without(table: Mapping[str, Any], path: _Path) -> dict[str, Any]:
    """A table without a key."""
    first, *inner = path
    kept = {key: value for key, value in table.items() if key != first or inner}
    return {key: _without(value, inner) if key == first else value for key, value in kept.items()}


def _only(table: Mapping[str, Any], path: _Path) -> dict[str, Any]:
    """A table with nothing but a key."""
    first, *inner = path
    return {first: _only(table[first], inner) if inner else table[first]}


def _in_common(path: _Path, key: str) -> int:
    """How many parts two keys have in common at their beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(path, key.split("."), strict=False)))
