"""What fused groups cost on a machine of rows and columns, with the nests that their links get; and at least."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from dialects.array_machine import Machine
from dialects.events import LEVELS
from dialects.fused_mapping import FusedMapping
from dialects.gconv import PASS, GConv
from dialects.schedule import Mapping as LinkMapping
from dialects.schedule import Objective, Operand
from passes.fusion.array_members import ArrayMember, predict_places, transfer_events
from passes.fusion.coarsening import coarsened
from passes.fusion.group import Group, GroupLink, Role
from passes.fusion.holds import GroupPlan
from passes.fusion.least_of_groups import LeastOfGroups
from passes.fusion.memories import levels_of
from passes.fusion.priced_groups import Priced, places_of, priced_in_place, transfers_of, work_of_link
from passes.fusion.staying import Staying
from passes.fusion.turns import kept_by
from passes.mapping.cost import Price, price
from passes.searching.known_nests import KnownNests
from passes.searching.rows_of_groups import RowsOfGroups

_IN_ELEMENTS = ("spad.input.read", "spad.output.read", "spad.output.write")
"""Events of which every operation has one; with a kernel, it reads a word of that as well."""


class ArrayPrices(LeastOfGroups):
    """Exact prices of groups, and lower bounds of them, if neither bursts nor zeros change what is charged.

    `room` are words of the buffer within which mappings get larger tiles; the first with which links have nests counts.
    """

    def __init__(self, machine: Machine, objective: Objective, room: Sequence[int]):
        super().__init__(machine.energy.picojoules)
        self._machine, self._hierarchy, self._room = machine, levels_of(machine), room
        self._nests = KnownNests(RowsOfGroups(machine, objective))
        self._per_event = Counter[str]()
        for level in LEVELS:
            for event in machine.charged(level):
                self._per_event[event] += getattr(machine.energy, level)

    @staticmethod
    def are_exact(machine: Machine) -> bool:
        """Whether costs follow from loops alone, wherever tensors lie and whatever is in them."""
        return machine.dram.compression is None and machine.energy.gating is None and not machine.dram.charge_bursts

    def of_mapping(self, group: Group, mapping: FusedMapping, passing: int) -> Priced | None:
        """The price of a mapping in as few turns as there is room for, beside so many words that stay, if it runs."""
        memory = self._hierarchy.memories[1].name
        beside = Staying({}, {memory: passing})
        larger = (coarsened(group, mapping, memory, words - passing) for words in self._room)
        for each in dict.fromkeys((*larger, mapping)):
            if (priced := self.in_place(group, each, beside)) is not None:
                return priced
        return None

    def in_place(self, group: Group, mapping: FusedMapping, staying: Staying) -> Priced | None:
        """The price of a mapping beside what stays, with the nests that its links find there."""
        return priced_in_place(group, mapping, self._hierarchy, staying, self._nests.of, self._price)

    def _price(self, link: GroupLink, plan: GroupPlan, nest: LinkMapping) -> Price:
        """What a link costs in all turns of its group."""
        member = ArrayMember(work_of_link(link), nest, frozenset(kept_by(plan, link.name)))
        counts = predict_places(member, self._machine, places_of(plan, link))
        for transfer in transfers_of(plan, link):
            for event in transfer_events(transfer.role):
                counts.events[event] = counts.events.get(event, 0) + transfer.words
        return price(counts, self._machine)

    # At least ---------------------------------------------------------------------------------------------------------

    def _cycles(self, group: Group, words: Mapping[str, int], more: int, operations: int) -> float:
        """Kernels come while the array works, everything else does not."""
        kernels = sum(words[name] for name in words if any(each.role is Role.KERNEL for _, each in group.readers(name)))
        others, rate = sum(words.values()) - kernels, self._machine.links.dram
        busy = operations / (self._machine.array.rows * self._machine.array.cols)
        return max(busy + others / rate, (kernels + others + more) / rate)

    def _of_word(self, group: Group, tensor: str) -> float:
        roles = [Operand.OUTPUT] if tensor in group.makers else [operand.role for _, operand in group.readers(tensor)]
        return min((sum(self._per_event[event] for event in transfer_events(role)) for role in roles), default=0.0)

    def _of_operation(self, spec: GConv) -> float:
        kernel = () if spec.main == PASS else ("spad.kernel.read",)
        return self._machine.energy.operation + sum(self._per_event[event] for event in (*_IN_ELEMENTS, *kernel))
