"""fuse-layers: links become groups that take turns on tiles, so that less is moved off-chip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Literal

from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

from dialects.accelerator import Accelerator
from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.fused_attribute import FusedAttr
from dialects.fused_mapping import FusedMapping
from dialects.gconv import LinkOp
from dialects.gconv.interpreter import main_function
from dialects.gconv.spec import LoopKind
from dialects.gemm_machine import GemmMachine
from dialects.hierarchy import Hierarchy, Memory
from dialects.nest_machine import NestMachine
from dialects.schedule import Objective, Operand
from dialects.target import find_machine
from passes.fusion.alone import LinksAlone, LinksToLookAt, WordsOfRun, links_alone, links_alone_on_arrays
from passes.fusion.array_prices import ArrayPrices
from passes.fusion.coarsening import Known, coarsened
from passes.fusion.group import Group
from passes.fusion.grouping import group_links, group_problems
from passes.fusion.holds import GroupPlan
from passes.fusion.judged_plans import ExactPrices, judged
from passes.fusion.level_prices import LevelPrices
from passes.fusion.memories import levels_of
from passes.fusion.names import chain_names, group_names
from passes.fusion.network import Chosen, GroupSearches, Network, NetworkPlan, NetworkSearch, NetworkSpace, WordsAlone
from passes.fusion.paths import NOTHING, value_of
from passes.fusion.plans import known_plan
from passes.fusion.priced_network import PricedSearch
from passes.fusion.runs import fusible_runs, in_one_network, network_of
from passes.fusion.series import in_place
from passes.fusion.space import Space
from passes.fusion.staying import Staying, together
from passes.gemm.group_prices import ProductPrices
from passes.gemm.groups import Worth, in_memories
from passes.gemm.streams import encoding_of_kernel
from passes.mapper.effort import USUAL
from passes.searching.nests_of_groups import NestsOfGroups
from passes.searching.objectives import objective_on
from passes.searching.options import SearchingPass
from passes.searching.parts import Nests, can_run
from passes.searching.rows_of_groups import RowsOfGroups
from passes.searching.stopping import Asked, asked_to_stop, stopped
from passes.searching.task import Deadline
from passes.searching.watching import Progress, tell

OF_GROUPS = (LoopKind.G, LoopKind.OP, LoopKind.OPC)
"""Loops that are looked for around groups of several links; those of one link may cut `ks`, too.

With `ks` around several links ResNet-50 moved no fewer words in 108 KB, at a fifth more time of compiling.
"""


SPARE = (1 / 4, 1 / 2)
"""How much of the buffer holds leave where sums have tiles of their own and holds take whole banks.

The second is tried if groups are refused with the first.
"""


STAYING = 2
"""Tensors that may stay in the buffer at a time between groups."""
SHORT_RUN = 17
"""Links of a run in which tensors may stay on machines of rows and columns, where nests are searched for every plan.

