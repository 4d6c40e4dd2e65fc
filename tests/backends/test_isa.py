"""Encoding and decoding of instructions, against a per-bit reference."""

from __future__ import annotations

import math
import struct
import time
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.assembly import assemble
from backends.fields import FloatField, narrow, widen
from backends.instructions import declared
from backends.isa import Instruction, Isa, enumeration, f32, unsigned
from dialects.diagnostics import CatenaError
from tests.backends.toy import FLOATS, INSTRUCTIONS, TOY, End, Level, Loop, LoopKind, Move, Wide, f32_of, refusal
from tests.examples import examples

PROGRAMS = st.lists(INSTRUCTIONS, max_size=12)
HYPOTHESIS = settings(max_examples=examples(150), deadline=None, derandomize=True)


def bits_of_f32(value: float) -> int:
    """The f32 pattern of an f64, NaN payload included, by integer arithmetic."""
    if math.isnan(value):
        wide = struct.unpack("<Q", struct.pack("<d", value))[0]
        return (wide >> 63) << 31 | 0xFF << 23 | (wide >> 29) & 0x7FFFFF
    return struct.unpack("<I", struct.pack("<f", value))[0]


def reference_word(instruction: Instruction) -> bytes:
    """One instruction word, assembled from the documentation with Python integers."""
    match instruction:
        case Loop(dim, kind, tile):
            fields = [(0x20, 8), (dim, 4), (list(LoopKind).index(kind), 2), (tile, 24)]
        case End():
            fields = [(0x21, 8)]
        case Move(level, address, delta, scale, last, small):
            fields = [(0xFF, 8), (int(level), 3), (address, 64), (delta, 33)]
            fields += [(bits_of_f32(scale), 32), (int(last), 1), (small, 5)]
        case Wide(low, high, rest):
            fields = [(0x00, 8), (low, 64), (high, 64), (rest, 24)]
        case _:
            raise AssertionError(instruction)
    word = 0
    position = 0
    for value, width in fields:
        word |= (value % (1 << width)) << position
        position += width
    return word.to_bytes(20, "little")


def codes_of(error: pytest.ExceptionInfo[CatenaError]) -> list[str]:
    return [diagnostic.code for diagnostic in error.value.diagnostics]


@given(PROGRAMS)
@HYPOTHESIS
def test_encoding_is_the_documented_one(program: list[Instruction]) -> None:
    assert TOY.encode(program) == b"".join(map(reference_word, program))


@given(PROGRAMS)
@HYPOTHESIS
def test_decoding_gives_the_instructions_back(program: list[Instruction]) -> None:
    data = TOY.encode(program)
    code = TOY.decode(data)
    # repr shows NaN alike; encoding again compares the payloads.
    assert list(map(repr, code)) == list(map(repr, program))
    assert [repr(code[index]) for index in range(len(code))] == list(map(repr, program))
    assert TOY.encode(code) == TOY.encode(list(code)) == data


@given(st.lists(st.integers(0, 255), max_size=80).map(bytes))
@HYPOTHESIS
def test_whatever_decodes_encodes_to_the_same_bytes(data: bytes) -> None:
    def decode_and_encode() -> None:
        assert TOY.encode(list(TOY.decode(data))) == data

    assert refusal(decode_and_encode) <= {"CAT-P001"}


@given(INSTRUCTIONS, st.integers(0, 159))
@HYPOTHESIS
def test_every_bit_of_a_word_matters(instruction: Instruction, bit: int) -> None:
    flipped = int.from_bytes(TOY.encode([instruction]), "little") ^ (1 << bit)
    try:
        other = TOY.decode(flipped.to_bytes(20, "little"))
    except CatenaError:
        return
    assert reference_word(other[0]) != reference_word(instruction)


def test_code_is_a_sequence() -> None:
    program = [Loop(1, LoopKind.KERNEL, 2), End(), Loop(2, LoopKind.OUTPUT, 3)]
    code = TOY.decode(TOY.encode(program))
    assert len(code) == 3
    assert code[-1] == program[2]
    assert code[1:] == program[1:]
    assert list(reversed(code)) == program[::-1]
    assert End() in code
    with pytest.raises(IndexError):
        code[3]
    assert list(TOY.decode(b"")) == []
    assert TOY.encode([]) == b""


def test_columns_hold_fields_by_kind() -> None:
    program = [Loop(1, LoopKind.OUTPUT, 2), End(), Loop(3, LoopKind.KERNEL, 4), Move(Level.FAR, 2**64 - 1, -5, 2.5)]
    code = TOY.decode(TOY.encode(program))
    loops = code.groups[Loop]
    assert loops.addresses.tolist() == [0, 2]
    assert loops.columns["tile"].tolist() == [2, 4]
    assert loops.columns["kind"].tolist() == [1, 0]
    move = code.groups[Move].columns
    assert (move["level"][0], move["address"][0], move["delta"][0], move["scale"][0]) == (6, 2**64 - 1, -5, 2.5)
    assert move["scale"].dtype == np.float32
    assert code.opcodes.tolist() == [0x20, 0x21, 0x20, 0xFF]


