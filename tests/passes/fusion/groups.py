"""Fused groups as data, by hand and at random, and random mappings of them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from dialects.fused_mapping import FusedMapping, Retention, Stages
from dialects.gconv.spec import PASS, Dim, GConv, LoopKind, Reduce, Step
from dialects.schedule import Loop, Node, Storage, Temporal
from dialects.schedule import Mapping as Nest
from passes.fusion.group import AxisIndex, Group, GroupLink, GroupTensor, Operand, Role
from passes.fusion.pieces import part_of_link, piece_problems

Shape = tuple[int, ...]

MEMORIES = ("glb", "spad")


@dataclass(frozen=True)
class Seen:
    """A tensor as an operand sees it: of `shape`, where each axis of the tensor is an index of the dimensions seen.

    `axes` holds for each axis an offset and the step of every dimension seen.
    """

    tensor: str
    shape: Shape
    axes: tuple[tuple[int, tuple[int, ...]], ...]

    @staticmethod
    def whole(tensor: GroupTensor) -> Seen:
        rank = len(tensor.shape)
        return Seen(tensor.name, tensor.shape, tuple((0, _one_at(axis, rank)) for axis in range(rank)))

    def permute(self, *order: int) -> Seen:
        """New dimension j is old dimension order[j]."""
        return Seen(
            self.tensor,
            tuple(self.shape[dim] for dim in order),
            tuple((offset, tuple(steps[dim] for dim in order)) for offset, steps in self.axes),
        )

    def slice(self, dim: int, offset: int, extent: int, step: int = 1) -> Seen:
        """`extent` indices of a dimension, `step` apart, from `offset`."""
        return Seen(
            self.tensor,
            (*self.shape[:dim], extent, *self.shape[dim + 1 :]),
            tuple(
                (first + steps[dim] * offset, (*steps[:dim], steps[dim] * step, *steps[dim + 1 :]))
                for first, steps in self.axes
            ),
        )

    def reverse(self, dim: int) -> Seen:
        return self.slice(dim, self.shape[dim] - 1, self.shape[dim], -1)

    def split(self, dim: int, inner: int) -> Seen:
        """A dimension as two, the second of `inner` indices; what is left over is not seen."""
        return Seen(
            self.tensor,
            (*self.shape[:dim], self.shape[dim] // inner, inner, *self.shape[dim + 1 :]),
            tuple(
                (first, (*steps[:dim], steps[dim] * inner, steps[dim], *steps[dim + 1 :])) for first, steps in self.axes
            ),
        )

    def insert(self, dim: int, extent: int = 1) -> Seen:
        """A new dimension along which all is the same."""
        return Seen(
            self.tensor,
            (*self.shape[:dim], extent, *self.shape[dim:]),
            tuple((first, (*steps[:dim], 0, *steps[dim:])) for first, steps in self.axes),
        )

    def select(self, dim: int, at: int) -> Seen:
        """One index of a dimension, which is gone."""
        return Seen(
            self.tensor,
            (*self.shape[:dim], *self.shape[dim + 1 :]),
            tuple((first + steps[dim] * at, (*steps[:dim], *steps[dim + 1 :])) for first, steps in self.axes),
        )

    def operand(self, role: Role) -> Operand:
        axes = tuple(
            AxisIndex(first, tuple((dim, step) for dim, step in enumerate(steps) if step)) for first, steps in self.axes
        )
        return Operand(role, self.tensor, self.shape, axes)


def _one_at(axis: int, rank: int) -> tuple[int, ...]:
    return tuple(int(axis == each) for each in range(rank))


@dataclass
class Builder:
    """A group in the making. Operators take what they read as it is seen, and return their result."""

    tensors: list[GroupTensor] = field(default_factory=list)
    links: list[GroupLink] = field(default_factory=list)

    def group(self, exported: Sequence[str] = ()) -> Group:
        return Group(tuple(self.links), tuple(self.tensors), frozenset(exported))

    def external(self, shape: Shape, name: str | None = None) -> Seen:
        """A tensor that lies off-chip."""
        tensor = GroupTensor(name or f"x{len(self.tensors)}", shape)
        self.tensors.append(tensor)
        return Seen.whole(tensor)

    def link(
        self,
        spec: GConv,
        input: Seen,
        kernel: Seen | None = None,
        posts: Sequence[Seen] = (),
        name: str | None = None,
    ) -> Seen:
        """A link, with a step of `post` for every post operand beyond those of `spec`."""
        name = name or f"l{len(self.links)}"
        spec = replace(spec, post=(*spec.post, *(Step("add", operand=index) for index in range(len(posts)))))
        operands = [input.operand(Role.INPUT)]
        if kernel is not None:
            operands.append(kernel.operand(Role.KERNEL))
        operands += [post.operand(Role.POST) for post in posts]
        result = GroupTensor(f"{name}.out", spec.output_shape)
        self.links.append(GroupLink(name, spec, tuple(operands), result.name))
        self.tensors.append(result)
        return Seen.whole(result)

    def conv(
        self,
        input: Seen,
        channels: int,
        windows: Sequence[Dim],
        groups: int = 1,
        posts: Sequence[Seen] = (),
        name: str | None = None,
        kernel: str | None = None,
    ) -> Seen:
        """A convolution over (C, *windows); `windows` say output extents, kernels, strides, padding and `up`.

        Depthwise if there are as many groups as input channels.
        """
        spec = GConv(
            (Dim("C", g=groups, op=channels // groups, ks=input.shape[0] // groups), *windows), "mul", Reduce.ADD
        )
        return self.link(spec, input, self.external(spec.kernel_shape, kernel), posts, name)

    def pool(self, input: Seen, windows: Sequence[Dim], reduce: Reduce = Reduce.MAX, name: str | None = None) -> Seen:
        """A reduction over windows of (C, *windows)."""
        return self.link(GConv((Dim("C", g=input.shape[0]), *windows), PASS, reduce), input, name=name)

    def unary(
        self,
        input: Seen,
        kind: LoopKind = LoopKind.OPC,
        posts: Sequence[Seen] = (),
        repeats: Shape | None = None,
        name: str | None = None,
    ) -> Seen:
        """A function of every element, whose dimensions are loops of one kind; `repeats` says how often it is there."""
        dims = [
            Dim(axis_name(axis), g=extent if kind is LoopKind.G else 1, opc=extent if kind is LoopKind.OPC else 1)
            for axis, extent in enumerate(input.shape)
        ]
        dims = [replace(dim, op=times) for dim, times in zip(dims, repeats or [1] * len(dims), strict=True)]
        return self.link(GConv(tuple(dims), post=(Step("relu"),)), input, posts=posts, name=name)

    def binary(self, left: Seen, right: Seen, main: str = "add", name: str | None = None) -> Seen:
        """A function of two tensors of equal extents, or 1 in the right; the right is the kernel operand."""
        dims = [
            Dim(axis_name(axis), g=extent) if other == extent else Dim(axis_name(axis), opc=extent)
            for axis, (extent, other) in enumerate(zip(left.shape, right.shape, strict=True))
        ]
        return self.link(GConv(tuple(dims), main), left, right, name=name)

    def matmul(self, left: Seen, right: Seen, posts: Sequence[Seen] = (), name: str | None = None) -> Seen:
        """(heads, M, D) times (heads, N, D), of which the latter is the kernel operand: (heads, M, N, 1)."""
        heads, rows, depth = left.shape
        columns = right.shape[1]
        spec = GConv(
            (Dim("H", g=heads), Dim("M", opc=rows), Dim("N", op=columns), Dim("D", ks=depth)), "mul", Reduce.ADD
        )
        return self.link(spec, left.insert(2), right.insert(1), posts, name)

    def fold(self, input: Seen, dim: int, reduce: Reduce, name: str | None = None) -> Seen:
        """The maximum or sum along one dimension, which stays with extent 1."""
        dims = tuple(
            Dim(axis_name(axis), ks=extent) if axis == dim else Dim(axis_name(axis), opc=extent)
            for axis, extent in enumerate(input.shape)
        )
        return self.link(GConv(dims, PASS, reduce), input, name=name)

    def fc(
        self,
        input: Seen,
        columns: int,
        posts: Sequence[Seen] = (),
        name: str | None = None,
        kernel: str | None = None,
    ) -> Seen:
        """(P, C) times (M, C), an external kernel: (P, M)."""
        rows, depth = input.shape
        spec = GConv((Dim("P", opc=rows), Dim("C", op=columns, ks=depth)), "mul", Reduce.ADD)
        return self.link(spec, input, self.external(spec.kernel_shape, kernel), posts, name)


def axis_name(axis: int) -> str:
    return "CHWXYZ"[axis]


def window(
    name: str,
    extent: int,
    ks: int = 1,
    stride: int = 1,
    dilation: int = 1,
    before: int = 0,
    after: int = 0,
    up: int = 1,
) -> Dim:
    """A dimension with sliding windows on `extent` input indices (dilated by `up`) and so much padding."""
    padded = (extent - 1) * up + 1 + before + after
    opc = (padded - ((ks - 1) * dilation + 1)) // stride + 1
    return Dim(name, opc=opc, ks=ks, stride=stride, dilation=dilation, pad=before, up=up)


# --- Groups by hand


def conv_pair(extent: int, channels: int) -> Group:
    """Two 3x3 convolutions without padding, on `extent` x `extent`: f1 -w1-> f2 -w2-> f3."""
    net = Builder()
    f1 = net.external((channels, extent, extent), "f1")
    f2 = net.conv(f1, channels, [window(axis, extent, 3) for axis in "HW"], name="conv1", kernel="w1")
    net.conv(f2, channels, [window(axis, extent - 2, 3) for axis in "HW"], name="conv2", kernel="w2")
    return net.group()


def fc_pair(rows: int, depth: int, middle: int, columns: int) -> Group:
    """x (rows, depth) -w1-> fc1 (rows, middle) -w2-> fc2 (rows, columns)."""
    net = Builder()
    x = net.external((rows, depth), "x")
    net.fc(net.fc(x, middle, name="fc1", kernel="w1"), columns, name="fc2", kernel="w2")
    return net.group()


def residual_block(channels: int, extent: int, as_post: bool) -> Group:
    """Two padded convolutions, and their input added to what they make: by the second, or by a link of its own."""
    net = Builder()
    x = net.external((channels, extent, extent))
    windows = [window(axis, extent, 3, before=1, after=1) for axis in "HW"]
    y = net.unary(x)
    z = net.conv(y, channels, windows)
    if as_post:
        net.conv(z, channels, windows, posts=[y])
    else:
        net.binary(net.conv(z, channels, windows), y)
    return net.group()


def attention(heads: int, rows: int, columns: int, depth: int) -> Group:
    """O = softmax(Q K^T) V in five links, of Q (rows, heads * depth), K and V (columns, heads * depth)."""
    net = Builder()
    q = net.external((rows, heads * depth), "q").split(1, depth).permute(1, 0, 2)
    k = net.external((columns, heads * depth), "k").split(1, depth).permute(1, 0, 2)
    v = net.external((columns, heads * depth), "v").split(1, depth).permute(1, 2, 0)
    scores = net.matmul(q, k, name="scores").select(3, 0)
    most = net.fold(scores, 2, Reduce.MAX, name="most")
    powers = net.binary(scores, most, "sub", name="powers")
    total = net.fold(powers, 2, Reduce.ADD, name="total")
    net.matmul(powers, v, [total.insert(3)], name="sums")
    return net.group()


def projections(rows: int, width: int, heads: int, depth: int) -> Group:
    """O = (Q K^T) V, where Q, K and V are made of one x."""
    net = Builder()
    x = net.external((rows, width), "x")
    q, k, v = (net.fc(x, heads * depth, name=name, kernel=f"w{name}").split(1, depth) for name in "qkv")
    scores = net.matmul(q.permute(1, 0, 2), k.permute(1, 0, 2), name="scores")
    net.matmul(scores.select(3, 0), v.permute(1, 2, 0), name="sums")
    return net.group()


def gram(rows: int, channels: int) -> Group:
    """All products of rows of (channels, rows), of which a function of x's rows makes each, with one another."""
    net = Builder()
    made = net.unary(net.external((channels, rows)))
    net.link(GConv((Dim("C", ks=channels), Dim("H", opc=rows, op=rows)), "mul", Reduce.ADD), made, made)
    return net.group()


