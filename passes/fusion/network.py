"""Which links of a network to fuse, and what stays on the chip between groups: the least traffic within a buffer.

A network runs as groups of neighbouring links, each with loops of its own; a single link is a group too. Between groups
a tensor lies off-chip, or all of it stays in the buffer until its last reader has run. The best of all such networks is
a shortest path over cuts and what stays at each. What a group moves at least is known at once (its inputs and results,
each once), what it can be made to move only by a search. So paths are found with what is known, and the groups of the
best path are searched until all of it is known: every other path moves no less.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Protocol

from dialects.fused_mapping import FusedMapping
from passes.fusion.canonical import Alike
from passes.fusion.coarsening import Known
from passes.fusion.factors import GroupTables
from passes.fusion.front import Objective
from passes.fusion.group import Group
from passes.fusion.least_paths import NEVER, Cost, Found, LeastPaths, Option, best_path, total_of
from passes.fusion.least_room import least_room
from passes.fusion.model import FusedCosts
from passes.fusion.search import GroupSearch, Limits, Point
from passes.fusion.space import Space
from passes.fusion.stretches import Node, Part, parts_of
from passes.fusion.table_costs import TableCosts
from passes.mapper.effort import Effort


@dataclass(frozen=True)
class NetworkSpace:
    """Which networks of groups are looked at, besides those that do not fit.

    Groups have at most `longest` links. At a cut, of the tensors that are made before it and read behind it the
    smallest, so many as `staying`, may stay on the chip.
    """

    longest: int = 3
    staying: int = 2
    groups: Space = field(default_factory=lambda: Space(most_loops=2, fewest_turns=4, all_joins=False))
    singles: Space = field(default_factory=lambda: Space(most_loops=3))
    parts: int = 50_000
    """Parts of mappings that the search of one group looks at, at most."""
    most_work: float | None = 1.1
    """How many operations a group may take, by those that it needs; None if making halos again is no matter."""
    spare: int = 0
    """Words of the buffer that groups of several links leave to what is no tensor of theirs."""

    def of(self, group: Group) -> Space:
        """The space of mappings of a group."""
        return self.singles if len(group.links) == 1 else self.groups


IN_PIECES = NetworkSpace(
    groups=Space(most_loops=2, fewest_turns=4, all_joins=False, pieces=True),
    singles=Space(most_loops=2, pieces=True),
    parts=15_000,
)
"""The usual networks of groups whose links have loops of their own, so that fewer are cut around them."""


@dataclass(frozen=True)
class Chosen:
    """A group of a network, its mapping and its costs.

    Without a mapping it is a link alone, which runs by one of its own. `passing` are words of tensors that stay on the
    chip meanwhile, with which the group has nothing to do. Energy, in pJ, and cycles are known where these were asked
    for.
    """

    group: Group
    mapping: FusedMapping | None
    capacity: int
    traffic: int
    operations: int
    passing: int
    energy: float | None = None
    cycles: float | None = None

    @property
    def staying(self) -> frozenset[str]:
        """The tensors of the group that stay on the chip before or behind it."""
        return frozenset(each.tensor for each in (self.mapping.retentions if self.mapping else ()) if each.resident)


@dataclass(frozen=True)
class NetworkPlan:
    """A network as groups in their order; `exact` if the searches of all groups that matter came to their end."""

    parts: tuple[Chosen, ...]
    exact: bool

    @property
    def capacity(self) -> int:
        """Words of the buffer."""
        return max(part.capacity + part.passing for part in self.parts)

    @property
    def traffic(self) -> int:
        """Words over the off-chip link."""
        return sum(part.traffic for part in self.parts)

    @property
    def operations(self) -> int:
        """Operations of all links."""
        return sum(part.operations for part in self.parts)

    @property
    def energy(self) -> float:
        """Energy in pJ of what has a price."""
        return sum(part.energy or 0.0 for part in self.parts)

    @property
    def cycles(self) -> float:
        """Cycles of what has a price."""
        return sum(part.cycles or 0.0 for part in self.parts)


class GroupSearches:
    """Searches of groups in a buffer called `memory`, made once for all groups that are alike.

    Once `is_over` says so they end, each with what it has found by then.
    """

    def __init__(self, memory: str, space: NetworkSpace, is_over: Callable[[], bool] = lambda: False):
        self.memory, self.space, self.is_over = memory, space, is_over
        self._tables: dict[Group, GroupTables] = {}
        self._costs: dict[Group, TableCosts] = {}
        self._found: dict[tuple[Group, frozenset[str], int], tuple[int, Found]] = {}
        self._rooms: dict[tuple[Group, frozenset[str]], int] = {}
        self._fronts: dict[tuple[Group, frozenset[str], int], tuple[int | None, list[Point], bool]] = {}

    def tables(self, group: Group) -> GroupTables:
        """The tables of a numbered group."""
        if group not in self._tables:
            self._tables[group] = GroupTables(group, self.space.of(group))
        return self._tables[group]

    def costs(self, group: Group) -> Known:
        """What mappings of a numbered group cost, as far as its tables say."""
        if group not in self._costs:
            self._costs[group] = TableCosts(self.tables(group), self.memory)
        return self._costs[group].of

    def best(self, group: Group, resident: frozenset[str], capacity: int, traffic: int) -> Found:
        """The mapping of a numbered group that moves least, within a capacity and at most so much."""
        key = (group, resident, capacity)
        limit, found = self._found.get(key, (-1, None))
        if found is None and not self._may_fit(group, resident, capacity):
            limit, found = NEVER[0], Found(0, NEVER, None, exact=True)
            self._found[key] = limit, found
        if found is None or (found.mapping is None and limit < traffic):
            search = self._search(group, resident, Limits(capacity, traffic), Objective.TRAFFIC)
            found = Found(0, NEVER, None, search.exact)
            for point in search.front:
                found = Found(point.capacity, (point.traffic, point.operations), point.mapping, search.exact)
            self._found[key] = traffic, found
        return found

    def knows(self, group: Group, resident: frozenset[str], capacity: int, traffic: int) -> bool:
        """Whether the same was asked for before, so that there is no search to make."""
        limit, found = self._found.get((group, resident, capacity), (-1, None))
        return found is not None and (found.mapping is not None or limit >= traffic)

    def front(
        self, group: Group, resident: frozenset[str], capacity: int, traffic: int | None
    ) -> tuple[list[Point], bool]:
        """The front of a numbered group within a capacity and, if given, so much traffic; whether it is all of it."""
        key = (group, resident, capacity)
        nothing = -1 if self._may_fit(group, resident, capacity) else None
        limit, points, exact = self._fronts.get(key, (nothing, list[Point](), True))
        if limit is not None and (traffic is None or traffic > limit):
            search = self._search(group, resident, Limits(capacity, traffic), Objective.FRONT)
            points, exact = search.front, search.exact
            self._fronts[key] = traffic, points, exact
        return [point for point in points if traffic is None or point.traffic <= traffic], exact

    def _may_fit(self, group: Group, resident: frozenset[str], capacity: int) -> bool:
        """Whether a group takes no more than so much room, as far as is known without a search."""
        key = group, resident
        if key not in self._rooms:
            self._rooms[key] = least_room(self.tables(group), resident)
        return self._rooms[key] <= capacity

    def _search(self, group: Group, resident: frozenset[str], limits: Limits, objective: Objective) -> GroupSearch:
        limits = replace(limits, operations=self._most_operations(group))
        space, effort = self.space.of(group), Effort(self.space.parts, self.is_over)
        return GroupSearch(group, self.memory, space, limits, effort, objective, resident, self.tables(group)).run()

    def _most_operations(self, group: Group) -> int | None:
        return None if self.space.most_work is None else int(self.space.most_work * self.operations(group))

    def operations(self, group: Group) -> int:
        """The operations of a numbered group, each once."""
        return sum(int(self.tables(group).tabulation.operations(link.name)) for link in group.links)


@dataclass(frozen=True)
class Row:
    """So many links of a network in a row, of which one group has at most `longest`."""

    links: int
    longest: int


class Network:
    """The links of a group of any number of heads, as a network; what it exports and its heads' results leave it.

    If `rows` are given, other ops run between one of them and the next, so that no group has links of two, and nothing
    stays on the chip from one to another.
    """

    def __init__(self, whole: Group, rows: Sequence[Row] = ()):
        self.whole = whole
        self.count = len(whole.links)
        self.rows = rows or [Row(self.count, self.count)]
        self._gaps = list(accumulate(row.links for row in self.rows))[:-1]
        self._made = {link.result: place for place, link in enumerate(whole.links)}
        self._last: dict[str, int] = {}
        for place, link in enumerate(whole.links):
            self._last |= dict.fromkeys((operand.tensor for operand in link.operands), place)
        self._groups: dict[tuple[int, int], Group] = {}
        self._crossing: dict[int, list[str]] = {}

    @cached_property
    def _leaving(self) -> set[str]:
        return {*self.whole.exported, *(head.result for head in self.whole.heads)}

    def group(self, first: int, end: int) -> Group:
        """The group of some links in a row."""
        if (first, end) not in self._groups:
            links = self.whole.links[first:end]
            touched = {name for link in links for name in (link.result, *(each.tensor for each in link.operands))}
            tensors = tuple(tensor for tensor in self.whole.tensors if tensor.name in touched)
            heads = {link.result for link in Group(links, tensors).heads}
            leaving = {link.result for link in links if link.result in self._leaving or self._last[link.result] >= end}
            self._groups[first, end] = Group(links, tensors, frozenset(leaving - heads))
        return self._groups[first, end]

    def ends(self, first: int, longest: int) -> range:
        """Where groups may end that begin with a link and have at most so many."""
        row = bisect_right(self._gaps, first)
        end = self._gaps[row] if row < len(self._gaps) else self.count
        return range(first + 1, min(first + min(longest, self.rows[row].longest), end) + 1)

    def crossing(self, cut: int) -> list[str]:
        """Tensors that are made before a link and read by it or behind it, all in its row; smallest first."""
        if cut not in self._crossing:
            self._crossing[cut] = self._crossing_anew(cut)
        return self._crossing[cut]

    def _crossing_anew(self, cut: int) -> list[str]:
        names = (name for name, place in self._made.items() if place < cut <= self._last.get(name, -1))
        staying = (name for name in names if name not in self._leaving and not self._is_apart(name))
        return sorted(staying, key=lambda name: (self.words(name), name))

    def _is_apart(self, tensor: str) -> bool:
        """Whether a tensor is read in another row than that in which it is made."""
        return any(self._made[tensor] < gap <= self._last[tensor] for gap in self._gaps)

    def words(self, tensor: str) -> int:
        """Elements of a tensor."""
        return self.whole.tensor(tensor).size


class WordsAlone(Protocol):
    """What the links of a network move by mappings of their own, by their places."""

    def at_least(self, place: int) -> int:
        """Words that a link moves at least."""
        ...

    def exactly(self, places: Sequence[int]) -> Sequence[int | None]:
        """Words that some links move; None for one that has no such mapping."""
        ...


Settle = Callable[[Group, FusedMapping, int, Known], FusedMapping | None]
"""What becomes of a mapping beside so many words that stay, by what is known of costs of its group; None if it is none
that code can be made of."""


@dataclass(frozen=True)
class KnownWords:
    """Words that links move by mappings of their own, which are known."""

    words: Sequence[int]

    def at_least(self, place: int) -> int:
        """Words that a link moves."""
        return self.words[place]

    def exactly(self, places: Sequence[int]) -> Sequence[int]:
        """Words that some links move."""
        return [self.words[place] for place in places]


class NetworkSearch:
    """The network of groups with the least traffic in a buffer of so many words.

    `settle` is given the mappings of the best plan, with numbers for names, the words of what stays without them, and
    what is known of costs of the group, and says what becomes of them: another mapping that moves no more, or None for
    groups that are to be given up. Then `misplaced` is given all of a plan and says which groups, by number, find no
    place beside what stays; these are given up, too. Where `alone` knows the words that a link moves by a mapping of
    its own, it is a group only if it moves less as one; it is asked for no more than it takes to tell. Without, a link
    alone is never refused. Once the searches are over, the plan is the best of what is known of groups; other links
    are left alone.
    """

    def __init__(
        self,
        network: Network,
        capacity: int,
        searches: GroupSearches,
        settle: Settle = lambda group, mapping, passing, known: mapping,
        alone: WordsAlone | None = None,
        misplaced: Callable[[Sequence[Chosen]], Collection[int]] = lambda parts: (),
    ):
        self._alone = alone
        self.network, self.capacity, self.searches, self.space = network, capacity, searches, searches.space
        self._settle, self._misplaced = settle, misplaced
        self._settled: dict[tuple[Group, FusedMapping, int], FusedMapping | None] = {}
        self._numbers: dict[Node, int] = {}
        self._ends = self._numbers_of(((0, frozenset()), (network.count, frozenset())))
        self._every = [self._option(part) for part in parts_of(network, capacity, self.space)]
        self._from: list[list[Option]] = [[] for _ in range(network.count)]
        """Options by their first links."""
        for option in self._every:
            self._from[option.part.stretch.first].append(option)
        self._paths = LeastPaths(self._every, self._ends)
        self._all_placed, self._is_cut = True, False

    def run(self) -> NetworkPlan | None:
        """The plan that moves least; None if none fits."""
        for _ in self.improving():
            pass
        return self.plan

    plan: NetworkPlan | None = None

    @property
    def refused(self) -> bool:
        """Whether groups were given up that code cannot be made of."""
        return None in self._settled.values()

    def improving(self) -> Iterator[Cost]:
        """Search, with the least that may be moved as far as is known, which rises."""
        # Without fusion nothing is best, but all that moves more is of no use then.
        plain = [option for option in self._every if option.part.stretch.is_plain]
        for option in plain:
            if option.alone_at_least is not None and option.least[0] < option.alone_at_least:
                self._look_for(option, option.alone_at_least - 1)
        self._know_alone([option for option in plain if not option.found or option.found.mapping is None])
        for option in plain:
            if not option.found or option.found.mapping is None:
                self._search(option, NEVER[0])
        while (path := self._most_promising()) is not None:
            unknown = sorted((option for option in path if option.found is None), key=lambda option: option.effort)
            if not unknown:
                if refused := [option for option in path if not self._is_accepted(option)]:
                    self._give_up(refused)
                    continue
                plan = self._plan_of(path)
                if misplaced := self._misplaced(plan.parts):
                    self._give_up([path[number] for number in misplaced])
                    self._all_placed = False
                    continue
                self.plan = plan
                return
            yield total_of(path)
            spare = _spare(path, self._paths.best_of_known())
            is_best = True
            for option in unknown:
                least, most = option.cost, min(option.cost[0] + spare, self._known_most(option))
                # Another path may be the best once one of them moves more: then there are no more searches.
                if is_best or self._is_known(option, most):
                    self._search(option, most)
                    is_best = is_best and option.cost <= least

    def _most_promising(self) -> list[Option] | None:
        if self.searches.is_over():
            self._do_without_unknown()
        return self._paths.best()

    def _do_without_unknown(self) -> None:
        """Look at nothing more: links of which too little is known run by mappings of their own, if they may."""
        self._is_cut = True
        for option in self._every:
            if option.found is None or (option.found.mapping is None and option.alone is None):
                cost = self._left_alone(option)
                option.found = None if cost == NEVER else Found(0, cost, None, exact=False)
                option.cost = cost
        self._paths = LeastPaths(self._every, self._ends)

    def _left_alone(self, option: Option) -> Cost:
        """What a link costs at least by a mapping of its own that nobody looked for."""
        if not option.part.stretch.is_plain or (self._alone is not None and option.alone_at_least is None):
            return NEVER
        words = option.least[0] if option.alone_at_least is None else option.alone_at_least
        return NEVER if words >= NEVER[0] else (words, option.least[1])

    def _look_for(self, option: Option, most: int) -> None:
        """Find the mapping of a group that moves at most so much."""
        option.found = self.searches.best(*self._asked_of(option), most)
        option.cost, option.is_proved = option.found.cost, option.found.exact
        self._paths.changed(option.part.stretch.first)

    def _is_known(self, option: Option, most: int) -> bool:
        """Whether that needs no search."""
        return self.searches.knows(*self._asked_of(option), most)

    def _asked_of(self, option: Option) -> tuple[Group, frozenset[str], int]:
        """The numbered group, what is in the buffer before or after it, and the words that it may take."""
        group, room = option.part.alike.group, self.capacity - option.part.passing
        if len(group.links) > 1:
            room -= self.space.spare
        return group, option.part.alike.called(option.part.resident), room

    def _search(self, option: Option, most: int) -> None:
        """The same, or else the link alone, of which is known what it moves."""
        if option.alone is not None:
            most = min(most, option.alone.cost[0] - 1)
        self._look_for(option, most)
        if option.alone is not None and option.found is not None and option.found.mapping is None:
            option.found, option.cost = option.alone, option.alone.cost

    def _know_alone(self, options: Sequence[Option]) -> None:
        """Find out what links move by mappings of their own, where that is not known."""
        unknown = [option for option in options if option.alone_at_least is not None]
        if self._alone is None or not unknown or self.searches.is_over():
            return
        words = self._alone.exactly([option.part.stretch.first for option in unknown])
        for option, moved in zip(unknown, words, strict=True):
            option.alone_at_least = None
            if moved is not None:
                cost = moved, self.searches.operations(option.part.alike.group)
                option.alone = Found(0, cost, None, exact=True)

    def _is_accepted(self, option: Option) -> bool:
        return option.found is None or option.found.mapping is None or self._settled_of(option) is not None

    def _settled_of(self, option: Option) -> FusedMapping | None:
        """What becomes of the mapping that was found."""
        part, found = option.part, option.found
        if found is None or found.mapping is None:
            return None
        group, stays = part.alike.group, part.resident or part.passing
        if len(group.links) == 1 and not stays and not option.may_be_alone:
            return found.mapping
        key = group, found.mapping, part.passing
        if key not in self._settled:
            self._settled[key] = self._settle(*key, self.searches.costs(group))
        return self._settled[key]

    def _give_up(self, refused: list[Option]) -> None:
        """Do without some options. What was of no use beside them may be of some again."""
        self._know_alone(refused)
        for option in refused:
            option.found, option.cost = option.alone, NEVER if option.alone is None else option.alone.cost
        given_up = {id(option) for option in refused}
        for option in self._every:
            settled = id(option) in given_up or option.may_be_alone
            if not settled and option.found is not None and option.found.mapping is None:
                option.found, option.cost = None, option.least
        self._paths = LeastPaths(self._every, self._ends)

    def _plan_of(self, path: list[Option]) -> NetworkPlan:
        parts: list[Chosen] = []
        for option in path:
            found, part = option.found, option.part
            assert found is not None
            stretch, alike = part.stretch, part.alike
            group = self.network.group(stretch.first, stretch.end)
            settled, capacity = self._settled_of(option), found.capacity
            if settled is not None and settled != found.mapping:
                known = self.searches.costs(alike.group)(settled)
                capacity = known[0] if known else FusedCosts(alike.group, settled).capacity(self.searches.memory)
            mapping = None if settled is None else alike.mapping_of_other(settled)
            parts.append(Chosen(group, mapping, capacity, *found.cost, part.passing))
        is_all = not self.refused and self._all_placed and not self._is_cut
        return NetworkPlan(tuple(parts), is_all and self._is_least(total_of(path)))

    def _is_least(self, cost: Cost) -> bool:
        """Whether no path costs less, whatever groups cost of which the search did not come to its end."""
        at_least = [option if option.is_proved else replace(option, cost=option.least) for option in self._every]
        path = best_path(at_least, self._ends)
        return path is None or total_of(path) >= cost

    # Options ----------------------------------------------------------------------------------------------------------

    def _option(self, part: Part) -> Option:
        group, stretch = self.network.group(part.stretch.first, part.stretch.end), part.stretch
        least, alone = self._least(group, part.alike, part.resident), None
        if self._alone is not None and stretch.is_plain:
            alone = self._alone.at_least(stretch.first)
            least = min(least, (alone, self.searches.operations(part.alike.group)))
        # A search takes the longer the more links there are.
        effort = len(part.alike.group.links) ** 3
        return Option(part, self._numbers_of(stretch.nodes), effort, least, least, alone_at_least=alone)

    def _numbers_of(self, nodes: tuple[Node, Node]) -> tuple[int, int]:
        first, last = (self._numbers.setdefault(node, len(self._numbers)) for node in nodes)
        return first, last

    def _least(self, group: Group, alike: Alike, resident: Collection[str]) -> Cost:
        """What a group moves and works at least."""
        tabulation = self.searches.tables(alike.group).tabulation
        outside = {*group.external, group.head.result, *group.exported} - {*resident}
        words = sum(int(tabulation.elements(alike.names[name])) for name in outside)
        return words, self.searches.operations(alike.group)

    # Paths ------------------------------------------------------------------------------------------------------------

    def _known_most(self, option: Option) -> int:
        """What the same links move in other groups that are known: more is of no use."""
        stretch = option.part.stretch
        within = (each for first in range(stretch.first, stretch.end) for each in self._from[first])
        path = best_path([each for each in within if each.found], option.ends)
        return NEVER[0] if path is None else total_of(path)[0]


def _spare(least: list[Option], known: list[Option] | None) -> int:
    """What a group may move more than it must at least, if a known path is not to be better."""
    return NEVER[0] if known is None else total_of(known)[0] - total_of(least)[0]
