"""Random small links, machines, and nests for hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

from hypothesis import strategies as st

from dialects.gconv import Dim, GConv, LoopKind, Reduce
from dialects.hierarchy import Hierarchy
from dialects.schedule import Operand
from dialects.soundness import parse_hierarchy
from passes.mapper.nest import For, Nest, Node, Par, Store
from passes.mapper.problem import Problem

OPERATIONS = 300
"""The literal walk visits every operation, so links are small."""


@st.composite
def links(draw: st.DrawFn) -> GConv:
    """A link of one to three dimensions with a kernel, strides and dilations."""
    dims: list[Dim] = []
    for place, name in enumerate("ABC"[: draw(st.integers(1, 3))]):
        counts = st.sampled_from([1, 1, 2, 3, 4, 5] if place < 2 else [1, 1, 2])
        stride, dilation = draw(st.sampled_from([1, 1, 2, 3])), draw(st.sampled_from([1, 1, 2]))
        dims.append(Dim(name, draw(counts), draw(counts), draw(counts), draw(counts), stride, dilation))
    return GConv(tuple(dims), main="mul", reduce=Reduce.ADD)


def extras_of(spec: GConv, repeated: Sequence[Sequence[bool]]) -> tuple[tuple[int, ...], ...]:
    """Shapes of tensors that go with the results of a link: for each, along which dimensions they repeat it."""
    return tuple(
        tuple(1 if again else dim.output_extent for dim, again in zip(spec.dims, cycle(each or [True])))
        for each in repeated
    )


REPEATED = st.lists(st.lists(st.booleans(), min_size=1, max_size=3), max_size=2)
"""What `extras_of` asks for: a bias, a residual, both, neither, or something between."""


@st.composite
def hierarchies(draw: st.DrawFn) -> Hierarchy:
    """Two buffers, two axes and a register file, each with properties of its own."""
    some = st.lists(st.sampled_from(["I", "K"]), unique=True)
    levels: dict[str, dict[str, object]] = {"dram": {"kind": "memory"}}
    for name in ("sram", "glb", "x", "y", "rf"):
        if name in ("x", "y"):
            multicast, reduces = draw(some), draw(st.booleans())
            levels[name] = {"kind": "axis", "size": 64, "multicast": multicast, "reduces": reduces}
        else:
            levels[name] = {"kind": "memory", "slides": draw(st.booleans()), "stays": draw(st.booleans())}
    return parse_hierarchy({"name": "drawn", "summary": "", "levels": levels})


@st.composite
def nests(draw: st.DrawFn, problem: Problem) -> tuple[Nest, list[int]]:
    """A nest for a machine of `hierarchies`, with a tile for every node."""
    nodes: list[Node] = []
    tiles: list[int] = []

    def cut(axis: str | None = None) -> None:
        loop = draw(st.integers(0, len(problem.loops) - 1))
        nodes.append(For(loop) if axis is None else Par(loop, axis))
        tiles.append(draw(st.integers(1, problem.extents[loop])))

    def store(memory: str) -> None:
        for operand in draw(st.permutations(list(Operand))):
            if draw(st.integers(0, 3)):
                nodes.append(Store(memory, operand))
                tiles.append(1)
            if draw(st.booleans()):
                cut()

    for _ in range(draw(st.integers(0, 2))):
        cut()
    if draw(st.booleans()):
        store("sram")
    store("glb")
    for _ in range(draw(st.integers(0, 2))):
        cut()
    for axis in draw(st.lists(st.sampled_from("xy"), max_size=3)):
        cut(axis)
    store("rf")
    return Nest(tuple(nodes)), tiles


def has_loops(spec: GConv) -> bool:
    """Whether a link has something to map, and little enough to walk."""
    return 1 < spec.trips <= OPERATIONS and any(spec.worked(dim, kind) > 1 for dim in spec.dims for kind in LoopKind)
