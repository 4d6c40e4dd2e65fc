"""Pieces of loops, spans and shared words: closed forms against enumeration."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.gconv import Dim, GConv, LoopKind
from dialects.schedule import Axis, Loop, Mapping, Operand, Spatial, Storage, Temporal
from passes.mapping.tiling import (
    Tiling,
    cut,
    distinct_positions,
    number,
    padded_words,
    real_positions,
    real_sizes,
    span,
)
from tests.examples import examples
from tests.passes.mapping.drawing import links, mappings

SIZE = st.integers(1, 12)


def sliced(ranges: list[range], tile: int) -> list[range]:
    """Every range cut into slices of `tile` indices."""
    return [indices[i : i + tile] for indices in ranges for i in range(0, len(indices), tile)]


@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(st.integers(1, 60), st.lists(st.integers(1, 70), max_size=4))
def test_cutting_gives_the_sizes_of_nested_slices(extent: int, tiles: list[int]) -> None:
    pieces, ranges = {extent: 1}, [range(extent)]
    for tile in tiles:
        pieces, ranges = cut(pieces, tile), sliced(ranges, tile)
        assert pieces == Counter(map(len, ranges))
        assert number(pieces) == len(ranges)
        assert sum(size * count for size, count in pieces.items()) == extent


def test_the_last_tile_is_smaller() -> None:
    assert cut({10: 1}, 4) == {4: 2, 2: 1}
    assert cut(cut({10: 1}, 4), 3) == {3: 2, 1: 2, 2: 1}
    assert cut({4: 3}, 4) == {4: 3}
    assert cut({3: 2}, 5) == {3: 2}


@pytest.mark.parametrize("stride", range(1, 7))
@pytest.mark.parametrize("dilation", range(1, 7))
def test_distinct_positions_are_those_of_a_set(stride: int, dilation: int) -> None:
    for outputs, kernels in itertools.product(range(1, 10), repeat=2):
        positions = {a * stride + b * dilation for a in range(outputs) for b in range(kernels)}
        assert distinct_positions(outputs, kernels, stride, dilation) == len(positions)


@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(SIZE, SIZE, st.integers(1, 5), st.integers(1, 5))
def test_a_span_reaches_from_the_first_to_the_last_position(outputs: int, kernels: int, s: int, d: int) -> None:
    positions = {a * s + b * d for a in range(outputs) for b in range(kernels)}
    assert span(outputs, kernels, Dim("W", stride=s, dilation=d)) == max(positions) - min(positions) + 1


@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(
    SIZE, SIZE, st.integers(1, 4), st.integers(1, 4), st.integers(-3, 4), st.integers(1, 3), SIZE, SIZE,
    st.integers(1, 30),
)  # fmt: skip
def test_real_positions_are_those_inside_the_input(
    outputs: int, kernels: int, stride: int, dilation: int, pad: int, up: int, out_tile: int, tap_tile: int, extent: int
) -> None:
    dim = Dim("W", opc=outputs, ks=kernels, stride=stride, dilation=dilation, pad=pad, up=up)
    outs, taps = sliced([range(outputs)], out_tile), sliced([range(kernels)], tap_tile)
    expected = 0
    for out, tap in itertools.product(outs, taps):
        touched = [a * stride + b * dilation - pad for a in out for b in tap]
        expected += sum(x % up == 0 and 0 <= x // up < extent for x in range(min(touched), max(touched) + 1))
    rows = [[(piece.start, len(piece)) for piece in pieces] for pieces in (outs, taps)]
    assert real_positions(dim, extent, *rows) == expected
    assert sum(real_sizes(dim, extent, *rows)) == expected


@settings(max_examples=20, derandomize=True, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(-40, 200), st.integers(1, 3), st.integers(1, 400))
def test_many_pieces_are_counted_without_a_table(stride: int, dilation: int, pad: int, tile: int, extent: int) -> None:
    dim = Dim("W", opc=200, ks=150, stride=stride, dilation=dilation, pad=pad)
    rows = [[(at, min(tile, n - at)) for at in range(0, n, tile)] for n in (dim.opc, dim.ks)]
    assert real_positions(dim, extent, *rows) == sum(real_sizes(dim, extent, *rows))


@settings(max_examples=examples(100), derandomize=True, deadline=None)
@given(st.data())
def test_every_depth_has_the_pieces_of_the_nodes_above(data: st.DataObject) -> None:
    spec, _, _ = data.draw(links(most_trips=400))
    mapping = data.draw(mappings(spec))
    tiling = Tiling(spec, mapping)
    ranges = {Loop(dim.name, kind): [range(spec.worked(dim, kind))] for dim in spec.dims for kind in LoopKind}
    for position, node in enumerate([*mapping.nodes, None]):
        depth = tiling.at(position)
        assert depth.pieces == {loop: Counter(map(len, pieces)) for loop, pieces in ranges.items()}
        assert depth.largest == {loop: len(pieces[0]) for loop, pieces in ranges.items()}
        for dim in spec.dims:
            assert depth.count(dim, *LoopKind) == math.prod(len(ranges[Loop(dim.name, kind)]) for kind in LoopKind)
        if node is None or isinstance(node, Spatial):
            break
        if isinstance(node, Temporal):
            ranges[node.loop] = sliced(ranges[node.loop], node.tile)
    assert tiling.in_pass == depth
    for node in mapping.spatial:
        ranges[node.loop] = sliced(ranges[node.loop], node.tile)
    assert tiling.in_element.pieces == {loop: Counter(map(len, pieces)) for loop, pieces in ranges.items()}


def test_elements_of_a_loop_are_counted_through_all_its_spatial_nodes() -> None:
    loop = Loop("H", LoopKind.OPC)
    nodes = (Temporal(loop, 9), Spatial(loop, 4, Axis.ROW), Spatial(loop, 3, Axis.COL))
    tiling = Tiling(GConv((Dim("H", opc=20),)), Mapping(nodes))
    assert [tiling.elements(loop, size) for size in (9, 8, 5, 2)] == [5, 4, 3, 1]
    assert tiling.first_below(loop, 20, 0) == 9
    assert tiling.first_below(loop, 20, 1) == 20


def tile_of(spec: GConv) -> Tiling:
    """The whole link in one element."""
    return Tiling(spec, Mapping((Storage("glb", (Operand.INPUT, Operand.OUTPUT)), Storage("spad", (Operand.KERNEL,)))))


@pytest.mark.parametrize(
    ("dims", "sliding"),
    [
        # The innermost stream is the last dimension with several output positions.
        ((Dim("H", opc=4, ks=3), Dim("W", opc=5, ks=2)), "W"),
        ((Dim("H", opc=4, ks=3), Dim("W", ks=2)), "H"),
        ((Dim("W", opc=4, ks=3), Dim("N", opc=2)), "N"),
        # Groups streamed inside of it break the window off.
        ((Dim("W", opc=4, ks=3), Dim("C", g=2)), None),
        ((Dim("C", g=2), Dim("W", opc=4, ks=3)), "W"),
        ((Dim("W", g=2, opc=4, ks=3),), "W"),
        ((Dim("C", op=3, ks=4),), None),
    ],
)
def test_elements_slide_along_the_innermost_stream_of_outputs(dims: tuple[Dim, ...], sliding: str | None) -> None:
    found = tile_of(GConv(dims, "mul")).sliding
    assert (found and found.name) == sliding


@pytest.mark.parametrize(
    ("dims", "words"),
    [
        ((Dim("C", op=16, ks=4), Dim("W", opc=13, ks=3)), {"input": 12, "kernel": 192, "output": 16}),
        # A dilated window that slides keeps the words between its taps; one that does not, only the taps.
        ((Dim("W", opc=5, ks=3, dilation=2),), {"input": 5, "kernel": 3, "output": 1}),
        ((Dim("W", ks=3, dilation=2),), {"input": 3, "kernel": 3, "output": 1}),
        ((Dim("W", opc=5, ks=3, dilation=2), Dim("N", opc=2)), {"input": 3, "kernel": 3, "output": 1}),
        # Groups have their own kernels, but share the room for inputs and sums one after another.
        ((Dim("C", g=3, op=2, ks=2), Dim("W", opc=4, ks=3)), {"input": 6, "kernel": 36, "output": 2}),
    ],
)
def test_scratchpad_words(dims: tuple[Dim, ...], words: dict[str, int]) -> None:
    assert tile_of(GConv(dims, "mul")).scratchpad_words() == words


def test_padded_words_hold_the_gaps_between_windows() -> None:
    dim = Dim("W", g=2, op=3, opc=5, ks=3, stride=4)
    rows = Loop("W", LoopKind.OPC), Loop("W", LoopKind.OP)
    depth = Tiling(GConv((dim,), "mul"), Mapping((Temporal(rows[0], 2), Temporal(rows[1], 2)))).at(2)
    # Two groups, two tiles of kernels, outputs in tiles of 2, 2 and 1: 7 + 7 + 3 positions.
    assert padded_words([dim], depth) == 2 * 2 * 17
