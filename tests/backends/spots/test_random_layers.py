"""Random layers, machines and mappings: outputs exact, counts as predicted, event by event."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from xdsl.parser import Parser

from dialects.encodings.spots_blocks import SpotsBlocks
from dialects.gconv import LoopKind, Reduce
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import SRAM, GemmAttr, GemmMapping
from dialects.schedule import Loop, Mapping, Node, Storage, Temporal
from passes.gemm.legality import operands_of, violations
from passes.gemm.tiles import RELEVANT
from tests.backends.spatial.drawing import layers
from tests.backends.spatial.layers import Layer, integers
from tests.backends.spots.layers import check_layer, machine
from tests.backends.spots.with_zeros import predicted_with
from tests.examples import examples
from tests.filechecking import new_ir_context

OPERATIONS = 300
"""Machines are so small that a layer takes nearly as many passes."""


@st.composite
def machines(draw: st.DrawFn, *, skips: bool = False) -> GemmMachine:
    """Arrays of a few elements, and memories that hold little."""
    words = st.sampled_from([2, 16, 40, 128, 4096])
    rows = draw(st.sampled_from([4, 8, 12]))
    array: dict[str, Any] = {
        "rows": rows,
        "cols": draw(st.integers(1, 4)),
        "accumulators": draw(st.integers(1, 3)),
        "splits": draw(st.sampled_from([[1], [1, 2], [1, 2, 4]])),
        "fills": draw(st.booleans()),
    }
    im2col = {
        "neighbour_words": draw(st.sampled_from([1, 4, 64])),
        "reserve_words": draw(st.sampled_from([1, 8, 512])),
        "rows_per_cycle": draw(st.integers(1, 4)),
        "block_rows": draw(st.integers(1, 3)),
        "skips": skips,
    }
    sram = {f"{each}_words": draw(words) for each in ("input", "kernel", "output")}
    sram["bitmap_words"] = draw(st.sampled_from([4, 40, 4096]))
    dram = {"words_per_cycle": draw(st.sampled_from([0.75, 3.0, 1e6]))}
    return machine(name="drawn", array=array, im2col=im2col, sram=sram, dram=dram)


@settings(max_examples=examples(30), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(layer=layers(), target=machines())
def test_the_mapping_that_is_chosen_computes_and_counts_what_it_should(layer: Layer, target: GemmMachine) -> None:
    assume(layer.spec.trips <= OPERATIONS)
    check_layer(layer, target)


def sparse(shape: tuple[int, ...], seed: int, reduce: Reduce = Reduce.ADD) -> np.ndarray:
    """Small integers, most of them zero."""
    words = integers(shape, seed, reduce)
    return words if reduce is Reduce.MUL else words * (np.random.default_rng(seed + 9).random(shape) < 0.3)


HEIGHTS = st.sampled_from([None, 1, 2, 3, 8])
"""Of blocks that kernels lie in; None: dense."""


@settings(max_examples=examples(30), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(layer=layers(), target=machines(skips=True), height=HEIGHTS)
def test_what_is_left_out_changes_no_result_and_costs_nothing(
    layer: Layer, target: GemmMachine, height: int | None
) -> None:
    assume(layer.spec.trips <= OPERATIONS)
    layer = replace(layer, words=sparse)
    emulator = check_layer(layer, target, height=height)
    entry = emulator.program.layers[-1]
    if layer.kernel is None:
        return
    source = layer.inputs()["x"]
    predicted = predicted_with(emulator.program, entry, source, target, new_ir_context())
    found = emulator.counters[entry.name].differences(predicted)
    assert not found, f"{entry.mapping}: (counted, predicted) {found}"


def parse_gemm(text: str) -> GemmMapping:
    attribute = Parser(new_ir_context(), text).parse_attribute()
    assert isinstance(attribute, GemmAttr)
    return attribute.data


@st.composite
def mappings(draw: st.DrawFn, layer: Layer, target: GemmMachine) -> GemmMapping:
    """Any tiles in any order, stored below the loops that they depend on, not always right below."""
    spec = layer.spec
    counts = {Loop(dim.name, kind): spec.worked(dim, kind) for dim in spec.dims for kind in LoopKind}
    cut = draw(st.permutations([loop for loop, count in counts.items() if count > 1]))
    # Sums are finished before other results are begun: loops over the kernel are the innermost.
    cut = sorted(cut[: draw(st.integers(0, 4))], key=lambda loop: loop.kind is LoopKind.KS)
    nodes: list[Node] = [Temporal(loop, draw(st.integers(1, counts[loop]))) for loop in cut]
    for operand in operands_of(spec):
        least = max((i + 1 for i, node in enumerate(nodes) if _cuts(node, operand)), default=0)
        nodes.insert(least, Storage(SRAM, (operand,)))
    split = draw(st.sampled_from(target.array.splits))
    reserved = draw(st.sampled_from([None, 0, 1, 3]))
    resumes = reserved is not None and draw(st.booleans())
    rewinds = resumes and draw(st.booleans())
    return GemmMapping(split, reserved, Mapping(tuple(nodes)), resumes, rewinds=rewinds)


def _cuts(node: Node, operand: Any) -> bool:
    return isinstance(node, Temporal) and node.loop.kind in RELEVANT[operand]


@settings(max_examples=examples(30), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(layer=layers(), target=machines(), height=HEIGHTS, data=st.data())
def test_any_mapping_computes_and_counts_what_it_should(
    layer: Layer, target: GemmMachine, height: int | None, data: st.DataObject
) -> None:
    assume(layer.spec.trips <= OPERATIONS)
    layer = replace(layer, words=sparse)
    mapping = data.draw(mappings(layer, target))
    shape = layer.input.view.shape
    blocks = None if height is None or layer.kernel is None or not layer.kernel.base else SpotsBlocks(height)
    assume(not violations(layer.spec, mapping, target, shape, blocks=blocks))
    check_layer(layer, target, mapping, height)
