"""The constants to blame: those that are not the compiler's, and the instruction that brings them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum

import numpy as np

from backends.api import ReadingEmulator
from backends.isa import Instruction, Isa
from backends.program import ConstantImage, DebugEntry, LayerEntry, Program, Role, TensorEntry
from backends.registry import find_backend
from backends.spatial.group_isa import Fetch, Keep
from compiler.arrays import Array
from compiler.localising.blame import Blame, Mends, instruction_at

_MOVERS = ("load", "fill")
"""Instructions that bring an operand; those of `post` come with the one that takes results out."""
_SENDERS = ("store", "drain")


def blamed_constants(
    program: Program, again: Program, layers: Sequence[LayerEntry], isa: Isa, mends: Mends
) -> Blame | None:
    """The instruction that brings altered constants of some layers, if the result is right with the model's.

    If only all of them together make it right, that of the first.
    """
    others = [each for each in other_constants(program, again, layers) if each[1].size == each[2].size]
    chosen = next((each for each in others if mends(_with_words(program, each[0], each[2]))), None)
    if chosen is None and len(others) > 1:
        repaired = program
        for tensor, _, expected in others:
            repaired = _with_words(repaired, tensor, expected)
        chosen = others[0] if mends(repaired) else None
    return None if chosen is None else _of_constants(program, layers, isa, *chosen)


def _entries(program: Program, layers: Sequence[LayerEntry]) -> list[DebugEntry]:
    names = {each.name for each in layers}
    return [entry for entry in program.debug if entry.layer in names]


def _constants(program: Program, layers: Sequence[LayerEntry]) -> Iterator[TensorEntry]:
    read = {name for layer in layers for name in layer.inputs}
    yield from (each for each in program.tensors if each.role is Role.CONSTANT and each.words and each.name in read)


def other_constants(
    program: Program, again: Program, layers: Sequence[LayerEntry]
) -> Iterator[tuple[TensorEntry, Array, Array]]:
    """The constants of some layers that are others in two programs, with the words of both."""
    theirs = {tensor.name: tensor for tensor in again.tensors}
    for tensor in _constants(program, layers):
        found = words_of(program, tensor)
        expected = words_of(again, theirs[tensor.name]) if tensor.name in theirs else None
        if found is not None and expected is not None and not np.array_equal(_bits(found), _bits(expected)):
            yield tensor, found, expected


def words_of(program: Program, tensor: TensorEntry) -> Array | None:
    """The words of a tensor of constants; None if the program has none for it."""
    for image in program.constants:
        if image.memory == tensor.memory and image.base <= tensor.address < image.base + image.size:
            return image.array()[tensor.address - image.base :][: tensor.words]
    return None


def _with_words(program: Program, tensor: TensorEntry, words: Array) -> Program:
    """The program with other words in the place of a tensor of constants."""
    images: list[ConstantImage] = []
    for image in program.constants:
        if image.memory == tensor.memory and image.base <= tensor.address < image.base + image.size:
            whole = image.array().copy()
            whole[tensor.address - image.base :][: tensor.words] = words
            image = replace(image, pieces=((image.base, whole),))
        images.append(image)
    return replace(program, constants=tuple(images))


def _bits(words: Array) -> Array:
    return np.ascontiguousarray(words).view(np.uint8)


def _of_constants(
    program: Program,
    layers: Sequence[LayerEntry],
    isa: Isa,
    tensor: TensorEntry,
    found: Array,
    expected: Array,
) -> Blame | None:
    """The instruction that brings altered words of a tensor on chip: not it is wrong, but what it brings."""
    altered = np.flatnonzero((_bits(found) != _bits(expected)).reshape(-1, found.itemsize).any(axis=1))
    mover, other = _bringing(program, _entries(program, layers), isa, tensor)
    place, word = mover, int(altered[0])
    emulator = find_backend(program.metadata.backend).load(program, None)
    if place is None and isinstance(emulator, ReadingEmulator):
        read = emulator.reader_of(tensor.address + altered, [each.name for each in layers])
        if read is not None:
            place, word = read[:2], read[2] - tensor.address
    place = place or other
    if place is None:
        return None
    text = isa.format(instruction_at(program, isa, *place))
    reason = f"it brings constants that are not those of the model: word {word} of {tensor.onnx or tensor.name!r}"
    return Blame(*place, text, reason, str(expected[word]), str(found[word]), len(program.code))


_Place = tuple[int, int]
"""Core and address of an instruction."""


def _bringing(
    program: Program, entries: Sequence[DebugEntry], isa: Isa, tensor: TensorEntry
) -> tuple[_Place | None, _Place | None]:
    """The instruction that moves an operand on chip, the first after the one that says where it lies.

    What lies in a hold is fetched to it, by the turns of the group. If none says that it moves the operand, what takes
    results out or else what says where the operand lies.
    """
    operand: object = None
    hold: int | None = None
    based: _Place | None = None
    mover: _Place | None = None
    sender: _Place | None = None
    for entry in entries:
        for address in range(entry.start, entry.end):
            place = entry.core, address
            instruction = instruction_at(program, isa, *place)
            mnemonic, *_ = isa.format(instruction).split()
            if mnemonic == "base" and getattr(instruction, "address", None) == tensor.address:
                operand, based = getattr(instruction, "tensor", None), place
            elif based is not None and isinstance(instruction, Keep) and instruction.tensor == operand:
                hold = instruction.hold if hold is None and mover is None else hold
            elif hold is not None and isinstance(instruction, Fetch) and instruction.hold == hold:
                return place, None
            elif based is not None and mnemonic in _MOVERS and _moves(instruction, operand):
                mover = mover or place
                if hold is None:
                    return mover, None
            elif based is not None and mnemonic in _SENDERS:
                sender = sender or place
    return mover, None if mover is not None else sender or based


def _moves(instruction: Instruction, operand: object) -> bool:
    given = getattr(instruction, "tensor", None)
    return isinstance(given, Enum) and given == operand
