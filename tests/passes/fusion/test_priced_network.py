"""Networks of groups by what they cost: equal to pricing every mapping of every way to cut a network."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from dialects.fused_mapping import FusedMapping
from dialects.nest_machine import NestMachine
from dialects.schedule import Objective
from passes.fusion.coarsening import coarsened
from passes.fusion.group import Group
from passes.fusion.inference import turns_of
from passes.fusion.level_prices import LevelPrices, Priced
from passes.fusion.model import FusedCosts
from passes.fusion.network import Chosen, GroupSearches, Network, NetworkPlan, NetworkSpace, Row
from passes.fusion.paths import best_path, good_path, totals, value_of
from passes.fusion.priced_network import AloneCost, PricedSearch
from passes.fusion.search import GroupSearch, Limits
from passes.fusion.space import Space
from passes.fusion.staying import ALONE
from passes.fusion.stretches import Node, parts_of
from passes.mapper.effort import USUAL
from passes.searching.nests_of_groups import NestsOfGroups
from tests.backends.generic.layers import machine
from tests.passes.fusion.groups import random_case
from tests.passes.fusion.test_network import asked, random_chain

BUFFER = "glb"
OBJECTIVES = (Objective.ENERGY, Objective.LATENCY, Objective.EDP)
EVERY = Space(every_up_to=99, most_loops=1)
SPACE = NetworkSpace(longest=3, staying=1, groups=EVERY, singles=EVERY, parts=10**6, most_work=None)


@dataclass
class Drawn:
    """Prices that have little to do with their bounds: up to `most` times as much; a share of mappings has none."""

    seed: int
    most: float = 3
    refused: float = 0.1
    asked: int = 0

    def of(
        self, group: Group, words: Mapping[str, int], operations: int, more: int = 0, turns: int | None = None
    ) -> tuple[float, float]:
        # A price by the name alone: which other tensors are moved is not known beforehand.
        energy = sum((1 + sum(map(ord, name)) % 3) * count for name, count in words.items()) + more
        return 10 * energy + operations, (sum(words.values()) + more) / 2 + operations / 4

    def of_mapping(self, group: Group, mapping: FusedMapping, passing: int) -> Priced | None:
        self.asked += 1
        return self.price(group, mapping)

    def price(self, group: Group, mapping: FusedMapping) -> Priced | None:
        rng = random.Random(f"{self.seed} {group.links} {mapping}")
        if rng.random() < self.refused:
            return None
        costs = FusedCosts(group, mapping)
        energy, cycles = self.of(group, _words(costs), sum(work.operations for work in costs.work.values()))
        return Priced(mapping, energy * rng.uniform(1, self.most), int(cycles * rng.uniform(1, self.most)) + 1)


def _target(words: int, rng: random.Random) -> NestMachine:
    """A buffer, axes that multicast and add up or do not, registers; every access has some price."""
    levels: dict[str, dict[str, Any]] = {"glb": {"kind": "memory", "words": words, "read": 2, "write": 3}}
    for name in ("row", "col"):
        multicast = [operand for operand in ("I", "K") if rng.random() < 0.7]
        size = rng.randint(1, 4)
        levels[name] = {"kind": "axis", "size": size, "multicast": multicast, "reduces": rng.random() < 0.5}
    levels["rf"] = {"kind": "memory", "words": rng.choice((4, 16, 64)), "bypass": rng.choice(([], ["I"], ["K", "O"]))}
    levels["dram"] = {"kind": "memory", "read": rng.choice((1, 4)), "write": 2}
    kinds = ("input.read", "kernel.read", "output.update", "output.add")
    priced = [f"{memory}.{kind}" for memory in ("dram", "glb", "rf") for kind in kinds]
    priced += ["glb.input.fill", "glb.kernel.fill", "rf.input.fill", "glb.output.hop", "glb.extra.fill"]
    prices = {event: float(rng.choice((0, 1, 3, 20))) for event in priced}
    accesses = {event.replace(".", "_"): {"energy": cost, "events": {event: 1}} for event, cost in prices.items()}
    return machine(levels, accesses=accesses, operation=float(rng.randint(0, 2)), picojoules=0.5)


class Held(LevelPrices):
    """The prices of a machine, for mappings with tiles as large as its buffer allows."""

    def __init__(self, objective: Objective, words: int, seed: int):
        target = _target(words, random.Random(seed))
        nests = NestsOfGroups(target, objective, USUAL)
        super().__init__(target, BUFFER, nests, lambda g, m, passing: coarsened(g, m, BUFFER, words - passing))


Costs = tuple[float, float]


def _front(costs: Sequence[Costs]) -> list[Costs]:
    return [each for each in set(costs) if not any(_is_better(other, each) for other in costs)]


def _is_better(one: Costs, other: Costs) -> bool:
    return one != other and one[0] <= other[0] and one[1] <= other[1]


def _ends(network: Network, capacity: int, prices: Drawn | Held, alone: Sequence[AloneCost]) -> list[Costs]:
    """What is best over all ways to cut a network, all that may stay, and every mapping on the fronts of groups."""
    costs: dict[tuple[Node, Node], list[Costs]] = {}
    for part in parts_of(network, capacity, SPACE):
        group, stays = part.alike.group, part.alike.called(part.resident)
        front = GroupSearch(group, BUFFER, EVERY, Limits(capacity - part.passing), None, resident=stays).run().front
        priced = [prices.of_mapping(group, point.mapping, part.passing) for point in front]
        found = [(each.energy, float(each.cycles)) for each in priced if each is not None]
        if alone and part.stretch.is_plain:
            found.append((alone[part.stretch.first].energy, alone[part.stretch.first].cycles))
        costs[part.stretch.nodes] = _front(found)
    reached: dict[Node, list[Costs]] = {(0, frozenset()): [(0.0, 0.0)]}
    for (start, end), found in costs.items():
        sums = [(a + c, b + d) for a, b in reached.get(start, []) for c, d in found]
        reached[end] = _front([*reached.get(end, []), *sums])
    return reached.get((network.count, frozenset()), [])


def _least(
    network: Network, capacity: int, prices: Drawn | Held, objective: Objective, alone: Sequence[AloneCost]
) -> float:
    """The least value of these."""
    ends = _ends(network, capacity, prices, alone)
    return min((value_of(objective, *each) for each in ends), default=float("inf"))


def _alone(network: Network, prices: Drawn | Held, rng: random.Random) -> list[AloneCost]:
    found: list[AloneCost] = []
    for place in range(network.count):
        (part,) = (p for p in parts_of(network, 10**9, SPACE) if p.stretch.is_plain and p.stretch.first == place)
        energy, cycles = prices.of(part.alike.group, {}, 100)
        found.append(AloneCost(0, energy * rng.uniform(3, 20), cycles * rng.uniform(3, 20)))
    return found


def _assert_least(seed: int, objective: Objective, prices: Drawn | Held, capacity: int, network: Network) -> None:
    rng = random.Random(seed)
    alone = _alone(network, prices, rng) if seed % 2 else []
    plan = PricedSearch(network, capacity, GroupSearches(BUFFER, SPACE), prices, objective, alone).run()
    least = _least(network, capacity, prices, objective, alone)
    assert (plan is None) == (least == float("inf"))
    if plan is None:
        return
    assert plan.exact
    assert value_of(objective, plan.energy, plan.cycles) == pytest.approx(least, rel=1e-9)
    assert plan.capacity <= capacity
    assert [link.name for part in plan.parts for link in part.group.links] == [
        link.name for link in network.whole.links
    ]


def _chain(seed: int) -> tuple[Network, int]:
    network = Network(random_chain(random.Random(seed)))
    return network, sum(tensor.size for tensor in network.whole.tensors)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("seed", [pytest.param(n, marks=[pytest.mark.exhaustive] * (n > 1)) for n in range(50)])
def test_no_network_costs_less(seed: int, objective: Objective) -> None:
    network, words = _chain(seed)
    _assert_least(
        seed, objective, Drawn(seed, (3, 1.3, 12)[seed // 2 % 3]), int(words * (0.4, 0.7, 1.0)[seed % 3]), network
    )


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("seed", range(2))
def test_there_is_a_network_whenever_the_search_is_over(seed: int, objective: Objective) -> None:
    """None costs more than the links alone; there need be none if nothing is known of these."""
    network, words = _chain(seed)
    prices = Drawn(seed)
    alone = _alone(network, prices, random.Random(seed))
    most = value_of(objective, sum(each.energy for each in alone), sum(each.cycles for each in alone))
    for after in (0, 10, 100, 1000):
        searches = GroupSearches(BUFFER, SPACE, asked(after))
        plan = PricedSearch(network, words, searches, prices, objective, alone).run()
        assert plan is not None
        assert value_of(objective, plan.energy, plan.cycles) <= most
        assert after or not plan.exact
    searches = GroupSearches(BUFFER, SPACE, lambda: True)
    assert PricedSearch(network, words, searches, prices, objective).run() is None


def _apart(network: Network, number: int) -> Group:
    """The links of a network by names of their own."""
    alike = {tensor.name: f"{tensor.name} {number}" for tensor in network.whole.tensors}
    links = [
        replace(
            link,
            name=f"{link.name} {number}",
            result=alike[link.result],
            operands=tuple(replace(each, tensor=alike[each.tensor]) for each in link.operands),
        )
        for link in network.whole.links
    ]
    return Group(tuple(links), tuple(replace(each, name=alike[each.name]) for each in network.whole.tensors))


@pytest.mark.parametrize("seed", [pytest.param(n, marks=[pytest.mark.exhaustive] * (n > 1)) for n in range(24)])
def test_no_product_of_rows_and_all_else_is_less(seed: int) -> None:
    """Two chains with other ops between them, of which the second may begin with what the first has made."""
    chains = [_apart(_chain(seed)[0], 1), _apart(_chain(seed + 1)[0], 2)]
    rng, capacity = random.Random(seed), int(_chain(seed)[1] * 0.6)
    prices, elsewhere = Drawn(seed, (1.3, 3, 12)[seed % 3], 0), (rng.uniform(0, 1e5), rng.uniform(0, 1e4))
    chains[1] = _after(chains[0], chains[1]) if seed % 2 else chains[1]
    tensors = {each.name: each for chain in chains for each in chain.tensors}
    links = tuple(link for chain in chains for link in chain.links)
    network = Network(Group(links, tuple(tensors.values())), [Row(len(chain.links), SPACE.longest) for chain in chains])
    searches = GroupSearches(BUFFER, SPACE)
    search = PricedSearch(network, capacity, searches, prices, Objective.EDP, elsewhere=elsewhere)
    plan = search.run()
    first, second = (_ends(Network(chain), capacity, prices, []) for chain in chains)
    every = [[sum(parts) for parts in zip(elsewhere, *each, strict=True)] for each in itertools.product(first, second)]
    least = min((energy * cycles for energy, cycles in every), default=math.inf)
    assert (plan is None) == (least == math.inf)
    if plan is not None:
        energy, cycles = (a + b for a, b in zip(elsewhere, (plan.energy, plan.cycles), strict=True))
        assert energy * cycles == pytest.approx(least, rel=1e-9)
        assert plan.exact
        ends = itertools.accumulate(len(part.group.links) for part in plan.parts)
        assert len(chains[0].links) in ends


def _after(first: Group, second: Group) -> Group:
    """A second group whose input is what the first one makes, where that is as large."""
    (name,), shape = {second.links[0].input.tensor}, first.tensor(first.links[-1].result).shape
    if second.tensor(name).shape != shape:
        return second
    made = first.links[-1].result
    links = [
        replace(link, operands=tuple(replace(o, tensor=made) if o.tensor == name else o for o in link.operands))
        for link in second.links
    ]
    return Group(
        tuple(links), tuple(replace(each, name=made) if each.name == name else each for each in second.tensors)
    )


@pytest.mark.parametrize("seed", [pytest.param(n, marks=[pytest.mark.exhaustive] * (n > 0)) for n in range(24)])
def test_no_network_costs_less_on_a_machine(seed: int) -> None:
    network, words = _chain(seed)
    capacity, objective = int(words * 0.6), OBJECTIVES[seed % 3]
    _assert_least(seed, objective, Held(objective, capacity, seed), capacity, network)


@pytest.mark.parametrize("seed", [pytest.param(n, marks=[pytest.mark.exhaustive] * (n > 9)) for n in range(100)])
def test_groups_cost_no_less_than_their_bounds(seed: int) -> None:
    """Those of the words and operations of a mapping, and of what no mapping can do without."""
    rng = random.Random(seed)
    group, mapping = random_case(rng)
    mapping = replace(mapping, retentions=tuple(replace(each, memory=BUFFER) for each in mapping.retentions))
    prices = Held(rng.choice(OBJECTIVES), 10**6, seed)
    priced = prices.in_place(group, mapping, ALONE)
    if priced is None:
        return
    costs = FusedCosts(group, mapping)
    words = _words(costs)
    operations = sum(work.operations for work in costs.work.values())
    energy, cycles = prices.of(group, words, operations)
    assert energy <= priced.energy * (1 + 1e-9)
    assert cycles <= priced.cycles
    fewer = {name: count // 2 for name, count in words.items()}
    for turns in (None, math.prod(turns_of(group.head, mapping))):
        less, sooner = prices.of(group, fewer, operations, sum(words.values()) - sum(fewer.values()), turns)
        assert less <= energy * (1 + 1e-9)
        assert sooner <= cycles * (1 + 1e-9)


def _words(costs: FusedCosts) -> dict[str, int]:
    return {name: costs.reads.get(name, 0) + costs.writes.get(name, 0) for name in {**costs.reads, **costs.writes}}


def test_bounds_are_reached_where_there_is_one_way_to_work() -> None:
    """With nothing inside of the buffer operands are read there, and sums added there, one operation at a time."""
    parts: list[float] = []
    for seed in range(12):
        rng = random.Random(seed)
        group, mapping = random_case(rng)
        mapping = replace(mapping, retentions=tuple(replace(each, memory=BUFFER) for each in mapping.retentions))
        kinds = ("input.read", "kernel.read", "output.update", "output.add")
        prices = {f"{memory}.{kind}": float(rng.randint(1, 9)) for memory in ("dram", "glb") for kind in kinds}
        accesses = {event.replace(".", "_"): {"energy": cost, "events": {event: 1}} for event, cost in prices.items()}
        target = machine({"glb": {"kind": "memory", "words": 10**6}}, accesses=accesses)
        nests = NestsOfGroups(target, Objective.ENERGY, USUAL)
        held = LevelPrices(target, BUFFER, nests, lambda _, each, __: each)
        costs = FusedCosts(group, mapping)
        operations = sum(work.operations for work in costs.work.values())
        if (priced := held.in_place(group, mapping, ALONE)) is not None:
            parts.append(held.of(group, _words(costs), operations)[0] / priced.energy)
    assert max(parts) == pytest.approx(1)
    assert len(parts) > 3


def test_few_mappings_are_priced() -> None:
    """Pricing takes long: bounds and known networks leave out most of what the fronts have."""
    asked = {False: 0, True: 0}
    for seed in range(2, 5):
        network, capacity = _chain(seed)
        for everything in asked:
            prices = Drawn(seed)
            if everything:
                _least(network, capacity, prices, Objective.ENERGY, [])
            else:
                PricedSearch(network, capacity, GroupSearches(BUFFER, SPACE), prices, Objective.ENERGY).run()
            asked[everything] += prices.asked
    assert asked[False] < asked[True] / 2


def test_after_some_prices_a_known_network_is_taken() -> None:
    network, words = _chain(4)
    prices = Drawn(4)
    alone = [AloneCost(0, 1e6, 1e6)] * network.count
    values: list[float] = []
    for most in (1, 4, 10**6):
        searches = GroupSearches(BUFFER, SPACE)
        search = PricedSearch(network, words, searches, prices, Objective.ENERGY, alone, most_priced=most)
        plan = search.run()
        assert plan is not None
        assert plan.exact == (most == 10**6)
        values.append(plan.energy)
    assert values == sorted(values, reverse=True)


def test_what_finds_no_place_is_done_without() -> None:
    network, words = _chain(3)
    prices, objective = Drawn(3, 1.1, 0), Objective.LATENCY

    def misplaced(parts: Sequence[Chosen]) -> list[int]:
        return [number for number, part in enumerate(parts) if part.staying]

    def plan_of(staying: int, **options: object) -> NetworkPlan:
        searches = GroupSearches(BUFFER, replace(SPACE, staying=staying, longest=1))
        plan = PricedSearch(network, words, searches, prices, objective, **options).run()  # pyright: ignore[reportArgumentType]
        assert plan is not None
        return plan

    assert any(part.staying for part in plan_of(1).parts)
    plan = plan_of(1, misplaced=misplaced)
    assert not any(part.staying for part in plan.parts)
    assert plan.cycles == plan_of(0).cycles


def test_bounds_rise_to_the_value() -> None:
    network, words = _chain(2)
    search = PricedSearch(network, words // 2, GroupSearches(BUFFER, SPACE), Drawn(2), Objective.EDP)
    bounds = list(search.improving())
    assert bounds == sorted(bounds)
    assert search.plan is not None
    assert not bounds or bounds[-1] <= search.plan.energy * search.plan.cycles


@dataclass(frozen=True)
class _Edge:
    nodes: tuple[Node, Node]
    energy: float
    cycles: float


def _edges(rng: random.Random, cuts: int) -> Iterator[_Edge]:
    for first in range(cuts):
        for end in range(first + 1, min(first + 3, cuts) + 1):
            for _ in range(rng.randint(1, 3)):
                yield _Edge(((first, frozenset()), (end, frozenset())), rng.randint(1, 30), rng.randint(1, 30))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("seed", range(20))
def test_no_path_is_better(seed: int, objective: Objective) -> None:
    rng = random.Random(seed)
    edges = list(_edges(rng, 6))
    start, goal = (0, frozenset[str]()), (6, frozenset[str]())
    elsewhere = (rng.randint(0, 50), rng.randint(0, 50)) if seed % 2 else (0, 0)
    values: list[float] = []
    for count in range(1, 7):
        for path in itertools.product(edges, repeat=count) if count <= 2 else _paths(edges, count):
            ends = [edge.nodes[1] for edge in path]
            if [start, *ends[:-1]] == [edge.nodes[0] for edge in path] and ends[-1] == goal:
                values.append(value_of(objective, *totals(path, elsewhere)))
    found, good = (find(edges, start, goal, objective, elsewhere) for find in (best_path, good_path))
    assert found is not None
    assert good is not None
    assert value_of(objective, *totals(found, elsewhere)) == min(values)
    assert min(values) <= value_of(objective, *totals(good, elsewhere)) < 2 * min(values)


def _paths(edges: Sequence[_Edge], count: int) -> Iterator[tuple[_Edge, ...]]:
    def longer(path: tuple[_Edge, ...]) -> Iterator[tuple[_Edge, ...]]:
        if len(path) == count:
            yield path
            return
        end = path[-1].nodes[1] if path else (0, frozenset[str]())
        for edge in edges:
            if edge.nodes[0] == end:
                yield from longer((*path, edge))

    return longer(())
