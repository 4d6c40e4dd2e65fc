"""The instruction to blame: where a program and the one compiled again differ, and whose repair mends the layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from backends.api import Backend, Emulator, ReadingEmulator
from backends.isa import Instruction, Isa
from backends.program import ConstantImage, DebugEntry, LayerEntry, Program, Role, TensorEntry
from backends.registry import find_backend
from compiler.arrays import Array
from compiler.localising.edits import OUTSIDE, Edit, edits, repaired
from compiler.localising.layer_order import first_misplaced, in_order
from compiler.localising.missing_layers import first_missing, with_missing_layers
from compiler.localising.relocating import relocated
from dialects.diagnostics import CatenaError

_MOVERS = ("load", "fill")
"""Instructions that bring an operand; those of `post` come with the one that takes results out."""
_SENDERS = ("store", "drain")

_MOST_REPAIRS = 256
"""Instructions that are repaired one by one."""

Mends = Callable[[Program], bool]
"""Whether the result is right in another program."""


def mends_by(backend: Backend, is_right: Callable[[Program, Emulator], bool]) -> Mends:
    """Whether the result is right in another program, if that can be loaded."""

    def mends(other: Program) -> bool:
        try:
            emulator = backend.load(other, None)
        except CatenaError:
            return False
        return is_right(other, emulator)

    return mends


@dataclass(frozen=True)
class Blame:
    """An instruction, by core (of `cores`) and address, as assembly, and what is wrong with it or what it brings.

    `layer` is the one whose code it is, where the address does not tell: if it is missing or there in addition.
    Without, it is that of no layer if its address is in none.
    """

    core: int
    address: int
    text: str
    reason: str
    expected: str = ""
    found: str = ""
    cores: int = 1
    layer: str = ""

    def __str__(self) -> str:
        core = f"core {self.core}, " if self.cores > 1 else ""
        return f"{core}instruction {self.address} ({self.text})"


def blamed_instruction(
    program: Program, again: Program, layers: Sequence[LayerEntry], isa: Isa, mends: Mends
) -> Blame | None:
    """The first instruction of some layers that mends their result if repaired, or brings constants that do.

    If no repair of one instruction does, the first that differs is blamed where all repairs together mend the result.
    None if code and constants are those that the compiler makes, or have nothing to do with it.
    """
    moved = relocated(again, program, isa)
    if moved is not again and edits(program, again, {each.name for each in layers}):
        found = _blamed_instruction(program, moved, layers, isa, mends)
        if found is not None:
            return found
    return _blamed_instruction(program, again, layers, isa, mends)


def _blamed_instruction(
    program: Program, again: Program, layers: Sequence[LayerEntry], isa: Isa, mends: Mends
) -> Blame | None:
    misplaced = blamed_order(program, again, isa, mends) or _blamed_absence(program, again, isa, mends)
    if misplaced is not None:
        return misplaced
    names = {each.name for each in layers}
    found = edits(program, again, names)
    blamed = _mending(program, again, found, mends)
    if blamed is not None:
        return blame_of(program, again, blamed, isa)
    constants = blamed_constants(program, again, layers, isa, mends)
    if constants is not None:
        return constants
    outside = edits(program, again, {OUTSIDE})
    blamed = _mending(program, again, outside, mends) if outside else None
    if (
        blamed is None
        and outside
        and found
        and mends(repaired(program, again, edits(program, again, {OUTSIDE, *names})))
    ):
        blamed = found[0]
    return None if blamed is None else blame_of(program, again, blamed, isa)


def _mending(program: Program, again: Program, found: Sequence[Edit], mends: Mends) -> Edit | None:
    """The first edit that makes the result right alone, else the first of all if they do together."""
    alone = next((edit for edit in found[:_MOST_REPAIRS] if mends(repaired(program, again, [edit]))), None)
    if alone is None and len(found) > 1 and mends(repaired(program, again, found)):
        alone = found[0]
    return alone


def _blamed_absence(program: Program, again: Program, isa: Isa, mends: Mends) -> Blame | None:
    """The first instruction of a layer that has no code at all, if the result is right with the compiler's."""
    found = first_missing(program, again)
    if found is None or not mends(with_missing_layers(program, again)):
        return None
    text = isa.format(instruction_at(again, isa, found.core, found.right))
    reason = f"all code of {found.layer} is expected here, and missing: {found.instructions} instructions"
    return Blame(found.core, found.address, text, reason, text, "no instruction", len(program.code), found.layer)


def blamed_order(program: Program, again: Program, isa: Isa, mends: Mends) -> Blame | None:
    """The first instruction of a layer whose code stands too early, if the result is right in the compiler's order."""
    found = first_misplaced(program, again)
    if found is None or not mends(in_order(program, again)):
        return None
    text = _text_at(program, isa, found.core, found.address)
    expected = f"{_text_at(again, isa, found.core, found.right)} of {found.expected}"
    reason = f"the code of {found.layer} stands where that of {found.expected} is expected"
    return Blame(found.core, found.address, text, reason, expected, text, len(program.code), found.layer)