In longer ones that took twice the time of compiling, and ResNet-18 gained no word in three sizes of the buffer.
"""


MOST_PRICED = 60
"""Mappings of groups whose nests are searched to know what they cost, in a run of links, at most."""
MOST_PRICED_ON_ARRAYS = 24
"""As many on machines of rows and columns and of matrix products, where bounds are looser, and no better networks were
found with more.
"""


@dataclass(frozen=True)
class FuseLayersPass(SearchingPass):
    """Make a `gconv.fused` of links in a row wherever this moves less over the off-chip link, or costs less.

    The network of groups with the least traffic within the outermost memory on the chip, of at most `longest` links
    each (`passes.fusion.network`), is found by search; tensors may stay there between groups, so many as
    `staying` at a time, two if not given, on machines of levels and, where words are made least in runs of up to 17
    links, of rows and columns. If `longest` is not given, that are six in a row of up to 11 links
    that can be fused, five in one of up to 14, four in one of up to 17, three in longer ones (`longest_group`). Groups
    take at most a tenth more operations, to make halos again; on machines of matrix products their product of energy
    and cycles is no larger than that of their links alone (`passes.gemm.groups`), unless `words_alone` count. On
    machines of levels links count as they are mapped alone, with the options of `map-nest`, and where a single link
    moves less by loops and places of a group it becomes a group of its own. Links that are left alone get the mappings
    by which they were compared, there, or else by later passes; links with a mapping join no group. It needs the
    machine in the module.

    `least` says what networks of groups make least: words, or what the machine's own model says of energy, cycles, or
    their product (`passes.fusion.priced_network`), with the nests that links of groups get by that objective. On
    machines of levels the product is that of the whole network, on others that of every run of links. After so many
    mappings as `most_priced` the best network that is known is taken. On machines of rows and columns and of matrix
    products this is at most that of the network with the least words in which nothing stays, with those of its groups
    that cost less than their links alone. Where costs depend on bursts or data words are made least.

    After `time_limit` seconds, or once searches are asked to stop, groups are those of the best network that is known.

    Raises `CatenaError` (CAT-U006) if the outermost memory on the chip is not outside of the array, has no size, or
    takes no inputs or kernels.
    """

    name = "fuse-layers"

    longest: int | None = None
    staying: int | None = None
    least: Literal["energy", "latency", "edp", "traffic"] = "traffic"
    words_alone: bool = False

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Form groups in every run of links."""
        deadline = Deadline(self.time_limit, asked_to_stop())
        tell(Progress(0, 0, 0))
        # Searches multiply long matrices of a few columns: threads would wait for each other longer than they compute.
        with stopped(deadline), threadpool_limits(limits=1, user_api="blas"):
            self._form_groups(ctx, op, deadline)

    def _form_groups(self, ctx: Context, op: ModuleOp, is_over: Asked) -> None:
        machine = fusing_machine(find_machine(op), words_alone=self.words_alone)
        groups = Space(kinds=OF_GROUPS, most_loops=2, fewest_turns=4, all_joins=False)
        # where no link of its own is a group, these only say what links move
        alone_too = machine.levels is not None
        singles = Space(most_loops=3, fewest_turns=4, unfinished=False) if alone_too else Space(most_loops=2)
        searches: dict[tuple[int, int], list[GroupSearches]] = {}
        function = main_function(op)
        prices = None if machine.levels is None and _is_of_data(function) else machine.prices(Objective(self.least))
        alone = self._alone(ctx, op, machine, is_priced=prices is not None)
        runs = list(fusible_runs(function))
        # What is best for a product in one run depends on what others cost; on arrays `dissolve-groups` sees to that.
        is_product = prices is not None and machine.levels is not None and Objective(self.least) is Objective.EDP
        for rows in [in_one_network(runs, function)] if is_product else [[run] for run in runs]:
            links = [link for row in rows for link in row]
            network = network_of(rows, function, self.longest)
            if network is None or not links or is_over():
                continue
            key = max(row.longest for row in network.rows), self._staying(machine, links)
            if key not in searches:
                longest, staying = key
                # where nests are searched for every plan, they may find no room beside what stays
                counts = (staying,) if alone_too else tuple(dict.fromkeys((staying, 0)))
                spaces = [
                    NetworkSpace(longest, count, groups, singles, spare=words)
                    for count in counts
                    for words in machine.spare
                ]
                searches[key] = [GroupSearches(machine.buffer.name, space, is_over) for space in spaces]
            self._fuse(function, network, links, machine, searches[key], alone, prices)
        alone.map_the_rest(ctx, op)

    def _staying(self, machine: FusingMachine, run: Sequence[LinkOp]) -> int:
        """Tensors that may stay at a time between groups of a run."""
        is_for_words = Objective(self.least) is Objective.TRAFFIC
        if machine.levels is None and not (is_for_words and len(run) <= SHORT_RUN):
            return 0
        return machine.staying if self.staying is None else min(self.staying, machine.staying)

    def _alone(
        self, ctx: Context, module: ModuleOp, machine: FusingMachine, *, is_priced: bool
    ) -> LinksAlone | LinksToLookAt:
        """What is known of links alone.

        Where they are all to be known, that is nothing if one of them cannot be mapped so, which may do in a group.
        """
        if machine.levels is None and not is_priced:
            return LinksAlone()
        try:
            if machine.levels is None:
                return links_alone_on_arrays(ctx, module, replace(self.options, objective=Objective(self.least)))
            if not is_priced:
                return LinksToLookAt(ctx, module, machine.levels, self.options)
            return links_alone(ctx, module, machine.levels, self.options)
        except CatenaError:
            return LinksAlone()

    def _fuse(
        self,
        function: FuncOp,
        network: Network,
        run: list[LinkOp],
        machine: FusingMachine,
        searches: Sequence[GroupSearches],
        alone: LinksAlone | LinksToLookAt,
        prices: ExactPrices | None,
    ) -> None:
        words, known = machine.buffer.words, chain_names(function)
        called = group_names(run, known)
        if words is None:
            return
        to_look_at = WordsOfRun(alone, run) if isinstance(alone, LinksToLookAt) else None
        costs = [alone.costs[link] for link in run if alone.costs] if isinstance(alone, LinksAlone) else []

        def misplaced(parts: Sequence[Chosen]) -> list[int]:
            ends = list(accumulate(len(part.group.links) for part in parts))
            no_groups = (n for n, end in enumerate(ends) if group_problems(run[end - len(parts[n].group.links) : end]))
            apart = {n for row in rows_of(parts) if len(row) > 1 for n in row}.intersection(no_groups)
            return sorted({*apart, *machine.misplaced(parts)})

        objective, (first, *_) = Objective(self.least), searches
        if prices is None or not (costs or machine.levels):
            plan = _with_least_words(network, words, searches, machine, to_look_at, misplaced)
        else:
            most, elsewhere = machine.most_priced * len(network.rows), NOTHING
            if isinstance(alone, LinksAlone) and machine.levels is not None:
                elsewhere = alone.without(run)
            search = PricedSearch(network, words, first, prices, objective, costs, misplaced, most, elsewhere)
            plan = search.run()
            if machine.levels is None:
                other = _with_least_words(network, words, searches, machine, None, misplaced)
                plan = _cheaper(plan, other and judged(other, network, prices, costs, objective), objective)
        place = 0
        parts = plan.parts if plan else ()
        beside = {number for row in rows_of(parts) if len(row) > 1 for number in row}
        for number, part in enumerate(parts):
            links = run[place : place + len(part.group.links)]
            place += len(links)
            is_group = len(links) > 1 or bool(costs) or to_look_at is not None or number in beside
            if part.mapping is not None and is_group and not group_problems(links):
                # with more time nests are searched for longer
                mapping = part.mapping if self.time_limit is None else replace(part.mapping, branches=())
                known |= _form(links, machine.placed(part.group, mapping), called, known)


