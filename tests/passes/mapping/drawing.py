"""Random general convolutions and random mappings of sound structure, not only those that the mapper makes."""

from __future__ import annotations

from hypothesis import strategies as st

from dialects.gconv import PASS, Dim, GConv, LoopKind, Reduce, Step
from dialects.schedule import Axis, Loop, Mapping, Node, Operand, Spatial, Storage, Temporal
from passes.mapping.lookups import Lookups

Shape = tuple[int, ...]


@st.composite
def dimensions(draw: st.DrawFn, name: str, largest: int = 4) -> Dim:
    """A dimension with one loop, with channels, with a window, or with everything at once."""
    size = st.integers(1, largest)
    match draw(st.integers(0, 5)):
        case 0:
            return Dim(name, opc=draw(size))
        case 1:
            return Dim(name, g=draw(st.integers(1, 3)), op=draw(size), ks=draw(size))
        case 2:
            return Dim(name, **{draw(st.sampled_from(("g", "ks"))): draw(size)})
        case 3:
            few = st.integers(1, 2)
            return Dim(name, g=draw(few), op=draw(few), opc=draw(few), ks=draw(few), stride=draw(st.integers(1, 3)))
        case _:
            return Dim(
                name,
                opc=draw(st.integers(1, largest + 2)),
                ks=draw(size),
                stride=draw(st.integers(1, 3)),
                dilation=draw(st.integers(1, 3)),
                pad=draw(st.integers(-1, 2)),
                up=draw(st.sampled_from((1, 1, 2, 3))),
            )


@st.composite
def post_operands(draw: st.DrawFn, spec: GConv) -> tuple[Shape, ...]:
    """Shapes that broadcast to the output of a general convolution: none, one or two."""
    return tuple(
        tuple(extent if draw(st.booleans()) else 1 for extent in spec.output_shape)
        for _ in range(draw(st.sampled_from((0, 0, 1, 2))))
    )


@st.composite
def lookups(draw: st.DrawFn, spec: GConv, shape: Shape) -> Lookups:
    """What a link may read and write at computed addresses, mostly nothing; indices repeat in some dimensions."""

    def index(extents: Shape) -> Shape | None:
        if draw(st.integers(0, 3)):
            return None
        return (*(extent if draw(st.booleans()) else 1 for extent in extents), draw(st.integers(1, 2)))

    return Lookups(index(shape), index(spec.output_shape), draw(st.booleans()))


@st.composite
def links(draw: st.DrawFn, most_trips: int = 200, largest: int = 4) -> tuple[GConv, Shape, tuple[Shape, ...]]:
    """A general convolution of at most `most_trips` operations, an input shape, and shapes of post operands."""
    dims = [draw(dimensions(name, largest)) for name in "ABCD"[: draw(st.integers(1, 4))]]
    while GConv(tuple(dims)).trips > most_trips:
        longest = max(range(len(dims)), key=lambda i: dims[i].g * dims[i].op * dims[i].opc * dims[i].ks)
        dims[longest] = Dim(dims[longest].name)
    shape = tuple(dim.g * max(1, dim.window[1] // dim.up + draw(st.integers(-1, 2))) for dim in dims)
    extras = draw(post_operands(GConv(tuple(dims))))
    post = tuple(Step("add", operand=operand) for operand in range(len(extras)))
    main = draw(st.sampled_from(("mul", "mul", "max", PASS)))
    reduce = draw(st.sampled_from((Reduce.ADD, Reduce.ADD, Reduce.MAX)))
    return GConv(tuple(dims), main, reduce, post=post), shape, extras


@st.composite
def window_links(draw: st.DrawFn) -> tuple[GConv, Shape]:
    """Links with two or more windows, of any order and addressing, with groups here and there."""
    size = st.integers
    dims: list[Dim] = []
    for name in "ABCD"[: draw(size(2, 4))]:
        if draw(size(0, 4)) == 0:
            dims.append(draw(dimensions(name)))
            continue
        dims.append(
            Dim(
                name,
                g=draw(st.sampled_from((1, 1, 1, 2, 3))),
                opc=draw(size(1, 5)),
                ks=draw(size(1, 4)),
                stride=draw(size(1, 3)),
                dilation=draw(size(1, 3)),
                pad=draw(size(-1, 2)),
                up=draw(st.sampled_from((1, 1, 2, 3))),
            )
        )
    shape = tuple(dim.g * max(1, dim.window[1] // dim.up + draw(size(-1, 2))) for dim in dims)
    return GConv(tuple(dims), draw(st.sampled_from(("mul", PASS))), Reduce.ADD), shape


@st.composite
def mappings(draw: st.DrawFn, spec: GConv) -> Mapping:
    """Any mapping whose structure is sound: nothing of the machine's sizes is looked at."""
    kinds = [kind for kind in LoopKind if kind is not LoopKind.OP or spec.main != PASS]
    loops = [Loop(dim.name, kind) for dim in spec.dims for kind in kinds]
    several = [loop for loop in loops if _count(spec, loop) > 1] or loops
    over = st.sampled_from(several * 3 + loops)
    nodes: list[Node] = []
    for _ in range(draw(st.integers(0, 6))):
        loop = draw(over)
        nodes.append(Temporal(loop, draw(st.integers(1, _count(spec, loop)))))
    temporal = [node for node in nodes if isinstance(node, Temporal)]
    kernel = max((i + 1 for i, node in enumerate(temporal) if node.loop.kind is not LoopKind.OPC), default=0)
    output = next((i for i, node in enumerate(temporal) if node.loop.kind is LoopKind.KS), len(temporal))
    spots = {
        Operand.INPUT: draw(st.integers(0, len(temporal))),
        Operand.OUTPUT: draw(st.integers(0, output)),
    }
    if spec.main != PASS:
        spots[Operand.KERNEL] = draw(st.integers(kernel, len(temporal)))
    for spot in range(len(temporal), -1, -1):
        here = [operand for operand in draw(st.permutations(list(spots))) if spots[operand] == spot]
        nodes[spot:spot] = _storages(here)
    for _ in range(draw(st.integers(0, 4))):
        loop = draw(over)
        axis = Axis.ROW if loop.kind is LoopKind.KS else draw(st.sampled_from(Axis))
        nodes.append(Spatial(loop, draw(st.integers(1, _count(spec, loop))), axis))
    return Mapping(tuple(nodes))


def _storages(operands: list[Operand]) -> list[Node]:
    """One node per tensor, except that inputs and outputs side by side share one."""
    if len(operands) == 2 and Operand.KERNEL not in operands:
        return [Storage("glb", tuple(operands))]
    return [Storage("spad" if operand is Operand.KERNEL else "glb", (operand,)) for operand in operands]


def _count(spec: GConv, loop: Loop) -> int:
    return next(dim for dim in spec.dims if dim.name == loop.dim).count(loop.kind)
