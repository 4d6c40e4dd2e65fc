"""Pad and its relatives."""

from __future__ import annotations

from dialects.gconv import Dim, GConv
from passes.lower_onnx.chain import Chain, dimension_names
from passes.lower_onnx.constraints import attribute_is, constant_input
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor


@constraint()
def reflection_fits(node: Node) -> str | None:
    """reflected words come from inside the input"""
    if node.text("mode", "constant") != "reflect":
        return None
    for (low, high), extent in zip(pads_of(node), node.shape(0), strict=True):
        if max(low, high) >= extent:
            return f"{max(low, high)} words of padding for an extent of {extent}"
    return None


@lowering(
    "Pad",
    constraints=(
        attribute_is("mode", "constant", "edge", "reflect", "wrap"),
        constant_input(1, "pads"),
        constant_input(3, "axes"),
        reflection_fits,
    ),
)
def pad(node: Node, chain: Chain) -> Tensor:
    """one link for a constant value, views side by side for one computed at run time, and for edge, reflect and wrap"""
    x, pads, mode = chain.input(node, 0), pads_of(node), node.text("mode", "constant")
    value = chain.optional_input(node, 2)
    known = value is None or node.constant(2) is not None
    if mode == "constant" and known and any(amount > 0 for both in pads for amount in both):
        constant = node.constant(2)
        return padded(chain, x, pads, node.number("value") if constant is None else float(constant.reshape(-1)[0]))
    for axis, (low, high) in enumerate(pads):
        x = x.slice(axis, max(0, -low), x.shape[axis] + min(0, low) + min(0, high))
        if low > 0 or high > 0:
            sides = max(0, low), max(0, high)
            beside = _between(chain, x, axis, sides, value) if value is not None else _surrounded(x, axis, *sides, mode)
            x = chain.concat(beside, axis)
    return x


def pads_of(node: Node) -> list[tuple[int, int]]:
    """Words before and after the input for every dimension, negative to crop; empty input `pads` means none."""
    rank = len(node.shape(0))
    pads = node.integers_from("pads", 1, (0,) * (2 * rank)) or (0,) * (2 * rank)
    axes = node.constant_integers(3) or tuple(range(rank))
    result = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        result[axis % rank] = pads[place], pads[place + len(axes)]
    return result


def padded(chain: Chain, x: Tensor, pads: list[tuple[int, int]], value: float) -> Tensor:
    """A link that reads `value` around the input."""
    dims = tuple(
        Dim(name, opc=low + n + high, pad=low)
        for name, n, (low, high) in zip(dimension_names(x.rank), x.shape, pads, strict=True)
    )
    return chain.link(GConv(dims, pad_value=value), x)


def _between(chain: Chain, x: Tensor, axis: int, sides: tuple[int, int], value: Tensor) -> list[Tensor]:
    """Views that make up `x` between `sides` times the one element `value` along one axis."""
    element = chain.reshape(value, (1,) * x.rank)
    before, after = ([element.expand([*x.shape[:axis], size, *x.shape[axis + 1 :]])] if size else [] for size in sides)
    return [*before, x, *after]


def _surrounded(x: Tensor, axis: int, low: int, high: int, mode: str) -> list[Tensor]:
    """Views of `x` that make up the padded tensor along one axis."""
    extent = x.shape[axis]
    match mode:
        case "edge":
            shape = list(x.shape)
            parts = [
                x.slice(axis, place, 1).expand([*shape[:axis], size, *shape[axis + 1 :]])
                for place, size in ((0, low), (extent - 1, high))
                if size
            ]
            return [*parts[:1], x, *parts[1:]] if low else [x, *parts]
        case "reflect":
            before = [x.slice(axis, low, low, -1)] if low else []
            after = [x.slice(axis, extent - 2, high, -1)] if high else []
            return [*before, x, *after]
        case _:
            before = [x.slice(axis, extent - low % extent, low % extent)] if low % extent else []
            after = [x.slice(axis, 0, high % extent)] if high % extent else []
            return [*before, *[x] * (low // extent + 1 + high // extent), *after]


@lowering("CenterCropPad", constraints=(constant_input(1, "shape"),))
def center_crop_pad(node: Node, chain: Chain) -> Tensor:
    """a view where it only crops, else one link"""
    x = chain.input(node, 0)
    pads: list[tuple[int, int]] = []
    for extent, target in zip(x.shape, node.result_shape(), strict=True):
        # The smaller half is before the input; when it is cut, the larger half stays before.
        low = (target - extent) // 2 if target > extent else -((extent - target) // 2)
        pads.append((low, target - extent - low))
    if all(low <= 0 and high <= 0 for low, high in pads):
        for axis, (low, _) in enumerate(pads):
            x = x.slice(axis, -low, node.result_shape()[axis])
        return x
    return padded(chain, x, pads, 0.0)


PADDING = (*pad, *center_crop_pad)
