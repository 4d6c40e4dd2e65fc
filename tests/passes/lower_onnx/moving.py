"""Random nodes that read or write at computed places, with inputs for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from hypothesis import strategies as st

from tests.passes.lower_onnx.models import Arrays, one_node

REDUCTIONS = ("none", "add", "mul", "max", "min")


@dataclass(frozen=True)
class Moving:
    """A model of one node and its inputs; it shows itself as the node when a property test fails."""

    model: onnx.ModelProto
    inputs: dict[str, np.ndarray]

    def __repr__(self) -> str:
        shapes = {name: (array.dtype.name, array.shape) for name, array in self.inputs.items()}
        return f"{onnx.printer.to_text(self.model.graph.node[0])} {shapes}"


def _shape(draw: st.DrawFn, least: int = 1, most: int = 4) -> tuple[int, ...]:
    return tuple(draw(st.lists(st.integers(1, 5), min_size=least, max_size=most)))


def _random(draw: st.DrawFn) -> np.random.Generator:
    return np.random.default_rng(draw(st.integers(0, 999)))


def _words(draw: st.DrawFn, shape: tuple[int, ...], types: tuple[type, ...] = (np.float32, np.int64)) -> np.ndarray:
    """Small integers, so that sums and products are exact in any type."""
    return _random(draw).integers(-3, 4, shape).astype(draw(st.sampled_from(types)))


def _indices(draw: st.DrawFn, extent: int, shape: tuple[int, ...]) -> np.ndarray:
    kind = draw(st.sampled_from((np.int64, np.int32)))
    return _random(draw).integers(-extent, extent, shape).astype(kind)


def _moving(op_type: str, opset: int, inputs: Arrays, constants: Arrays | None = None, **attributes: object) -> Moving:
    outputs = 2 if op_type == "TopK" else 1
    model = one_node(op_type, inputs, constants, opset=opset, outputs=outputs, **attributes)
    return Moving(model, dict(inputs))


def _gather(draw: st.DrawFn) -> Moving:
    x = _words(draw, _shape(draw), (np.float32, np.uint8, np.bool_))
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    indices = _indices(draw, x.shape[axis], tuple(draw(st.lists(st.integers(1, 4), max_size=2))))
    return _moving("Gather", 13, {"x": x, "i": indices}, axis=axis)


def _gather_elements(draw: st.DrawFn) -> Moving:
    x = _words(draw, _shape(draw))
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    shape = [draw(st.integers(1, n)) for n in x.shape]
    shape[axis] = draw(st.integers(1, 7))
    return _moving("GatherElements", 13, {"x": x, "i": _indices(draw, x.shape[axis], tuple(shape))}, axis=axis)


def _gather_nd(draw: st.DrawFn) -> Moving:
    x = _words(draw, _shape(draw))
    batch = draw(st.integers(0, x.ndim - 1))
    components = draw(st.integers(1, x.ndim - batch))
    own = tuple(draw(st.lists(st.integers(1, 4), max_size=2)))
    columns = [
        _random(draw).integers(-x.shape[batch + c], x.shape[batch + c], (*x.shape[:batch], *own))
        for c in range(components)
    ]
    inputs = {"x": x, "i": np.stack(columns, axis=-1)}
    return _moving("GatherND", 13, inputs, batch_dims=batch)


def _scatter_elements(draw: st.DrawFn) -> Moving:
    reduction = draw(st.sampled_from(REDUCTIONS))
    x = _words(draw, _shape(draw))
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    shape = [draw(st.integers(1, n)) for n in x.shape]
    shape[axis] = draw(st.integers(1, 7 if reduction != "none" else x.shape[axis]))
    indices = _indices(draw, x.shape[axis], tuple(shape))
    if reduction == "none":
        # Places that repeat are undefined in ONNX.
        indices = np.argsort(_random(draw).random([*shape[:axis], x.shape[axis], *shape[axis:][1:]]), axis=axis)
        indices = np.take(indices, range(shape[axis]), axis=axis) - x.shape[axis] * draw(st.integers(0, 1))
    updates = _words(draw, tuple(shape), (x.dtype.type,))
    return _moving("ScatterElements", 18, {"x": x, "i": indices, "u": updates}, axis=axis, reduction=reduction)


def _scatter_nd(draw: st.DrawFn) -> Moving:
    reduction = draw(st.sampled_from(REDUCTIONS))
    x = _words(draw, _shape(draw))
    components = draw(st.integers(1, x.ndim))
    places = np.array(list(np.ndindex(*x.shape[:components])))
    generator, most = _random(draw), 6 if reduction != "none" else len(places)
    count = draw(st.integers(1, most))
    chosen = places[generator.choice(len(places), count, replace=reduction != "none")]
    indices = (chosen - np.array(x.shape[:components]) * draw(st.integers(0, 1))).astype(np.int64)
    updates = _words(draw, (count, *x.shape[components:]), (x.dtype.type,))
    return _moving("ScatterND", 18, {"x": x, "i": indices, "u": updates}, reduction=reduction)


def _reverse_sequence(draw: st.DrawFn) -> Moving:
    x = _words(draw, _shape(draw, least=2), (np.float32,))
    time = draw(st.integers(0, 1))
    lengths = _random(draw).integers(1, x.shape[time] + 1, x.shape[1 - time])
    fixed = draw(st.booleans())
    inputs, constants = {"x": x}, {"n": lengths}
    if not fixed:
        inputs, constants = {**inputs, **constants}, {}
    return _moving("ReverseSequence", 10, inputs, constants, time_axis=time, batch_axis=1 - time)


def _compress(draw: st.DrawFn) -> Moving:
    x = _words(draw, _shape(draw), (np.float32,))
    axis = draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1)))
    extent = x.size if axis is None else x.shape[axis]
    condition = _random(draw).random(draw(st.integers(1, extent))) < 0.5
    condition[draw(st.integers(0, len(condition) - 1))] = True
    return _moving("Compress", 11, {"x": x}, {"c": condition}, **({} if axis is None else {"axis": axis}))


def _top_k(draw: st.DrawFn) -> Moving:
    x = _words(draw, _shape(draw), (np.float32, np.int64, np.int32))
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    k = np.array([draw(st.integers(1, x.shape[axis]))], np.int64)
    return _moving("TopK", 11, {"x": x}, {"k": k}, axis=axis, largest=draw(st.integers(0, 1)))


MAKERS: dict[str, Callable[[st.DrawFn], Moving]] = {
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "ReverseSequence": _reverse_sequence,
    "Compress": _compress,
    "TopK": _top_k,
}
"""Operators by name, with what draws a node of each."""


@st.composite
def moving_nodes(draw: st.DrawFn, op_type: str) -> Moving:
    """A node of one operator with random attributes, shapes and types."""
    return MAKERS[op_type](draw)