def test_columns_encode_like_instructions() -> None:
    loops = {"dim": np.array([1, 2]), "kind": np.array([0, 2]), "tile": np.array([5, 6])}
    code = TOY.assemble_columns([(Loop, np.array([0, 1]), loops), (End, np.array([2, 3]), {})])
    program = [Loop(1, LoopKind.KERNEL, 5), Loop(2, LoopKind.CHANNEL, 6), End(), End()]
    assert TOY.encode(code) == TOY.encode(program)


def test_columns_are_checked() -> None:
    loops = {"dim": np.array([1, 16]), "kind": np.array([3, 2]), "tile": np.array([0, 6])}
    with pytest.raises(CatenaError) as error:
        TOY.assemble_columns([(Loop, np.array([0, 1]), loops)])
    assert codes_of(error) == ["CAT-A002"] * 3
    ends: Any = {}
    for addresses in ([0, 0], [1, 2], [1, 0], [-1, 0]):
        with pytest.raises(ValueError, match=r"ascending|twice"):
            TOY.assemble_columns([(End, np.array(addresses), ends)])
    with pytest.raises(ValueError, match="columns"):
        TOY.assemble_columns([(Loop, np.array([0]), ends)])
    with pytest.raises(ValueError, match="length"):
        TOY.assemble_columns([(Loop, np.array([0]), loops)])


@pytest.mark.parametrize(
    ("instruction", "field", "found"),
    [
        (Loop(16, LoopKind.KERNEL, 1), "dim", "16"),
        (Loop(-1, LoopKind.KERNEL, 1), "dim", "-1"),
        (Loop(1, LoopKind.KERNEL, 0), "tile", "0"),
        (Loop(1, LoopKind.KERNEL, 2**70), "tile", str(2**70)),
        (Move(Level.FAR, 2**64, 0, 0.0), "address", str(2**64)),
        (Move(Level.FAR, -1, 0, 0.0), "address", "-1"),
        (Move(Level.FAR, 0, 2**32, 0.0), "delta", str(2**32)),
        (Move(Level.FAR, 0, -(2**32) - 1, 0.0), "delta", str(-(2**32) - 1)),
        (Move(Level.FAR, 0, 0, 1e39), "scale", "1e+39"),
        (Move(Level.FAR, 0, 0, 0.0, False, 8), "small", "8"),
        (Move(Level.FAR, 0, 0, 0.0, False, -4), "small", "-4"),
        (Wide(2**63, 0, 0), "low", str(2**63)),
    ],
)
def test_a_value_out_of_range_is_named(instruction: Instruction, field: str, found: str) -> None:
    with pytest.raises(CatenaError) as error:
        TOY.encode([End(), instruction])
    (diagnostic,) = error.value.diagnostics
    assert diagnostic.code == "CAT-A002"
    assert repr(field) in diagnostic.message
    assert diagnostic.where == "instruction 1"
    assert diagnostic.found == found
    assert diagnostic.expected


def test_values_of_another_type_are_refused() -> None:
    wrong: list[tuple[Any, ...]] = [(1.5, LoopKind.KERNEL, 1), (1, "ks", 1), (True, LoopKind.KERNEL, 1), (None, 0, "a")]
    with pytest.raises(CatenaError) as error:
        TOY.encode([Loop(*values) for values in wrong])
    assert sorted(diagnostic.where for diagnostic in error.value.diagnostics) == sorted(
        f"instruction {index}" for index in (0, 1, 2, 3, 3, 3)
    )
    good = Loop(np.int32(3), LoopKind.KERNEL, np.uint8(4))  # type: ignore[arg-type]
    assert TOY.encode([good]) == TOY.encode([Loop(3, LoopKind.KERNEL, 4)])


def test_problems_are_collected_up_to_a_limit() -> None:
    with pytest.raises(CatenaError) as error:
        TOY.encode([Loop(99, LoopKind.KERNEL, 0)] * 50)
    assert len(error.value.diagnostics) == 21
    assert error.value.diagnostics[-1].message == "and 80 more"


def test_decoder_reports_everything_with_its_address() -> None:
    good = TOY.encode([Loop(1, LoopKind.KERNEL, 5)])
    unknown = bytes([0x99]) + bytes(19)
    reserved = good[:19] + b"\x80"
    zero_tile = TOY.encode([End()])[:0] + bytes([0x20]) + bytes(19)
    bad_kind = bytes([0x20, 0x30 | 1, 0x10]) + bytes(17)
    with pytest.raises(CatenaError) as error:
        TOY.decode(good + unknown + reserved + zero_tile + bad_kind, "code of core 3")
    found = {diagnostic.where: diagnostic.message for diagnostic in error.value.diagnostics}
    assert set(codes_of(error)) == {"CAT-P001"}
    assert "unknown opcode 0x99" in found["code of core 3, instruction 1 at byte 0x14"]
    assert "bit from 38" in found["code of core 3, instruction 2 at byte 0x28"]
    assert "'tile' holds 0" in found["code of core 3, instruction 3 at byte 0x3c"]
    assert "'kind' holds 3" in found["code of core 3, instruction 4 at byte 0x50"]
    with pytest.raises(CatenaError, match="does not end at an instruction"):
        TOY.decode(good[:-1])


