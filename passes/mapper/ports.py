"""The ports of memories that take time, and which words of links go through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dialects.hierarchy import Hierarchy, Memory
from dialects.schedule import Operand
from passes.mapper.links import Link
from passes.mapper.paths import Paths
from passes.mapper.pricing import Values


@dataclass(frozen=True)
class Port:
    """One side of a memory, which words leave (`goes`) or come in by, so many a cycle."""

    memory: str
    goes: bool
    rate: float


class Ports:
    """The ports of a machine, none unless cycles count (`timed`).

    `least` are the words of each operand, `read_from` the memories of other tensors that results read.
    """

    def __init__(
        self, hierarchy: Hierarchy, paths: Paths, least: Mapping[Operand, int], read_from: Sequence[str], *, timed: bool
    ):
        self._hierarchy, self._paths, self._least, self._read_from = hierarchy, paths, least, read_from
        self._timed = timed

    @cached_property
    def all(self) -> tuple[Port, ...]:
        """The ports of memories that take time, if an operand may lie there or results read from them."""
        found: list[Port] = []
        for memory in self._used if self._timed else ():
            for rate, goes in ((memory.read, True), (memory.write, False)):
                if rate is not None:
                    found.append(Port(memory.name, goes, rate))
        return tuple(found)

    @property
    def _used(self) -> list[Memory]:
        """The memories that words of links or of other tensors may go into or out of, whatever passes by."""
        operands = self._paths.operands
        used = {*self._read_from, *map(self._hierarchy.begins, operands)}
        used |= {each.name for each in self._hierarchy.memories[1:] if not {*operands}.isdisjoint(each.operands)}
        return [each for each in self._hierarchy.memories if each.name in used]

    @cached_property
    def outer(self) -> list[tuple[int, Port, list[tuple[tuple[Operand, str], int]]]]:
        """The ports of memories that exist once, with their rows in `Parts.flows`, and what goes through them.

        That are links, by operand and lower place, and how many words at least.
        """
        begins = self._hierarchy.begins
        found: list[tuple[int, Port, list[tuple[tuple[Operand, str], int]]]] = []
        for row, port in enumerate(self.all):
            if not self._hierarchy.axes_outside(port.memory):
                through = [
                    (link, self._least[link[0]])
                    for link, upper in self._paths.upper.items()
                    if port.memory == (upper or begins(link[0])) and port.goes == (link[0] is not Operand.OUTPUT)
                ]
                found.append((row, port, through))
        return found

    @cached_property
    def reads(self) -> Values:
        """1 where words that results read of a tensor (column) use a port (row); in the last row, of ramps, 0."""
        found = np.zeros((len(self.all) + 1, len(self._read_from)))
        for row, port in enumerate(self.all):
            found[row] = [port.goes and port.memory == memory for memory in self._read_from]
        return found

    def words_of(self, link: Link, own: Values, shared: Values) -> list[Values]:
        """Words of a settled link that each port moves, and no cycles for first and last tiles.

        Counted for every element, they are its `own`; else those that elements share count once.
        """
        outer = self._paths.upper[link.operand, link.lower] or self._hierarchy.begins(link.operand)
        rows: list[Values] = []
        for port in self.all:
            words = np.zeros_like(own)
            if port.memory == outer and (port.goes or link.operand is Operand.OUTPUT):
                words = shared
                if port.goes and link.operand is Operand.OUTPUT and outer == self._hierarchy.memories[0].name:
                    # sums that arrive are read again, but for the last ones, which stay
                    words = shared - self._least[link.operand]
            elif port.memory == link.lower and not port.goes and link.operand is not Operand.OUTPUT:
                words = own
            rows.append(words)
        return [*rows, np.zeros_like(own)]
