"""Random layers for property tests: all loops, addressings, functions, reductions and strided tensors."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import strategies as st

from dialects.gconv import PASS, Dim, GConv, LoopKind, Reduce, Step, View
from dialects.schedule import Axis, Loop, Mapping, Node, Operand, Spatial, Storage, Temporal
from tests.backends.spatial.layers import Access, Layer, Shape

MAX_TRIPS = 2500
UNARY = (Step("abs"), Step("neg"), Step("relu"), Step("affine", (2.0, -1.0)), Step("clip", (-3.0, 5.0)))
MAIN = ("mul", "mul", "mul", "add", "sub", "rsub", "max", "min", "lt", "keep")
POST = ("add", "sub", "rsub", "mul", "max", "min")


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    """A layer of up to four dimensions and `MAX_TRIPS` operations."""
    dims = tuple(draw(dimensions(name)) for name in "ABCD"[: draw(st.integers(1, 4))])
    spec = GConv(dims, "mul")
    while spec.trips > MAX_TRIPS:
        # Drop the longest dimension: every draw gives a layer.
        longest = max(spec.dims, key=lambda dim: dim.g * dim.op * dim.opc * dim.ks)
        spec = GConv(tuple(Dim(dim.name) if dim is longest else dim for dim in spec.dims), "mul")
    folded = math.prod(dim.ks for dim in spec.dims)
    reduce = draw(st.sampled_from(_reductions(folded)))
    main = draw(st.sampled_from((PASS, *MAIN)))
    post, extras = draw(_posts(spec.output_shape))
    spec = GConv(
        spec.dims,
        main,
        reduce,
        draw(st.sampled_from(((), (), UNARY[0:1], UNARY[3:5]))) if reduce is not Reduce.MUL else (),
        draw(st.sampled_from(((), (), UNARY[2:3], UNARY[1:3]))) if reduce is not Reduce.MUL else (),
        post,
        draw(st.sampled_from((None, 0.0, 1.0, -2.0))),
    )
    shape = tuple(dim.g * draw(_extents(dim)) for dim in spec.dims)
    kernel = None if main == PASS else draw(accesses(spec.kernel_shape))
    beside = draw(st.none() | st.integers(0, len(spec.dims) - 1))
    return Layer(spec, draw(accesses(shape)), kernel, extras, beside)


def _reductions(folded: int) -> list[Reduce]:
    found = [Reduce.ADD, Reduce.ADD, Reduce.MAX, Reduce.MIN]
    if folded == 1:
        found += [Reduce.NONE, Reduce.NONE]
    if folded <= 12:
        found.append(Reduce.MUL)
    return found


@st.composite
def dimensions(draw: st.DrawFn, name: str) -> Dim:
    """A dimension: a single loop, channels, a window, or everything at once."""
    size = st.integers
    match draw(st.integers(0, 6)):
        case 0:
            return Dim(name, opc=draw(size(1, 7)))
        case 1:
            return Dim(name, g=draw(size(1, 3)), op=draw(size(1, 6)), ks=draw(size(1, 7)))
        case 2:
            return Dim(name, g=draw(size(1, 6)))
        case 3:
            return Dim(name, ks=draw(size(2, 8)))
        case 4:
            return Dim(name, g=draw(size(1, 2)), op=draw(size(1, 3)), opc=draw(size(1, 4)), ks=draw(size(1, 3)))
        case _:
            return Dim(
                name,
                opc=draw(size(2, 8)),
                ks=draw(size(2, 4)),
                stride=draw(size(1, 3)),
                dilation=draw(size(1, 3)),
                pad=draw(size(-2, 3)),
                up=draw(st.sampled_from((1, 1, 1, 2, 3))),
            )


def _extents(dim: Dim) -> st.SearchStrategy[int]:
    """Input extents of a group around the one that the window reaches: cropped, exact or with words to spare."""
    _, high = dim.window
    reach = max(0, high // dim.up)
    return st.integers(max(1, reach - 1), reach + 2)


@st.composite
def _posts(draw: st.DrawFn, shape: Shape) -> tuple[tuple[Step, ...], tuple[Access, ...]]:
    count = draw(st.sampled_from((0, 0, 1, 1, 2)))
    extras: list[Access] = []
    steps: list[Step] = []
    for operand in range(count):
        extents = tuple(n if draw(st.booleans()) else 1 for n in shape)
        extras.append(draw(accesses(extents)))
        steps.append(Step(draw(st.sampled_from(POST)), operand=operand))
        if draw(st.booleans()):
            steps.append(draw(st.sampled_from(UNARY)))
    return tuple(steps), tuple(extras)


@st.composite
def accesses(draw: st.DrawFn, shape: Shape) -> Access:
    """A tensor of this shape: dense, or transposed, cut out, reversed and repeated from another."""
    if draw(st.booleans()):
        return Access.dense(shape)
    base: list[int] = []
    repeats = [draw(st.integers(0, 5)) == 0 for _ in shape]
    margins = [draw(st.integers(0, 1)) for _ in shape]
    for extent, is_repeated, margin in zip(shape, repeats, margins, strict=True):
        base.append((1 if is_repeated else extent) + margin)
    order = draw(st.permutations(range(len(shape))))
    stored = [base[axis] for axis in order]
    view = View.dense(stored).permute([order.index(axis) for axis in range(len(shape))])
    for axis, (extent, is_repeated, margin) in enumerate(zip(shape, repeats, margins, strict=True)):
        kept = 1 if is_repeated else extent
        start, step = (margin, 1) if draw(st.booleans()) else (margin + kept - 1, -1)
        view = view.slice(axis, start, kept, step)
    strides = tuple(0 if is_repeated else stride for stride, is_repeated in zip(view.strides, repeats, strict=True))
    return Access(tuple(stored), View(shape, strides, view.offset))


@st.composite
def mapped_layers(draw: st.DrawFn) -> Layer:
    """A layer with a mapping that no mapper made; it obeys the rules of `passes.mapping.fit` but those of sizes."""
    layer = draw(layers())
    return replace(layer, mapping=draw(mappings(layer.spec)))


@st.composite
def mappings(draw: st.DrawFn, spec: GConv) -> Mapping:
    """Every loop cut a few times, in any order that keeps partial sums and kernels on chip."""
    waiting: dict[Loop, list[int]] = {}
    spatial: list[Spatial] = []
    for dim in spec.dims:
        for kind in LoopKind:
            loop = Loop(dim.name, kind)
            tiles = draw(_tiles(spec.worked(dim, kind)))
            split = draw(st.integers(0, len(tiles)))
            if tiles[:split]:
                waiting[loop] = tiles[:split]
            for tile in tiles[split:]:
                axis = Axis.ROW if kind is LoopKind.KS else draw(st.sampled_from(Axis))
                spatial.append(Spatial(loop, tile, axis))
    temporal: list[Temporal] = []
    while waiting:
        loop = draw(st.sampled_from(sorted(waiting)))
        temporal.append(Temporal(loop, waiting[loop].pop(0)))
        if not waiting[loop]:
            del waiting[loop]
    kinds = [node.loop.kind for node in temporal]
    # Partial sums stay in the buffer until they are whole; kernels stay in the elements until others are needed.
    folds = next((i for i, kind in enumerate(kinds) if kind is LoopKind.KS), len(kinds))
    kernels = next((len(kinds) - i for i, kind in enumerate(reversed(kinds)) if kind is not LoopKind.OPC), 0)
    places = {Operand.OUTPUT: draw(st.integers(0, folds)), Operand.INPUT: draw(st.integers(0, len(kinds)))}
    if spec.main != PASS:
        places[Operand.KERNEL] = draw(st.integers(kernels, len(kinds)))
    nodes: list[Node] = []
    for position in range(len(temporal) + 1):
        for operand in draw(st.permutations([each for each, place in places.items() if place == position])):
            nodes.append(Storage("spad" if operand is Operand.KERNEL else "glb", (operand,)))
        nodes += temporal[position : position + 1]
    return Mapping((*nodes, *spatial))


@st.composite
def _tiles(draw: st.DrawFn, count: int) -> list[int]:
    """Ever smaller tiles of a loop, the first of which may be all of it."""
    tiles: list[int] = []
    for _ in range(draw(st.sampled_from((0, 0, 1, 1, 2))) if count > 1 else 0):
        count = draw(st.integers(1, count))
        tiles.append(count)
    return tiles
