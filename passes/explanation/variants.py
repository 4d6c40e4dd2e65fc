"""Machines in which one capacity, bandwidth or side of the array is larger, as changes of their descriptions."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

from dialects.accelerator import Accelerator
from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError
from dialects.hierarchy import Memory
from dialects.machine_kinds import parse_machine
from dialects.nest_machine import NestMachine
from dialects.word_units import MACHINE_WORD, WordUnit

_OF_ARRAY = (
    ("glb.banks", "glb"),
    ("pe.input_words", "pe.input"),
    ("pe.kernel_words", "pe.kernel"),
    ("pe.output_words", "pe.output"),
    ("array.rows", ""),
    ("array.cols", ""),
    ("links.dram", ""),
    ("links.input_bus", ""),
    ("links.kernel_bus", ""),
    ("links.output_bus", ""),
)
"""What of a row-stationary array can be larger, and which memory that is."""


@dataclass(frozen=True)
class Size:
    """A number of a machine's description that says how large or fast something is: its key, as for `--set`.

    `memory` is the memory whose capacity it is, as `Held` calls it, with `words` in each unit of it; empty for
    bandwidths and axes. Values are in words of the machine, of which the description has `unit`s; capacities are whole
    numbers of a `step`, which is a bank.
    """

    key: str
    value: float
    memory: str = ""
    words: int = 1
    unit: WordUnit = MACHINE_WORD
    step: int = 1


def sizes(machine: Accelerator) -> Iterator[Size]:
    """All capacities, axes and bandwidths that have a limit, capacities first."""
    if isinstance(machine, NestMachine):
        yield from _sizes_of_levels(machine)
    elif isinstance(machine, Machine):
        for key, memory in _OF_ARRAY:
            table, _, name = key.partition(".")
            words = machine.glb.bank_words if memory == "glb" else 1
            yield Size(key, getattr(getattr(machine, table), name), memory, words)


def _sizes_of_levels(machine: NestMachine) -> Iterator[Size]:
    for memory in machine.memories[1:]:
        key, unit = f"levels.{memory.name}", machine.word_unit(memory.name)
        if memory.words is not None:
            yield Size(f"{key}.words", memory.words, memory.name, unit=unit, step=memory.bank or 1)
        for operand, room in memory.rooms.items():
            yield Size(f"{key}.rooms.{operand}", room, f"{memory.name}.rooms.{operand}", unit=unit)
    for axis in machine.axes:
        yield Size(f"levels.{axis.name}.size", axis.size)
    if machine.elements is not None:
        yield Size("elements", machine.elements)
    for memory in machine.memories:
        for port, rate in _rates(memory):
            yield Size(f"levels.{memory.name}.{port}", rate, unit=machine.word_unit(memory.name))


def _rates(memory: Memory) -> list[tuple[str, float]]:
    return [(port, rate) for port, rate in (("read", memory.read), ("write", memory.write)) if rate is not None]


def resized(machine: Accelerator, size: Size, value: float) -> Accelerator:
    """The machine with another value in a place."""
    description = deepcopy(machine.model_dump(mode="json", exclude_none=True))
    place: Any = description
    *path, last = size.key.split(".")
    for part in path:
        place = _named(cast("list[dict[str, Any]]", place), part) if isinstance(place, list) else place[part]
    place[last] = value
    return parse_machine(description, "explain")


@dataclass(frozen=True)
class Larger:
    """A machine on which a size is larger: twice as large, or as large as the rest of the description allows."""

    machine: Accelerator
    value: float


@dataclass(frozen=True)
class Fixed:
    """A size that cannot be larger, and why."""

    size: Size
    reason: str


def larger(machine: Accelerator, size: Size) -> Larger | Fixed:
    """The machine with a size doubled or, where no description may say so, with the largest whole number below."""
    try:
        return Larger(resized(machine, size, 2 * size.value), 2 * size.value)
    except CatenaError as error:
        problem = error.diagnostics[0]
    least, most = size.value, 2 * size.value
    found: Larger | None = None
    while isinstance(size.value, int) and most - least > 1:
        middle = (int(least) + int(most)) // 2
        try:
            found = Larger(resized(machine, size, middle), middle)
            least = middle
        except CatenaError:
            most = middle
    reason = problem.message.partition(": ")[2]
    return found or Fixed(size, f"{reason} ({problem.hint})" if problem.hint else reason)


def _named(tables: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The table of a name in a list of tables, as levels are."""
    return next(each for each in tables if each["name"] == name)