def _is_of_data(function: FuncOp) -> bool:
    """Whether what links cost depends on zeros, of which plans of groups know nothing."""
    links = (op for op in function.walk() if isinstance(op, LinkOp))
    return any(link.zeros is not None or encoding_of_kernel(link) is not None for link in links)


def _cheaper(plan: NetworkPlan | None, other: NetworkPlan | None, objective: Objective) -> NetworkPlan | None:
    """The plan that costs less, if there is one; the first of equal ones."""
    plans = [each for each in (plan, other) if each is not None]
    return min(plans, key=lambda each: value_of(objective, each.energy, each.cycles), default=None)


def _with_least_words(
    network: Network,
    words: int,
    searches: Sequence[GroupSearches],
    machine: FusingMachine,
    alone: WordsAlone | None,
    misplaced: Callable[[Sequence[Chosen]], list[int]],
) -> NetworkPlan | None:
    """The plan that moves least, with the first of some spaces in which no group is refused, or the best of all."""
    plans: list[NetworkPlan] = []
    for each in searches:
        search = NetworkSearch(network, words, each, machine.settled, alone, misplaced)
        if found := search.run():
            plans.append(found)
        if each.is_over():
            break
        # what was given up beside tensors that stay may be of use where none do
        if not search.refused and (not each.space.staying or (found is not None and found.exact)):
            break
    return min(plans, key=lambda each: each.traffic, default=None)


@dataclass(frozen=True)
class FusingMachine:
    """What groups need to know of a machine: its buffer, and whether code can be made of a mapping (`runs`).

    `spare` are words of the buffer that groups may have to leave free; where any, not all groups that fit have nests.
    `room` are words within which groups get larger tiles; the first with which code can be made of them counts.
    `placed` puts tensors that were searched for in one buffer into the memories of their own. Between groups so many
    tensors may stay in the buffer as `staying` says. `levels` is the machine if it is one of levels. `priced` says what
    groups cost by an objective, where others know that.
    """

    buffer: Memory
    hierarchy: Hierarchy
    runs: Callable[[Group, FusedMapping, Staying], bool]
    spare: tuple[int, ...] = (0,)
    placed: Callable[[Group, FusedMapping], FusedMapping] = lambda _, mapping: mapping
    levels: NestMachine | None = None
    room: tuple[int, ...] = ()
    staying: int = 0
    priced: Callable[[Objective], ExactPrices] | None = None

    @property
    def most_priced(self) -> int:
        """Mappings of groups that are priced in a run of links, at most."""
        return MOST_PRICED_ON_ARRAYS if self.levels is None else MOST_PRICED

    def prices(self, objective: Objective) -> ExactPrices | None:
        """What groups cost, where it is known and not words that are made least."""
        if objective is Objective.TRAFFIC:
            return None
        if self.levels is None:
            return None if self.priced is None else self.priced(objective)
        nests = NestsOfGroups(self.levels, objective_on(self.levels, objective), USUAL)
        return LevelPrices(self.levels.executed, self.buffer.name, nests, self.settled)

    def settled(
        self, group: Group, mapping: FusedMapping, passing: int, known: Known = lambda _: None
    ) -> FusedMapping | None:
        """The mapping that a group gets: in fewer turns if there is room that nests do not use; None if none runs.

        `passing` are words of what stays meanwhile without being the group's, `known` costs that need no walk.
        """
        others = Staying({}, {self.buffer.name: passing})
        for words in self.room:
            coarse = coarsened(group, mapping, self.buffer.name, words - passing, known)
            if coarse != mapping and self.runs(group, coarse, others):
                return coarse
        return mapping if self.runs(group, mapping, others) else None

    def misplaced(self, parts: Sequence[Chosen]) -> Iterator[int]:
        """The groups of a plan, by number, that do not run where what stays lies in the buffer."""
        for row in (row for row in rows_of(parts) if len(row) > 1):
            plans: list[GroupPlan] = []
            for number in row:
                part = parts[number]
                assert part.mapping is not None, "a link alone is no group, and nothing stays beside it"
                plans.append(known_plan(part.group, part.mapping, self.hierarchy, "mapped", ""))
            keys = [{name: name for name in parts[number].staying} for number in row]
            links = [tuple(link.name for link in parts[number].group.links) for number in row]
            for number, staying in zip(row, in_place(plans, keys, links, self.hierarchy), strict=True):
                part = parts[number]
                assert part.mapping is not None
                if not self.runs(part.group, part.mapping, staying):
                    yield number


