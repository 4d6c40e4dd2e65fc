"""What the layers of a program for SPOTS count with the zeros that their data have, beside what the emulator counts.

Layer by layer, each on the tensors that the layers before it made: the prediction takes zeros of kernels from the
program's bitmaps, and those of inputs from the tensors, and puts them into the closed forms of `passes.gemm`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.context import Context

from backends.program import LayerEntry, Program, Role
from backends.spots.emulator import SpotsEmulator
from backends.spots.isa import ISA, Blocks
from compiler.ir_text import new_context
from dialects.events import Counts
from dialects.gconv import View
from dialects.gconv.scalar import apply
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmAttr
from dialects.unicode_parser import UnicodeParser
from passes.gemm.cost import predict
from passes.gemm.streams import TileBlocks, blocks_of_tiles, kernel_boxes
from passes.gemm.tiles import GemmTiles
from passes.gemm.zeros import leaves_out, measure
from tests.benchmarks.scripts import script

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Counted:
    """A layer: what the emulator counted, and what is predicted with its zeros."""

    layer: LayerEntry
    emulated: Counts
    predicted: Counts


def counted(program: Program, inputs: Mapping[str, Array]) -> Iterator[Counted]:
    """Every layer of a program, run on what the layers before it made of some inputs."""
    emulator, context = SpotsEmulator(program), new_context()
    entries = {entry.name: entry for entry in program.tensors}
    tensors = dict(inputs)
    last = {name: number for number, layer in enumerate(program.layers) for name in (*layer.inputs, *layer.outputs)}
    for number, layer in enumerate(program.layers):
        for name in layer.outputs:
            if name not in tensors:  # a layer may write a part of it only
                tensors[name] = np.zeros(entries[name].shape, entries[name].word_type)
        known = [name for name in (*layer.inputs, *layer.outputs) if name in tensors]
        made = emulator.run_layer(layer.name, {name: tensors[name] for name in known})
        assert layer.work is not None
        name = layer.work.tensors[0]
        source = constant(program, name) if entries[name].role is Role.CONSTANT else tensors[name]
        predicted = predicted_with(program, layer, source, emulator.machine, context)
        yield Counted(layer, emulator.counters[layer.name], predicted)
        tensors |= made
        tensors = {name: array for name, array in tensors.items() if last.get(name, 0) > number}


def constant(program: Program, name: str) -> Array:
    """The words of a constant."""
    entry = next(each for each in program.tensors if each.name == name)
    return words_at(program, entry.address, entry.words).reshape(entry.shape)


def words_at(program: Program, address: int, words: int | None = None) -> Array:
    """Constant words from an address, so many or as many as there are."""
    image = next(each for each in program.constants if each.base <= address < each.base + each.size)
    return image.array()[address - image.base :][:words]


def predicted_with(
    program: Program, layer: LayerEntry, source: Array, machine: GemmMachine, context: Context
) -> Counts:
    """What a layer counts, given the tensor that is its input."""
    work = script("spots").computed_by(layer, context)
    mapping = UnicodeParser(context, f"#schedule.gemm<{layer.mapping}>").parse_attribute()
    assert isinstance(mapping, GemmAttr)
    spec, tiles = work.spec, GemmTiles(work.spec, mapping.data, work.input_shape)
    blocks = kept_blocks(program, layer, tiles)
    live = None
    if leaves_out(spec, machine):
        words = viewed(source, work.views[0])
        for step in spec.pre:
            words = apply(step.function, words, parameters=step.parameters)
        live = measure(tiles, machine, words, blocks)
    shapes = work.input_shape, work.extra_shapes
    return predict(spec, mapping.data, machine, *shapes, work.lookups, blocks, live)


def kept_blocks(program: Program, layer: LayerEntry, tiles: GemmTiles) -> Sequence[TileBlocks] | None:
    """What the kernel of a layer keeps, if it lies in blocks: its code says where the bitmaps are."""
    spans = [range(entry.start, entry.end) for entry in program.debug if entry.layer == layer.name]
    code = list(ISA.decode(program.code[0], layer.name))
    found = [each for span in spans for each in code[span.start : span.stop] if isinstance(each, Blocks)]
    if not found:
        return None
    return blocks_of_tiles(words_at(program, found[0].address), kernel_boxes(tiles), found[0].height)


def viewed(words: Array, view: View) -> Array:
    """A view of a tensor's words."""
    flat = np.ascontiguousarray(words).reshape(-1)
    return np.lib.stride_tricks.as_strided(flat[view.offset :], view.shape, [flat.itemsize * n for n in view.strides])
