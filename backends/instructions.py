"""Instructions: the base class, the specification of one kind, and code as columns.

Programs have up to a million instructions, so code is kept as columns: one array per field and kind of instruction.
Instruction objects are made only when somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from functools import cached_property
from typing import Any, TypeVar, dataclass_transform, overload

import numpy as np
import numpy.typing as npt

from backends.fields import METADATA_KEY, Array, FieldType, enumeration, f32, flag, signed, unsigned

Addresses = npt.NDArray[np.int64]


class Block(Enum):
    """What an instruction does to the nesting of the code, which the disassembler shows by indentation."""

    NONE = "none"
    OPEN = "open"
    CLOSE = "close"


@dataclass_transform(frozen_default=True, field_specifiers=(unsigned, signed, f32, flag, enumeration))
class Instruction:
    """Base class of all instructions; subclasses are frozen dataclasses registered with `Isa.instruction`."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and _values(other) == _values(self)

    def __hash__(self) -> int:
        return hash((type(self), _values(self)))

    def __repr__(self) -> str:
        given = zip(fields(self), _values(self), strict=True)  # pyright: ignore[reportArgumentType]
        return f"{type(self).__name__}({', '.join(f'{each.name}={value!r}' for each, value in given)})"

    def nest_label(self) -> str:
        """How the disassembler calls the block that this instruction opens."""
        return type(self).__name__.lower()


def _values(instruction: object) -> tuple[object, ...]:
    return tuple(getattr(instruction, each.name) for each in fields(instruction))  # pyright: ignore[reportArgumentType]


InstructionT = TypeVar("InstructionT", bound=Instruction)


def declared(kind: type[InstructionT]) -> type[InstructionT]:
    """Make the frozen dataclass of an instruction, which leaves to `Instruction` what all of them do alike.

    Machines have tens of instructions, and making methods for each takes most of the time that loading them does.
    """
    return dataclass(frozen=True, eq=False, repr=False)(kind)


@dataclass(frozen=True)
class FieldSpec:
    """One field of an instruction: `low` is the position of its lowest bit in the word."""

    name: str
    type: FieldType
    low: int
    default: Any

    @property
    def high(self) -> int:
        """The position of the highest bit."""
        return self.low + self.type.bits - 1

    @property
    def is_required(self) -> bool:
        """Whether assembly must give the field."""
        return self.default is MISSING


@dataclass(frozen=True)
class InstructionSpec:
    """One kind of instruction: its class, opcode, mnemonic, nesting and fields in the order of the word."""

    kind: type[Instruction]
    opcode: int
    mnemonic: str
    block: Block
    fields: tuple[FieldSpec, ...]

    @property
    def used_bits(self) -> int:
        """Bits of the word in use, from bit 0."""
        return self.fields[-1].high + 1 if self.fields else OPCODE_BITS

    def format(self, instruction: Instruction) -> str:
        """The instruction as assembly: `mnemonic field=value, field=value`."""
        operands = ", ".join(f"{each.name}={each.type.format(getattr(instruction, each.name))}" for each in self.fields)
        return f"{self.mnemonic} {operands}".rstrip()


OPCODE_BITS = 8


def specify(kind: type[Instruction], opcode: int, mnemonic: str | None, block: Block) -> InstructionSpec:
    """Lay out the fields of an instruction class behind the opcode, in declaration order.

    Raises `TypeError` if a dataclass field was not declared with a function of `backends.fields`.
    """
    low = OPCODE_BITS
    laid_out: list[FieldSpec] = []
    for declared in fields(kind):  # pyright: ignore[reportArgumentType]
        type_ = declared.metadata.get(METADATA_KEY)
        if not isinstance(type_, FieldType):
            raise TypeError(f"{kind.__name__}.{declared.name} is not declared as an instruction field")
        laid_out.append(FieldSpec(declared.name, type_, low, declared.default))
        low += type_.bits
    return InstructionSpec(kind, opcode, mnemonic or kind.__name__.lower(), block, tuple(laid_out))


@dataclass(frozen=True, eq=False)
class Group:
    """All instructions of one kind in a piece of code.

    `addresses` [n] are their positions in the code, ascending; `columns` has one array [n] per field.
    """

    spec: InstructionSpec
    addresses: Addresses
    columns: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.addresses)

    def materialise(self, part: slice = slice(None)) -> list[Instruction]:
        """The instructions as objects."""
        columns = [each.type.to_values(self.columns[each.name][part]) for each in self.spec.fields]
        if not columns:
            return [self.spec.kind() for _ in self.addresses[part]]
        return [self.spec.kind(*values) for values in zip(*columns, strict=True)]


class Code(Sequence[Instruction]):
    """The instructions of one core as columns; a sequence of `Instruction` objects made on demand.

    The address of an instruction is its index. `opcodes` [n] is uint8; `groups` has one entry per kind in use.
    """

    def __init__(self, opcodes: npt.NDArray[np.uint8], groups: Mapping[type[Instruction], Group]):
        self.opcodes = opcodes
        self.groups = groups

    def __len__(self) -> int:
        return len(self.opcodes)

    @overload
    def __getitem__(self, index: int) -> Instruction: ...
    @overload
    def __getitem__(self, index: slice) -> list[Instruction]: ...
    def __getitem__(self, index: int | slice) -> Instruction | list[Instruction]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        address = range(len(self))[index]
        group = self._group_of_opcode[int(self.opcodes[address])]
        row = int(np.searchsorted(group.addresses, address))
        return group.materialise(slice(row, row + 1))[0]

    def __iter__(self) -> Iterator[Instruction]:
        # Kind by kind into one list: making the objects in address order would convert the columns element-wise.
        instructions = np.empty(len(self), np.object_)
        for group in self.groups.values():
            made = np.empty(len(group), np.object_)
            made[:] = group.materialise()
            instructions[group.addresses] = made
        return iter(instructions.tolist())

    @cached_property
    def _group_of_opcode(self) -> dict[int, Group]:
        return {group.spec.opcode: group for group in self.groups.values()}
