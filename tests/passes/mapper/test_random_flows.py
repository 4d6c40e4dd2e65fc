"""The search in random dataflows against every value of every parameter, priced by the same counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest

from compiler.targets import select_target
from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce
from dialects.hierarchy import Access, Hierarchy
from dialects.schedule import Objective
from dialects.soundness import parse_hierarchy
from passes.mapper.candidates import Candidates
from passes.mapper.counts import Counts
from passes.mapper.dataflow import BoundFlow, parse_dataflow
from passes.mapper.flow_bounds import Flags, FlowBounds
from passes.mapper.nest import Column, Store
from passes.mapper.pricing import Prices, Values
from passes.mapper.search import (
    Found,
    _Search,  # pyright: ignore[reportPrivateUsage]
    best_in_dataflow,
    least_in_dataflow,
)
from passes.mapping.roles import roles_in_nest
from tests.passes.mapper.drawing import extras_of
from tests.passes.mapper.random_flows import (
    cut_on_both_sides,
    random_link,
    random_machine,
    small_target,
    with_other_prices,
    with_several_reserving,
)
from tests.passes.mapper.test_search import machine

READS = ("input.read", "kernel.read", "output.update", "output.add")
MOST = 100_000
"""Combinations of parameters that are priced for a case, at most."""


def all_values(flow: BoundFlow) -> dict[str, Column] | None:
    """Columns of all values of all parameters; none if there are no parameters, or too many combinations."""
    names = (*flow.flow.inner, *flow.flow.outer)
    most = {name: max((flow.values[part] for part in flow.flow.parts_of(name)), default=1) for name in names}
    if not names or np.prod([float(each) for each in most.values()]) > MOST:
        return None
    grid = np.meshgrid(*(np.arange(1, most[name] + 1) for name in names), indexing="ij")
    return {name: each.ravel() for name, each in zip(names, grid, strict=True)}


def brute_force(
    flow: BoundFlow, hierarchy: Hierarchy, objective: Objective, columns: dict[str, Column]
) -> tuple[float, int]:
    """The least value of all mappings that fit, infinite if none does, and how many elements one of them has busy."""
    values, busy = all_of(flow, hierarchy, objective, columns)
    least = float(values.min())
    return least, int(busy[values <= least * (1 + 1e-9)].max())


def all_of(
    flow: BoundFlow, hierarchy: Hierarchy, objective: Objective, columns: dict[str, Column]
) -> tuple[Values, Column]:
    """The values of all mappings, infinite where they do not fit, and how many elements they have busy."""
    count = len(next(iter(columns.values())))
    tiles = flow.tiles(columns, count)
    counts = Counts(flow.problem, hierarchy, flow.nest, tiles)
    fits = np.ones(count, np.bool_)
    for memory in hierarchy.memories[1:]:
        held = {each: words * memory.buffers for each, words in counts.occupancy.get(memory.name, {}).items()}
        reserved = np.broadcast_to(np.asarray(flow.flow.reserves[memory.name]({**flow.values, **columns})), (count,))
        bank = memory.bank or 1
        taken = sum((-(-words // bank) * bank for words in held.values()), start=np.zeros(count, np.int64))
        for operand, words in held.items():
            fits &= words <= memory.rooms.get(operand, words)
        if held and memory.words is not None:
            fits &= (reserved >= 0) & (taken + reserved <= memory.words)
    elements = [counts.elements(axis.name) for axis in hierarchy.axes]
    for axis, used in zip(hierarchy.axes, elements, strict=True):
        fits &= used <= axis.size
    if hierarchy.elements is not None:
        fits &= np.prod([np.ones(count, np.int64), *elements], axis=0) <= hierarchy.elements
    for loop in [flow.places[part] for part in hierarchy.dataflow.even] if hierarchy.dataflow else []:
        around = np.full(count, 1 if loop is None else flow.problem.extents[loop])
        for node, tile in zip(flow.nest.nodes, tiles, strict=True):
            if not isinstance(node, Store) and node.loop == loop:
                fits &= (around % tile == 0) | (tile >= around)
                around = np.minimum(around, tile)
    values = np.where(fits, Prices(hierarchy, objective).value(counts), np.inf)
    return values, np.prod([np.ones(count, np.int64), *elements], axis=0)


def found_just_below(
    value: float, spec: GConv, hierarchy: Hierarchy, objective: Objective, extras: Sequence[tuple[int, ...]]
) -> Found | None:
    """What a search finds that leaves out from the beginning whatever costs more than this.

    No other search leaves out as much: each bound that is too high shows.
    """
    roles = roles_in_nest(spec)
    flow = parse_dataflow(hierarchy).without_repeats(roles).on(spec, roles, extras)
    search = _Search(flow, hierarchy, objective, known=value * (1 + 1e-9))
    return search.best(lambda: False)


def check(seeds: range, make: Callable[[Random], Hierarchy | None], least: int) -> None:
    """Compare the search, and the bound of one that is stopped, for cases of some seeds, of which so many can be."""
    compared = 0
    for seed in seeds:
        random = Random(seed)
        spec, hierarchy, objective = random_link(random), make(random), random.choice(list(Objective))
        if hierarchy is None or spec.trips == 1:
            continue
        extras = random_extras(random, spec)
        hierarchy = reading_at(hierarchy, random.choice([0, 1, 20]))
        flow = parse_dataflow(hierarchy).on(spec, roles_in_nest(spec), extras)
        if (columns := all_values(flow)) is None:
            continue
        compared += 1
        expected, busiest = brute_force(flow, hierarchy, objective, columns)
        if expected == np.inf:
            with pytest.raises(CatenaError):
                best_in_dataflow(spec, hierarchy, objective=objective, extras=extras)
            continue
        found = best_in_dataflow(spec, hierarchy, objective=objective, extras=extras)
        assert found.value == pytest.approx(expected), f"seed {seed}"
        if objective in (Objective.ENERGY, Objective.TRAFFIC):
            assert found.elements == busiest, f"seed {seed}"
        again = found_just_below(found.value, spec, hierarchy, objective, extras)
        assert again is not None, f"seed {seed}"
        assert (again.value, again.elements) == (pytest.approx(found.value), found.elements), f"seed {seed}"
        stopped = best_in_dataflow(spec, hierarchy, objective=objective, should_stop=lambda: True, extras=extras)
        assert stopped.bound <= expected * (1 + 1e-9), f"seed {seed}"
        assert least_in_dataflow(spec, hierarchy, objective, extras) <= expected * (1 + 1e-9), f"seed {seed}"
    assert compared >= least


def random_extras(random: Random, spec: GConv) -> tuple[tuple[int, ...], ...]:
    """Shapes of what goes with results: as of a bias, a residual, both, neither, or something between."""
    return extras_of(spec, [[random.random() < 0.6 for _ in spec.dims] for _ in range(random.choice([0, 1, 1, 2]))])


def reading_at(hierarchy: Hierarchy, price: float) -> Hierarchy:
    """A machine that pays such a price for a word of a tensor that goes with results."""
    read = Access(name="read", energy=price, events={"dram.extra.read": 1})
    return hierarchy.model_copy(update={"accesses": (*hierarchy.accesses, read)})


def value(spec: GConv, hierarchy: Hierarchy, objective: Objective, extras: Sequence[tuple[int, ...]] = ()) -> float:
    """What the search finds; infinite if nothing."""
    try:
        return best_in_dataflow(spec, hierarchy, objective=objective, extras=extras).value
    except CatenaError:
        return np.inf


def test_random_nests_with_a_bar_anywhere() -> None:
    check(range(50), random_machine, 20)


RESERVES = ("10 - p", "10 - 2*p + p", "10 - 2*p + p*s", "p - 3", "p*p - 2*s*s - 1", "4*s - p*p", "s + 2 - p")


@pytest.mark.parametrize("reserve", RESERVES)
@pytest.mark.parametrize("operand", ["K", "O"])
def test_what_is_reserved_may_fall_and_rise_with_parameters(reserve: str, operand: str) -> None:
    """Parameters go up to the loops that they cut, here of 4 filters and 5 rows, whatever is reserved with more."""
    nest = f"for rows_out {'s' if 's' in reserve else 1}, store a [I] | for filters p, store a [{operand}]"
    description = {
        "name": "reserving",
        "summary": "",
        "levels": {
            "dram": {"kind": "memory"},
            "a": {"kind": "memory", "operands": ["I", operand], "words": 30, "reserve": reserve},
        },
        "accesses": {"dram": {"energy": 10, "events": {f"dram.{name}": 1 for name in READS}}},
        "dataflow": {"nest": nest},
    }
    reserving = parse_hierarchy(description)
    spec = GConv((Dim("C", op=4, ks=4), Dim("H", opc=5)), "mul", Reduce.ADD)
    flow = parse_dataflow(reserving).on(spec, roles_in_nest(spec))
    columns = all_values(flow)
    assert columns is not None
    assert columns["p"].max() == flow.most_of("p") == 4
    expected, _ = brute_force(flow, reserving, Objective.ENERGY, columns)
    assert value(spec, reserving, Objective.ENERGY) == pytest.approx(expected)
    assert expected < np.inf


def test_sums_that_stay_only_with_one_index() -> None:
    """On `generic` a register keeps a sum while channels run if rows end further out, one by one, but not otherwise."""
    check(range(1000, 1020), lambda random: small_target(random, ("generic",)), 8)


@pytest.mark.parametrize(
    ("name", "objective", "link"),
    [
        ("generic", Objective.ENERGY, (Dim("C", op=512, ks=128), Dim("HW", opc=784))),
        ("tpu", Objective.LATENCY, (Dim("C", op=256, ks=512), Dim("HW", opc=784))),
    ],
)
def test_bounds_leave_few_candidates(
    name: str, objective: Objective, link: tuple[Dim, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a bound apart where sums may stay, and without what cannot overlap, searches bound up to a million."""
    bounded = 0
    is_within = FlowBounds.may_be_within

    def counting(self: FlowBounds, candidates: Candidates, limit: float | Values) -> Flags:
        nonlocal bounded
        bounded += candidates.count
        return is_within(self, candidates, limit)

    monkeypatch.setattr(FlowBounds, "may_be_within", counting)
    hierarchy = select_target(name).machine
    assert isinstance(hierarchy, Hierarchy)
    best_in_dataflow(GConv(link, "mul", Reduce.ADD), hierarchy, objective=objective)
    assert bounded < 50_000


