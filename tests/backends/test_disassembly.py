"""Listings: what they show, and that they assemble to the same bytes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.container import parse_program, program_bytes, read_program, write_program
from backends.disassembly import disassemble
from backends.isa import Isa
from backends.listing import assemble_program, read_listing, write_listing
from backends.program import ConstantImage, DebugEntry, LayerEntry, Metadata, Program, Role, TensorEntry, target_digest
from dialects.diagnostics import CatenaError
from tests.backends.toy import INSTRUCTIONS, TOY, End, Loop, LoopKind, refusal, toy_metadata, toy_program
from tests.examples import examples

HYPOTHESIS = settings(max_examples=examples(120), deadline=None, derandomize=True)
PROGRAM = toy_program()
BYTES = program_bytes(PROGRAM)
TEXT = disassemble(PROGRAM, TOY)


def toy_isa_of(metadata: Metadata) -> Isa:
    assert metadata.isa == "toy"
    return TOY


def assemble_listing(text: str, program: Program = PROGRAM) -> Program:
    """Assemble with the constants of a program at hand."""
    images = {
        hashlib.sha256(words).hexdigest(): words for words in (image.array().tobytes() for image in program.constants)
    }
    return assemble_program(text, toy_isa_of, lambda digest: memoryview(images[digest]), "f.s")


def problems_of(text: str) -> list[tuple[str, str, str]]:
    """Code, place and message of every problem of a listing."""
    with pytest.raises(CatenaError) as error:
        assemble_listing(text)
    return [(each.code, each.where, each.message) for each in error.value.diagnostics]


def test_listing_assembles_to_the_same_bytes() -> None:
    assert program_bytes(assemble_listing(TEXT)) == BYTES
    assert disassemble(parse_program(BYTES, "p.cat"), TOY) == TEXT


def test_listing_shows_nesting_layers_and_nodes() -> None:
    lines = TEXT.splitlines()
    code = lines[lines.index(".core index=0") : lines.index(".core index=1") - 1]
    # The first word is opcode, dim 1, kind 2 and tile 8 << 14, little-endian.
    assert [line.rstrip() for line in code] == [
        ".core index=0",
        '.region layer="conv", loops=[["oc",0],["h",3]]',
        "0000: 2021020000000000000000000000000000000000  loop dim=1, kind=opc, tile=8"
        "                                  ; conv / [oc=0, h=3] / onnx:Conv_0 / onnx:Relu\\t1",
        "0001: 20c0000000000000000000000000000000000000    loop dim=0, kind=ks, tile=3"
        "                                 ; conv / opc1 [oc=0, h=3] / onnx:Conv_0 / onnx:Relu\\t1",
        '.region layer="empty"',
        code[5],
        ".endregion",
        "0003: 2100000000000000000000000000000000000000    end" + " " * 57 + "; opc1",
        '.region layer="conv"',
        "0004: 2100000000000000000000000000000000000000  end" + " " * 59 + "; conv / onnx:Conv_0 / onnx:Relu\\t1",
    ]
    assert code[5].startswith("0002: ff")
    assert "      mv.x level=far, address=7, delta=-9, scale=0.5, last=0, small=0 " in code[5]
    assert code[5].endswith("; empty / opc1.ks0")


def test_listing_is_plain_ascii() -> None:
    assert TEXT.isascii()
    assert set(TEXT) - {"\n"} == {char for char in TEXT if char.isprintable()}


def test_listing_names_constants_by_digest() -> None:
    digest = hashlib.sha256(PROGRAM.constants[0].array().tobytes()).hexdigest()
    assert f'.constants memory="dram", base=16, size=20, word="float32", sha256="{digest}"' in TEXT


def test_listing_in_files(tmp_path: Path) -> None:
    write_program(PROGRAM, tmp_path / "p.cat")
    folder = tmp_path / "listing"
    folder.mkdir()
    write_listing(read_program(tmp_path / "p.cat"), TOY, folder / "p.s")
    assert (folder / "p.s").read_text("ascii") == TEXT
    assert len(list(folder.iterdir())) == 3
    write_program(read_listing(folder / "p.s", toy_isa_of), tmp_path / "again.cat")
    assert (tmp_path / "again.cat").read_bytes() == BYTES


def test_side_files_are_verified(tmp_path: Path) -> None:
    write_listing(PROGRAM, TOY, tmp_path / "p.s")
    (side, *_) = (path for path in tmp_path.iterdir() if path.suffix == ".bin" and path.stat().st_size == 80)
    words = bytearray(side.read_bytes())
    words[17] ^= 4
    side.write_bytes(words)
    assert refusal(lambda: read_listing(tmp_path / "p.s", toy_isa_of)) == {"CAT-P002"}
    side.unlink()
    with pytest.raises(CatenaError, match=side.name) as error:
        read_listing(tmp_path / "p.s", toy_isa_of)
    assert error.value.diagnostics[0].code == "CAT-C002"
    (tmp_path / "q.s").write_bytes(b".program\n\xff")
    assert refusal(lambda: read_listing(tmp_path / "q.s", toy_isa_of)) == {"CAT-A001"}
    assert refusal(lambda: read_listing(tmp_path, toy_isa_of)) == {"CAT-A001"}


def test_an_edited_listing_moves_its_regions() -> None:
    edited = TEXT.replace(".core index=0\n", ".core index=0\nend\n0000: dead end\n", 1)
    program = assemble_listing(edited)
    assert program.debug == (
        DebugEntry(0, 2, 4, "conv", (("oc", 0), ("h", 3))),
        DebugEntry(0, 4, 5, "empty"),
        DebugEntry(0, 6, 7, "conv"),
        DebugEntry(1, 1, 2, "conv"),
    )
    assert list(TOY.decode(program.code[0]))[:3] == [End(), End(), Loop(1, LoopKind.CHANNEL, 8)]


def test_program_for_another_isa_is_refused() -> None:
    other = replace(PROGRAM, metadata=toy_metadata(isa_version=4))
    assert refusal(lambda: disassemble(other, TOY)) == {"CAT-P004"}
    bad = replace(PROGRAM, code=(bytes([0x99]) + bytes(19),))
    assert refusal(lambda: disassemble(bad, TOY)) == {"CAT-P001"}


def line_of(start: str) -> int:
    """The number of the first line of the listing that starts so."""
    return next(number for number, line in enumerate(TEXT.splitlines(), 1) if line.startswith(start))


@pytest.mark.parametrize(
    ("old", "new", "code", "place", "message"),
    [
        (".layer ", ".lyer ", "CAT-A001", f"f.s:{line_of('.layer')}:1", "unknown directive '.lyer'"),
        ("isa_version=3", 'isa_version="3"', "CAT-A001", f"f.s:{line_of('.program')}:1", "isa_version: "),
        ("word_bits=160, ", "", "CAT-A001", f"f.s:{line_of('.program')}:1", "word_bits: "),
        ('tool="', 'tool="x", tool="', "CAT-A001", f"f.s:{line_of('.program')}:1", "'tool' is given twice"),
        (".program ", ".program description={}, ", "CAT-A001", f"f.s:{line_of('.program')}:1", "follows from .target"),
        ('.target name="toychip"', '.target "\\ud800"=1', "CAT-A001", "f.s", ".target: "),
        ('.target name="toychip"', ".target name=1e999", "CAT-A001", "f.s", ".target: "),
        ('.target name="toychip"', '.target ""=1', "CAT-A001", f"f.s:{line_of('.target name')}:1", "given twice"),
        ("size=20", "size=21", "CAT-A001", f"f.s:{line_of('.constants')}:1", "80 bytes are not 21 words"),
        (".core index=1", ".core index=2", "CAT-A001", f"f.s:{line_of('.core index=1')}:1", "the next core is 1"),
        (".core index=0", "end\n.core index=0", "CAT-A001", f"f.s:{line_of('.core index=0')}:1", "before the first"),
        (".endregion", ".endregion\n.endregion", "CAT-A001", f"f.s:{line_of('.endregion') + 1}:1", "without .region"),
        (".endregion", ".endregion x=1", "CAT-A001", f"f.s:{line_of('.endregion')}:1", "x: "),
        (".endregion", ".target x=1\n.endregion", "CAT-A001", f"f.s:{line_of('.endregion')}:1", "before the first"),
        ("tile=8", "tile=0", "CAT-A002", f"f.s:{line_of('0000: 2021')}:71", "out of range"),
        ('layer="empty"', 'layer="full"', "CAT-A001", "f.s", "unknown layer 'full'"),
        ('.region layer="empty"', ".region", "CAT-A001", f"f.s:{line_of('.region layer=') + 3}:1", "layer: "),
    ],
)
def test_problems_are_located(old: str, new: str, code: str, place: str, message: str) -> None:
    assert old in TEXT
    found = problems_of(TEXT.replace(old, new, 1))
    assert (code, place) in [each[:2] for each in found], found
    assert any(message in each[2] for each in found), found


def test_deeply_nested_directives_are_refused() -> None:
    deep = "[" * 50_000 + "]" * 50_000
    (problem,) = problems_of(f".target deep={deep}\n{TEXT}")[:1]
    assert "nested deeper" in problem[2]
    assert refusal(lambda: assemble_listing(TEXT.replace(".layer ", f".layer deep={deep}, ", 1))) == {"CAT-A001"}


def test_a_listing_without_its_head_is_refused() -> None:
    assert [each[2] for each in problems_of("")] == ["no code: a listing has at least one .core directive"]
    assert ".program comes before the first .core" in [each[2] for each in problems_of(".core index=0\nend\nend")]


PIECES = [
    *(line + "\n" for line in TEXT.splitlines() if len(line) < 200),
    *('"', ",", "=", "[", "}", "{", "1", "-", "\n", ";", ".core index=0\n", "null", "\\ud800", "end\n", "sha256", "\0"),
]


@given(st.data())
@HYPOTHESIS
def test_mutated_listings_are_read_or_refused(data: st.DataObject) -> None:
    text = TEXT
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text)))
        length = data.draw(st.sampled_from([0, 1, 2, 30]))
        text = text[:place] + data.draw(st.sampled_from(PIECES)) + text[place + length :]

    def assemble_and_write() -> None:
        # A changed .constants names words that are not there.
        images = [image.array().tobytes() for image in PROGRAM.constants]
        found = assemble_program(text, lambda _: TOY, lambda _: memoryview(images[0]), "f.s")
        assert program_bytes(parse_program(program_bytes(found), "again")) == program_bytes(found)

    assert refusal(assemble_and_write) <= {"CAT-A001", "CAT-A002", "CAT-P002"}


NAMES = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Any consistent program of one or two cores."""
    description = draw(st.dictionaries(NAMES, JSON, max_size=4))
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    layers = tuple(LayerEntry(name, draw(NAMES), tuple(draw(st.lists(NAMES, max_size=2))), (), ()) for name in names)
    cores = draw(st.lists(st.lists(INSTRUCTIONS, max_size=6), min_size=1, max_size=2))
    debug: list[DebugEntry] = []
    for core, instructions in enumerate(cores):
        cuts = sorted(draw(st.sets(st.integers(0, len(instructions)), max_size=5)))
        for start, end in pairwise(cuts):
            if draw(st.booleans()):
                loops = tuple(draw(st.lists(st.tuples(NAMES, st.integers(-9, 9)), max_size=2)))
                debug.append(DebugEntry(core, start, end, draw(st.sampled_from(names)), loops))
    words: Any = np.array(draw(st.lists(st.integers(-128, 127), max_size=5)), np.int8)
    tensors = tuple(
        TensorEntry(name, draw(st.sampled_from([Role.INPUT, Role.OUTPUT])), draw(NAMES), 3, 5, (5,), (1,), "bool")
        for name in draw(st.lists(NAMES, max_size=2, unique=True))
    )
    return Program(
        toy_metadata(
            tool=draw(NAMES), model=draw(NAMES), description=description, target_sha256=target_digest(description)
        ),
        tuple(TOY.encode(instructions) for instructions in cores),
        (ConstantImage(draw(NAMES), 7, len(words), "int8", ((7, words),)),),
        tensors,
        layers,
        tuple(debug),
    )


@given(programs())
@HYPOTHESIS
def test_any_program_round_trips_through_file_and_text(program: Program) -> None:
    data = program_bytes(program)
    loaded = parse_program(data, "p.cat")
    assert program_bytes(loaded) == data
    assert program_bytes(assemble_listing(disassemble(loaded, TOY), program)) == data