def blamed_constants(
    program: Program, again: Program, layers: Sequence[LayerEntry], isa: Isa, mends: Mends
) -> Blame | None:
    """The instruction that brings altered constants of some layers, if the result is right with the model's.

    If only all of them together make it right, that of the first.
    """
    others = [each for each in _other_constants(program, again, layers) if each[1].size == each[2].size]
    chosen = next((each for each in others if mends(_with_words(program, each[0], each[2]))), None)
    if chosen is None and len(others) > 1:
        repaired = program
        for tensor, _, expected in others:
            repaired = _with_words(repaired, tensor, expected)
        chosen = others[0] if mends(repaired) else None
    return None if chosen is None else _of_constants(program, layers, isa, *chosen)


def are_the_same(program: Program, again: Program, layers: Sequence[LayerEntry]) -> bool:
    """Whether two programs have the same code and constants for some layers."""
    code = edits(program, again, {each.name for each in layers})
    return not code and not any(_other_constants(program, again, layers))


def together(program: Program, layers: Sequence[LayerEntry]) -> list[LayerEntry]:
    """Some layers with all of their groups: these run together, so that any of them may be to blame."""
    names, groups = {each.name for each in layers}, {each.group for each in layers} - {""}
    return [each for each in program.layers if each.name in names or each.group in groups]


def instruction_at(program: Program, isa: Isa, core: int, address: int) -> Instruction:
    """One instruction of a program."""
    width = isa.word_bytes
    return next(iter(isa.decode(program.code[core][address * width : (address + 1) * width])))


def _entries(program: Program, layers: Sequence[LayerEntry]) -> list[DebugEntry]:
    names = {each.name for each in layers}
    return [entry for entry in program.debug if entry.layer in names]


def blame_of(program: Program, again: Program, edit: Edit, isa: Isa) -> Blame:
    """An instruction that is not the compiler's."""
    core, address, cores = edit.core, edit.address, len(program.code)
    place = "here" if edit.layer == OUTSIDE else "of the layer"
    if not edit.expected:
        text = _text_at(program, isa, core, address)
        return Blame(core, address, text, "it is there in addition", "no instruction", text, cores, edit.layer)
    right = instruction_at(again, isa, core, edit.right)
    if not edit.found:
        text = isa.format(right)
        reason = "it is expected here, and missing"
        return Blame(core, address, text, reason, text, "no instruction", cores, edit.layer)
    try:
        wrong = instruction_at(program, isa, core, address)
    except CatenaError:
        return Blame(
            core, address, "no instruction", "the word cannot be decoded", isa.format(right), "", cores, edit.layer
        )
    if type(wrong) is type(right):
        names = [
            each.name
            for each in isa.specs[type(right)].fields
            if not _same(getattr(wrong, each.name), getattr(right, each.name))
        ]
        within = f"in {' and '.join(names)} " if names else ""
        reason = f"{within}it is not what the compiler makes {place}"
    else:
        reason = f"it is another instruction than the compiler makes {place}"
    return Blame(core, address, isa.format(wrong), reason, isa.format(right), isa.format(wrong), cores, edit.layer)


def _text_at(program: Program, isa: Isa, core: int, address: int) -> str:
    try:
        return isa.format(instruction_at(program, isa, core, address))
    except CatenaError:
        return "no instruction"


def _same(first: object, second: object) -> bool:
    return first == second or (first != first and second != second)


def _constants(program: Program, layers: Sequence[LayerEntry]) -> Iterator[TensorEntry]:
    read = {name for layer in layers for name in layer.inputs}
    yield from (each for each in program.tensors if each.role is Role.CONSTANT and each.words and each.name in read)


def _other_constants(
    program: Program, again: Program, layers: Sequence[LayerEntry]
) -> Iterator[tuple[TensorEntry, Array, Array]]:
    """The constants of some layers that are others in two programs, with the words of both."""
    theirs = {tensor.name: tensor for tensor in again.tensors}
    for tensor in _constants(program, layers):
        found = _words(program, tensor)
        expected = _words(again, theirs[tensor.name]) if tensor.name in theirs else None
        if found is not None and expected is not None and not np.array_equal(_bits(found), _bits(expected)):
            yield tensor, found, expected


def _words(program: Program, tensor: TensorEntry) -> Array | None:
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
    """The instruction that moves an operand, the first after the one that says where it lies.

    If none says that it does, what takes results out or else what says where the operand lies.
    """
    operand: object = None
    based: _Place | None = None
    sender: _Place | None = None
    for entry in entries:
        for address in range(entry.start, entry.end):
            place = entry.core, address
            instruction = instruction_at(program, isa, *place)
            mnemonic, *_ = isa.format(instruction).split()
            if mnemonic == "base" and getattr(instruction, "address", None) == tensor.address:
                operand, based = getattr(instruction, "tensor", None), place
            elif based is not None and mnemonic in _MOVERS and _moves(instruction, operand):
                return place, None
            elif based is not None and mnemonic in _SENDERS:
                sender = sender or place
    return None, sender or based


def _moves(instruction: Instruction, operand: object) -> bool:
    given = getattr(instruction, "tensor", None)
    return isinstance(given, Enum) and given == operand
