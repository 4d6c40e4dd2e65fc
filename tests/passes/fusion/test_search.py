"""The search over mappings of a fused group finds the front of its space, and finds it soon."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dialects.fused_mapping import FusedMapping, Retention, Stages
from dialects.gconv.spec import Dim, GConv, LoopKind, Reduce
from dialects.schedule import Loop, Operand, Temporal
from passes.fusion.front import FrontBound, Objective, pareto
from passes.fusion.group import Group, GroupLink
from passes.fusion.inference import Tiles, infer
from passes.fusion.model import FusedCosts
from passes.fusion.pieces import is_cut_evenly, is_product, part_of_link, pieces
from passes.fusion.search import GroupSearch, Limits
from passes.fusion.space import Space, TileSizes, loops_of, tile_sizes
from passes.mapper.effort import Effort
from tests.passes.fusion.groups import (
    Builder,
    conv_pair,
    fc_pair,
    gram,
    padded_fold,
    random_group,
    residual_block,
    two_corners,
)

BUFFER = "glb"
Costs = tuple[int, int, int]


def _costs(group: Group, mapping: FusedMapping) -> Costs:
    costs = FusedCosts(group, mapping)
    return costs.capacity(BUFFER), costs.traffic, sum(work.operations for work in costs.work.values())


def _levels(group: Group, tensor: str, loops: int, resident: Collection[str] = ()) -> list[Retention]:
    """Every way to retain a tensor, also those that the space leaves out as never better."""
    if tensor in resident:
        return [Retention(tensor, BUFFER, 0, resident=True)]
    kept = [Retention(tensor, BUFFER, level, reuse) for level in range(loops + 1) for reuse in (True, False)]
    return kept if tensor in group.intermediates else [*kept, Retention(tensor, BUFFER, None)]


def _loop_orders(group: Group, space: Space) -> Iterator[tuple[Temporal, ...]]:
    dims = {dim.name: dim for dim in group.head.spec.dims}
    loops = loops_of(group)
    most = len(loops) if space.most_loops is None else min(space.most_loops, len(loops))
    for count in range(most + 1):
        for order in itertools.permutations(loops, count):
            sizes = [tile_sizes(dims[loop.dim].count(loop.kind), TileSizes.EVERY) for loop in order]
            for tiles in itertools.product(*sizes):
                yield tuple(Temporal(loop, tile) for loop, tile in zip(order, tiles, strict=True))


def _all_mappings(group: Group, space: Space, resident: Collection[str] = ()) -> Iterator[FusedMapping]:
    for loops in _loop_orders(group, space):
        levels = (_levels(group, tensor.name, len(loops), resident) for tensor in group.tensors)
        for retentions in itertools.product(*levels):
            mapping = FusedMapping(loops, retentions, space.stages)
            if space.unfinished or _finishes_sums(group, mapping):
                yield mapping


def _finishes_sums(group: Group, mapping: FusedMapping) -> bool:
    """Whether only the last loop, if any, cuts a sum, and below its place."""
    sums = [place for place, node in enumerate(mapping.loops) if node.loop.kind is LoopKind.KS]
    level = mapping.retention(group.head.result).level
    return not sums or (sums == [len(mapping.loops) - 1] and level is not None and level <= sums[0])


def _sample(rng: random.Random, group: Group, orders: list[tuple[Temporal, ...]], stages: Stages) -> FusedMapping:
    loops = rng.choice(orders)
    retentions = tuple(rng.choice(_levels(group, tensor.name, len(loops))) for tensor in group.tensors)
    return FusedMapping(loops, retentions, stages)


def _assert_true(search: GroupSearch) -> None:
    """The costs of the front are those of its mappings, and none is as good as another."""
    points = search.front
    found = [(point.capacity, point.traffic, point.operations) for point in points]
    assert found == [_costs(search.group, point.mapping) for point in points]
    assert len(pareto(search.costs)) == len(points) == len(set(found))


def _seeds(count: int, usual: int) -> list[Any]:
    """Seeds, of which the first are tried every time and all of them exhaustively."""
    return [pytest.param(seed, marks=[] if seed < usual else [pytest.mark.exhaustive]) for seed in range(count)]


def _chain(rng: random.Random) -> Group:
    """A pair of links with few loops, so that all mappings can be priced."""
    kind = rng.randrange(3)
    if kind == 0:
        return fc_pair(rng.randint(1, 3), rng.randint(1, 2), rng.randint(1, 2), rng.randint(1, 2))
    return conv_pair(rng.randint(5, 6), 1) if kind == 1 else random_group(rng)


@pytest.mark.parametrize("seed", _seeds(80, usual=6))
def test_the_front_is_that_of_all_mappings(seed: int) -> None:
    rng = random.Random(seed)
    group, space = _small(rng)
    _assert_front_of_all(group, space, ())


@pytest.mark.parametrize("seed", _seeds(50, usual=6))
def test_the_front_without_unfinished_sums_is_that_of_all_mappings_that_finish_them(seed: int) -> None:
    group, space = _small(random.Random(9000 + seed))
    _assert_front_of_all(group, replace(space, unfinished=False), ())


@pytest.mark.parametrize("group", [gram(2, 1), two_corners()], ids=["gram", "two corners"])
def test_the_front_where_one_tensor_is_read_twice_is_that_of_all_mappings(group: Group) -> None:
    """Neither loop over rows of `gram` alone changes which rows are read; unions of corners are no products."""
    _assert_front_of_all(group, Space(every_up_to=99, most_loops=2), ())


def test_loops_that_depend_on_one_another_are_not_both_cut_if_their_turns_are_too_many() -> None:
    """A table of all turns of both would have 2**36 places; the search ends without, and says that it left some out."""
    group = gram(1000, 1)
    search = GroupSearch(group, BUFFER, Space(kinds=(LoopKind.OP, LoopKind.OPC), most_loops=2, all_joins=False)).run()
    assert not search.exact
    assert {len(point.mapping.loops) for point in search.front} <= {0, 1}
    assert search.front


def test_what_is_given_up_of_dependent_loops_takes_no_time_from_others() -> None:
    """A convolution to which its own input is added: `op` and `ks` of C depend on one another there.

    Cut together they have no table; the rest of the space is looked at, however much that is.
    """
    net = Builder()
    x = net.external((16, 8, 8))
    dims = (Dim("C", op=16, ks=16), Dim("H", opc=8, ks=3, pad=1), Dim("W", opc=8, ks=3, pad=1))
    spec = GConv(dims, "mul", Reduce.ADD)
    net.link(spec, x, net.external(spec.kernel_shape), [x])
    space, limits = Space(most_loops=3, fewest_turns=4, unfinished=False), Limits(capacity=1024)
    search = GroupSearch(net.group(), BUFFER, space, limits, Effort(50_000), Objective.TRAFFIC).run()
    assert not search.exact
    (point,) = search.front
    assert point.traffic <= 16 * 16 * 9 + 5 * 16 * 8 * 8


@pytest.mark.parametrize("seed", _seeds(50, usual=6))
def test_residents_are_not_moved(seed: int) -> None:
    rng = random.Random(3000 + seed)
    group, space = _small(rng)
    group = replace(group, exported=frozenset(name for name in group.intermediates if rng.random() < 0.5))
    outside = [*group.external, group.head.result, *sorted(group.exported)]
    _assert_front_of_all(group, space, rng.sample(outside, rng.randint(1, len(outside))))


@pytest.mark.parametrize("seed", _seeds(80, usual=6))
def test_the_front_of_one_level_is_that_of_all_mappings_that_have_one(seed: int) -> None:
    rng = random.Random(6000 + seed)
    group = _chain(rng)
    space = Space(every_up_to=99, most_loops=rng.randint(1, 2), stages=rng.choice(tuple(Stages)), one_level=True)
    orders = list(_loop_orders(group, space))
    mappings = [
        FusedMapping(loops, tuple(Retention(tensor.name, BUFFER, level) for tensor in group.tensors), space.stages)
        for loops in rng.sample(orders, min(len(orders), 300))
        for level in range(len(loops) + 1)
    ]
    costs = np.array([_costs(group, mapping) for mapping in mappings])
    search = GroupSearch(group, BUFFER, space).run()
    assert search.exact
    _assert_true(search)
    assert {retention.level for point in search.front for retention in point.mapping.retentions} <= {0, 1, 2}
    assert all(len({each.level for each in point.mapping.retentions}) == 1 for point in search.front)
    if len(orders) <= 300:
        assert search.costs.tolist() == costs[pareto(costs)].tolist()
    else:
        assert not any((costs[index] < search.costs).any(axis=1).all() for index in range(len(costs)))


def _assert_front_of_all(group: Group, space: Space, resident: Collection[str]) -> None:
    costs = np.array([_costs(group, mapping) for mapping in _all_mappings(group, space, resident)])
    search = GroupSearch(group, BUFFER, space, resident=resident).run()
    assert search.exact
    assert search.costs.tolist() == costs[pareto(costs)].tolist()
    _assert_true(search)


@pytest.mark.parametrize("seed", _seeds(50, usual=6))
def test_pieces_take_the_room_of_the_best_own_loops(seed: int) -> None:
    """Of all own loops of all links in all mappings, those that bring each piece once."""
    rng = random.Random(5000 + seed)
    while True:
        group, stages = _chain(rng), rng.choice(tuple(Stages))
        space = Space(every_up_to=99, most_loops=rng.randint(1, 2), stages=stages, pieces=True)
        if _count(group, space) <= 400:
            break
    _assert_front_in_pieces(group, space)


@pytest.mark.parametrize("group", [two_corners(), padded_fold()], ids=["two corners", "padded fold"])
def test_pieces_of_unions_and_of_padded_windows_take_the_room_of_the_best_own_loops(group: Group) -> None:
    _assert_front_in_pieces(group, Space(most_loops=0, stages=Stages.PIPELINE, pieces=True))


def _assert_front_in_pieces(group: Group, space: Space) -> None:
    costs = np.array([_costs_in_pieces(group, mapping) for mapping in _all_mappings(group, space)])
    search = GroupSearch(group, BUFFER, space).run()
    assert search.exact
    assert search.costs.tolist() == costs[pareto(costs)].tolist()
    _assert_true(search)


def _costs_in_pieces(group: Group, mapping: FusedMapping) -> Costs:
    """What a mapping costs with the own loops that leave each link most room."""
    capacity, traffic, operations = _costs(group, mapping)
    tiles = infer(group, mapping)
    within = {each.tensor for each in mapping.retentions if each.level is None}
    whole, least = zip(*(_rooms(tiles, link, within) for link in group.links), strict=True)
    staged = sum if mapping.stages is Stages.PIPELINE else max
    return capacity - staged(whole) + staged(least), traffic, operations


def _rooms(tiles: Tiles, link: GroupLink, within: set[str]) -> tuple[int, int]:
    """What a link holds of the tensors within it, whole and in pieces."""
    names = [name for name in dict.fromkeys([*(each.tensor for each in link.operands), link.result]) if name in within]
    whole = {name: pieces(tiles, link, name, ()) for name in names}
    kernels = [name for name in names if tiles.group.is_kernel_alone(name)]
    loops = [Loop(dim.name, kind) for dim in link.spec.dims for kind in LoopKind if dim.count(kind) > 1]
    cut = [loop for loop in loops if loop.kind in (LoopKind.OP, LoopKind.KS)]

    def room(name: str, order: Sequence[Loop]) -> int:
        sizes = [whole[name].largest]
        part = part_of_link(link, name)
        is_own = name in kernels or part in (Operand.INPUT, Operand.OUTPUT)
        if is_own and is_product(link, tiles.made[link.result]):
            for depth, size in itertools.product(range(len(order)), (1, 2)):
                nodes = tuple(Temporal(loop, size) for loop in order[: depth + 1])
                if any(
                    not is_cut_evenly(tiles.group, link, name, each.loop) and each.loop.kind != "op" for each in nodes
                ):
                    continue
                use = pieces(tiles, link, name, nodes)
                if use.moved == whole[name].moved:
                    sizes.append(use.largest)
        return min(sizes)

    orders = [order for count in range(len(cut) + 1) for order in itertools.permutations(cut, count)]
    others = min(sum(room(name, order) for name in names if name not in kernels) for order in orders)
    every = [loop for loop in loops if loop.kind is not LoopKind.OPC]
    return sum(use.largest for use in whole.values()), others + sum(room(name, every) for name in kernels)


def _small(rng: random.Random) -> tuple[Group, Space]:
    """A group and a space of at most 1500 mappings."""
    while True:
        group, stages = _chain(rng), rng.choice(tuple(Stages))
        spaces = (Space(every_up_to=99, most_loops=count, stages=stages) for count in (3, 2, 1))
        sizes = ((space, _count(group, space)) for space in spaces)
        space = next((space for space, size in sizes if size <= 1500), None)
        if space is not None:
            return group, space


def _exact_front(rng: random.Random, space: Space) -> tuple[Group, Any]:
    """A random group that does not take long, and the costs of its front."""
    while True:
        group = random_group(rng)
        search = GroupSearch(group, BUFFER, space, effort=Effort(30_000)).run()
        if search.exact:
            return group, search.costs


@pytest.mark.parametrize("seed", _seeds(30, usual=4))
def test_the_least_traffic_is_that_of_the_front(seed: int) -> None:
    rng = random.Random(2000 + seed)
    space = Space(every_up_to=99, most_loops=2)
    group, front = _exact_front(rng, space)
    capacity = int(rng.choice(front[:, 0].tolist()))
    search = GroupSearch(group, BUFFER, space, Limits(capacity=capacity), objective=Objective.TRAFFIC).run()
    assert search.exact
    _assert_true(search)
    fitting = front[front[:, 0] <= capacity]
    least = fitting[np.lexsort((fitting[:, 2], fitting[:, 1]))[0]]
    assert search.costs[:, 1:].tolist() == [least[1:].tolist()]
    assert search.costs[0, 0] <= capacity


def _count(group: Group, space: Space) -> int:
    """How many mappings there are."""
    total = 0
    for loops in _loop_orders(group, space):
        choices = (len(_levels(group, tensor.name, len(loops))) for tensor in group.tensors)
        total += int(np.prod([*choices]))
        if total > 10_000:
            break
    return total


@pytest.mark.parametrize("seed", _seeds(30, usual=4))
def test_no_mapping_is_better_than_the_front(seed: int) -> None:
    rng = random.Random(1000 + seed)
    group = random_group(rng)
    space = Space(every_up_to=99, most_loops=rng.randint(1, 3), stages=rng.choice(tuple(Stages)))
    search = GroupSearch(group, BUFFER, space, effort=Effort(100_000)).run()
    _assert_true(search)
    if search.exact:
        orders = list(_loop_orders(group, space))
        for _ in range(40):
            mapping = _sample(rng, group, orders, space.stages)
            assert (search.costs <= _costs(group, mapping)).all(axis=1).any(), mapping


@pytest.mark.slow
@pytest.mark.parametrize("as_post", [pytest.param(True, marks=pytest.mark.exhaustive), False])
def test_joins_are_searched(as_post: bool) -> None:
    group = residual_block(1, 3, as_post)
    space = Space(every_up_to=99, most_loops=2)
    search = GroupSearch(group, BUFFER, space).run()
    assert search.exact
    _assert_true(search)
    rng = random.Random(1)
    orders = list(_loop_orders(group, space))
    for _ in range(80):
        mapping = _sample(rng, group, orders, space.stages)
        assert (search.costs <= _costs(group, mapping)).all(axis=1).any(), mapping


COMPULSORY = 504_832
WORK = 239_616_000
"""Operations of the pair of section 1.8 without recomputation."""


def test_the_pair_of_resnet() -> None:
    """Figures of looptree.md 1.8: 93,568 B, and 104,128 B without recomputation; and the ends of a front by a grid."""
    search = GroupSearch(conv_pair(60, 64), BUFFER, Space(most_loops=2, fewest_turns=4)).run()
    costs = search.costs
    fetched_once = costs[costs[:, 1] == COMPULSORY]
    assert fetched_once[:, 0].min() <= 93_568
    assert fetched_once[fetched_once[:, 2] == WORK][:, 0].min() <= 104_128
    assert search.exact
    assert search.effort.spent < 20_000


@pytest.mark.slow
def test_the_front_of_the_pair_of_resnet() -> None:
    search = GroupSearch(conv_pair(60, 64), BUFFER, Space(fewest_turns=4)).run()
    costs = search.costs
    for capacity, traffic in ((72_256, 2_117_632), (94_336, COMPULSORY)):
        assert costs[costs[:, 0] <= capacity][:, 1].min() <= traffic
    again = costs[(costs[:, 0] <= 104_320) & (costs[:, 2] == WORK)]
    assert again[:, 1].min() == COMPULSORY
    assert search.exact
    assert search.effort.spent < 1_000_000


def test_a_search_is_the_same_every_time() -> None:
    space = Space(most_loops=2)
    first, second = (GroupSearch(conv_pair(12, 4), BUFFER, space).run() for _ in range(2))
    assert first.front == second.front
    assert first.effort.spent == second.effort.spent


def test_places_that_change_nothing_take_no_time() -> None:
    """Turns share no row, so that in a place below the last loop a tensor is made as often, and in as much room."""
    space = Space(schedule=(Loop("P", LoopKind.OPC),), most_loops=1)
    search = GroupSearch(fc_pair(12, 4, 6, 5), BUFFER, space).run()
    assert search.exact
    assert search.costs.tolist() == [[41, 756, 648], [52, 432, 648], [63, 324, 648], [65, 162, 648]]
    # with such places as well it looked at 213
    assert search.effort.spent == 125


@pytest.mark.parametrize("parts", [1, 100, 1000, 5000])
def test_a_search_can_end_before_it_is_done(parts: int) -> None:
    search = GroupSearch(conv_pair(12, 4), BUFFER, Space(), effort=Effort(parts)).run()
    whole = GroupSearch(conv_pair(12, 4), BUFFER, Space(), effort=Effort(100_000)).run()
    assert not search.exact
    _assert_true(search)
    for costs in search.costs:
        assert (whole.costs <= costs).all(axis=1).any()


def test_fronts_only_get_better() -> None:
    search = GroupSearch(conv_pair(12, 4), BUFFER, Space(most_loops=2))
    before = np.empty((0, 3), np.int64)
    for costs in search.improving():
        assert all((costs <= point).all(axis=1).any() for point in before)
        before = costs
    assert len(before)


def test_limits_cut_the_front() -> None:
    group, space = conv_pair(12, 4), Space(most_loops=2)
    costs = GroupSearch(group, BUFFER, space).run().costs
    limits = Limits(*np.quantile(costs, 0.8, axis=0).astype(int).tolist())
    within = costs[(costs <= np.array([limits.capacity, limits.traffic, limits.operations])).all(axis=1)]
    assert GroupSearch(group, BUFFER, space, limits).run().costs.tolist() == within.tolist()
    assert len(within)


def test_a_front_has_no_point_that_is_beaten() -> None:
    costs = np.random.default_rng(1).integers(0, 12, (400, 3))
    kept = costs[pareto(costs)].tolist()
    beaten = [any((other <= each).all() and (other != each).any() for other in costs) for each in costs]
    expected = {tuple(each) for each, worse in zip(costs.tolist(), beaten, strict=True) if not worse}
    assert sorted(map(tuple, kept)) == sorted(expected)
    front = costs[pareto(costs)]
    bound = FrontBound(front)
    assert not bound.beats(*(front - [0, 0, 1]).T).any()
    assert bound.beats(*np.array([[12, 12, 12]]).T).all()


def test_schedules_have_the_whole_front_between_them() -> None:
    group, space = conv_pair(6, 2), Space(every_up_to=99, most_loops=2)
    loops = loops_of(group)
    fronts = [
        GroupSearch(group, BUFFER, replace(space, schedule=schedule)).run()
        for schedule in itertools.permutations(loops, 2)
    ]
    for search in fronts:
        _assert_true(search)
        schedule = search.space.schedule or ()
        for point in search.front:
            cut = tuple(node.loop for node in point.mapping.loops)
            assert cut == schedule[: len(cut)]
    costs = np.concatenate([search.costs for search in fronts])
    assert costs[pareto(costs)].tolist() == GroupSearch(group, BUFFER, space).run().costs.tolist()