@pytest.mark.parametrize(
    ("name", "objective", "link", "most"),
    [
        ("generic", Objective.ENERGY, (Dim("C", op=512, ks=128), Dim("HW", opc=784)), 200_000),
        ("gemmini", Objective.ENERGY, (Dim("C", op=128, ks=256), Dim("HW", opc=3136)), 100_000),
        ("tpu", Objective.LATENCY, (Dim("C", op=256, ks=512), Dim("HW", opc=784)), 350_000),
        ("tpu", Objective.TRAFFIC, (Dim("C", op=1024, ks=512), Dim("HW", opc=196)), 60_000),
    ],
)
def test_few_candidates_are_counted(
    name: str, objective: Objective, link: tuple[Dim, ...], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice to thirty times as many without bounds of outer parameters, or with ties that cannot be busier."""
    counted = 0
    made = Counts.__init__

    def counting(self: Counts, *words: Any, **options: Any) -> None:
        nonlocal counted
        made(self, *words, **options)
        counted += self.candidates

    monkeypatch.setattr(Counts, "__init__", counting)
    hierarchy = select_target(name).machine
    assert isinstance(hierarchy, Hierarchy)
    best_in_dataflow(GConv(link, "mul", Reduce.ADD), hierarchy, objective=objective)
    assert counted < most


def test_random_reserves_of_several_parameters() -> None:
    check(range(250), with_several_reserving, 15)


INPUTS = {"kind": "memory", "operands": ["I"], "slides": True}
ROWS = {"kind": "axis", "size": 4, "loops": ["g", "op", "opc", "ks"]}
LEAVING_ALONE = {
    "sums that are dear to add inside": (
        {
            "a": {**INPUTS, "words": 40},
            "x": {**ROWS, "size": 3},
            "b": {"kind": "memory", "operands": ["O"], "words": 22},
        },
        {"dram.kernel.read": 25, "a.input.fill": 2, "b.output.add": 2},
        "for channels c0*c1, for filters f1 | for filters f0, for filters 1, store a [I], par rows_out z on x, "
        "store b [O], for rows_out 1",
        (Dim("C", op=7, ks=3), Dim("H", opc=3, ks=2)),
    ),
    "kernels that one element keeps": (
        {"a": INPUTS | {"words": 32}, "x": ROWS, "b": {"kind": "memory", "words": 25, "slides": True, "buffers": 2}},
        {f"dram.{each}": 1 for each in READS},
        "for rows_out r1 | store a [I], par rows_out z on x, store b [K], for channels c0, for filters 1, "
        "store b [I], store b [O]",
        (Dim("C", op=4, ks=2), Dim("H", opc=5)),
    ),
    "sums that had better leave": (
        {
            "b": {"kind": "memory", "operands": ["O", "K"], "words": 74, "stays": False},
            "a": {"kind": "memory", "operands": ["I", "K"], "words": 102, "slides": True},
        },
        {"dram.output.update": 1, "b.output.add": 2, "b.kernel.read": 0.5},
        "for rows_kernel q*p, store b [K] | for channels p, store b [O], store a [K], store a [I]",
        (Dim("C", ks=3), Dim("H", opc=5, ks=2, stride=2, dilation=2)),
    ),
    "elements that each fetch a copy": (
        {"x": {**ROWS, "size": 6}, "b": {"kind": "memory", "operands": ["K", "I", "O"], "words": 40}},
        {**{f"dram.{each}": 10 for each in READS}, "b.kernel.read": 1, "b.output.update": 1},
        "for rows_out r, par rows_out 1 on x, store b [K, I, O] |",
        (Dim("C", op=2, ks=6), Dim("H", opc=7)),
    ),
    "a loop along two axes": (
        {
            "a": {"kind": "memory", "words": 198},
            "x": {**ROWS, "size": 5, "multicast": ["K"]},
            "y": {**ROWS, "multicast": ["I", "K"]},
            "b": {"kind": "memory", "operands": ["O", "K"], "words": 50, "write": 0.25, "stays": False},
        },
        {"dram.kernel.read": 50, "dram.output.add": 50, "a.kernel.fill": 0.6, "a.output.update": 0.3},
        "store a [K], store a [O], store a [I], par rows_out r1 on x, for filters f0*f1 | par filters f1 on x, "
        "par rows_out r0 on y, for channels c0, store b [O], for filters 1, store b [K], for channels 1",
        (Dim("C", op=11, ks=5), Dim("H", opc=7, stride=3)),
    ),
    "rows that share a window across tiles": (
        {
            "a": {"kind": "memory", "words": 79, "read": 0.25},
            "b": {"kind": "memory", "words": 54, "slides": True, "write": 2},
        },
        {"dram.input.read": 1, "a.input.read": 50, "a.output.update": 1},
        "store a [K], for rows_out r, store a [O] | for rows_out 1, store a [I], store b [O, I, K]",
        (Dim("N", opc=3), Dim("C", op=4), Dim("H", opc=6, ks=3, stride=2, dilation=2)),
    ),
    "kernels that each element keeps, of inputs that they share": (
        {"x": {**ROWS, "multicast": ["I", "K"]}, "a": {"kind": "memory", "words": 38}},
        {"dram.input.read": 10, "a.kernel.fill": 0.9},
        "for rows_out r | par rows_out 1 on x, store a [I], for channels c, store a [K, O]",
        (Dim("C", op=8), Dim("H", opc=7, ks=2)),
    ),
    "sums that had better meet no others": (
        {
            "dram": {"kind": "memory", "read": 0.5, "write": 2},
            "x": {**ROWS, "size": 5, "reduces": True},
            "b": {"kind": "memory", "operands": ["K", "I"], "words": 59, "stays": False, "buffers": 2, "write": 1},
        },
        {"dram.output.update": 50, "dram.output.add": 5, "dram.output.hop": 1000},
        "for filters f | par channels c on x, for filters f, store b [K], for filters 1, store b [I]",
        (Dim("C", op=12, ks=7), Dim("H", opc=4)),
    ),
    "sums that meet at less than their additions": (
        {
            "x": {**ROWS, "reduces": True},
            "b": {"kind": "memory", "operands": ["O"], "words": 54, "stays": False},
        },
        {"dram.output.update": 1, "dram.output.add": 1, "dram.output.hop": 0.1, "b.output.add": 1.5},
        "for channels c, par rows_kernel 1 on x, store b [O]",
        (Dim("C", op=2, ks=6), Dim("H", opc=3, ks=4)),
    ),
}
SUMS = {"kind": "memory", "operands": ["O", "K"], "words": 54, "stays": False}
UNEVEN = {
    "tiles of 4, then 3": (
        {"x": {**ROWS, "multicast": ["I"]}, "y": {**ROWS, "size": 2, "multicast": ["K", "I"]}, "b": SUMS},
        {"dram.output.update": 1, "dram.output.add": 1, "dram.kernel.read": 1},
        "for channels c9, par rows_out r on x | par channels c1 on x, par rows_out z on y, for channels c0, "
        "store b [O, K], for channels 1",
        (Dim("C", op=3, ks=5), Dim("H", opc=6, ks=3, stride=3, dilation=2)),
    ),
    "sums that may meet on an axis that outer parameters lay loops along": (
        {"a": {"kind": "memory"}, "x": {**ROWS, "reduces": True}, "b": {"kind": "memory", "slides": True}},
        {"dram.output.add": 60, "dram.output.hop": 0.3, "a.output.add": 2, "a.output.hop": 0.2, "b.output.add": 2},
        "store a [K], for filters f9, store a [O, I], par channels c0 on x, par filters 1 on x, store b [K], "
        "for filters f0*f1 | for filters 1, store b [I], for filters f0, store b [O]",
        (Dim("C", op=2, ks=4), Dim("H", opc=4, ks=2, stride=2)),
    ),
    "kernels that elements share while rows run": (
        {
            "a": {"kind": "memory"},
            "x": {**ROWS, "size": 3, "multicast": ["K"]},
            "y": {**ROWS, "size": 5, "multicast": ["I"]},
            "b": {"kind": "memory", "words": 59},
        },
        {"dram.input.read": 20, "dram.output.add": 20, "a.kernel.read": 1, "a.output.update": 2, "b.kernel.fill": 20},
        "for filters f9, store a [O], for rows_out r9, store a [I, K] | par rows_out r0 on x, par channels 1 on y, "
        "for rows_out 1, par rows_kernel k0 on y, for rows_kernel 1, store b [I, K], for filters 1, store b [O]",
        (Dim("C", op=2, ks=3), Dim("H", opc=3, ks=2, stride=2)),
    ),
    "sums that have to leave, and meet then": (
        {
            "a": {"kind": "memory", "operands": ["K"], "words": 8},
            "x": {**ROWS, "reduces": True},
            "b": {"kind": "memory", "operands": ["O"]},
        },
        {"dram.output.update": 1, "dram.output.add": 1, "dram.output.hop": 1, "b.output.add": 0.9},
        "for channels c*c0, store a [K], par rows_kernel 1 on x, for filters 1 | for channels c0, store b [O]",
        (Dim("C", op=2, ks=6), Dim("H", opc=3, ks=4)),
    ),
    "sums that cost less on their way than inside": (
        {"a": {"kind": "memory", "words": 50}, "x": {**ROWS, "reduces": True}, "b": {**SUMS, "stays": True}},
        {"dram.output.add": 9, "a.output.update": 0.3, "a.output.add": 0.6, "a.output.hop": 0.3, "b.output.add": 2},
        "store a [K], for channels c0*c1, for rows_out 1, store a [O], for channels c1 | store a [I], "
        "par rows_kernel 1 on x, for rows_kernel k0, store b [K], for filters 1, store b [O]",
        (Dim("C", op=2, ks=2), Dim("H", opc=2, ks=2, dilation=2)),
    ),
}


@pytest.mark.parametrize("case", LEAVING_ALONE)
def test_what_outer_cuts_leave_to_inner_ones(case: str) -> None:
    """Each of these was missed once: where an outer cut is smaller, the loop does not run, or lie, further in."""
    spec, hierarchy = described(*LEAVING_ALONE[case])
    flow = parse_dataflow(hierarchy).on(spec, roles_in_nest(spec))
    columns = all_values(flow)
    assert columns is not None
    for objective in Objective:
        expected, _ = brute_force(flow, hierarchy, objective, columns)
        assert value(spec, hierarchy, objective) == pytest.approx(expected), objective


def described(
    levels: dict[str, Any], prices: dict[str, float], nest: str, dims: tuple[Dim, ...]
) -> tuple[GConv, Hierarchy]:
    """A link, and a machine whose events have prices."""
    accesses = {name.replace(".", "_"): {"energy": price, "events": {name: 1}} for name, price in prices.items()}
    levels = {"dram": {"kind": "memory"}, **levels}
    description = {"name": "m", "summary": "", "levels": levels, "accesses": accesses, "dataflow": {"nest": nest}}
    return GConv(dims, "mul", Reduce.ADD), parse_hierarchy(description)


class Completions:
    """The least value of every completion of some parameters, by looking at all of them."""

    def __init__(self, spec: GConv, hierarchy: Hierarchy, objective: Objective, extras: Sequence[tuple[int, ...]]):
        roles = roles_in_nest(spec)
        flow = parse_dataflow(hierarchy).without_repeats(roles).on(spec, roles, extras)
        self._columns = all_values(flow)
        if self._columns is not None:
            self._values, self._busy = all_of(flow, hierarchy, objective, self._columns)

    @property
    def are_few(self) -> bool:
        return self._columns is not None

    def least(self, candidates: Candidates) -> Column:
        """By candidate, with a little room for rounding."""
        return self._least_of(candidates, self._values) * (1 + 1e-9) + 1e-9

    def most_busy(self, candidates: Candidates) -> Column:
        """By candidate, the most elements that any completion keeps busy."""
        return -self._least_of(candidates, np.where(np.isfinite(self._values), -self._busy, 0))

    def _least_of(self, candidates: Candidates, values: Column) -> Column:
        """By candidate, the least value of its completions."""
        assert self._columns is not None
        names = [name for name in candidates.columns if name in self._columns]
        least: dict[tuple[int, ...], float] = {}
        rows = zip(*(self._columns[name].tolist() for name in names), strict=True)
        for key, value in zip(rows, values.tolist(), strict=True) if names else ():
            least[key] = min(value, least.get(key, np.inf))
        keys = zip(*(candidates.columns[name].tolist() for name in names), strict=True)
        return np.array([least[key] for key in keys] if names else [values.min()] * candidates.count)


def check_bounds(
    spec: GConv,
    hierarchy: Hierarchy,
    objective: Objective,
    monkeypatch: pytest.MonkeyPatch,
    extras: Sequence[tuple[int, ...]] = (),
) -> bool:
    """Whether a search was made in which no bound of open parameters was above any of their completions."""
    completions = Completions(spec, hierarchy, objective, extras)
    if not completions.are_few:
        return False
    bound_of, is_within = FlowBounds.of, FlowBounds.may_be_within

    def checked(self: FlowBounds, inner: Candidates, level: int, limit: float = np.inf) -> Values:
        bound = bound_of(self, inner, level, limit)
        assert (bound <= completions.least(inner)).all(), hierarchy.dataflow
        busy, most = self.busy(inner), completions.most_busy(inner)
        assert (busy.elements >= most).all(), hierarchy.dataflow
        return bound

    def checked_within(self: FlowBounds, candidates: Candidates, limit: float | Values) -> Flags:
        assert is_within(self, candidates, completions.least(candidates)).all(), hierarchy.dataflow
        return is_within(self, candidates, limit)

    with monkeypatch.context() as patched:
        patched.setattr(FlowBounds, "of", checked)
        patched.setattr(FlowBounds, "may_be_within", checked_within)
        value(spec, hierarchy, objective, extras)
    return True


@pytest.mark.parametrize("case", [*UNEVEN, *LEAVING_ALONE])
def test_no_bound_is_above_a_completion(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the first was, though no better mapping was missed."""
    for objective in Objective:
        assert check_bounds(*described(*(UNEVEN | LEAVING_ALONE)[case]), objective, monkeypatch)


@pytest.mark.parametrize("make", [cut_on_both_sides, with_other_prices])
def test_no_bound_of_random_dataflows_is_above_a_completion(
    make: Callable[[Random], Hierarchy | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = 0
    for seed in range(2000, 2040):
        random = Random(seed)
        spec, hierarchy, objective = random_link(random), make(random), random.choice(list(Objective))
        if hierarchy is not None and spec.trips > 1:
            extras, hierarchy = random_extras(random, spec), reading_at(hierarchy, random.choice([0, 1, 20]))
            checked += check_bounds(spec, hierarchy, objective, monkeypatch, extras)
    assert checked > 10


def test_loops_cut_on_both_sides_of_the_bar() -> None:
    check(range(35), cut_on_both_sides, 15)


def test_random_prices() -> None:
    check(range(25), with_other_prices, 6)


@pytest.mark.parametrize("seed", [88, 1601])
def test_bounds_know_that_elements_share_words_and_that_small_tiles_keep_them(seed: int) -> None:
    """Machines on which cuts that are still missing save more than they cost."""
    check(range(seed, seed + 1), random_machine, 1)


def test_dataflows_of_targets() -> None:
    check(range(30), small_target, 15)


def test_what_no_memory_keeps_may_be_shared_by_elements() -> None:
    """Kernels go from the outermost memory to all elements at once, which the nest left of the bar does not tell."""
    nest = "store glb [I, O] | for filters f, par rows_out r*s on pe, for channels d*c, for filters f*g, store rf [O]"
    hierarchy = machine(nest, 80, 4, 35, slides=False, rates=(0.25, 1.0))
    spec = GConv((Dim("C", op=5, ks=2), Dim("H", opc=8, ks=3, dilation=2)), "mul", Reduce.ADD)
    flow = parse_dataflow(hierarchy).on(spec, roles_in_nest(spec))
    columns = all_values(flow)
    assert columns is not None
    for objective in Objective:
        expected, _ = brute_force(flow, hierarchy, objective, columns)
        assert value(spec, hierarchy, objective) == pytest.approx(expected)


@pytest.mark.parametrize("seed", [1240, 1519])
def test_a_cut_in_a_row_stays_where_the_next_one_cannot_be_as_small(seed: int) -> None:
    """As in `for rows_out r, for rows_out 2`."""
    check(range(seed, seed + 1), random_machine, 1)


def test_a_search_for_traffic_counts_nothing_on_the_chip() -> None:
    hierarchy = select_target("generic").machine
    assert isinstance(hierarchy, Hierarchy)
    spec = GConv((Dim("C", op=4, ks=3), Dim("H", opc=5)), "mul", Reduce.ADD)
    flow = parse_dataflow(hierarchy).on(spec, roles_in_nest(spec))
    counted: dict[Objective, set[str]] = {}
    for objective in Objective:
        search = _Search(flow, hierarchy, objective)
        events = search._bounds.counts.of(Candidates(1, {})).events  # pyright: ignore[reportPrivateUsage]
        counted[objective] = {event.split(".")[0] for event in events}
    assert counted[Objective.TRAFFIC] == counted[Objective.LATENCY] == {"operation", "dram"}
    assert {"dram", "glb", "rf"} <= counted[Objective.ENERGY] == counted[Objective.EDP]


@pytest.mark.exhaustive
@pytest.mark.parametrize("make", [random_machine, with_other_prices, small_target, cut_on_both_sides])
def test_random_dataflows_often(make: Callable[[Random], Hierarchy | None]) -> None:
    check(range(1000, 1250), make, 100)