@pytest.mark.parametrize("bit", [38, 63, 64, 159])
def test_every_reserved_bit_must_be_zero(bit: int) -> None:
    word = int.from_bytes(TOY.encode([Loop(1, LoopKind.KERNEL, 5)]), "little") | 1 << bit
    assert refusal(lambda: TOY.decode(word.to_bytes(20, "little"))) == {"CAT-P001"}


@pytest.mark.parametrize(
    "pattern", [0, 1 << 31, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0xFFBFFFFF, 0x7FFFFFFF, 1, 0x7F7FFFFF]
)
def test_floats_keep_their_bits(pattern: int) -> None:
    data = TOY.encode([Move(Level.FAR, 0, 0, f32_of(pattern))])
    assert (int.from_bytes(data, "little") >> 108) & 0xFFFFFFFF == pattern
    assert TOY.encode(list(TOY.decode(data))) == data
    wide = widen(np.array([pattern], np.uint32).view(np.float32))
    assert narrow(wide).view(np.uint32)[0] == pattern


def test_floats_are_rounded_to_nearest() -> None:
    data = TOY.encode([Move(Level.FAR, 0, 0, 0.1)])
    (move,) = TOY.decode(data)
    assert isinstance(move, Move)
    assert move.scale == float(np.float32(0.1))


@given(FLOATS)
@HYPOTHESIS
def test_float_text_is_exact(value: float) -> None:
    field = FloatField(32, "")
    assert bits_of_f32(field.parse(field.format(value))) == bits_of_f32(value)


def test_declarations_are_checked() -> None:
    isa = Isa(name="t", version=1, word_bits=32, summary="")

    @isa.instruction(opcode=1)
    @dataclass(frozen=True)
    class One(Instruction):
        a: int = unsigned(24, "fills the word")

    with pytest.raises(ValueError, match="opcode"):
        isa.instruction(opcode=1, mnemonic="two")(One)
    with pytest.raises(ValueError, match="mnemonic"):
        isa.instruction(opcode=2)(One)
    with pytest.raises(ValueError, match="opcode"):
        isa.instruction(opcode=256, mnemonic="two")(One)

    @dataclass(frozen=True)
    class TooWide(Instruction):
        a: int = unsigned(24, "")
        b: float = f32("")

    with pytest.raises(ValueError, match="needs 64 bits, a word has 32"):
        isa.instruction(opcode=3)(TooWide)

    @dataclass(frozen=True)
    class Undeclared(Instruction):
        a: int

    with pytest.raises(TypeError, match="not declared"):
        isa.instruction(opcode=4)(Undeclared)
    with pytest.raises(ValueError, match="do not fit 1 bits"):
        enumeration(Level, 1, "")
    with pytest.raises(ValueError, match="range within 4 bits"):
        unsigned(4, "", maximum=16)
    with pytest.raises(ValueError, match="1 to 64"):
        unsigned(65, "")
    with pytest.raises(ValueError, match="multiple of 32"):
        Isa(name="t", version=1, word_bits=48, summary="")
    with pytest.raises(TypeError, match="not an instruction of t"):
        isa.encode([End()])


def test_declared_instructions_are_compared_and_shown_field_by_field() -> None:
    @declared
    class Pair(Instruction):
        first: int = unsigned(4, "one")
        second: int = unsigned(4, "another")

    @declared
    class Other(Pair):
        pass

    assert Pair(1, 2) == Pair(1, 2)
    assert len({Pair(1, 2), Pair(1, 2), Pair(2, 1), Other(1, 2)}) == 3
    assert Pair(1, 2) != (1, 2)
    assert repr(Pair(1, 2)) == "Pair(first=1, second=2)"
    with pytest.raises(FrozenInstanceError):
        Pair(1, 2).first = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_reference_page_follows_the_declaration() -> None:
    page = TOY.markdown()
    assert "| 37:14 | `tile` | u24 | 1..16777215 | indices per iteration |" in page
    assert "| 10:8 | `level` | Level (1 near, 4 middle, 6 far) | one of near, middle, far | memory level |" in page
    assert "Bits 159:38 are zero." in page
    assert "The second paragraph." in page
    examples = [line for line in page.splitlines() if line.startswith("    ")]
    assert [TOY.specs[type(each)].mnemonic for each in assemble("\n".join(examples), TOY)] == list(TOY.mnemonics)
    TOY.encode(assemble("\n".join(examples), TOY))


def test_hundred_thousand_instructions_take_well_under_a_second() -> None:
    program: list[Instruction] = []
    for index in range(50_000):
        program += [Loop(index % 16, LoopKind.OUTPUT, index + 1), Move(Level.MIDDLE, index, -index, index * 0.5)]
    start = time.process_time()
    data = TOY.encode(program)
    encoded = time.process_time()
    code = TOY.decode(data)
    decoded = time.process_time()
    assert list(code) == program
    materialised = time.process_time()
    assert encoded - start < 1
    assert decoded - encoded < 0.2
    assert materialised - decoded < 1.5
