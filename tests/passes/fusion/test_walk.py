"""The walk of fused groups: published figures, figures by hand, and its definition in sets."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, assume, given, settings

from dialects.fused_mapping import FusedMapping, Retention, Stages
from dialects.gconv.spec import LoopKind
from dialects.schedule import Loop, Temporal
from passes.fusion.group import Group, Role
from tests.examples import examples
from tests.passes.fusion import resnet_pair
from tests.passes.fusion.groups import (
    REFUSED,
    Builder,
    attention,
    cases,
    everything_at,
    fc_pair,
    projections,
    random_case,
    residual_block,
)
from tests.passes.fusion.literal import literal
from tests.passes.fusion.walk import walk

ROWS = [pytest.param(row, id=row.name, marks=[pytest.mark.exhaustive] if row.slow else []) for row in resnet_pair.ROWS]
UNHURRIED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@pytest.mark.parametrize("row", ROWS)
def test_published_figures(row: resnet_pair.Row) -> None:
    walked = walk(resnet_pair.GROUP, row.mapping)
    assert walked.capacity == walked.peak == {"glb": row.capacity}
    assert walked.offchip == row.offchip
    assert walked.operations == {"conv1": row.first, "conv2": resnet_pair.SECOND}
    assert walked.baseline == {"conv1": resnet_pair.FIRST, "conv2": resnet_pair.SECOND}
    if row.held is not None:
        assert tuple(walked.occupancy[tensor] for tensor in ("f1", "conv1.out", "conv2.out")) == row.held


def test_published_pipeline() -> None:
    walked = walk(resnet_pair.GROUP, resnet_pair.PIPELINED)
    assert walked.capacity == {"glb": 107_648}
    assert walked.latency(Stages.PIPELINE) == 126_074_880
    assert walked.latency(Stages.SEQUENTIAL) == resnet_pair.FIRST + resnet_pair.SECOND


def test_published_fully_connected_pair() -> None:
    group = fc_pair(9, 2, 4, 8)
    walked = walk(group, everything_at(group, 1, (Temporal(Loop("P", LoopKind.OPC), 1),)))
    assert walked.reads == {"x": 18, "w1": 8, "w2": 32, "fc1.out": 0, "fc2.out": 0}
    assert walked.writes == {"x": 0, "w1": 0, "w2": 0, "fc1.out": 0, "fc2.out": 72}
    assert walked.latency(Stages.SEQUENTIAL, {"fc1": 4, "fc2": 8}) == 54  # rates not published: one cycle for each C


def test_a_reduction_in_tiles_visits_its_result_again() -> None:
    group = fc_pair(3, 2, 4, 5)
    reduction = (Temporal(Loop("C", LoopKind.KS), 2),)
    kept = walk(group, everything_at(group, 0, reduction))
    assert (kept.writes["fc2.out"], kept.reads["fc2.out"]) == (15, 0)
    for level, reuse in ((1, False), (None, True)):
        spilled = FusedMapping(
            reduction,
            tuple(
                Retention("fc2.out", "glb", level, reuse) if tensor.name == "fc2.out" else Retention(tensor.name, "glb")
                for tensor in group.tensors
            ),
        )
        walked = walk(group, spilled)
        assert (walked.writes["fc2.out"], walked.reads["fc2.out"]) == (30, 15)


def test_repeated_results_are_worked_once() -> None:
    net = Builder()
    net.unary(net.unary(net.external((3, 4)), repeats=(1, 2)), repeats=(2, 1))
    group = net.group()
    walked = walk(group, everything_at(group, 0))
    assert walked.operations == {"l0": 12, "l1": 24}
    again = walk(group, everything_at(group, 0, (Temporal(Loop("C", LoopKind.OP), 1),)))
    assert again.operations == {"l0": 12, "l1": 48}
    assert again.recomputed == {"l0": 0, "l1": 24}


def test_places_within_links_hold_what_one_link_uses() -> None:
    net = Builder()
    x = net.external((6,))
    net.unary(net.unary(x.slice(0, 0, 3)), posts=[x.slice(0, 2, 3)])
    group = net.group()
    walked = walk(group, mapping := FusedMapping(
        (), (Retention("x0", "glb", None), Retention("l0.out", "spad"), Retention("l1.out", "glb", None))
    ))  # fmt: skip
    assert walked.reads["x0"] == 6  # the third word twice
    assert walked.occupancy == {"x0": 3, "l0.out": 3, "l1.out": 3}
    assert walked.capacity == walked.peak == {"glb": 6, "spad": 3}
    pipelined = walk(group, FusedMapping(mapping.loops, mapping.retentions, Stages.PIPELINE))
    assert pipelined.capacity == pipelined.peak == {"glb": 9, "spad": 3}


@pytest.mark.parametrize("as_post", [True, False])
def test_a_residual_needs_the_union_of_what_its_readers_need(as_post: bool) -> None:
    group = residual_block(1, 8, as_post)
    rows = (Temporal(Loop("H", LoopKind.OPC if as_post else LoopKind.G), 1),)
    kept = walk(group, everything_at(group, 1, rows))
    assert set(kept.recomputed.values()) == {0}
    assert kept.occupancy["l0.out"] == 3 * 8
    lost = FusedMapping(rows, tuple(Retention(tensor.name, "glb", 1, False) for tensor in group.tensors))
    assert walk(group, lost).operations["l0"] == 8 * (3 + 4 + 4 * 5 + 4 + 3)


@pytest.mark.parametrize("group", [attention(2, 3, 4, 2), projections(4, 3, 2, 2)], ids=["attention", "projections"])
def test_untiled_groups_move_everything_once(group: Group) -> None:
    walked = walk(group, everything_at(group, 0))
    assert {name: words for name, words in walked.reads.items() if words} == {
        name: group.tensor(name).size for name in group.external
    }
    assert {name: words for name, words in walked.writes.items() if words} == {
        group.head.result: group.tensor(group.head.result).size
    }
    assert walked.operations == {link.name: link.spec.trips for link in group.links}


@settings(deadline=None, max_examples=examples(60), suppress_health_check=UNHURRIED)
@given(cases)
def test_walk_is_the_definition(case: tuple[Group, FusedMapping]) -> None:
    group, mapping = case
    walked = walk(group, mapping)
    points = sum(math.prod(dim.g * dim.op * dim.opc * dim.ks for dim in link.spec.dims) for link in group.links)
    assume(len(walked.turns) * points < 40_000)
    expected = literal(group, mapping)
    for measure in ("reads", "writes", "operations", "baseline", "held", "local"):
        assert getattr(walked, measure) == getattr(expected, measure), measure


@pytest.mark.parametrize("name", REFUSED)
def test_what_means_nothing_is_refused(name: str) -> None:
    group, mapping = REFUSED[name]
    with pytest.raises(ValueError, match=r"level|unpack"):
        walk(group, mapping)


def test_random_groups_are_well_formed() -> None:
    for seed in range(300):
        group, _ = random_case(random.Random(seed))
        assert 2 <= len(group.links) <= 5
        assert group.head is group.links[-1]
        known = set(group.external)
        for link in group.links:
            assert group.tensor(link.result).shape == link.spec.output_shape
            for operand in link.operands:
                assert operand.tensor in known
                assert len(operand.axes) == len(group.tensor(operand.tensor).shape)
                for dim, extent in zip(link.spec.dims, operand.shape, strict=True):
                    if operand.role is Role.INPUT:
                        assert extent % dim.g == 0
                    elif operand.role is Role.KERNEL:
                        assert extent == dim.kernel_extent
                    else:
                        assert extent in (1, dim.output_extent)
            known.add(link.result)


def test_random_cases_are_of_every_kind() -> None:
    seen: Counter[str] = Counter()
    for seed in range(400):
        seen.update(_kinds(*random_case(random.Random(seed))))
    missing = {kind for kind in EVERY_KIND if seen[kind] < 4}
    assert not missing


EVERY_KIND = {
    *("up", "stride", "dilation", "cropped", "groups", "depthwise", "repeat", "overlap"),
    *("residual", "shared input", "made kernel", "made post", "broadcast post", "expanded"),
    *("every second", "backwards", "offset", "two terms", "exported", "two memories", "sequential", "pipeline"),
    *(f"loop {kind}" for kind in LoopKind),
    *(f"{count} loops" for count in range(4)),
    *(f"level {level} of {count}" for count in range(4) for level in (*range(count + 1), None)),
    *("last tile smaller", "lost", "lost input"),
}


def _kinds(group: Group, mapping: FusedMapping) -> set[str]:
    kinds: set[str] = {str(mapping.stages), f"{len(mapping.loops)} loops"}
    for link in group.links:
        for dim in link.spec.dims:
            traits = {
                "up": dim.up > 1,
                "stride": dim.stride > 1 and dim.opc > 1,
                "dilation": dim.dilation > 1 and dim.ks > 1,
                "cropped": dim.pad < 0,
                "groups": dim.g > 1 and dim.ks > 1,
                "depthwise": dim.g > 1 and dim.op > 1,
                "repeat": link.spec.main == "pass" and dim.op > 1,
                "overlap": dim.ks > 1 and dim.opc > 1 and dim.stride < (dim.ks - 1) * dim.dilation + 1,
            }
            kinds |= {trait for trait, holds in traits.items() if holds}
        for operand in link.operands:
            made = operand.tensor in group.intermediates
            bound = {dim for axis in operand.axes for dim, _ in axis.terms}
            wide = {dim for dim, extent in enumerate(operand.shape) if extent > 1}
            traits = {
                "made kernel": made and operand.role is Role.KERNEL,
                "made post": made and operand.role is Role.POST,
                "broadcast post": operand.role is Role.POST and operand.shape != link.spec.output_shape,
                "expanded": not wide <= bound,
                "every second": any(step == 2 for axis in operand.axes for _, step in axis.terms),
                "backwards": any(step == -1 for axis in operand.axes for _, step in axis.terms),
                "offset": any(axis.offset for axis in operand.axes),
                "two terms": any(len(axis.terms) > 1 for axis in operand.axes),
            }
            kinds |= {trait for trait, holds in traits.items() if holds}
    for tensor in group.tensors:
        retention = mapping.retention(tensor.name)
        readers = {link.name for link, _ in group.readers(tensor.name)}
        kinds.add(f"level {retention.level} of {len(mapping.loops)}")
        if tensor.name in group.intermediates:
            kinds |= {"residual"} if len(readers) > 1 else set()
            kinds |= set() if retention.reuse else {"lost"}
        elif tensor.name in group.external:
            kinds |= {"shared input"} if len(readers) > 1 else set()
            kinds |= set() if retention.reuse else {"lost input"}
    head = {dim.name: dim for dim in group.head.spec.dims}
    for node in mapping.loops:
        kinds.add(f"loop {node.loop.kind}")
        if head[node.loop.dim].count(node.loop.kind) % node.tile:
            kinds.add("last tile smaller")
    if group.exported:
        kinds.add("exported")
    if len({retention.memory for retention in mapping.retentions}) > 1:
        kinds.add("two memories")
    return kinds