def rows_of(parts: Sequence[Chosen]) -> list[range]:
    """The groups of a plan, by number; those in one range between which tensors stay."""
    return together([part.staying for part in parts])


def fusing_machine(machine: Accelerator | None, *, words_alone: bool = False) -> FusingMachine:
    """What groups need to know of a machine, on which they may cost more if `words_alone` count.

    Raises `CatenaError` (CAT-U006) if it cannot run any.
    """
    if isinstance(machine, Machine):
        hierarchy = levels_of(machine)
        nests = _with_nests(RowsOfGroups(machine, Objective.EDP), searching=True)
        spare = tuple(int(machine.glb.words * share) for share in SPARE)
        room = tuple(machine.glb.words - words for words in spare)
        priced = partial(ArrayPrices, machine, room=room) if ArrayPrices.are_exact(machine) else None
        buffer = hierarchy.memories[1]
        return FusingMachine(buffer, hierarchy, nests, spare, room=room, staying=STAYING, priced=priced)
    if isinstance(machine, NestMachine) and len(machine.memories) > 1:
        outermost = machine.memories[1]
        takes_operands = {Operand.INPUT, Operand.KERNEL} <= {*outermost.operands}
        if outermost.words is not None and takes_operands and not machine.axes_outside(outermost.name):
            nests = _with_nests(NestsOfGroups(machine, Objective.ENERGY, USUAL), searching=False)
            room = (outermost.words,)
            return FusingMachine(outermost, machine, nests, levels=machine, room=room, staying=STAYING)
    if isinstance(machine, GemmMachine):
        hierarchy, worth = levels_of(machine), Worth(machine, words_alone=words_alone)
        buffer = min(hierarchy.memories[1:], key=lambda each: each.words or 0)
        return FusingMachine(
            buffer,
            hierarchy,
            lambda group, mapping, _: worth.runs(group, mapping),
            placed=in_memories,
            priced=partial(ProductPrices, machine),
        )
    message = "layers are fused on machines that have, outside of all axes, a memory of some size for I and K"
    found, hint = "no machine" if machine is None else machine.name, "take another target, or do without --fuse"
    raise CatenaError(Diagnostic("CAT-U006", message, "mapped", found=found, hint=hint))


def _with_nests(nests: Nests, *, searching: bool) -> Callable[[Group, FusedMapping, Staying], bool]:
    return lambda group, mapping, staying: can_run(group, mapping, nests, searching=searching, staying=staying)


def _form(
    links: list[LinkOp], mapping: FusedMapping, called: Mapping[SSAValue, str], known: Mapping[SSAValue, str]
) -> dict[SSAValue, str]:
    """Make a group of links, with the mapping that was found of them; `called` are the names that it has.

    `known` are the `chain_names`; returns those of what the group makes.
    """
    names = {called[value]: name for value, name in group_names(links, known).items() if value in called}
    retentions = (replace(each, tensor=names.get(each.tensor, each.tensor)) for each in mapping.retentions)
    group = group_links(links, known=known)
    group.properties["mapping"] = FusedAttr.of(replace(mapping, retentions=tuple(retentions)))
    made = group.names
    return {result: made[value] for result, value in zip(group.made, group.yielded, strict=True)}
