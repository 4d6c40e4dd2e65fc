"""Instruction set architectures: every instruction is declared once.

    ISA = Isa(name="toy", version=1, word_bits=64, summary="A machine with one accumulator.")

    @ISA.instruction(opcode=0x01)
    @dataclass(frozen=True, slots=True)
    class Add(Instruction):
        '''Add an immediate to the accumulator.'''
        value: int = signed(24, "the addend")

        def execute(self, machine: Machine) -> None: ...

The declaration gives the encoder, the decoder, the assembler, the disassembler and the reference page; the methods
of the class are the executable semantics. An instruction is one word of `word_bits` bits, stored little-endian: the
opcode in bits 0 to 7, then the fields in declaration order without gaps; the bits above the last field are zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import cleandoc

import numpy as np
import numpy.typing as npt

from backends.fields import (
    Array,
    Bits,
    EnumField,
    FieldType,
    Mask,
    enumeration,
    f32,
    flag,
    signed,
    unsigned,
)
from backends.instructions import (
    OPCODE_BITS,
    Addresses,
    Block,
    Code,
    FieldSpec,
    Group,
    Instruction,
    InstructionSpec,
    InstructionT,
    specify,
)
from backends.problems import Problems
from dialects.diagnostics import Diagnostic

__all__ = [
    "Block",
    "Code",
    "FieldSpec",
    "FieldType",
    "Group",
    "Instruction",
    "InstructionSpec",
    "Isa",
    "enumeration",
    "f32",
    "flag",
    "signed",
    "unsigned",
]

LANE_BITS = 32

Lanes = npt.NDArray[np.uint32]


class Isa:
    """A named, versioned set of instructions with words of `word_bits` bits (a multiple of 32)."""

    def __init__(self, name: str, version: int, word_bits: int, summary: str):
        if word_bits <= 0 or word_bits % LANE_BITS:
            raise ValueError(f"an instruction word has a multiple of {LANE_BITS} bits, not {word_bits}")
        self.name = name
        self.version = version
        self.word_bits = word_bits
        self.summary = summary
        self._specs: dict[type[Instruction], InstructionSpec] = {}
        self._by_mnemonic: dict[str, InstructionSpec] = {}
        self._by_opcode: dict[int, InstructionSpec] = {}

    @property
    def word_bytes(self) -> int:
        """Bytes of an instruction word."""
        return self.word_bits // 8

    @property
    def specs(self) -> Mapping[type[Instruction], InstructionSpec]:
        """The instructions by class, in declaration order."""
        return self._specs

    @property
    def mnemonics(self) -> Mapping[str, InstructionSpec]:
        """The instructions by mnemonic, in declaration order."""
        return self._by_mnemonic

    def instruction(
        self, *, opcode: int, mnemonic: str | None = None, block: Block = Block.NONE
    ) -> Callable[[type[InstructionT]], type[InstructionT]]:
        """Register an instruction class (a frozen dataclass); the mnemonic is the class name in lower case.

        Raises `ValueError` if the opcode or mnemonic is taken or the fields do not fit the word, `TypeError` if a
        field is not declared as one.
        """

        def register(kind: type[InstructionT]) -> type[InstructionT]:
            spec = specify(kind, opcode, mnemonic, block)
            if not 0 <= opcode < 1 << OPCODE_BITS or opcode in self._by_opcode:
                raise ValueError(f"{kind.__name__}: opcode {opcode:#x} is taken or has more than 8 bits")
            if spec.mnemonic in self._by_mnemonic:
                raise ValueError(f"{kind.__name__}: mnemonic {spec.mnemonic!r} is taken")
            if spec.used_bits > self.word_bits:
                raise ValueError(f"{kind.__name__} needs {spec.used_bits} bits, a word has {self.word_bits}")
            self._specs[kind] = self._by_mnemonic[spec.mnemonic] = self._by_opcode[opcode] = spec
            return kind

        return register

    def format(self, instruction: Instruction) -> str:
        """An instruction as assembly text."""
        return self._specs[type(instruction)].format(instruction)

    def columns(self, instructions: Sequence[Instruction]) -> Code:
        """Instructions as columns.

        Raises `CatenaError` (CAT-A002) naming every instruction and field whose value is out of range.
        """
        if isinstance(instructions, Code):
            return instructions
        members: dict[type[Instruction], list[int]] = {}
        for address, instruction in enumerate(instructions):
            members.setdefault(type(instruction), []).append(address)
        opcodes = np.zeros(len(instructions), np.uint8)
        groups: dict[type[Instruction], Group] = {}
        problems = Problems()
        for kind, positions in members.items():
            spec = self._spec_of(kind)
            addresses = np.asarray(positions, np.int64)
            columns: dict[str, Array] = {}
            for each in spec.fields:
                values = [getattr(instructions[position], each.name) for position in positions]
                columns[each.name], legal = each.type.to_column(values)
                _report_range(problems, spec, each, addresses, legal, lambda row, v=values: v[row])
            opcodes[addresses] = spec.opcode
            groups[kind] = Group(spec, addresses, columns)
        problems.raise_if_any()
        return Code(opcodes, groups)

    def assemble_columns(self, parts: Iterable[tuple[type[Instruction], Addresses, Mapping[str, Array]]]) -> Code:
        """Code from columns: per kind its addresses [n] and one array [n] per field.

        Enum fields hold codes. The addresses of all parts together must be 0..N-1, each once, ascending within a
        part. Raises `ValueError` if they are not, or if a column is missing or has another length; `CatenaError`
        (CAT-A002) if a value is out of range.
        """
        groups: dict[type[Instruction], Group] = {}
        problems = Problems()
        for kind, addresses, columns in parts:
            spec = self._spec_of(kind)
            if kind in groups or set(columns) != {each.name for each in spec.fields}:
                raise ValueError(f"{spec.mnemonic}: given twice, or its columns are not its fields")
            if any(column.shape != addresses.shape for column in columns.values()):
                raise ValueError(f"{spec.mnemonic}: columns and addresses differ in length")
            for each in spec.fields:
                column = columns[each.name]
                _report_range(problems, spec, each, addresses, each.type.legal(column), lambda row, c=column: c[row])
            groups[kind] = Group(spec, addresses, columns)
        problems.raise_if_any()
        opcodes = np.zeros(sum(len(group) for group in groups.values()), np.uint8)
        seen = np.zeros(len(opcodes), np.bool_)
        for group in groups.values():
            if len(group) and (
                bool(np.any(np.diff(group.addresses) <= 0))
                or int(group.addresses[0]) < 0
                or int(group.addresses[-1]) >= len(opcodes)
            ):
                raise ValueError(f"{group.spec.mnemonic}: addresses are not ascending within the code")
            opcodes[group.addresses] = group.spec.opcode
            seen[group.addresses] = True
        if not seen.all():
            raise ValueError("an address is used twice")
        return Code(opcodes, groups)

    def encode(self, instructions: Sequence[Instruction]) -> bytes:
        """The instruction words, little-endian; `instructions` may be `Code`.

        Raises `CatenaError` (CAT-A002) naming every instruction and field whose value is out of range.
        """
        code = self.columns(instructions)
        words = np.zeros((len(code), self.word_bits // LANE_BITS), np.uint32)
        for group in code.groups.values():
            lanes = np.zeros((len(group), words.shape[1]), np.uint32)
            lanes[:, 0] = group.spec.opcode
            for each in group.spec.fields:
                _insert(lanes, each.low, each.type.to_bits(group.columns[each.name]))
            words[group.addresses] = lanes
        return words.astype("<u4", copy=False).tobytes()

    def decode(self, data: bytes | bytearray | memoryview, origin: str = "code") -> Code:
        """The instructions in `data`, strictly checked; `origin` names the data in messages.

        Raises `CatenaError` (CAT-P001) for a length that is no multiple of the word, an unknown opcode, a field
        out of range or a reserved bit that is set.
        """
        problems = Problems()
        if len(data) % self.word_bytes:
            problems.add(
                Diagnostic(
                    "CAT-P001",
                    "the code does not end at an instruction",
                    where=origin,
                    expected=f"a multiple of {self.word_bytes} bytes",
                    found=f"{len(data)} bytes",
                )
            )
            problems.raise_if_any()
        words = np.frombuffer(data, "<u4").reshape(-1, self.word_bits // LANE_BITS)
        opcodes = (words[:, 0] & 0xFF).astype(np.uint8)
        groups: dict[type[Instruction], Group] = {}
        for opcode in np.flatnonzero(np.bincount(opcodes, minlength=256)).tolist():
            addresses = np.flatnonzero(opcodes == opcode)
            spec = self._by_opcode.get(opcode)
            if spec is None:
                for address in problems.first(addresses):
                    problems.add(_bad_word(origin, self.word_bytes, address, f"unknown opcode {opcode:#04x}", ""))
                continue
            groups[spec.kind] = self._decode_group(spec, addresses, words[addresses], origin, problems)
        problems.raise_if_any()
        return Code(opcodes, groups)

    def _decode_group(
        self, spec: InstructionSpec, addresses: Addresses, lanes: Lanes, origin: str, problems: Problems
    ) -> Group:
        columns: dict[str, Array] = {}
        for each in spec.fields:
            column = columns[each.name] = each.type.from_bits(_extract(lanes, each.low, each.type.bits))
            for row in problems.first(np.flatnonzero(~each.type.legal(column))):
                message = f"{spec.mnemonic}: field {each.name!r} holds {column[row]}"
                problems.add(_bad_word(origin, self.word_bytes, int(addresses[row]), message, each.type.range_text))
        for row in problems.first(np.flatnonzero(_reserved_bits(lanes, spec.used_bits))):
            message = f"{spec.mnemonic}: a bit from {spec.used_bits} upwards is set"
            problems.add(_bad_word(origin, self.word_bytes, int(addresses[row]), message, "zero"))
        return Group(spec, addresses, columns)

    def _spec_of(self, kind: type[Instruction]) -> InstructionSpec:
        spec = self._specs.get(kind)
        if spec is None:
            raise TypeError(f"{kind.__name__} is not an instruction of {self.name}")
        return spec

    def markdown(self) -> str:
        """The reference page: every instruction with its fields, bit positions, ranges and an example."""
        rows = "\n".join(
            f"| `{spec.opcode:#04x}` | [`{name}`](#{name}) | {_paragraph(spec)} |"
            for name, spec in self._by_mnemonic.items()
        )
        head = (
            f"# The {self.name} instruction set, version {self.version}\n\n{cleandoc(self.summary)}\n\n"
            f"An instruction is one word of {self.word_bits} bits, stored little-endian. Bits 0 to 7 are the "
            "opcode; the fields follow; bits above the last field are zero.\n\n"
            f"| opcode | mnemonic | |\n|---|---|---|\n{rows}\n"
        )
        return "\n".join([head, *(_section(spec, self.word_bits) for spec in self._by_mnemonic.values())])


def _report_range(
    problems: Problems,
    spec: InstructionSpec,
    each: FieldSpec,
    addresses: Addresses,
    legal: Mask,
    value_at: Callable[[int], object],
) -> None:
    for row in problems.first(np.flatnonzero(~legal)):
        problems.add(
            Diagnostic(
                "CAT-A002",
                f"{spec.mnemonic}: field {each.name!r} is out of range",
                where=f"instruction {int(addresses[row])}",
                expected=each.type.range_text,
                found=str(value_at(row)),
            )
        )


def _bad_word(origin: str, word_bytes: int, address: int, message: str, expected: str) -> Diagnostic:
    where = f"{origin}, instruction {address} at byte {address * word_bytes:#x}"
    return Diagnostic("CAT-P001", message, where=where, expected=expected)


def _insert(lanes: Lanes, low: int, patterns: Bits) -> None:
    """Or bit patterns into words given as 32-bit lanes [n, lanes], starting at bit `low`."""
    first, shift = divmod(low, LANE_BITS)
    # 64 bits that start inside a lane touch at most three lanes.
    lanes[:, first] |= ((patterns << np.uint64(shift)) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    rest = patterns >> np.uint64(LANE_BITS - shift)
    for lane in range(first + 1, min(first + 3, lanes.shape[1])):
        lanes[:, lane] |= (rest & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        rest = rest >> np.uint64(LANE_BITS)


def _extract(lanes: Lanes, low: int, bits: int) -> Bits:
    """The `bits` bits from bit `low` of words given as 32-bit lanes [n, lanes]."""
    first, shift = divmod(low, LANE_BITS)
    patterns = lanes[:, first].astype(np.uint64) >> np.uint64(shift)
    taken = LANE_BITS - shift
    for lane in range(first + 1, min(first + 3, lanes.shape[1])):
        if taken >= bits:
            break
        patterns |= lanes[:, lane].astype(np.uint64) << np.uint64(taken)
        taken += LANE_BITS
    return patterns & np.uint64((1 << bits) - 1)


def _reserved_bits(lanes: Lanes, used_bits: int) -> Mask:
    """Which words have a bit set from bit `used_bits` upwards."""
    first, shift = divmod(used_bits, LANE_BITS)
    if first == lanes.shape[1]:
        return np.zeros(len(lanes), np.bool_)
    return (lanes[:, first] >> np.uint32(shift) != 0) | np.any(lanes[:, first + 1 :] != 0, axis=1)


def _paragraph(spec: InstructionSpec) -> str:
    return cleandoc(spec.kind.__doc__ or "").partition("\n\n")[0].replace("\n", " ")


def _section(spec: InstructionSpec, word_bits: int) -> str:
    lines = [f"## {spec.mnemonic}", "", cleandoc(spec.kind.__doc__ or ""), "", f"Opcode `{spec.opcode:#04x}`."]
    if spec.block is not Block.NONE:
        lines[-1] += f" {spec.block.value.capitalize()}s a block."
    if spec.fields:
        lines += ["", "| bits | field | type | range | |", "|---|---|---|---|---|"]
        lines += [
            f"| {each.high}:{each.low} | `{each.name}` | {_type_of(each.type)} | {each.type.range_text} | "
            f"{each.type.doc} |"
            for each in spec.fields
        ]
    if spec.used_bits < word_bits:
        lines += ["", f"Bits {word_bits - 1}:{spec.used_bits} are zero."]
    example = spec.kind(*(each.type.example for each in spec.fields))
    return "\n".join([*lines, "", f"    {spec.format(example)}", ""])


def _type_of(kind: FieldType) -> str:
    if not isinstance(kind, EnumField):
        return kind.type_name
    codes = ", ".join(f"{code} {kind.format(member)}" for member, code in zip(kind.members, kind.codes, strict=True))
    return f"{kind.type_name} ({codes})"
