"""The assembler: what it reads, what it refuses, and where it says the fault is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.assembly import assemble, format_instruction
from backends.isa import Instruction
from dialects.diagnostics import CatenaError
from tests.backends.toy import INSTRUCTIONS, TOY, End, Level, Loop, LoopKind, Move, refusal
from tests.examples import examples

HYPOTHESIS = settings(max_examples=examples(150), deadline=None, derandomize=True)


def first_problem(text: str) -> tuple[str, str, str]:
    """Code, place and message with hint of the only problem of a text."""
    with pytest.raises(CatenaError) as error:
        assemble(text, TOY, "f.s")
    (diagnostic,) = error.value.diagnostics
    return diagnostic.code, diagnostic.where, f"{diagnostic.message}; {diagnostic.expected}; {diagnostic.hint}"


@given(st.lists(INSTRUCTIONS, max_size=8))
@HYPOTHESIS
def test_text_round_trips_to_the_same_bytes(program: list[Instruction]) -> None:
    text = "\n".join(format_instruction(each, TOY) for each in program)
    assert TOY.encode(assemble(text, TOY)) == TOY.encode(program)


def test_the_text_is_readable() -> None:
    assert format_instruction(Loop(1, LoopKind.KERNEL, 8), TOY) == "loop dim=1, kind=ks, tile=8"
    assert format_instruction(End(), TOY) == "end"
    assert (
        format_instruction(Move(Level.MIDDLE, 7, -9, float("-inf"), True), TOY)
        == "mv.x level=middle, address=7, delta=-9, scale=-inf, last=1, small=0"
    )


def test_layout_comments_order_and_defaults_are_free() -> None:
    text = """
    ; a comment; and more
    0000: 20ff    loop tile = 0x10 ,kind= ks,dim =1 ; trailing
    \tend;no blank
    001f: aa
    mv.x scale=nan:0x1, delta=-0x10, address=0, level=far\r
    """
    loop, end, move = assemble(text, TOY)
    assert loop == Loop(1, LoopKind.KERNEL, 16)
    assert end == End()
    assert isinstance(move, Move)
    assert (move.delta, move.last, move.small) == (-16, False, 0)
    assert assemble("", TOY) == []


@pytest.mark.parametrize(
    ("text", "code", "where", "message"),
    [
        ("end\n  lop dim=1", "CAT-A001", "f.s:2:3", "unknown mnemonic 'lop'; ; did you mean loop?"),
        ("loop dmi=1, kind=ks, tile=1", "CAT-A001", "f.s:1:6", "no field 'dmi'; ; did you mean dim?"),
        ("loop dim=1, dim=2, kind=ks, tile=1", "CAT-A001", "f.s:1:13", "given twice"),
        ("loop dim=1, tile=1", "CAT-A001", "f.s:1:1", "loop needs 'kind'"),
        ("loop dim=1, kind=kx, tile=1", "CAT-A001", "f.s:1:13", "one of ks, op, opc"),
        ("loop dim=x, kind=ks, tile=1", "CAT-A001", "f.s:1:6", "an integer, 0..15"),
        ("loop dim=16, kind=ks, tile=1", "CAT-A002", "f.s:1:6", "0..15"),
        ("loop dim=0, kind=ks, tile=0", "CAT-A002", "f.s:1:22", "1..16777215"),
        ("loop dim=1 kind=ks", "CAT-A001", "f.s:1:12", "',' or the end of the line"),
        ("loop dim=1,", "CAT-A001", "f.s:1:12", "not complete; FIELD=VALUE"),
        ("loop dim=1, kind=ks; , tile=1", "CAT-A001", "f.s:1:1", "loop needs 'tile'"),
        ("end x=1", "CAT-A001", "f.s:1:5", "end has no field 'x'"),
        ("@", "CAT-A001", "f.s:1:1", "a directive or a mnemonic or an address"),
        (".core index=0", "CAT-A001", "f.s:1:1", "directive '.core' in plain code"),
        ("mv.x level=far, address=0, delta=0, scale=1e39", "CAT-A002", "f.s:1:37", "range of f32"),
        ("mv.x level=far, address=0, delta=0, scale=1e999", "CAT-A002", "f.s:1:37", "range of f32"),
        ("mv.x level=far, address=0, delta=0, scale=nan:0x800000", "CAT-A002", "f.s:1:37", "1 to 23 bits"),
        ("mv.x level=far, address=0, delta=0, scale=infinity", "CAT-A001", "f.s:1:37", "a decimal number"),
        ("mv.x level=far, address=0, delta=0, scale=0, last=2", "CAT-A001", "f.s:1:46", "0 or 1"),
    ],
)
def test_problems_name_line_column_and_what_was_expected(text: str, code: str, where: str, message: str) -> None:
    found_code, found_where, found_message = first_problem(text)
    assert (found_code, found_where) == (code, where)
    assert message in found_message


def test_all_problems_are_reported() -> None:
    with pytest.raises(CatenaError) as error:
        assemble("loop dim=16, kind=kx, tile=0\n@\nend\nfoo", TOY, "f.s")
    assert [(each.code, each.where) for each in error.value.diagnostics] == [
        ("CAT-A002", "f.s:1:6"),
        ("CAT-A001", "f.s:1:14"),
        ("CAT-A002", "f.s:1:23"),
        ("CAT-A001", "f.s:2:1"),
        ("CAT-A001", "f.s:4:1"),
    ]
    with pytest.raises(CatenaError) as error:
        assemble("foo\n" * 10_000, TOY)
    assert len(error.value.diagnostics) == 20


@given(st.text())
@HYPOTHESIS
def test_any_text_is_read_or_refused(text: str) -> None:
    assert refusal(lambda: assemble(text, TOY)) <= {"CAT-A001", "CAT-A002"}


PIECES = (
    "loop",
    "end",
    "mv.x",
    " ",
    ",",
    "=",
    "dim",
    "kind=ks",
    "tile=1",
    ";",
    ".",
    "0x",
    "-",
    "1",
    "nan:0x",
    "\n",
    ":",
)


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
@HYPOTHESIS
def test_any_mixture_of_pieces_is_read_or_refused(text: str) -> None:
    assert refusal(lambda: TOY.encode(assemble(text, TOY))) <= {"CAT-A001", "CAT-A002"}


def test_a_line_takes_a_fraction_of_a_millisecond() -> None:
    text = "\n".join(f"{index:04x}: 20ab  loop dim=1, kind=ks, tile={index + 1}  ; note" for index in range(4000))
    start = time.process_time()
    assert len(assemble(text, TOY)) == 4000
    assert time.process_time() - start < 4000 * 250e-6
