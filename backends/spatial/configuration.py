"""What a machine holds as the configuration of a layer or group, in the words of the instructions that make it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from backends.effects import Told
from backends.spatial.codes import Fold
from backends.spatial.holds import HoldState
from backends.spatial.layer import LayerState
from backends.spatial.words import word_of_dtype
from dialects.turn_box import Span


def configuration_of(layer: LayerState) -> dict[str, Told]:
    """By what it is of: all that was told of a layer so far, as other instructions do not undo it."""
    return dict(_entries(layer))


def _entries(layer: LayerState) -> Iterator[tuple[str, Told]]:
    yield "the layer", (layer.index, layer.main or "", layer.fold.name, str(layer.padding), _word(layer.acc))
    for number, dim in enumerate(layer.dims):
        yield f"dimension {number}", dim.counts
        yield f"the window of dimension {number}", (dim.stride, dim.dilation, dim.pad, dim.up, dim.extent)
    for slot, steps in layer.steps.items():
        for number, step in enumerate(steps):
            operand = "" if step.operand is None else step.operand.name
            yield f"function {number} of {slot.name.lower()}", (step.name, *map(str, step.parameters), operand)
    for tensor, place in layer.tensors.items():
        yield f"the base of {tensor.name.lower()}", (place.address, _word(place.dtype))
        for number, stride in place.strides.items():
            yield f"the stride of {tensor.name.lower()} in dimension {number}", (stride,)
    for tensor, terms in layer.terms.items():
        for number, term in enumerate(terms):
            yield f"term {number} of {tensor.name.lower()}", (term.place, term.step, term.extent)
    if layer.update is not Fold.NONE:
        yield "the update", (layer.update.name,)
    for tensor in layer.compressed:
        yield f"the code of {tensor.name.lower()}", ("compressed",)
    for tensor, kept in layer.places.items():
        yield f"the place of {tensor.name.lower()}", (kept.memory.name, kept.address, kept.words)
    for number, spread in enumerate(layer.spreads):
        yield f"spread {number}", (spread.dim, spread.kind.name, spread.tile, spread.axis.name)
    for tensor, hold in layer.keeps.items():
        yield f"the hold of {tensor.name.lower()}", (hold.number,)


class Box(Protocol):
    """A box of a group while it is read: of every range offset, step, count, and the spans along loops."""

    @property
    def axes(self) -> Sequence[tuple[int, int, int, Sequence[tuple[int, Span]]]]: ...


def configuration_of_group(
    index: int, holds: Mapping[int, HoldState], boxes: Mapping[int, Box], steps: Sequence[Told], opened: int
) -> dict[str, Told]:
    """By what it is of: all that was told so far of a group but its layers.

    `steps` are its loops, transfers and runs, of which loops `opened` many have not ended.
    """
    found = {"the group": (index,), **dict(entries_of_holds(holds)), **dict(_entries_of_boxes(boxes))}
    found |= {f"step {number} of the turns": step for number, step in enumerate(steps)}
    return found | ({"the loops that are open": (opened,)} if opened else {})


def entries_of_holds(holds: Mapping[int, HoldState]) -> Iterator[tuple[str, Told]]:
    """By what it is of, all that was told of holds."""
    for number, hold in holds.items():
        yield f"hold {number}", (hold.memory, hold.address, hold.words, _word(hold.dtype))
        if hold.home:
            yield f"the home of hold {number}", (hold.home,)
        for index, axis in enumerate(hold.axes):
            yield f"axis {index} of hold {number}", (axis.extent, axis.first, axis.step, axis.kept)
            if axis.pitch:
                yield f"the pitch of axis {index} of hold {number}", (axis.pitch,)


def _entries_of_boxes(boxes: Mapping[int, Box]) -> Iterator[tuple[str, Told]]:
    for number, box in boxes.items():
        yield f"box {number}", ("begun",)
        for index, (offset, step, count, spans) in enumerate(box.axes):
            yield f"range {index} of box {number}", (count, offset, step)
            for place, (loop, span) in enumerate(spans):
                told = loop, span.turn, span.first, span.size, span.step, span.growth
                yield f"span {place} of range {index} of box {number}", told


def _word(dtype: np.dtype[Any]) -> str:
    word = word_of_dtype(dtype)
    return dtype.name if word is None else word.name
