"""Which links of a network are fused, and what stays between groups: equal to trying all partitions."""

from __future__ import annotations

import itertools
import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from dialects.fused_mapping import FusedMapping
from dialects.gconv.spec import Dim
from passes.fusion.canonical import numbered
from passes.fusion.coarsening import Known
from passes.fusion.front import Objective
from passes.fusion.group import Group
from passes.fusion.least_paths import Cost
from passes.fusion.model import FusedCosts
from passes.fusion.network import (
    Chosen,
    GroupSearches,
    KnownWords,
    Network,
    NetworkPlan,
    NetworkSearch,
    NetworkSpace,
)
from passes.fusion.search import GroupSearch, Limits
from passes.fusion.space import Space
from tests.passes.fusion.groups import Builder, conv_pair, random_group, window

BUFFER = "glb"
EVERY = Space(every_up_to=99, most_loops=1)
SPACE = NetworkSpace(longest=3, staying=2, groups=EVERY, singles=EVERY, parts=10**6, most_work=None)


def random_chain(rng: random.Random) -> Group:
    """Convolutions, point-wise ones and sums over few channels and rows."""
    net = Builder()
    seen = [net.external((rng.randint(1, 3), 5, 2))]
    for _ in range(rng.randint(2, 4)):
        last = seen[-1]
        same = [each for each in seen[:-1] if each.shape == last.shape]
        if same and rng.random() < 0.5:
            seen.append(net.binary(last, rng.choice(same)))
        else:
            tap = rng.choice((1, 3))
            windows = [window("H", last.shape[1], tap, before=tap // 2, after=tap // 2), Dim("W", opc=2)]
            seen.append(net.conv(last, rng.randint(1, 3), windows))
    return net.group()


def _best_of_group(group: Group, resident: frozenset[str], capacity: int) -> Cost | None:
    search = GroupSearch(group, BUFFER, EVERY, Limits(capacity), None, Objective.TRAFFIC, resident).run()
    assert search.exact
    return next(((traffic, operations) for _, traffic, operations in search.costs.tolist()), None)


def _all_networks(network: Network, capacity: int, refused: Group | None = None) -> Iterator[Cost]:
    """The best of every way to cut a network and to let tensors stay at the cuts; without groups alike a refused one,
    if there is one, and nothing stays then."""
    for count in range(network.count):
        for cuts in itertools.combinations(range(1, network.count), count):
            runs = list(itertools.pairwise((0, *cuts, network.count)))
            if any(end - first > SPACE.longest for first, end in runs):
                continue
            if any(len(network.group(*run).heads) > 1 for run in runs):
                continue
            if refused in [numbered(network.group(*run)).group for run in runs]:
                continue
            tensors = sorted({name for cut in cuts for name in network.crossing(cut)} if refused is None else ())
            for staying in itertools.product((False, True), repeat=len(tensors)):
                here = {name for name, stays in zip(tensors, staying, strict=True) if stays}
                # A tensor that stays does so wherever it crosses a cut.
                costs = [_cost_of_run(network, run, here, capacity) for run in runs]
                known = [cost for cost in costs if cost is not None]
                if len(known) == len(costs):
                    yield sum(cost[0] for cost in known), sum(cost[1] for cost in known)


def _cost_of_run(network: Network, run: tuple[int, int], staying: set[str], capacity: int) -> Cost | None:
    group = network.group(*run)
    there = staying & {*network.crossing(run[0]), *network.crossing(run[1])}
    touched = there & {tensor.name for tensor in group.tensors}
    passing = sum(network.words(name) for name in there - touched)
    return _best_of_group(group, frozenset(touched), capacity - passing)


def _assert_true(network: Network, plan: NetworkPlan, capacity: int) -> None:
    """The plan's numbers are those of its groups, and what stays is there when it is read."""
    names = [link.name for part in plan.parts for link in part.group.links]
    assert names == [link.name for link in network.whole.links]
    assert plan.capacity <= capacity
    here: set[str] = set()
    for part in plan.parts:
        assert part.mapping is not None
        costs = FusedCosts(part.group, part.mapping)
        assert costs.capacity(BUFFER) == part.capacity
        assert costs.traffic == part.traffic
        assert sum(work.operations for work in costs.work.values()) == part.operations
        resident = {each.tensor for each in part.mapping.retentions if each.resident}
        made = {link.result for link in part.group.links}
        assert resident - made == here & {*part.group.external}
        here |= resident & made


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[pytest.mark.exhaustive] * (seed > 4)) for seed in range(20)]
)
def test_no_network_of_groups_moves_less(seed: int) -> None:
    rng = random.Random(seed)
    network = Network(random_chain(rng))
    words = sum(tensor.size for tensor in network.whole.tensors)
    for part in (0.4, 0.7, 1.0):
        capacity = int(part * words)
        plan = NetworkSearch(network, capacity, GroupSearches(BUFFER, SPACE)).run()
        least = min(_all_networks(network, capacity), default=None)
        assert (plan is None) == (least is None)
        if plan is not None:
            assert plan.exact
            assert (plan.traffic, plan.operations) == least
            _assert_true(network, plan, capacity)


