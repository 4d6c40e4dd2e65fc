"""Layers that make one result as a program of their own: their code, what they read and make, and their constants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from backends.isa import Instruction, Isa
from backends.program import ConstantImage, DebugEntry, LayerEntry, Program, Role, TensorEntry
from compiler.arrays import Array


def cut_program(
    program: Program, layers: Sequence[LayerEntry], isa: Isa, values: Mapping[str, Array], model: str, digest: str
) -> Program | None:
    """The program of some layers, as if it was compiled from a model of this name and digest.

    `values` has tensors of the model by name, whose shapes the tensors get. None if the layers cannot stand alone: they
    have no code, take turns with others, are executed by several cores, update a tensor or make a part of it, or read
    one that the model does not have.
    """
    these = {layer.name for layer in layers}
    made = {name for layer in layers for name in layer.outputs}
    if any(made & set(layer.outputs) for layer in program.layers if layer.name not in these):
        return None
    if not these <= {entry.layer for entry in program.debug}:
        return None
    if len(program.code) != 1 or any(layer.group or set(layer.inputs) & set(layer.outputs) for layer in layers):
        return None
    tensors = _tensors(program, layers, values)
    if tensors is None:
        return None
    names = {old: new.name for old, new in tensors.items()}
    code: list[Instruction] = []
    debug: list[DebugEntry] = []
    for index, layer in enumerate(layers):
        start = len(code)
        code += [_numbered(instruction, index, isa) for instruction in _code(program, layer, isa)]
        debug.append(DebugEntry(0, start, len(code), layer.name))
    # The last of the program ends it.
    code.append(list(isa.decode(program.code[0]))[-1])
    return Program(
        replace(program.metadata, model=model, model_sha256=digest),
        (isa.encode(code),),
        tuple(_constants(program, [*tensors.values()])),
        tuple(sorted(tensors.values(), key=lambda each: each.name)),
        tuple(_renamed(layer, names) for layer in layers),
        tuple(debug),
    )


def _renamed(layer: LayerEntry, names: Mapping[str, str]) -> LayerEntry:
    """The layer with other names of tensors."""
    work = layer.work
    if work is not None:
        work = replace(work, tensors=tuple(names[name] for name in work.tensors))
    inputs, outputs = (tuple(names[name] for name in each) for each in (layer.inputs, layer.outputs))
    return replace(layer, inputs=inputs, outputs=outputs, work=work)


def _numbered(instruction: Instruction, index: int, isa: Isa) -> Instruction:
    """The instruction as that of a layer at this place in its program."""
    if isa.format(instruction).split()[0] != "layer":
        return instruction
    given = {each.name: getattr(instruction, each.name) for each in isa.specs[type(instruction)].fields}
    return type(instruction)(**{**given, "index": index})


def _code(program: Program, layer: LayerEntry, isa: Isa) -> Iterator[Instruction]:
    """The layer's instructions."""
    code = list(isa.decode(program.code[0]))
    for entry in program.debug:
        if entry.layer == layer.name:
            yield from code[entry.start : entry.end]


def _tensors(
    program: Program, layers: Sequence[LayerEntry], values: Mapping[str, Array]
) -> dict[str, TensorEntry] | None:
    """What the layers touch, by the name in the program, under the names of the model but for what only they touch."""
    table = {tensor.name: tensor for tensor in program.tensors}
    found: dict[str, TensorEntry] = {}
    last = layers[-1].outputs
    inner = {name for layer in layers for name in layer.outputs} - set(last)
    touched = (
        name
        for layer in layers
        for name in (*layer.inputs, *layer.outputs, *(layer.work.tensors if layer.work else ()))
    )
    for name in dict.fromkeys(touched):
        tensor = table[name]
        if name in inner:
            tensor = replace(tensor, role=Role.INTERMEDIATE)
        elif tensor.role is not Role.CONSTANT:
            is_made = name in last
            if tensor.onnx not in values:
                return None
            shaped = _of_shape(tensor, values[tensor.onnx].shape)
            if shaped is None:
                return None
            role, maker = (Role.OUTPUT, layers[-1].name) if is_made else (Role.INPUT, "")
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
