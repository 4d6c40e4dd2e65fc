"""What there is to know about one mapped layer, as numbers; nothing here depends on the kind of machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from dialects.accelerator import Accelerator
from dialects.events import Counts
from dialects.schedule import Mapping as LinkMapping
from dialects.schedule import Operand
from dialects.word_units import MACHINE_WORD, WordUnit
from passes.mapping.cost import Price
from passes.pricing import charges, elements

OPERANDS = {Operand.INPUT: "input", Operand.KERNEL: "kernel", Operand.OUTPUT: "output"}


@dataclass(frozen=True)
class Held:
    """What a memory, or one copy of it, holds at a time: words of a tile by operand, each `buffers` times.

    `taken` words of `capacity` are then taken, in whole banks; without a capacity the memory is unlimited. Words are
    those of the machine, of which the description has `unit`s.
    """

    memory: str
    words: Mapping[str, int]
    taken: int
    capacity: int | None
    buffers: int = 1
    unit: WordUnit = MACHINE_WORD

    @property
    def share(self) -> float:
        """The share of the capacity that is taken, from 0 to 1."""
        return self.taken / self.capacity if self.capacity else 0.0


@dataclass(frozen=True)
class Busy:
    """Something that words or operations pass through, and for how many cycles it does: `amount` at a `rate` each."""

    resource: str
    amount: float
    rate: float
    unit: str

    @property
    def cycles(self) -> float:
        """Cycles in which it is busy."""
        return self.amount / self.rate


@dataclass(frozen=True)
class Spent:
    """Energy in pJ of the accesses to a level for one operand."""

    level: str
    operand: str
    accesses: float
    energy: float


@dataclass(frozen=True)
class Moved:
    """Words of an operand that go from or to the off-chip memory, and those of the tensor: once each."""

    operand: str
    words: int
    least: int


@dataclass(frozen=True)
class Facts:
    """A mapped layer: counts as predicted, or as an emulation found, and their price.

    `tiles` has the words of each operand that each store of the mapping brings, by the place of the node; `time` says
    what the cycles are made of: parts that come one after the other. `form` is what the mapping says beside its nest.
    """

    mapping: LinkMapping
    counts: Counts
    price: Price
    tiles: Mapping[int, Mapping[Operand, int]]
    held: tuple[Held, ...]
    busy: tuple[Busy, ...]
    time: tuple[tuple[str, float], ...]
    spent: tuple[Spent, ...]
    moved: tuple[Moved, ...]
    peak_cycles: int
    form: str = ""

    @property
    def words(self) -> int:
        """Words that go from or to the off-chip memory."""
        return sum(each.words for each in self.moved)

    @property
    def least_words(self) -> int:
        """Words of all its tensors: no mapping moves fewer."""
        return sum(each.least for each in self.moved)

    @property
    def fullest(self) -> Held | None:
        """The memory with the least room left, in shares of its capacity."""
        return max(self.held, key=lambda each: each.share, default=None)

    @property
    def longest(self) -> tuple[str, float]:
        """The part of the time that takes longest."""
        return max(self.time, key=lambda each: each[1])


def spent(counts: Counts, price: Price, machine: Accelerator) -> tuple[Spent, ...]:
    """The energy of a layer by level and operand, from the outside in; then what belongs to no operand."""
    found: list[Spent] = []
    for level, events in charges(machine).items():
        accesses: dict[str, float] = {}
        for event, times in events.items():
            operand = event.split(".")[1]
            accesses[operand] = accesses.get(operand, 0.0) + times * counts.events.get(event, 0)
        total = sum(accesses.values())
        found += [
            Spent(level, operand, number, price.energy[level] * number / total)
            for operand, number in accesses.items()
            if number
        ]
    rest = [("operation", float(counts.operations)), ("host", 0.0), ("static", 0.0)]
    return (*found, *(Spent(name, "", number, price.energy[name]) for name, number in rest if price.energy.get(name)))


def peak_cycles(counts: Counts, machine: Accelerator) -> int:
    """Cycles that all elements together would take for the main operations."""
    return math.ceil(counts.operations / elements(machine))