@pytest.mark.parametrize("parts", [1, 10, 100])
@pytest.mark.parametrize("seed", range(6))
def test_a_plan_is_not_called_the_best_where_searches_of_groups_ended_with_their_effort(seed: int, parts: int) -> None:
    """Unless none of these could move so little that another plan moved less; links may run alone, or all of them may
    have to be in groups."""
    network = Network(random_chain(random.Random(seed)))
    capacity = sum(tensor.size for tensor in network.whole.tensors) // 2
    for alone in (None, KnownWords([60] * network.count)):
        best = NetworkSearch(network, capacity, GroupSearches(BUFFER, SPACE), alone=alone).run()
        few = NetworkSearch(network, capacity, GroupSearches(BUFFER, replace(SPACE, parts=parts)), alone=alone).run()
        assert best is not None
        assert best.exact
        assert few is None or not few.exact or few.traffic == best.traffic


@pytest.mark.parametrize("seed", range(8))
def test_refused_groups_are_done_without(seed: int) -> None:
    """No network of the other groups moves less; only those of the best plan are asked for, once each."""
    network = Network(random_chain(random.Random(seed)))
    capacity = sum(tensor.size for tensor in network.whole.tensors) // 2
    space = replace(SPACE, staying=0)
    free = NetworkSearch(network, capacity, GroupSearches(BUFFER, space)).run()
    assert free is not None
    first = next((numbered(part.group).group for part in free.parts if len(part.group.links) > 1), None)
    asked: list[tuple[Group, FusedMapping]] = []

    def settle(group: Group, mapping: FusedMapping, _: int, known: Known) -> FusedMapping | None:
        asked.append((group, mapping))
        costs = FusedCosts(group, mapping)
        work = sum(each.operations for each in costs.work.values())
        assert known(mapping) == (costs.capacity(BUFFER), costs.traffic, work)
        return None if group == first else mapping

    plan = NetworkSearch(network, capacity, GroupSearches(BUFFER, space), settle).run()
    assert plan is not None
    assert len(asked) == len(set(asked))
    assert plan.exact == (first is None)
    if first is not None:
        assert (plan.traffic, plan.operations) == min(_all_networks(network, capacity, first))


@pytest.mark.parametrize("seed", range(3))
def test_groups_that_find_no_place_beside_what_stays_are_done_without(seed: int) -> None:
    network = Network(random_chain(random.Random(seed)))
    capacity = sum(tensor.size for tensor in network.whole.tensors)

    def misplaced(parts: Sequence[Chosen]) -> list[int]:
        return [number for number, part in enumerate(parts) if part.staying]

    searches = [GroupSearches(BUFFER, replace(SPACE, staying=staying)) for staying in (2, 0)]
    free = NetworkSearch(network, capacity, searches[0]).run()
    plan = NetworkSearch(network, capacity, searches[0], misplaced=misplaced).run()
    without = NetworkSearch(network, capacity, searches[1]).run()
    assert free is not None
    assert plan is not None
    assert without is not None
    assert not any(part.staying for part in plan.parts)
    assert plan.traffic == without.traffic
    assert plan.exact != any(part.staying for part in free.parts)


@pytest.mark.parametrize("seed", range(8))
def test_links_may_run_by_mappings_of_their_own(seed: int) -> None:
    """By what these move, no network of groups and links alone moves less; groups that are refused run alone."""
    rng = random.Random(seed)
    network = Network(random_chain(rng))
    capacity = sum(tensor.size for tensor in network.whole.tensors) // 2
    runs = [(first, end) for first in range(network.count) for end in range(first + 1, network.count + 1)]
    groups = {run: network.group(*run) for run in runs if run[1] - run[0] <= SPACE.longest}
    known = {run: _best_of_group(each, frozenset(), capacity) for run, each in groups.items() if len(each.heads) == 1}
    alone = [
        rng.randint(cost[0] - 5, cost[0] + 5) if (cost := known[at, at + 1]) else 10**6 for at in range(network.count)
    ]
    searches = GroupSearches(BUFFER, replace(SPACE, staying=0))
    for refuses in (False, True):
        least = [0, *[10**9] * network.count]
        for first, end in sorted(known):
            words = [cost[0] for cost in (known[first, end],) if cost and not refuses]
            words += [alone[first]] if end == first + 1 else []
            least[end] = min([least[end], *(least[first] + each for each in words)])
        plan = NetworkSearch(
            network, capacity, searches, lambda _, m, *__, no=refuses: None if no else m, KnownWords(alone)
        ).run()
        assert plan is not None
        assert plan.traffic == least[-1]
        moved = [part.traffic for part in plan.parts if part.mapping is None]
        places = itertools.accumulate((len(part.group.links) for part in plan.parts), initial=0)
        pairs = zip(places, plan.parts, strict=False)
        assert moved == [alone[place] for place, part in pairs if part.mapping is None]
        assert not refuses or len(moved) == network.count