def two_corners() -> Group:
    """A link without loops to cut: two words of x added up, one of them again, and the opposite corner, far apart."""
    net = Builder()
    x = net.external((3, 3))
    total = net.fold(x.slice(0, 0, 1).slice(1, 0, 2), 1, Reduce.ADD)
    again = net.binary(total, x.slice(0, 0, 1).slice(1, 1, 1))
    net.binary(again, x.slice(0, 2, 1).slice(1, 2, 1))
    return net.group()


def padded_fold() -> Group:
    """Two functions of x, of which the first adds windows along a dimension that lies in padding for the most part."""
    net = Builder()
    x = net.external((2, 1))
    net.unary(net.pool(x, [Dim("H", ks=3, pad=1)], Reduce.ADD))
    return net.group()


# --- Groups at random


def random_case(rng: random.Random) -> tuple[Group, FusedMapping]:
    """A small group of two to five links and a mapping of it, of any kind that inference must know."""
    group = random_group(rng)
    return group, random_mapping(rng, group)


def random_group(rng: random.Random) -> Group:
    make = _random_products if rng.random() < 0.2 else _random_network
    group = make(rng)
    while len(group.links) > 5:
        group = make(rng)
    exported = [name for name in group.intermediates if rng.random() < 0.15]
    return replace(group, exported=frozenset(exported))


