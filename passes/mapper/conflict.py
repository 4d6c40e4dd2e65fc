"""Which levels of a machine have too little room for a link together, where each has enough for a mapping of its own.

Limits are lifted, then put back one by one, those of the innermost memories last: where nothing fits with one of them,
it stays lifted. What is left is a set of limits none of which can be spared; of each the least size is looked for that
lets a mapping fit, the ones before it being so large. As in `passes.mapper.room`, messages begin with a key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dialects.diagnostics import Diagnostic
from dialects.hierarchy import Axis, Hierarchy, Memory
from dialects.schedule import Operand
from dialects.word_units import MACHINE_WORD, WordUnit
from passes.mapper.dataflow import BoundFlow
from passes.mapper.search import has_mapping

_LARGEST = 1 << 48
"""No level is larger than that."""

_MOST_CANDIDATES = 1 << 20
"""Candidates that are looked at for each question whether something fits."""


class _UnknownError(Exception):
    """It would take too long to find out whether a mapping fits."""


@dataclass(frozen=True)
class _Limit:
    """A size of a level, or the parts that are to be cut evenly: where it stands, and what it is now, if a number.

    Sizes are words of the machine, of which the description may say whole `words` only, in whole banks of `bank`.
    """

    key: str
    value: int | None
    unit: str = ""
    operand: Operand | None = None
    words: WordUnit = MACHINE_WORD
    bank: int = 1

    def whole(self, size: int) -> int:
        """The least size that the description may say and that is as large."""
        return self.words.whole(-(-size // self.bank) * self.bank)


def too_small_together(flow: BoundFlow, hierarchy: Hierarchy, node: str = "") -> list[Diagnostic]:
    """The limits (CAT-F001) that rule out all mappings together; none if that is not known."""
    lifted = [*_limits(hierarchy)]
    sizes: dict[_Limit, int | None] = dict.fromkeys(lifted)
    try:
        for limit in lifted:
            if _fits(flow, hierarchy, {each: size for each, size in sizes.items() if each != limit}):
                del sizes[limit]
        found: list[Diagnostic] = []
        for limit in sizes:
            if limit.value is not None:
                least = _least(flow, hierarchy, sizes, limit)
                sizes[limit] = None if least is None else limit.whole(least)
            found.append(_described(limit, sizes[limit], [each.key for each in sizes if each != limit], node))
    except _UnknownError:
        return []
    return found


def _limits(hierarchy: Hierarchy) -> Iterator[_Limit]:
    """All limits in the order in which they are put back."""
    if hierarchy.dataflow is not None and hierarchy.dataflow.even:
        yield _Limit("dataflow.even", None)
    if hierarchy.elements is not None:
        yield _Limit("elements", hierarchy.elements, "positions in all")
    for axis in hierarchy.axes:
        yield _Limit(f"levels.{axis.name}.size", axis.size, "positions")
    for memory in hierarchy.memories[1:]:
        unit = hierarchy.word_unit(memory.name)
        if memory.words is not None:
            yield _Limit(f"levels.{memory.name}.words", memory.words, unit.name, None, unit, memory.bank or 1)
        for operand, words in memory.rooms.items():
            yield _Limit(f"levels.{memory.name}.rooms", words, f"{unit.name} for {operand}", operand, unit)


def _fits(flow: BoundFlow, hierarchy: Hierarchy, sizes: Mapping[_Limit, int | None]) -> bool:
    """Whether a mapping fits where limits have other sizes, or none. Raises `_UnknownError`."""
    found = has_mapping(flow, _with(hierarchy, sizes), _MOST_CANDIDATES)
    if found is None:
        raise _UnknownError
    return found


def _with(hierarchy: Hierarchy, sizes: Mapping[_Limit, int | None]) -> Hierarchy:
    """A machine with other limits, which need not be one that can be described."""
    changed: dict[str, Any] = {name: getattr(hierarchy, name) for name in type(hierarchy).model_fields}
    levels: dict[str, Memory | Axis] = {level.name: level for level in hierarchy.levels}
    for limit, size in sizes.items():
        table, _, key = limit.key.rpartition(".")
        level = levels.get(table.removeprefix("levels."))
        if key == "elements":
            changed["elements"] = size
        elif table == "dataflow" and hierarchy.dataflow is not None:
            changed["dataflow"] = hierarchy.dataflow.model_copy(update={"even": ()})
        elif isinstance(level, Axis):
            levels[level.name] = level.model_copy(update={"size": _LARGEST if size is None else size})
        elif isinstance(level, Memory):
            rooms = {each: room for each, room in level.rooms.items() if each != limit.operand}
            if limit.operand and size is not None:
                rooms[limit.operand] = size
            levels[level.name] = level.model_copy(update={"rooms": rooms} if limit.operand else {"words": size})
    changed["levels"] = tuple(levels.values())
    return type(hierarchy).model_construct(None, **changed)


def _least(flow: BoundFlow, hierarchy: Hierarchy, sizes: Mapping[_Limit, int | None], limit: _Limit) -> int | None:
    """The least size of a limit with which a mapping fits; None if none does: a reserve is in the way."""
    low = high = limit.value or 1
    while not _fits(flow, hierarchy, {**sizes, limit: high}):
        low, high = high, 2 * high
        if high > _LARGEST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if _fits(flow, hierarchy, {**sizes, limit: middle}):
            high = middle
        else:
            low = middle
    return high


def _described(limit: _Limit, size: int | None, others: list[str], node: str) -> Diagnostic:
    beside = f" with {' and '.join(others)} as large as said there" if others else ", the rest being as it is"
    if limit.value is None:
        message = f"{limit.key}: no mapping of this link that fits cuts these parts into equal tiles"
        hint = "leave parts out, or make levels larger so that whole loops fit"
        return Diagnostic("CAT-F001", message, "mapped", node, hint=hint)
    if size is None:
        key = limit.key.replace(".words", ".reserve")
        message = f"{key}: no mapping of this link fits, less than nothing is reserved where the other levels have room"
        hint = "reserve words that something else takes: 0 or more"
        return Diagnostic("CAT-F001", message, "mapped", node, expected="0 or more", hint=hint)
    message = f"{limit.key}: no mapping of this link fits, tiles that other levels have room for are too large here"
    hint = "make it larger, or let parameters of dataflow.nest cut tiles smaller there"
    expected = f"at least {limit.words.at_least(size)} {limit.unit}{beside}"
    found = str(limit.words.said(limit.value))
    return Diagnostic("CAT-F001", message, "mapped", node, expected=expected, found=found, hint=hint)
