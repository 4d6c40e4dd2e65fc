"""Mappings as text: every attribute prints and parses back to the same; what is no mapping is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.ir import Attribute
from xdsl.utils.exceptions import ParseError, VerifyException

from dialects.gconv import LoopKind
from dialects.schedule import (
    LARGEST_TILE,
    Axis,
    Loop,
    LoopAttr,
    Mapping,
    MappingAttr,
    Objective,
    Operand,
    RowStationary,
    RowStationaryAttr,
    Search,
    SearchAttr,
    Space,
    Spatial,
    Storage,
    Temporal,
)
from dialects.unicode_parser import UnicodeParser
from tests.examples import examples
from tests.filechecking import new_ir_context

LOOPS = st.builds(Loop, st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True), st.sampled_from(LoopKind))
GAPS = st.integers(0, 10_000).map(lambda parts: parts / 1e4)
TILES = st.integers(1, LARGEST_TILE)


@st.composite
def mapping_attributes(draw: st.DrawFn) -> MappingAttr:
    """Any nodes in any order, every tensor stored at most once."""
    loops = st.one_of(st.builds(Temporal, LOOPS, TILES), st.builds(Spatial, LOOPS, TILES, st.sampled_from(Axis)))
    nodes = draw(st.lists(loops, max_size=6))
    operands = draw(st.lists(st.sampled_from(Operand), unique=True))
    while operands:
        count = draw(st.integers(1, len(operands)))
        storage = Storage(draw(st.sampled_from(("glb", "spad", "dram", "l2"))), tuple(operands[:count]))
        nodes.insert(draw(st.integers(0, len(nodes))), storage)
        operands = operands[count:]
    return MappingAttr(Mapping(tuple(nodes)))


ATTRIBUTES = st.one_of(
    mapping_attributes(),
    st.builds(LoopAttr, LOOPS),
    st.builds(RowStationaryAttr, st.builds(RowStationary, *[TILES] * 7)),
    st.builds(SearchAttr, st.builds(Search, st.sampled_from(Objective), st.sampled_from(Space), GAPS)),
)


def parsed(text: str) -> Attribute:
    return UnicodeParser(new_ir_context(), text).parse_attribute()


@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(ATTRIBUTES)
def test_attributes_print_and_parse_back(attribute: Attribute) -> None:
    again = parsed(str(attribute))
    assert again == attribute
    assert str(again) == str(attribute)


def test_the_text_of_each_attribute() -> None:
    loop = Loop("C", LoopKind.OP)
    nodes = (
        Temporal(loop, 64),
        Storage("glb", (Operand.INPUT, Operand.OUTPUT)),
        Storage("spad", (Operand.KERNEL,)),
        Spatial(loop, 4, Axis.COL),
    )
    text = "#schedule.mapping<for C.op 64, store glb [I, O], store spad [K], par C.op 4 on col>"
    assert str(MappingAttr(Mapping(nodes))) == text
    assert parsed(text) == MappingAttr(Mapping(nodes))
    assert parsed("#schedule.loop<W.ks>") == LoopAttr(Loop("W", LoopKind.KS))
    notation = RowStationaryAttr(RowStationary(96, 1, 7, 16, 2, 3, 4))
    assert str(notation) == "#schedule.row_stationary<m 96, n 1, e 7, p 16, q 2, r 3, t 4>"
    assert parsed("#schedule.mapping<>") == MappingAttr(Mapping(()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<for C.op>", "Expected integer literal"),
        ("<for C.op -2>", "Expected integer literal"),
        ("<for C 2>", "expected a loop such as C.op, found 'C'"),
        ("<for C.xy 2>", "expected one of g, op, opc, ks, found 'xy'"),
        ("<loop C.op 2>", "expected for, par or store, found 'loop'"),
        ("<par C.op 2>", "on"),
        ("<par C.op 2 on 3>", "axis name"),
        ("<store glb [X]>", "expected one of I, K, O, found 'X'"),
        ("<for C.op 2,>", "for, par or store"),
        ("<for C.op 2 for C.op 1>", "'>' expected"),
    ],
)
def test_what_is_no_mapping_is_refused_at_its_place(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=message) as caught:
        parsed(f"#schedule.mapping{text}")
    assert caught.value.span.start > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mapping<for C.op 0>", "a tile has 1 to 16777215 indices"),
        ("mapping<par C.op 16777216 on row>", "a tile has 1 to 16777215 indices"),
        ("mapping<store glb [I], store spad [K], store glb [O, I]>", "a tensor is stored twice"),
        ("mapping<store glb [I, I]>", "a tensor is stored twice"),
        ("mapping<store glb []>", "nothing is stored"),
        ("row_stationary<m 1, n 1, e 0, p 1, q 1, r 1, t 1>", "e must be 1 to 16777215"),
        ("row_stationary<m 1, n 1, e 1, p 1, q 1, r 1, t 16777216>", "t must be 1 to 16777215"),
    ],
)
def test_mappings_that_mean_nothing_are_refused(text: str, message: str) -> None:
    with pytest.raises(VerifyException, match=message):
        parsed(f"#schedule.{text}")


@pytest.mark.parametrize("text", ["<m 1, n 1, e 1, p 1, q 1, r 1>", "<n 1, m 1, e 1, p 1, q 1, r 1, t 1>", "<m x>"])
def test_the_notation_has_seven_numbers_in_order(text: str) -> None:
    with pytest.raises(ParseError):
        parsed(f"#schedule.row_stationary{text}")


def test_mappings_answer_where_things_are() -> None:
    attribute = parsed("#schedule.mapping<for C.op 4, store glb [O], for C.ks 2, store glb [I], par C.op 1 on row>")
    assert isinstance(attribute, MappingAttr)
    mapping = attribute.data
    assert [mapping.position(operand) for operand in Operand] == [3, None, 1]
    assert [str(node) for node in mapping.temporal_before(3)] == ["for C.op 4", "for C.ks 2"]
    assert [str(node) for node in mapping.temporal_before(2)] == ["for C.op 4"]
    assert [str(node) for node in mapping.spatial] == ["par C.op 1 on row"]
