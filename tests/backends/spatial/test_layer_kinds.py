"""One named layer of every kind, on every machine: outputs exact, counts of both execution modes as predicted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dialects.array_machine import Machine
from dialects.gconv import PASS, Dim, GConv, LoopKind, Reduce, Step, View
from dialects.schedule import Loop, Mapping, Operand, Storage, Temporal
from passes.mapping.search import best_mapping
from tests.backends.spatial.layers import MACHINES, Access, Layer, Shape, check_layer, steps, window


def convolution(
    *windows: tuple[Dim, int],
    groups: int = 1,
    filters: int = 5,
    channels: int = 3,
    batch: int = 1,
    post: tuple[Step, ...] = (),
    extras: tuple[Shape, ...] = (),
) -> Layer:
    """A convolution over [batch, groups * channels, ...]."""
    channel = Dim("C", g=groups, op=filters, ks=channels)
    spec = GConv((Dim("N", opc=batch), channel, *(dim for dim, _ in windows)), "mul", Reduce.ADD, post=post)
    return Layer.of(spec, (batch, groups * channels, *(extent for _, extent in windows)), *extras)


def pool(reduce: Reduce, *windows: tuple[Dim, int], post: tuple[Step, ...] = ()) -> Layer:
    """A pooling over [2, 5, ...]."""
    dims = (Dim("N", opc=2), Dim("C", opc=5), *(dim for dim, _ in windows))
    return Layer.of(GConv(dims, PASS, reduce, post=post), (2, 5, *(extent for _, extent in windows)))


def elementwise(shape: Shape, *functions: Step, extras: tuple[Shape, ...] = ()) -> Layer:
    """Functions of every word."""
    dims = tuple(Dim(f"D{d}", opc=n) for d, n in enumerate(shape))
    return Layer.of(GConv(dims, post=functions), shape, *extras)


H3 = window("H", 6, 3, pad=1)
W3 = window("W", 7, 3, pad=1)
FEATURES = (1, 5, 6, 7)

LAYERS = {
    "conv-1d": convolution(window("L", 11, 3, pad=1)),
    "conv-2d": convolution(H3, W3, batch=2),
    "conv-3d": convolution(window("D", 3, 2), window("H", 4, 3, pad=1), window("W", 3, 2), filters=3, channels=2),
    "conv-1x1": convolution((Dim("H", opc=5), 5), (Dim("W", opc=6), 6), filters=7, channels=13),
    "conv-strided": convolution(window("H", 5, 3, pad=1, stride=2), window("W", 4, 3, pad=1, stride=3)),
    "conv-dilated": convolution(window("H", 5, 2, dilation=3), window("W", 5, 2, pad=2, dilation=2)),
    "conv-strided-dilated": convolution(window("H", 4, 3, stride=2, dilation=3), window("W", 5, 2, dilation=2)),
    "conv-cropped": convolution(window("H", 4, 3, pad=-2), window("W", 4, 3, pad=-1)),
    "conv-asymmetric": convolution((Dim("H", opc=6, ks=3, pad=2), 5), (Dim("W", opc=5, ks=3), 4)),
    "conv-grouped": convolution(H3, W3, groups=3, filters=2, channels=2),
    "conv-depthwise": convolution(H3, W3, groups=7, filters=1, channels=1),
    "conv-depthwise-multiplier": convolution(window("H", 4, 3), window("W", 5, 3), groups=4, filters=3, channels=1),
    "conv-tall-kernel": convolution(window("H", 4, 9, pad=4), window("W", 5, 1), filters=2, channels=2),
    "conv-wide-kernel": convolution(window("H", 2, 1), window("W", 4, 11), filters=2, channels=2),
    "conv-bias-relu": convolution(H3, W3, post=steps(("add", 0), "relu"), extras=((1, 5, 1, 1),)),
    "conv-bias-residual-relu": convolution(
        H3, W3, post=steps(("add", 0), ("add", 1), "relu"), extras=((1, 5, 1, 1), FEATURES)
    ),
    "transposed-conv": convolution(window("H", 8, 3, pad=1, up=2), window("W", 7, 4, pad=2, up=3)),
    "transposed-conv-cropped": convolution(window("H", 5, 3, pad=-1, up=2), window("W", 6, 2, pad=-2, up=2)),
    "max-pool": pool(Reduce.MAX, window("H", 4, 3, stride=2, pad=1), window("W", 4, 2, stride=2)),
    "average-pool": pool(
        Reduce.ADD, window("H", 3, 2, stride=2), window("W", 4, 2, stride=2), post=(Step("affine", (0.25, 0.0)),)
    ),
    "average-pool-without-padding": Layer.of(
        GConv(
            (Dim("C", opc=3), Dim("H", opc=4, ks=3, pad=1), Dim("W", opc=4, ks=3, pad=1)),
            PASS,
            Reduce.ADD,
            post=steps(("mul", 0)),
        ),
        (3, 4, 4),
        (1, 4, 4),
    ),
    "global-pool": Layer.of(
        GConv((Dim("C", opc=7), Dim("H", ks=5), Dim("W", ks=6)), PASS, Reduce.ADD, post=(Step("affine", (0.5, 0.0)),)),
        (7, 5, 6),
    ),
    "minimum-pool": pool(Reduce.MIN, window("L", 9, 4)),
    "product": Layer.of(GConv((Dim("A", opc=3), Dim("B", ks=7)), PASS, Reduce.MUL), (3, 7)),
    "lrn-channel-window": Layer.of(
        GConv(
            (Dim("C", opc=11, ks=5, pad=2), Dim("H", opc=3), Dim("W", opc=4)),
            PASS,
            Reduce.ADD,
            pre=(Step("square"),),
            post=(Step("affine", (0.5, 1.0)),),
        ),
        (11, 3, 4),
    ),
    "matmul": Layer.of(GConv((Dim("M", opc=7), Dim("K", ks=19), Dim("N", op=10)), "mul", Reduce.ADD), (7, 19, 1)),
    "matmul-batched": Layer.of(
        GConv((Dim("B", g=5), Dim("M", opc=3), Dim("K", ks=7), Dim("N", op=4)), "mul", Reduce.ADD), (5, 3, 7, 1)
    ),
    "matmul-transposed": Layer(
        GConv((Dim("M", opc=5), Dim("K", ks=7), Dim("N", op=6)), "mul", Reduce.ADD),
        Access((7, 5), View((5, 7, 1), (1, 5, 0))),
        Access((6, 7), View((1, 7, 6), (0, 1, 7))),
    ),
    "fully-connected": Layer.of(
        GConv((Dim("C", op=13, ks=37),), "mul", Reduce.ADD, post=steps(("add", 0))), (37,), (13,)
    ),
    "softmax-maximum": Layer.of(GConv((Dim("B", opc=3), Dim("C", ks=23)), PASS, Reduce.MAX), (3, 23)),
    "softmax-difference": elementwise((3, 23), Step("sub", operand=0), Step("abs"), extras=((3, 1),)),
    "softmax-sum": Layer.of(
        GConv((Dim("B", opc=3), Dim("C", ks=23)), PASS, Reduce.ADD, post=(Step("reciprocal"),)), (3, 23)
    ),
    "residual-add": elementwise(FEATURES, *steps(("add", 0), "relu"), extras=(FEATURES,)),
    "bias": elementwise(FEATURES, *steps(("add", 0)), extras=((1, 5, 1, 1),)),
    "scale-in-kernel": Layer.of(GConv((Dim("C", g=5), Dim("H", opc=6), Dim("W", opc=7)), "mul"), (5, 6, 7)),
    "outer-product": Layer.of(GConv((Dim("A", opc=9), Dim("B", op=8)), "mul"), (9, 1)),
    "elementwise": elementwise((2, 3, 4, 5), Step("neg"), Step("clip", (-2.0, 3.0))),
    "elementwise-broadcast": elementwise(
        (3, 4, 5), *steps(("add", 0), ("mul", 1), ("max", 2)), extras=((3, 1, 1), (1, 4, 1), (1, 1, 1))
    ),
    "elementwise-one-word": elementwise((1,), Step("neg")),
    "kernel-repeats-output": Layer.of(GConv((Dim("A", op=3, opc=4), Dim("B", ks=5)), PASS, Reduce.ADD), (4, 5)),
    "kernel-subtracted": Layer.of(GConv((Dim("A", opc=4), Dim("B", ks=9, op=2)), "sub", Reduce.MAX), (4, 9)),
    "mid-function": Layer.of(
        GConv((Dim("A", opc=4), Dim("B", ks=9, op=2)), "sub", Reduce.ADD, mid=(Step("abs"),)), (4, 9)
    ),
    "constant-padding": Layer.of(GConv((Dim("H", opc=7, pad=2), Dim("W", opc=6, pad=-1)), pad_value=3.0), (3, 4)),
    "strided-slice": Layer.of(GConv((Dim("H", opc=4, stride=3), Dim("W", opc=3, stride=2))), (10, 6)),
    "transpose": Layer(
        GConv((Dim("A", opc=6), Dim("B", opc=7), Dim("C", opc=2))),
        Access((2, 6, 7), View((6, 7, 2), (7, 1, 42))),
    ),
    "reverse": Layer(GConv((Dim("A", opc=9),)), Access((9,), View((9,), (-1,), 8))),
    "expand-operand": Layer(
        GConv((Dim("A", opc=4), Dim("B", opc=5)), post=steps(("add", 0))),
        Access.dense((4, 5)),
        None,
        (Access((5,), View((4, 5), (0, 1))),),
    ),
    "concat-write": Layer.of(GConv((Dim("C", op=3, ks=4), Dim("H", opc=5)), "mul", Reduce.ADD), (4, 5), beside=0),
    "concat-write-innermost": Layer.of(
        GConv((Dim("H", opc=5), Dim("C", op=3, ks=4)), "mul", Reduce.ADD), (5, 4), beside=1
    ),
    # The last strip of B is one wide; elements do not turn to slide along A there.
    "strip-of-one": Layer(
        GConv((Dim("A", opc=3, ks=2), Dim("B", opc=5)), PASS, Reduce.ADD),
        Access.dense((4, 5)),
        mapping=Mapping(
            (
                Temporal(Loop("B", LoopKind.OPC), 2),
                Storage("glb", (Operand.OUTPUT,)),
                Storage("glb", (Operand.INPUT,)),
            )
        ),
    ),
    # Some input tiles lie in the padding altogether.
    "tiles-of-padding": Layer.of(
        GConv((Dim("H", opc=13, ks=3, pad=6), Dim("W", opc=9, ks=2, pad=5)), PASS, Reduce.ADD), (3, 2)
    ),
}


def layers_on_machines() -> Iterator[object]:
    """Every layer on every machine; two of these in turn, as a rule, and the others in the exhaustive run."""
    for number, layer in enumerate(LAYERS):
        for index, machine in enumerate(MACHINES):
            is_usual = (number - index) % len(MACHINES) in (0, 2)
            yield pytest.param(layer, machine, marks=[pytest.mark.exhaustive] * (not is_usual))


@pytest.mark.parametrize(("layer", "machine"), list(layers_on_machines()))
def test_every_kind(layer: str, machine: str) -> None:
    check_layer(LAYERS[layer], MACHINES[machine])


@pytest.mark.parametrize("machine", [name for name in MACHINES if name not in {"eyeriss", "compressing"}])
def test_small_machines_split_layers_unevenly(machine: str) -> None:
    # Otherwise the tests above would show little.
    assert sum(has_short_tile(layer, MACHINES[machine]) for layer in LAYERS.values()) > len(LAYERS) // 3


def has_short_tile(layer: Layer, machine: Machine) -> bool:
    """Whether some temporal loop of the best mapping ends in a tile that is smaller than the others."""
    sizes = {Loop(dim.name, kind): dim.count(kind) for dim in layer.spec.dims for kind in LoopKind}
    nodes = best_mapping(layer.spec, layer.input.view.shape, machine).nodes
    return any(sizes[node.loop] % node.tile != 0 for node in nodes if isinstance(node, Temporal))
