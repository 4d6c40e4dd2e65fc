"""One layer of a program as a program of its own: its code, what it reads and makes, and its constants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from backends.isa import Instruction, Isa
from backends.program import ConstantImage, DebugEntry, LayerEntry, Program, Role, TensorEntry
from compiler.arrays import Array


def cut_program(
    program: Program, layer: LayerEntry, isa: Isa, values: Mapping[str, Array], model: str, digest: str
) -> Program | None:
    """The program of one layer, as if it was compiled from a model of this name and digest.

    `values` has tensors of the model by name, whose shapes the tensors get. None if the layer cannot stand alone: it
    takes turns with others, is executed by several cores, updates a tensor, or reads one that the model does not have.
    """
    if layer.group or len(program.code) != 1 or set(layer.inputs) & set(layer.outputs):
        return None
    tensors = _tensors(program, layer, values)
    if tensors is None:
        return None
    names = {old: new.name for old, new in tensors.items()}
    work = layer.work
    if work is not None:
        work = replace(work, tensors=tuple(names[name] for name in work.tensors))
    alone = replace(
        layer,
        inputs=tuple(names[name] for name in layer.inputs),
        outputs=tuple(names[name] for name in layer.outputs),
        work=work,
    )
    code = [_numbered(instruction, isa) for instruction in _code(program, layer, isa)]
    return Program(
        replace(program.metadata, model=model, model_sha256=digest),
        (isa.encode(code),),
        tuple(_constants(program, [*tensors.values()])),
        tuple(sorted(tensors.values(), key=lambda each: each.name)),
        (alone,),
        (DebugEntry(0, 0, len(code) - 1, layer.name),),
    )


def _numbered(instruction: Instruction, isa: Isa) -> Instruction:
    """The instruction as that of a program of one layer."""
    if isa.format(instruction).split()[0] != "layer":
        return instruction
    given = {each.name: getattr(instruction, each.name) for each in isa.specs[type(instruction)].fields}
    return type(instruction)(**{**given, "index": 0})


def _code(program: Program, layer: LayerEntry, isa: Isa) -> Iterator[Instruction]:
    """The layer's instructions, and the last of the program, which ends it."""
    code = list(isa.decode(program.code[0]))
    for entry in program.debug:
        if entry.layer == layer.name:
            yield from code[entry.start : entry.end]
    yield code[-1]


def _tensors(program: Program, layer: LayerEntry, values: Mapping[str, Array]) -> dict[str, TensorEntry] | None:
    """What the layer touches, by the name in the program, under the names of the model."""
    table = {tensor.name: tensor for tensor in program.tensors}
    found: dict[str, TensorEntry] = {}
    for name in dict.fromkeys((*layer.inputs, *layer.outputs, *(layer.work.tensors if layer.work else ()))):
        tensor = table[name]
        if tensor.role is not Role.CONSTANT:
            is_made = name in layer.outputs
            if tensor.onnx not in values:
                return None
            shaped = _of_shape(tensor, values[tensor.onnx].shape)
            if shaped is None:
                return None
            role, maker = (Role.OUTPUT, layer.name) if is_made else (Role.INPUT, "")
            tensor = replace(shaped, name=tensor.onnx, role=role, produced_by=maker)
        found[name] = tensor
    return found if len({tensor.name for tensor in found.values()}) == len(found) else None


def _of_shape(tensor: TensorEntry, shape: tuple[int, ...]) -> TensorEntry | None:
    """The same words as a tensor of another shape; None if no strides say so."""
    if int(np.prod(shape)) != int(np.prod(tensor.shape)) or not tensor.words:
        return None
    words = np.zeros(tensor.words, np.uint8)
    view = np.lib.stride_tricks.as_strided(words, tensor.shape, tensor.strides, writeable=False)
    other = view.reshape(shape)
    if not np.shares_memory(words, other):
        return None
    return replace(tensor, shape=shape, strides=other.strides)


def _constants(program: Program, tensors: list[TensorEntry]) -> Iterator[ConstantImage]:
    """The words of the constants among some tensors, and no others."""
    for image in program.constants:
        ranges = sorted(
            (tensor.address, tensor.address + tensor.words)
            for tensor in tensors
            if tensor.role is Role.CONSTANT and tensor.memory == image.memory and tensor.words
            if image.base <= tensor.address < image.base + image.size
        )
        merged: list[tuple[int, int]] = []
        for start, end in ranges:
            if merged and start <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            else:
                merged.append((start, end))
        words = image.array()
        for start, end in merged:
            piece = words[start - image.base : end - image.base]
            yield ConstantImage(image.memory, start, end - start, image.word, ((start, piece),))