def random_mapping(rng: random.Random, group: Group, most_turns: int = 50) -> FusedMapping:
    """Up to three loops of the head, in at most so many turns, and any retention of every tensor."""
    head = group.head
    loops = [
        (Loop(dim.name, kind), dim.count(kind))
        for dim in head.spec.dims
        for kind in LoopKind
        if dim.count(kind) > 1 or rng.random() < 0.05
    ]
    count = min(len(loops), rng.choice((0, 1, 1, 2, 2, 2, 3, 3, 3)))
    nodes: list[Temporal] = []
    turns = 1
    for loop, extent in rng.sample(loops, count):
        tile = rng.randint(1, extent if rng.random() < 0.3 else max(1, extent // 2))
        while turns * -(-extent // tile) > most_turns:
            tile += 1
        turns *= -(-extent // tile)
        nodes.append(Temporal(loop, tile))
    memories = MEMORIES if rng.random() < 0.5 else MEMORIES[:1]
    retentions: list[Retention] = []
    for tensor in group.tensors:
        levels: list[int | None] = list(range(count + 1))
        if tensor.name not in group.intermediates:
            levels.append(None)
        retentions.append(Retention(tensor.name, rng.choice(memories), rng.choice(levels), rng.random() < 0.75))
    return FusedMapping(tuple(nodes), tuple(retentions), rng.choice(tuple(Stages)))


def with_own_loops(rng: random.Random, group: Group, mapping: FusedMapping) -> FusedMapping:
    """A mapping whose links store, below loops of their own, what lies within them, as far as a model can tell."""
    inside = {each.tensor: each.memory for each in mapping.retentions if each.level is None}
    branches: list[tuple[str, Nest]] = []
    for link in group.links:
        stores: list[Node] = [
            Storage(inside[tensor], (operand,))
            for tensor in dict.fromkeys([*(each.tensor for each in link.operands), link.result])
            if tensor in inside and (operand := part_of_link(link, tensor)) is not None
        ]
        loops = [Loop(dim.name, kind) for dim in link.spec.dims for kind in LoopKind if dim.count(kind) > 1]
        for _ in range(10 if stores else 0):
            nodes = [
                *stores,
                *(
                    _own_loop(rng, link, loop)
                    for loop in rng.sample(loops, rng.randint(min(1, len(loops)), min(3, len(loops))))
                ),
            ]
            rng.shuffle(nodes)
            branch = (link.name, Nest(tuple(nodes)))
            if not list(piece_problems(group, replace(mapping, branches=(branch,)))):
                branches.append(branch)
                break
    return replace(mapping, branches=tuple(branches))


def _own_loop(rng: random.Random, link: GroupLink, loop: Loop) -> Temporal:
    count = next(dim.count(loop.kind) for dim in link.spec.dims if dim.name == loop.dim)
    return Temporal(loop, rng.randint(1, max(1, count // 2)))


cases = st.randoms(use_true_random=False).map(random_case)
"""Random cases for `hypothesis.given`."""


def _random_network(rng: random.Random) -> Group:
    """Links on tensors of channels, rows and, maybe, columns."""
    net = Builder()
    two = rng.random() < 0.5
    shape = (rng.randint(1, 4), *((rng.randint(4, 8), rng.randint(4, 8)) if two else (rng.randint(6, 20),)))
    made: list[Seen] = [net.external(shape)]
    wanted = rng.randint(2, 5)
    while len(net.links) < wanted:
        unread = _unread(net, made)
        if len(unread) >= 2 and len(net.links) + len(unread) > wanted:
            made.append(_random_join(rng, net, unread[-1], unread[0]))
        elif len(made) > 2 and rng.random() < 0.35:
            made.append(_random_join(rng, net, made[-1], rng.choice(made[:-1])))
        else:
            source = made[-1] if rng.random() < 0.75 else rng.choice(made)
            made.append(_random_link(rng, net, source))
    while len(unread := _unread(net, made)) > 1:
        made.append(_random_join(rng, net, unread[-1], unread[0]))
    return net.group()


def _unread(net: Builder, made: Sequence[Seen]) -> list[Seen]:
    """Results nobody reads."""
    read = {operand.tensor for link in net.links for operand in link.operands}
    results = {link.result for link in net.links}
    return [each for each in made if each.tensor in results and each.tensor not in read]


def _random_link(rng: random.Random, net: Builder, source: Seen) -> Seen:
    source = _random_view(rng, source)
    make: Callable[[random.Random, Builder, Seen], Seen] = rng.choice(
        (_random_conv, _random_conv, _random_conv, _random_pool, _random_unary, _random_gram)
    )
    return make(rng, net, source)


def _random_view(rng: random.Random, seen: Seen) -> Seen:
    """Mostly as it is; or a slice, every second index, backwards, or the same along a dimension of extent 1."""
    if rng.random() < 0.7:
        return seen
    dim = rng.randrange(len(seen.shape))
    extent = seen.shape[dim]
    match rng.randrange(5):
        case 0:
            offset = rng.randint(0, extent // 2)
            return seen.slice(dim, offset, rng.randint(1, extent - offset))
        case 1:
            offset = rng.randint(0, min(1, extent - 1))
            return seen.slice(dim, offset, -(-(extent - offset) // 2), 2)
        case 2:
            return seen.reverse(dim)
        case 3 if len(seen.shape) == 3:
            return seen.permute(0, 2, 1)
        case _:
            return seen if extent > 1 else seen.select(dim, 0).insert(dim, rng.randint(2, 3))


def _random_posts(rng: random.Random, net: Builder, shape: Shape) -> list[Seen]:
    """Maybe an external post operand, the same along some dimensions."""
    if rng.random() < 0.6:
        return []
    return [net.external(tuple(1 if rng.random() < 0.5 else extent for extent in shape))]


def _random_window(rng: random.Random, name: str, extent: int, may_dilate_input: bool = True) -> Dim:
    """A window that fits; now and then the input's end is not reached, or padding is negative and crops."""
    up = rng.choice((1, 1, 1, 1, 2, 3)) if may_dilate_input and extent <= 8 else 1
    for _ in range(20):
        ks, dilation = rng.randint(1, 3), rng.choice((1, 1, 2))
        before, after = rng.randint(-1, ks - 1), rng.randint(-1, ks - 1)
        dim = window(name, extent, ks, rng.choice((1, 1, 1, 2, 3)), dilation, before, after, up)
        if 1 <= dim.opc <= 14:
            return dim
    return Dim(name, opc=min(extent, 14))


def _random_conv(rng: random.Random, net: Builder, source: Seen) -> Seen:
    channels = source.shape[0]
    groups = rng.choice([n for n in range(1, channels + 1) if channels % n == 0])
    windows = [_random_window(rng, axis_name(axis), extent) for axis, extent in enumerate(source.shape) if axis > 0]
    made = groups * rng.randint(1, max(1, 4 // groups))
    return net.conv(source, made, windows, groups, _random_posts(rng, net, (made, *(dim.opc for dim in windows))))


def _random_pool(rng: random.Random, net: Builder, source: Seen) -> Seen:
    if rng.random() < 0.15:
        return net.fold(source, rng.randrange(len(source.shape)), Reduce.ADD)
    windows = [
        _random_window(rng, axis_name(axis), extent, False) for axis, extent in enumerate(source.shape) if axis > 0
    ]
    return net.pool(source, windows, rng.choice((Reduce.MAX, Reduce.ADD)))


def _random_unary(rng: random.Random, net: Builder, source: Seen) -> Seen:
    repeats = None
    if math.prod(source.shape) <= 120 and rng.random() < 0.4:
        repeats = tuple(rng.randint(1, 2) for _ in source.shape)
    shape = tuple(
        extent * times for extent, times in zip(source.shape, repeats or (1,) * len(source.shape), strict=True)
    )
    return net.unary(source, rng.choice((LoopKind.OPC, LoopKind.G)), _random_posts(rng, net, shape), repeats)


def _random_gram(rng: random.Random, net: Builder, source: Seen) -> Seen:
    """A product of a tensor with itself or, mostly, a new one: over channels, of every row with every row."""
    rank = len(source.shape)
    rows = source
    for dim in range(2, rank):
        rows = rows.slice(dim, rng.randrange(rows.shape[dim]), 1)
    other = rows if rng.random() < 0.3 else net.external((rows.shape[0], rng.randint(2, 6), *rows.shape[2:]))
    dims = [Dim("C", ks=rows.shape[0]), Dim("H", opc=rows.shape[1], op=other.shape[1])]
    if rng.random() < 0.5 and rank == 3:
        columns = Dim("W", op=other.shape[1])
        spec = GConv((dims[0], Dim("H", opc=rows.shape[1]), columns), "mul", Reduce.ADD)
        return net.link(spec, rows, other.permute(0, 2, 1))
    return net.link(GConv((*dims, *(Dim(axis_name(dim)) for dim in range(2, rank))), "mul", Reduce.ADD), rows, other)


def _random_join(rng: random.Random, net: Builder, left: Seen, right: Seen) -> Seen:
    """A link that reads two tensors, cut to the same extents, or the right one's dimension kept at 1."""
    if left.tensor != right.tensor:
        for dim, (one, other) in enumerate(zip(left.shape, right.shape, strict=True)):
            extent = one if other == 1 else min(one, other)
            left = left.slice(dim, rng.randint(0, left.shape[dim] - extent), extent)
            if other != 1:
                right = right.slice(dim, rng.randint(0, other - extent), extent)
    match rng.randrange(3):
        case 0:
            return net.binary(left, right, rng.choice(("add", "sub")))
        case 1:
            return net.unary(left, rng.choice((LoopKind.OPC, LoopKind.G)), [right])
        case _:
            made = right.shape[0] if right.shape[0] > 1 else rng.randint(1, 3)
            points = [Dim(axis_name(axis), opc=extent) for axis, extent in enumerate(left.shape) if axis]
            return net.conv(left, made, points, posts=[right])


def _random_products(rng: random.Random) -> Group:
    """Matrix products: chains, attention, and queries, keys and values of one tensor."""
    match rng.randrange(4):
        case 0:
            net = Builder()
            x = net.external((rng.randint(2, 9), rng.randint(1, 6)))
            for _ in range(rng.randint(2, 4)):
                columns = rng.randint(1, 8)
                x = net.fc(x, columns, _random_posts(rng, net, (x.shape[0], columns)))
            return net.group()
        case 1:
            return attention(rng.randint(1, 3), rng.randint(1, 6), rng.randint(2, 6), rng.randint(1, 3))
        case 2:
            return projections(rng.randint(2, 6), rng.randint(1, 4), rng.randint(1, 2), rng.randint(1, 3))
        case _:
            net = Builder()
            heads, rows, columns, depth = (rng.randint(1, 4) for _ in range(4))
            q, k = net.external((heads, rows, depth)), net.external((heads, columns, depth))
            if rng.random() < 0.5:  # keys that all heads share
                k = net.external((columns, depth)).insert(0, heads)
            scores = net.unary(net.matmul(q, k).select(3, 0), posts=_random_posts(rng, net, (heads, rows, columns)))
            net.matmul(scores, net.external((columns, heads, depth)).permute(1, 2, 0))
            return net.group()


# --- What inference must refuse


def everything_at(group: Group, level: int | None, loops: Sequence[Temporal] = ()) -> FusedMapping:
    """A mapping that retains all tensors alike."""
    return FusedMapping(tuple(loops), tuple(Retention(tensor.name, "glb", level) for tensor in group.tensors))


def _two_heads() -> Group:
    net = Builder()
    x = net.external((2, 6))
    y = net.unary(x)
    net.unary(y)
    net.unary(y)
    return net.group()


def _refused() -> dict[str, tuple[Group, FusedMapping]]:
    two, pair = _two_heads(), fc_pair(3, 2, 2, 2)
    rows, points = (Temporal(Loop("H", LoopKind.OPC), 2),), (Temporal(Loop("P", LoopKind.OPC), 1),)
    return {
        "two heads": (two, everything_at(two, 0)),
        "two heads, tiled": (two, everything_at(two, 1, rows)),
        "an intermediate without a level": (pair, everything_at(pair, None)),
        "an intermediate without a level, tiled": (pair, everything_at(pair, None, points)),
    }


REFUSED = _refused()
"""Groups and mappings that mean nothing, by why."""
