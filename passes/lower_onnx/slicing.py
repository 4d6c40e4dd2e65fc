"""Slice: a view where it starts at known places, else words at computed addresses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dialects.gconv import View
from passes.lower_onnx.arithmetic import Value
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import constant_input
from passes.lower_onnx.declared_results import is_not_count, place_unless
from passes.lower_onnx.gathering import looked_up
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor

_STARTS, _ENDS, _AXES, _STEPS = range(1, 5)


@constraint()
def makes_the_result(node: Node) -> str | None:
    """constant starts, ends and steps make the extents of the result"""
    if one_number_for_each_axis.violation(node):
        return None
    starts, ends = node.integers_from("starts", _STARTS), node.integers_from("ends", _ENDS)
    steps = (1,) * len(starts or ()) if node.input(_STEPS) is None else node.constant_integers(_STEPS)
    if starts is None or ends is None or steps is None:
        return None
    for start, end, step, axis in zip(starts, ends, steps, _axes(node, len(starts)), strict=True):
        count = _count(start, end, step, node.shape(0)[axis])
        if count != node.result_shape()[axis]:
            return f"{count} words along axis {axis} for {node.result_shape()[axis]}"
    return None


@constraint()
def one_number_for_each_axis(node: Node) -> str | None:
    """`starts`, `ends`, `axes` and `steps` have as many numbers as axes are sliced"""
    given = [index for index in (_STARTS, _ENDS, _AXES, _STEPS) if node.input(index) is not None]
    counts = [math.prod(node.shape(index)) for index in given]
    return f"{' and '.join(map(str, counts))} numbers" if len(set(counts)) > 1 else None


@constraint()
def no_longer_than_the_input(node: Node) -> str | None:
    """the declared result is no longer than steps through the input allow"""
    if node.input(_STARTS) is None or one_number_for_each_axis.violation(node):
        return None
    axes = _axes(node, math.prod(node.shape(_STARTS)))
    steps = node.constant_integers(_STEPS) or (1,) * len(axes)
    for axis, step in zip(axes, steps, strict=True):
        extent, count = node.shape(0)[axis], node.result_shape()[axis]
        if (count - 1) * abs(step) >= extent:
            return f"{count} words along axis {axis}, in steps of {step} through {extent}"
    return None


def _count(start: int, end: int, step: int, extent: int) -> int:
    """How many words ONNX takes; unlike Python, backwards from before the first word it begins with that one."""
    last, backwards = (extent - 1, -1) if step < 0 else (extent, 0)
    start, end = (place + extent if place < 0 else place for place in (start, end))
    return len(range(min(max(start, 0), last), min(max(end, backwards), last), step)) if step else 0


@lowering(
    "Slice",
    constraints=(constant_input(_AXES, "axes"), one_number_for_each_axis, makes_the_result, no_longer_than_the_input),
    declared_extents=True,
)
def slice_(node: Node, chain: Chain) -> Tensor:
    """a view; one link that reads at computed addresses where it starts or ends is computed, a few for the addresses"""
    computed = [node.input(index) is not None and node.constant(index) is None for index in (_STARTS, _ENDS, _STEPS)]
    return _computed(node, chain) if any(computed) else _view(node, chain)


def _view(node: Node, chain: Chain) -> Tensor:
    x = chain.input(node, 0)
    starts = node.integers_from("starts", _STARTS, ()) or ()
    steps = node.constant_integers(_STEPS) or (1,) * len(starts)
    for start, axis, step in zip(starts, _axes(node, len(starts)), steps, strict=True):
        extent = x.shape[axis]
        start = start + extent if start < 0 else start
        first = min(max(start, 0), extent if step > 0 else extent - 1)
        x = x.slice(axis, first, node.result_shape()[axis], step)
    return x


def _axes(node: Node, count: int) -> list[int]:
    axes = node.integers_from("axes", _AXES) or tuple(range(count))
    return [axis % len(node.shape(0)) for axis in axes]


@dataclass(frozen=True)
class _Cuts:
    """Where slices start along `axes`, within them, and how they go on; a number for every axis.

    `broken` is 1 where start, end and step make another number of words than `counts`.
    """

    axes: list[int]
    counts: list[int]
    starts: Value
    steps: Value
    broken: Value


def _computed(node: Node, chain: Chain) -> Tensor:
    x, cuts = chain.input(node, 0), _cuts(node, chain)
    if cuts.steps.known is not None:
        return _from_places(chain, x, cuts, [int(step) for step in cuts.steps.known])
    for place, (axis, count) in enumerate(zip(cuts.axes, cuts.counts, strict=True)):
        start, step, broken = (each[place : place + 1] for each in (cuts.starts, cuts.steps, cuts.broken))
        indices = place_unless(broken, start + step * np.arange(count))
        x = looked_up(chain, x, axis, indices.tensor)
    return x


def _cuts(node: Node, chain: Chain) -> _Cuts:
    starts, ends = (Value.input(chain, node, index) for index in (_STARTS, _ENDS))
    axes = _axes(node, starts.shape[0])
    extents = np.array([node.shape(0)[axis] for axis in axes], starts.dtype)
    counts = [node.result_shape()[axis] for axis in axes]
    steps = Value(chain, np.ones(len(axes), starts.dtype))
    if node.input(_STEPS) is not None:
        # A longer step than the axis is no other one, and cannot overflow.
        steps = Value.input(chain, node, _STEPS).at_least(-extents).at_most(extents)
    backwards = steps < 0
    last = extents - backwards
    starts, ends = (places + (places < 0) * extents for places in (starts, ends))
    starts, ends = starts.at_least(0).at_most(last), ends.at_least(0 - backwards).at_most(last)
    return _Cuts(axes, counts, starts, steps, is_not_count(np.array(counts), ends - starts, steps))


def _from_places(chain: Chain, x: Tensor, cuts: _Cuts, steps: Sequence[int]) -> Tensor:
    """Slices with known steps: an index of one vector says where they begin along all axes."""
    view = x.view
    terms: list[tuple[int, int]] = []
    reaches = [(count - 1) * abs(step) for count, step in zip(cuts.counts, steps, strict=True)]
    for axis, count, step, reach in zip(cuts.axes, cuts.counts, steps, reaches, strict=True):
        # Indices count from the first word of the axis that is read, which is the last one of a slice backwards.
        terms.append((max(1, x.shape[axis] - reach), x.view.strides[axis]))
        view = view.slice(axis, reach if step < 0 else 0, count, step)
    firsts = cuts.starts - np.array([reach if step < 0 else 0 for reach, step in zip(reaches, steps, strict=True)])
    index = place_unless(cuts.broken, firsts).reshape(*(1,) * x.rank, len(steps))
    extents, strides = (tuple(each) for each in zip(*terms, strict=True))
    reach_of_all = View((*view.shape, *extents), (*view.strides, *strides), view.offset)
    return chain.gather(Tensor(x.base, reach_of_all), index.tensor)


SLICING = (*slice_,)
