"""What fused groups cost on a machine of levels, with the nests that their links get: energy and cycles."""

from __future__ import annotations

from collections.abc import Callable

from dialects.fused_mapping import FusedMapping
from dialects.nest_machine import NestMachine
from dialects.schedule import Mapping as LinkMapping
from passes.fusion.group import Group, GroupLink
from passes.fusion.holds import GroupPlan
from passes.fusion.least_prices import LeastPrices
from passes.fusion.members import Member, predict_in_group
from passes.fusion.priced_groups import Priced, priced_in_place, transfers_of
from passes.fusion.staying import Staying
from passes.fusion.turns import kept_by, runs_of
from passes.mapping.cost import Price
from passes.pricing import price
from passes.searching.known_nests import KnownNests
from passes.searching.nests_of_groups import NestsOfGroups

Settle = Callable[[Group, FusedMapping, int], FusedMapping | None]
"""What becomes of a mapping beside so many words that stay; None if no code can be made of it."""


class LevelPrices(LeastPrices):
    """Exact prices of groups, and lower bounds of them. Nests are those that searches for links of groups find."""

    def __init__(self, machine: NestMachine, buffer: str, nests: NestsOfGroups, settle: Settle):
        super().__init__(machine, buffer)
        self._settle, self._nests = settle, KnownNests(nests)

    def of_mapping(self, group: Group, mapping: FusedMapping, passing: int) -> Priced | None:
        """The price of a mapping as it is settled beside so many words that stay; None if it cannot be run."""
        settled = self._settle(group, mapping, passing)
        return None if settled is None else self.in_place(group, settled, Staying({}, {self._buffer: passing}))

    def in_place(self, group: Group, mapping: FusedMapping, staying: Staying) -> Priced | None:
        """The price of a mapping beside what stays, with the nests that its links find there."""
        return priced_in_place(group, mapping, self._machine, staying, self._nests.of, self._price)

    @property
    def searched(self) -> int:
        """Searches for nests that were made."""
        return len(self._nests)

    def _price(self, link: GroupLink, plan: GroupPlan, nest: LinkMapping) -> Price:
        """What a link costs in all turns of its group."""
        memories = {role: plan.holds[number].memory for role, number in kept_by(plan, link.name).items()}
        member = Member(link.spec, nest, memories, link.extra_shapes)
        counts = predict_in_group(member, self._machine, runs_of(plan, link), list(transfers_of(plan, link)))
        return price(counts, self._machine)