def asked(times: int) -> Callable[[], bool]:
    """Says that searches are over once it was asked so often."""
    count = itertools.count()
    return lambda: next(count) >= times


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_there_is_a_network_whenever_the_search_is_over(seed: int, alone: bool) -> None:
    """Of groups that were found by then, with what they cost, and links that nobody looked at any more."""
    network = Network(random_chain(random.Random(seed)))
    capacity = sum(tensor.size for tensor in network.whole.tensors) // 2
    space, known = replace(SPACE, staying=0), KnownWords([10**6] * network.count) if alone else None
    whole = NetworkSearch(network, capacity, GroupSearches(BUFFER, space), alone=known).run()
    assert whole is not None
    plans: list[NetworkPlan] = []
    for most in (0, 1, 2, 5, 20, 100, 500, 10**6):
        plan = NetworkSearch(network, capacity, GroupSearches(BUFFER, space, asked(most)), alone=known).run()
        assert plan is not None
        assert [link.name for part in plan.parts for link in part.group.links] == [
            link.name for link in network.whole.links
        ]
        for part in plan.parts:
            if part.mapping is None:
                assert len(part.group.links) == 1
            else:
                assert part.traffic == FusedCosts(part.group, part.mapping).traffic
        plans.append(plan)
    assert all(part.mapping is None for part in plans[0].parts)
    assert not plans[0].exact
    assert plans[-1] == whole


def test_what_fits_whole_moves_what_must_be_moved() -> None:
    network = Network(random_chain(random.Random(1)))
    words = sum(tensor.size for tensor in network.whole.tensors)
    plan = NetworkSearch(network, words, GroupSearches(BUFFER, SPACE)).run()
    assert plan is not None
    outside = (*network.whole.external, *(head.result for head in network.whole.heads))
    assert plan.traffic == sum(network.words(name) for name in outside)


def test_little_is_made_again_if_that_is_asked() -> None:
    network = Network(conv_pair(10, 2))
    for words in (120, 160, 250):
        plans = [
            NetworkSearch(network, words, GroupSearches(BUFFER, replace(SPACE, most_work=most))).run()
            for most in (None, 1.2, 1.0)
        ]
        assert all(plans)
        free, little, nothing = (plan for plan in plans if plan is not None)
        assert free.traffic <= little.traffic <= nothing.traffic
        assert nothing.operations <= little.operations <= 1.2 * nothing.operations


def test_nothing_fits() -> None:
    network = Network(random_chain(random.Random(1)))
    assert NetworkSearch(network, 1, GroupSearches(BUFFER, SPACE)).run() is None


def test_the_bound_rises() -> None:
    network = Network(random_chain(random.Random(3)))
    words = sum(tensor.size for tensor in network.whole.tensors)
    search = NetworkSearch(network, words // 3, GroupSearches(BUFFER, SPACE))
    bounds = list(search.improving())
    assert bounds == sorted(bounds)
    assert search.plan is None or bounds[-1] <= (search.plan.traffic, search.plan.operations)


def test_groups_do_not_take_their_hashes_to_other_processes() -> None:
    """Python gives names other hashes there."""
    group = random_group(random.Random(1))
    known = {group: 1}
    told = pickle.dumps(group)
    assert b"_hash" not in told
    assert known[pickle.loads(told)]


@pytest.mark.parametrize("seed", range(10))
def test_groups_that_differ_in_names_are_alike(seed: int) -> None:
    group = random_group(random.Random(seed))
    names = {tensor.name: f"{tensor.name}!" for tensor in group.tensors}
    links = tuple(
        replace(
            link,
            name=f"{link.name}!",
            result=names[link.result],
            operands=tuple(replace(operand, tensor=names[operand.tensor]) for operand in link.operands),
        )
        for link in group.links
    )
    tensors = tuple(replace(tensor, name=names[tensor.name]) for tensor in group.tensors)
    other = Group(links, tensors, frozenset(names[name] for name in group.exported))
    assert numbered(other).group == numbered(group).group
    mapping = GroupSearch(numbered(group).group, BUFFER, Space(most_loops=0)).run().mapping(0)
    mine = numbered(other).mapping_of_other(mapping)
    assert FusedCosts(other, mine).traffic == FusedCosts(numbered(group).group, mapping).traffic
