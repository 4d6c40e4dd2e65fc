"""Host segments in a program: layers whose work is an ONNX model, which the runtime around an emulator executes.

A segment is a `LayerEntry` of kind `SEGMENT`. Its model is the constant image of the memory `segment.N`, N being the
layer's index: ONNX bytes under the program's checksums, which no machine has in its address space. The first inputs
and outputs of the model are the layer's, in order; the others go from and to the user or other segments by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy.typing as npt

from backends.program import ConstantImage, LayerEntry, Program

SEGMENT = "host segment"
"""The kind of the layers that are segments."""

_MEMORY = "segment."

HostCall: TypeAlias = Callable[[str, Sequence[npt.NDArray[Any]]], Sequence[npt.NDArray[Any]]]
"""Executes the segment of that layer: its outputs on the device, from its inputs there, both in the layer's order."""


def segment_image(layer: int, content: npt.NDArray[Any]) -> ConstantImage:
    """The image that holds the model of the segment that is layer number `layer`."""
    return ConstantImage(f"{_MEMORY}{layer}", 0, content.size, "uint8", ((0, content),))


def is_segment_image(image: ConstantImage) -> bool:
    """Whether a constant image holds the model of a segment."""
    return image.memory.startswith(_MEMORY)


def segments_of(program: Program) -> Iterator[tuple[LayerEntry, bytes]]:
    """Every segment of a program in order: its layer, and the bytes of its model, empty if the program has none."""
    images = {image.memory: image for image in program.constants if is_segment_image(image)}
    for index, layer in enumerate(program.layers):
        if layer.kind == SEGMENT:
            image = images.get(f"{_MEMORY}{index}")
            yield layer, b"" if image is None else image.array().tobytes()
