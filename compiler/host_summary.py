"""What every report says of the host segments of a network: how many, which nodes, how many words cross the link."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import ModuleOp

from dialects.gconv import shape_of
from dialects.gconv.interpreter import main_function
from dialects.host_segment import segment_inputs, segment_outputs, segments_of
from dialects.locations import node_names

if TYPE_CHECKING:
    from backends.program import LayerEntry, Program


@dataclass(frozen=True)
class HostSegment:
    """One segment: its nodes, and the words that it reads from the device's memory and writes there."""

    nodes: tuple[str, ...]
    words_read: int
    words_written: int

    @property
    def words(self) -> int:
        """Words over the link."""
        return self.words_read + self.words_written


def segments_in_module(module: ModuleOp) -> tuple[HostSegment, ...]:
    """The segments of a module that has not been placed."""
    function = main_function(module)
    inputs, outputs = segment_inputs(function), segment_outputs(function)
    return tuple(
        HostSegment(
            node_names(op.location),
            sum(math.prod(shape_of(inputs[name])) for name in op.read_names),
            sum(math.prod(shape_of(outputs[name])) for name in op.made_names),
        )
        for op in segments_of(function)
    )


def segments_in_program(program: Program) -> tuple[HostSegment, ...]:
    """The segments of a program."""
    from backends.segments import SEGMENT

    words = {tensor.name: math.prod(tensor.shape) for tensor in program.tensors}

    def total(names: Iterable[str]) -> int:
        return sum(words[name] for name in names)

    segments = (layer for layer in program.layers if layer.kind == SEGMENT)
    return tuple(_of_layer(layer, total(layer.inputs), total(layer.outputs)) for layer in segments)


def _of_layer(layer: LayerEntry, read: int, written: int) -> HostSegment:
    return HostSegment(layer.nodes, read, written)


def describe_segments(segments: Sequence[HostSegment]) -> str:
    """One line: `2 host segments: 3 nodes (choice, nms + gather) on ONNX Runtime, 40 words over the link`."""
    nodes = sum(len(each.nodes) for each in segments)
    names = ", ".join(" + ".join(each.nodes) for each in segments)
    count = f"{len(segments)} host segment{'s' if len(segments) != 1 else ''}"
    words = sum(each.words for each in segments)
    return f"{count}: {nodes} node{'s' if nodes != 1 else ''} ({names}) on ONNX Runtime, {words:,} words over the link"
