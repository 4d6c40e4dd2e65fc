"""Fused groups that machines of all kinds run: mappings in short, cases by name, groups of bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from xdsl.dialects.builtin import IntegerType

from dialects.diagnostics import CatenaError
from dialects.fused_mapping import FusedMapping, Retention
from dialects.gconv import Dim, GConv, LoopKind, Reduce, Step
from dialects.schedule import Loop, Temporal
from passes.fusion.group import Group
from tests.backends.generic.layers import machine
from tests.passes.fusion.groups import Builder, attention, conv_pair, fc_pair, residual_block, window

ALL = ["I", "K", "O"]


MACHINE = machine(
    {
        "glb": {"kind": "memory", "words": 1 << 20, "buffers": 2, "read": 3.0, "write": 2.0, "bypass": ALL},
        "rf": {"kind": "memory", "words": 4096, "read": 1.0, "slides": True, "bypass": ALL},
    }
)


def mapped(group: Group, loops: str, level: int | None, anew: str = "", **levels: int | str | None) -> FusedMapping:
    """A mapping with loops such as `H.opc 4`; tensors lie in `glb` below `level` loops unless said otherwise.

    A text instead of a level is a memory. Of the tensors named in `anew`, nothing stays.
    """
    nodes: list[Temporal] = []
    for each in filter(None, loops.split(", ")):
        name, tile = each.split()
        dim, kind = name.split(".")
        nodes.append(Temporal(Loop(dim, LoopKind(kind)), int(tile)))
    retentions: list[Retention] = []
    for tensor in group.tensors:
        place = levels.get(tensor.name.replace(".", "_"), level)
        if place is None and tensor.name in group.intermediates:
            place = len(nodes)
        if isinstance(place, str):
            retentions.append(Retention(tensor.name, place, 0))
        else:
            retentions.append(Retention(tensor.name, "glb", place, tensor.name not in anew.split()))
    return FusedMapping(tuple(nodes), tuple(retentions))


def strided() -> Group:
    """A convolution of stride 2 on a padded one, and a dilated one without padding behind it."""
    net = Builder()
    x = net.external((1, 13, 11), "x")
    y = net.conv(x, 2, [window("H", 13, 3, before=1, after=1), window("W", 11, 3, before=1, after=1)], name="first")
    y = net.conv(y, 1, [window("H", 13, 3, 2, before=1), window("W", 11, 3, 2, before=1, after=1)], name="second")
    net.conv(y, 2, [window("H", 6, 2, dilation=2), window("W", 6, 2, dilation=2)], name="third")
    return net.group()


def inverted_residual() -> Group:
    """Point-wise, depthwise, point-wise, and what came in added: a block of MobileNet v2."""
    net = Builder()
    x = net.external((2, 7, 6), "x")
    points = [Dim("H", opc=7), Dim("W", opc=6)]
    y = net.conv(x, 4, points, name="expand")
    y = net.conv(y, 4, [window("H", 7, 3, before=1, after=1), window("W", 6, 3, before=1, after=1)], 4, name="depth")
    net.conv(y, 2, points, posts=[x], name="project")
    return net.group()


def pooled() -> Group:
    """A convolution and the largest of every window of it; the windows overlap and are cut off at the end."""
    net = Builder()
    y = net.conv(net.external((2, 12, 11), "x"), 4, [window("H", 12, 3), window("W", 11, 3)], name="conv")
    net.pool(y, [window("H", 10, 3, 2), window("W", 9, 3, 2)], name="pool")
    return net.group()


def exporting() -> Group:
    """Two convolutions whose first result is wanted outside as well."""
    return replace(conv_pair(11, 2), exported=frozenset({"conv1.out"}))


CASES: dict[str, Callable[[], tuple[Group, FusedMapping]]] = {
    "all at once": lambda: (g := conv_pair(8, 2), mapped(g, "", 0)),
    "rows, halo kept": lambda: (g := conv_pair(13, 2), mapped(g, "H.opc 4", 1, w1=0, w2=0)),
    "rows of one, halo kept": lambda: (g := conv_pair(11, 2), mapped(g, "H.opc 1", 1)),
    "rows, halo computed again": lambda: (g := conv_pair(11, 2), mapped(g, "H.opc 3", 1, "conv1.out")),
    "rows, halo fetched again": lambda: (g := conv_pair(11, 2), mapped(g, "H.opc 3", 1, "f1 conv1.out")),
    "tiles, band kept": lambda: (g := conv_pair(10, 2), mapped(g, "H.opc 3, W.opc 4", 1)),
    "tiles, halo kept along one loop": lambda: (g := conv_pair(10, 2), mapped(g, "H.opc 3, W.opc 4", 2)),
    "tiles, kept by tensor": lambda: (g := conv_pair(10, 2), mapped(g, "H.opc 3, W.opc 4", 2, f1=1, w1=0, w2=0)),
    "tiles of columns first": lambda: (g := conv_pair(10, 2), mapped(g, "W.opc 5, H.opc 2", 2, conv1_out=1)),
    "channels": lambda: (g := conv_pair(7, 3), mapped(g, "C.op 2", 1, f1=0, conv1_out=0)),
    "within links": lambda: (g := conv_pair(10, 2), mapped(g, "H.opc 3", None)),
    "kernels off-chip": lambda: (g := conv_pair(10, 2), mapped(g, "H.opc 3", 1, w1="dram", w2="dram")),
    "result off-chip": lambda: (g := conv_pair(10, 2), mapped(g, "H.opc 3", 1, conv2_out="dram", f1="dram")),
    "strides, padding, dilation": lambda: (g := strided(), mapped(g, "H.opc 1, W.opc 3", 1)),
    "strides, one loop deeper": lambda: (g := strided(), mapped(g, "H.opc 2, W.opc 3", 2)),
    "inverted residual": lambda: (g := inverted_residual(), mapped(g, "H.opc 2", 1)),
    "inverted residual by columns": lambda: (g := inverted_residual(), mapped(g, "W.opc 3, H.opc 4", 2)),
    "convolution and pool": lambda: (g := pooled(), mapped(g, "H.opc 2", 1)),
    "convolution and pool by channels": lambda: (g := pooled(), mapped(g, "C.g 1, H.opc 3", 2, x=0)),
    "residual block": lambda: (g := residual_block(2, 7, False), mapped(g, "H.g 2", 1)),
    "residual block with a post operand": lambda: (g := residual_block(2, 7, True), mapped(g, "H.opc 4", 1)),
    "products": lambda: (g := fc_pair(9, 2, 4, 8), mapped(g, "P.opc 2", 1, w1=0, w2=0)),
    "products by columns": lambda: (g := fc_pair(9, 2, 4, 8), mapped(g, "C.op 3", 1, x=0, fc1_out=0)),
    "attention": lambda: (g := attention(2, 7, 5, 3), mapped(g, "H.g 1, M.opc 3", 2, k=1, v=1)),
    "reduced channels": lambda: (g := conv_pair(7, 4), mapped(g, "C.ks 3", 1, f1=0, conv2_out=0)),
    "reduced channels, rows inside": lambda: (
        g := residual_block(3, 6, True),
        mapped(g, "C.ks 2, H.opc 4", 2, x0=0, l0_out=1, l2_out=0),
    ),
    "reduced channels of rows": lambda: (g := conv_pair(8, 3), mapped(g, "H.opc 4, C.ks 1", 2, f1=1, conv2_out=1)),
    "products by depth": lambda: (g := fc_pair(9, 2, 6, 4), mapped(g, "P.opc 4, C.ks 2", 2, w2=0, fc2_out=1)),
    "windows of a pool": lambda: (g := pooled(), mapped(g, "W.ks 2, H.ks 1", 2, "conv.out", x=0, pool_out=0)),
    "first result exported": lambda: (g := exporting(), mapped(g, "H.opc 3", 1)),
    "first result exported, computed again": lambda: (g := exporting(), mapped(g, "H.opc 3", 1, "conv1.out")),
}


ALIKE = {
    "rows of one, halo kept",
    "rows, halo fetched again",
    "tiles, halo kept along one loop",
    "tiles, kept by tensor",
    "kernels off-chip",
    "strides, one loop deeper",
    "inverted residual by columns",
    "convolution and pool by channels",
    "residual block",
    "products by columns",
    "first result exported, computed again",
}
"""Cases of which others show most."""


def quantized() -> tuple[Group, dict[str, IntegerType]]:
    """Two convolutions of bytes that are added up in 32 bits."""
    net = Builder()
    y = net.external((2, 10, 9), "x")
    for name in ("first", "second"):
        dims = (
            Dim("C", op=2, ks=2),
            *(window(axis, extent, 3, before=1, after=1) for axis, extent in (("H", 10), ("W", 9))),
        )
        post = (Step("affine", (0.25, 1.0)), Step("round"), Step("clip", (-128.0, 127.0)), Step("to_int8"))
        spec = GConv(dims, "mul", Reduce.ADD, post=(Step("to_float32"), *post), pad_value=3.0, acc="int32")
        y = net.link(spec, y, net.external(spec.kernel_shape, f"w{name}"), name=name)
    group = net.group()
    return group, {tensor.name: IntegerType(8) for tensor in group.tensors}


BYTES = {"H.opc 3": 1, "H.opc 4, W.opc 2": 1, "C.ks 1": 0, "H.opc 4, C.ks 1, W.ks 2": 1}
"""Loops, and the level of the result."""


SPACIOUS = machine(
    {
        "glb": {"kind": "memory", "buffers": 2, "read": 3.0, "write": 2.0, "bypass": ALL},
        "spad": {"kind": "memory", "read": 1.0, "slides": True, "bypass": ALL},
    }
)


def all_say_why(error: CatenaError) -> bool:
    """Whether a refusal is one of a mapping, with a reason and a hint."""
    assert all(each.code == "CAT-F002" and each.message and each.hint for each in error.diagnostics), error
    return True
