"""Plans of fused groups: boxes and holds equal the tables they come from, and nothing is missing when it is read."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.diagnostics import CatenaError
from dialects.fused_mapping import FusedMapping, Retention, Stages
from dialects.gconv.spec import LoopKind
from dialects.schedule import Loop, Temporal
from dialects.turn_box import Along, Span
from passes.fusion.boxes import IrregularError, boxes_of
from passes.fusion.group import Group
from passes.fusion.holds import Fetch, GroupPlan, Hold, Run, Send, Step, addresses, plan_group
from passes.fusion.inference import Tiles, turns_of
from passes.fusion.model import FusedCosts
from passes.fusion.plans import known_plan
from passes.fusion.region import Region, Table
from tests.backends.generic.layers import machine
from tests.examples import examples
from tests.passes.fusion.groups import conv_pair, random_case

MACHINE = machine({"glb": {"kind": "memory"}, "spad": {"kind": "memory"}})


def _plan(group: Group, mapping: FusedMapping) -> GroupPlan:
    return plan_group(group, mapping, MACHINE, "placed", "node")


def random_lowerable(seed: int) -> tuple[Group, FusedMapping]:
    """A random case without what is refused on purpose."""
    group, mapping = random_case(random.Random(seed))
    sums = next((place for place, node in enumerate(mapping.loops) if node.loop.kind is LoopKind.KS), None)
    retentions: list[Retention] = []
    for each in mapping.retentions:
        level = each.level
        if each.tensor == group.head.result and sums is not None:
            level = sums if level is None else min(level, sums)
        retentions.append(replace(each, level=level, reuse=each.reuse or level is None))
    return group, FusedMapping(mapping.loops, tuple(retentions), Stages.SEQUENTIAL)


def cuts_sums(group: Group, mapping: FusedMapping) -> bool:
    """Whether turns of a mapping leave sums of the head unfinished."""
    pairs = zip(mapping.loops, turns_of(group.head, mapping), strict=True)
    return any(node.loop.kind is LoopKind.KS and turns > 1 for node, turns in pairs)


def _elements(region: Region, turns: tuple[int, ...]) -> set[tuple[int, ...]]:
    found: set[tuple[int, ...]] = set()
    for box in region.boxes:
        axes = [np.flatnonzero(_at(table, turns)).tolist() for table in box]
        found.update(itertools.product(*axes))
    return found


def _at(table: Table, turns: tuple[int, ...]) -> Table:
    return table[tuple(min(turn, count - 1) for turn, count in zip(turns, table.shape, strict=False))]


def _all_say_why(error: CatenaError) -> bool:
    """Whether a refusal is one: located, with a reason and a hint."""
    assert all(each.message and each.hint and each.node == "node" for each in error.diagnostics)
    return True


class _Walk:
    """What a sequencer does with a plan, element by element."""

    def __init__(self, plan: GroupPlan, tiles: Tiles):
        self._plan, self._tiles = plan, tiles
        self._there: list[dict[tuple[int, ...], tuple[int, ...]]] = [{} for _ in plan.holds]
        self.counts: Counter[tuple[str, str]] = Counter()

    def walk(self) -> None:
        self._around(0, ())

    def _around(self, depth: int, turns: tuple[int, ...]) -> None:
        for step in self._plan.before[depth]:
            self._do(step, turns)
        if depth < len(self._plan.turns):
            for turn in range(self._plan.turns[depth]):
                self._around(depth + 1, (*turns, turn))
        for step in self._plan.after[depth]:
            self._do(step, turns)

    def _do(self, step: Step, turns: tuple[int, ...]) -> None:
        elements = list(itertools.product(*step.box.at(turns)))
        match step:
            case Fetch(hold, _, _):
                self._put(hold, elements)
                self.counts["read", self._plan.holds[hold].tensor] += len(elements)
            case Send(hold, _, _):
                self._need(hold, set(elements))
                self.counts["write", self._plan.holds[hold].tensor] += len(elements)
            case Run():
                self._run(step, turns)

    def _run(self, run: Run, turns: tuple[int, ...]) -> None:
        link = self._tiles.group.link(run.link)
        ranges = run.box.at(turns)
        if not all(ranges):
            return
        operands = {operand.tensor for operand in link.operands}
        for tensor in operands:
            for (name, _), number in self._plan.keeps.items():
                hold = self._plan.holds[number]
                if name == link.name and hold.tensor == tensor:
                    self._need(number, _elements(self._tiles.reads[link.name, tensor], turns))
        axes: list[list[int]] = []
        for place, dim in enumerate(link.spec.dims):
            g, op, opc, ks = ranges[4 * place : 4 * place + 4]
            assert list(ks) == np.flatnonzero(_at(self._tiles.taps(link)[place], turns)).tolist()
            axes.append([(a * dim.op + b) * dim.opc + c for a in g for b in op for c in opc])
        results = list(itertools.product(*axes))
        self.counts["made", link.result] += len(results)
        if (link.name, "O") in self._plan.keeps:
            self._put(self._plan.keeps[link.name, "O"], results)

    def _put(self, number: int, elements: list[tuple[int, ...]]) -> None:
        for element in elements:
            self._there[number][_place(self._plan.holds[number], element)] = element

    def _need(self, number: int, elements: set[tuple[int, ...]]) -> None:
        hold = self._plan.holds[number]
        for element in elements:
            found = self._there[number].get(_place(hold, element))
            assert found == element, f"{hold.tensor}{element} is wanted, {found} is there"


def _place(hold: Hold, element: tuple[int, ...]) -> tuple[int, ...]:
    place: list[int] = []
    for index, axis in zip(element, hold.axes, strict=True):
        assert 0 <= index < axis.extent
        assert (index - axis.first) % axis.step == 0
        place.append((index - axis.first) // axis.step % axis.kept)
    return tuple(place)


def _check(group: Group, mapping: FusedMapping) -> bool:
    """Whether a case can be lowered; if so, its plan does what the model says."""
    try:
        plan = _plan(group, mapping)
    except CatenaError as error:
        return not _all_say_why(error)
    costs = FusedCosts(group, mapping)
    walk = _Walk(plan, costs.tiles)
    walk.walk()
    expected: Counter[tuple[str, str]] = Counter()
    expected.update({("read", name): costs.reads[name] for name in group.external})
    expected.update({("write", name): words for name, words in costs.writes.items()})
    expected.update({("made", name): region.total for name, region in costs.tiles.made.items()})
    assert +walk.counts == +expected
    for hold in plan.holds:
        assert hold.words - hold.spare <= max(costs.occupancy[hold.tensor], 1)
    return True


@settings(max_examples=examples(25), deadline=None)
@given(st.integers(0, 1 << 20))
def test_plans_of_random_groups_do_what_the_model_says(seed: int) -> None:
    _check(*random_lowerable(seed))


@settings(max_examples=examples(25), deadline=None)
@given(st.integers(0, 1 << 20))
def test_known_plans_are_those_that_are_made_anew(seed: int) -> None:
    group, mapping = random_lowerable(seed)
    for each in (group, _called_otherwise(group)):
        names = dict(zip((t.name for t in group.tensors), (t.name for t in each.tensors), strict=True))
        kept = tuple(replace(one, tensor=names[one.tensor]) for one in mapping.retentions)
        both = [_planned(made, each, replace(mapping, retentions=kept)) for made in (plan_group, known_plan)]
        assert both[0] == both[1]


@settings(max_examples=examples(25), deadline=None)
@given(st.integers(0, 1 << 20))
def test_plans_are_made_once_in_whatever_order_groups_list_tensors(seed: int) -> None:
    group, mapping = random_lowerable(seed)
    first = _planned(known_plan, group, mapping)
    other = Group(group.links, group.tensors[::-1], group.exported)
    with patch("passes.fusion.plans.plan_anew", side_effect=AssertionError("it is made anew")):
        assert _planned(known_plan, other, mapping) == first


def _called_otherwise(group: Group) -> Group:
    tensors = tuple(replace(each, name=f"{each.name}'") for each in group.tensors)
    links = tuple(
        replace(
            link,
            name=f"{link.name}'",
            result=f"{link.result}'",
            operands=tuple(replace(each, tensor=f"{each.tensor}'") for each in link.operands),
        )
        for link in group.links
    )
    return Group(links, tensors, frozenset(f"{name}'" for name in group.exported))


def _planned(made: Callable[..., GroupPlan], group: Group, mapping: FusedMapping) -> GroupPlan | list[str]:
    try:
        return made(group, mapping, MACHINE, "placed", "node")
    except CatenaError as error:
        return [each.message for each in error.diagnostics]


@pytest.mark.parametrize(
    "first",
    [pytest.param(0, marks=pytest.mark.slow)]
    + [pytest.param(n, marks=pytest.mark.exhaustive) for n in range(200, 1000, 200)],
)
def test_plans_of_many_random_groups_do_what_the_model_says(first: int) -> None:
    lowered = sum(_check(*random_lowerable(seed)) for seed in range(first, first + 200))
    assert lowered > 140


def test_holds_are_as_large_as_the_model_says() -> None:
    """Two convolutions, four rows at a time: products of what is needed at a time, and no word more."""
    group = conv_pair(20, 3)
    mapping = FusedMapping(
        (Temporal(Loop("H", LoopKind.OPC), 4),),
        tuple(Retention(each.name, "glb", 1 if each.name[0] in "fc" else 0) for each in group.tensors),
    )
    plan, costs = _plan(group, mapping), FusedCosts(group, mapping)
    assert {hold.tensor: (hold.words, hold.spare) for hold in plan.holds} == {
        name: (words, 0) for name, words in costs.occupancy.items()
    }
    kept = {hold.tensor: tuple(axis.kept for axis in hold.axes) for hold in plan.holds}
    assert kept["f1"] == (3, 8, 20)
    assert kept["conv1.out"] == (3, 6, 18)
    placed = addresses(plan.holds, tuple(link.name for link in group.links), MACHINE)
    assert sorted(placed) == sorted(
        sum(hold.words for hold in plan.holds[:number]) for number in range(len(plan.holds))
    )


def test_regular_turns_are_one_span() -> None:
    group = conv_pair(68, 3)
    mapping = FusedMapping(
        (Temporal(Loop("H", LoopKind.OPC), 4),),
        tuple(Retention(each.name, "glb", 1) for each in group.tensors),
    )
    (run,) = [step for _, step in _plan(group, mapping).steps if isinstance(step, Run) and step.link == "conv1"]
    rows = run.box.axes[4 + 2]
    assert rows.along == (Along(0, (Span(0, 0, 6), Span(1, 6, 4, 4))),)


def _table(*rows: str) -> Table:
    return np.array([[mark == "x" for mark in row] for row in rows])


@pytest.mark.parametrize(
    ("table", "boxes", "spans"),
    [
        (_table("xx....", "..xx..", "....xx"), 1, 1),
        (_table("xxx...", "..xxx.", "....xx"), 1, 3),
        (_table("x.x.x.", "x.x.x.", "x.x.x."), 1, 0),
        (_table("xx.....", ".xx....", "...xx.."), 1, 3),
        (_table("x..x..", ".x..x.", "..x..x"), 2, 1),
        (_table("......", "xxx...", "......"), 1, 3),
    ],
)
def test_tables_become_spans(table: Table, boxes: int, spans: int) -> None:
    region = Region(((table,),), (3,))
    found = boxes_of(region)
    assert len(found) == boxes
    assert sum(len(along.spans) for along in found[0].axes[0].along) == spans
    for turn in range(3):
        expected = np.flatnonzero(table[turn]).tolist()
        assert sorted(index for box in found for index in box.at((turn,))[0]) == expected


def test_work_without_order_is_refused() -> None:
    table = np.random.default_rng(3).random((3, 400)) < 0.5
    with pytest.raises(IrregularError, match="gaps"):
        boxes_of(Region(((table, table),), (3,)))


def _refusals() -> Iterator[tuple[str, FusedMapping]]:
    group = conv_pair(8, 2)
    rows = Temporal(Loop("H", LoopKind.OPC), 2)
    kept = tuple(Retention(each.name, "glb", 0) for each in group.tensors)
    below = tuple(replace(each, level=1) for each in kept)
    outside = tuple(replace(each, memory="dram") for each in kept)
    elsewhere = tuple(replace(each, memory="nowhere") for each in kept)
    yield "has one array for all of them", FusedMapping((rows,), kept, Stages.PIPELINE)
    yield "unfinished between turns", FusedMapping((Temporal(Loop("C", LoopKind.KS), 1),), below)
    yield "off-chip between links", FusedMapping((rows,), outside)
    yield "there is no memory nowhere", FusedMapping((rows,), elsewhere)


@pytest.mark.parametrize(("message", "mapping"), list(_refusals()))
def test_refusals_say_what_and_why(message: str, mapping: FusedMapping) -> None:
    with pytest.raises(CatenaError, match=message):
        _plan(conv_pair(8, 2), mapping)
