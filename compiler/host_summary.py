"""What every report says of the host segments of a network: how many, which nodes, how many words cross the link."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import ModuleOp

from compiler.segment_notes import OPEN_SHAPES, read_note
from dialects.gconv import shape_of
from dialects.gconv.interpreter import main_function
from dialects.host_segment import segment_inputs, segment_outputs, segments_of
from dialects.locations import node_names

if TYPE_CHECKING:
    from backends.program import Program


@dataclass(frozen=True)
class HostSegment:
    """One segment: its nodes, and the words that it reads from the device's memory and writes there.

    `open_shapes` are the tensors that keep other nodes there because their shapes are not static.
    """

    nodes: tuple[str, ...]
    words_read: int
    words_written: int
    open_shapes: tuple[str, ...] = ()

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
            _open_shapes(op.content.tobytes()),
        )
        for op in segments_of(function)
    )


def segments_in_program(program: Program) -> tuple[HostSegment, ...]:
    """The segments of a program."""
    from backends.segments import segments_of as contents_of

    words = {tensor.name: math.prod(tensor.shape) for tensor in program.tensors}

    def total(names: Iterable[str]) -> int:
        return sum(words[name] for name in names)

    return tuple(
        HostSegment(layer.nodes, total(layer.inputs), total(layer.outputs), _open_shapes(content))
        for layer, content in contents_of(program)
    )


def _open_shapes(content: bytes) -> tuple[str, ...]:
    """What the model of a segment notes, nothing if it cannot be read: the runtime will say so."""
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    model = ModelProto()
    try:
        model.ParseFromString(content)
        return tuple(read_note(model, OPEN_SHAPES))
    except (DecodeError, KeyError, ValueError):
        return ()


def describe_segments(segments: Sequence[HostSegment]) -> str:
    """One line: `2 host segments: 3 nodes (choice, nms + gather) on ONNX Runtime, 40 words over the link`.

    Another one says which shapes keep nodes there that the device might execute.
    """
    nodes = sum(len(each.nodes) for each in segments)
    names = ", ".join(" + ".join(each.nodes) for each in segments)
    count = f"{len(segments)} host segment{'s' if len(segments) != 1 else ''}"
    words = sum(each.words for each in segments)
    text = f"{count}: {nodes} node{'s' if nodes != 1 else ''} ({names}) on ONNX Runtime, {words:,} words over the link"
    tensors = dict.fromkeys(name for each in segments for name in each.open_shapes)
    if not tensors:
        return text
    return (
        f"{text}\nthe host also has what uses {', '.join(map(repr, tensors))}, for shapes that are not known before "
        "run time; one that never changes can be declared in the model (value_info)"
    )
