"""What a fused group costs at least on a machine of levels, by the words and operations that are known of it.

No nest of a link is needed for that: whatever it is, words that go off-chip cost what transfers of holds cost, every
operation happens in some element, its operands come from some memory, and its sum arrives in one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

from dialects.gconv import PASS
from dialects.gconv.spec import GConv
from dialects.hierarchy import Axis, Memory
from dialects.nest_machine import NestMachine
from dialects.schedule import Operand
from passes.fusion.group import Group
from passes.fusion.least_of_groups import LeastOfGroups
from passes.fusion.members import transfer_events, transfer_rate
from passes.mapper.counts import OPERAND_NAMES
from passes.mapper.pricing import Prices
from passes.pricing import elements


class LeastPrices(LeastOfGroups):
    """Lower bounds of energy (pJ) and cycles of groups whose tensors lie in holds of the memory called `buffer`."""

    def __init__(self, machine: NestMachine, buffer: str):
        super().__init__(machine.picojoules)
        self._machine, self._buffer = machine, buffer
        self._prices = Prices(machine)
        self._elements = elements(machine)
        self._per_operation: dict[tuple[bool, int], float] = {}

    def _cycles(self, group: Group, words: Mapping[str, int], more: int, operations: int) -> float:
        """Transfers one after another, and runs whose operations keep all elements busy."""
        sent = sum(count for name, count in words.items() if name in group.makers)
        cycles = sent / self._rate(True) + (sum(words.values()) - sent) / self._rate(False)
        return cycles + more / max(self._rate(False), self._rate(True)) + operations / self._elements

    def _rate(self, is_sent: bool) -> float:
        return transfer_rate(self._buffer, self._machine, is_fetch=not is_sent)

    def _of_word(self, group: Group, tensor: str) -> float:
        """What a word of a tensor costs between off-chip and its hold."""
        roles = ["O"] if tensor in group.makers else [operand.role for _, operand in group.readers(tensor)]
        events = (transfer_events(role, self._buffer, self._machine) for role in roles)
        return min((sum(map(self._prices.event, pair)) for pair in events), default=0.0)

    # Within a turn ----------------------------------------------------------------------------------------------------

    def _of_operation(self, spec: GConv) -> float:
        """What an operation of a link costs: itself, its operands, and its sum."""
        key = spec.main != PASS, math.prod(dim.ks for dim in spec.dims)
        if key not in self._per_operation:
            self._per_operation[key] = self._machine.operation + self._of_operands(key[0]) + self._of_sum(key[1])
        return self._per_operation[key]

    @cached_property
    def _inside(self) -> list[Memory]:
        """The buffer and the memories inside of it."""
        memories = self._machine.memories
        first = next(place for place, memory in enumerate(memories) if memory.name == self._buffer)
        return list(memories[first:])

    def _of_operands(self, has_kernel: bool) -> float:
        """Reads of an input and of a word of a kernel.

        A word is read once for all elements that want it in a step. Along no axis can both be shared: elements with
        both in common would do the same. So of n elements that read x words of inputs and y of kernels, x * y >= n.
        """
        inputs = list(self._reads(Operand.INPUT))
        if not has_kernel:
            return min((price / shared for price, shared in inputs), default=0.0)
        kernels = list(self._reads(Operand.KERNEL))
        pairs = ((one, other) for one in inputs for other in kernels)
        return min((_together(*one, *other) for one, other in pairs), default=0.0)

    def _reads(self, operand: Operand) -> list[tuple[float, int]]:
        """For every memory that operations may read, what a word costs there, and how many elements may share it."""
        found: list[tuple[float, int]] = []
        for memory in self._inside:
            if operand in memory.operands or memory.name == self._buffer:
                axes = self._axes_inside(memory)
                shared = math.prod(axis.size for axis in axes if operand in axis.multicast)
                found.append((self._prices.event(f"{memory.name}.{OPERAND_NAMES[operand]}.read"), shared))
        return found

    def _of_sum(self, reduced: int) -> float:
        """A sum that arrives in a memory: it is added there, or begins anew, and leaves for the next one outside then.

        In the buffer those begin anew that are of different results: one of every `reduced`.
        """
        outer, cost = self._inside[0], 0.0
        ways: list[float] = []
        for place, memory in enumerate(self._inside):
            if place and Operand.OUTPUT not in memory.operands:
                continue
            arrives, added = (self._prices.event(f"{memory.name}.output.{event}") for event in ("update", "add"))
            cost = arrives + (min(added, self._summed(outer, memory, cost)) if place else added)
            outer = memory
            ways.append(self._summed(memory, None, cost))
        anew = self._prices.event(f"{self._buffer}.output.add") / max(reduced, 1)
        return max(min(ways) - anew, 0.0)

    def _summed(self, outer: Memory, inner: Memory | None, cost: float) -> float:
        """What a sum costs that arrives at this cost, and may be added to others on its way there."""
        axes = self._axes_inside(outer)
        if inner is not None:
            axes = [axis for axis in axes if axis not in self._axes_inside(inner)]
        together = math.prod(axis.size for axis in axes if axis.reduces)
        hop = self._prices.event(f"{outer.name}.output.hop")
        return min(cost, (cost + (together - 1) * hop) / together)

    def _axes_inside(self, memory: Memory) -> list[Axis]:
        outside = self._machine.axes_outside(memory.name)
        return [axis for axis in self._machine.axes if axis not in outside]


def _together(price: float, shared: int, other: float, shared_by_others: int) -> float:
    """The least of price * x + other * y for each of n elements, where x >= n / shared, and so on, and x * y >= n."""
    apart = price / shared + other / shared_by_others
    return max(apart, 2 * math.sqrt(price * other / max(shared, shared_by_others)))
