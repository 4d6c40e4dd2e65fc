"""Mappings of groups as text: they print and parse back to the same; what is none is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.ir import Attribute
from xdsl.utils.exceptions import ParseError, VerifyException

from dialects.fused_attribute import FusedAttr
from dialects.fused_mapping import FusedMapping, Retention, Stages
from dialects.gconv import LoopKind
from dialects.schedule import LARGEST_TILE, Axis, Loop, Mapping, Operand, Spatial, Storage, Temporal
from dialects.unicode_parser import UnicodeParser
from tests.examples import examples
from tests.filechecking import new_ir_context

LOOPS = st.builds(Loop, st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True), st.sampled_from(LoopKind))
TILES = st.integers(1, LARGEST_TILE)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NODES = st.one_of(
    st.builds(Temporal, LOOPS, TILES),
    st.builds(Spatial, LOOPS, TILES, st.sampled_from(Axis)),
    st.just(Storage("spad", (Operand.KERNEL,))),
)


@st.composite
def fused_mappings(draw: st.DrawFn) -> FusedMapping:
    """Any loops, tensors at any level in any order, and any branches."""
    loops = tuple(Temporal(loop, draw(TILES)) for loop in draw(st.lists(LOOPS, max_size=4, unique=True)))
    retentions: list[Retention] = []
    for tensor in draw(st.lists(NAMES, max_size=6, unique=True)):
        level = draw(st.none() | st.integers(0, len(loops)))
        retentions.append(
            Retention(tensor, draw(st.sampled_from(("glb", "l2"))), level, level is None or draw(st.booleans()))
        )
    branches: list[tuple[str, Mapping]] = []
    for link in draw(st.lists(NAMES, max_size=3, unique=True)):
        nodes = draw(st.lists(NODES, max_size=3, unique_by=lambda node: isinstance(node, Storage) or str(node)))
        branches.append((link, Mapping(tuple(nodes))))
    return FusedMapping(loops, tuple(retentions), draw(st.sampled_from(Stages)), tuple(branches))


def parsed(text: str) -> Attribute:
    return UnicodeParser(new_ir_context(), text).parse_attribute()


@settings(max_examples=examples(300), derandomize=True, deadline=None)
@given(fused_mappings())
def test_mappings_print_and_parse_back(mapping: FusedMapping) -> None:
    attribute = FusedAttr.of(mapping)
    assert set(attribute.data.retentions) == set(mapping.retentions)
    again = parsed(str(attribute))
    assert again == attribute
    assert str(again) == str(attribute)


def test_the_text_of_a_mapping() -> None:
    rows, columns = Loop("H", LoopKind.OPC), Loop("W", LoopKind.OPC)
    mapping = FusedMapping(
        (Temporal(rows, 4), Temporal(columns, 4)),
        (
            Retention("W1", "glb", 0),
            Retention("W2", "glb", 0),
            Retention("bias", "spad", None),
            Retention("F1", "glb", 1),
            Retention("F2", "glb", 2, reuse=False),
            Retention("F3", "l2", 2),
        ),
        Stages.PIPELINE,
        (("conv1", Mapping((Temporal(Loop("C", LoopKind.OP), 8),))), ("conv2", Mapping(()))),
    )
    text = (
        '#schedule.fused<store glb ["W1", "W2"], for H.opc 4, store glb ["F1"], for W.opc 4, store glb [anew "F2"],'
        ' store l2 ["F3"], pipeline {store spad ["bias"], "conv1": <for C.op 8>, "conv2": <>}>'
    )
    assert str(FusedAttr.of(mapping)) == text
    assert parsed(text) == FusedAttr.of(mapping)
    assert parsed("#schedule.fused<sequential {}>") == FusedAttr(FusedMapping((), ()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<>", "for, store, sequential or pipeline"),
        ("<for H.opc 4>", "Expected ','"),
        ("<for H.opc, sequential {}>", "Expected integer literal"),
        ("<for H 4, sequential {}>", "expected a loop such as C.op, found 'H'"),
        ("<par H.opc 4 on row, sequential {}>", "expected for, store, sequential or pipeline, found 'par'"),
        ("<store glb [x], sequential {}>", "tensor name"),
        ('<store glb [recompute "x"], sequential {}>', "tensor name"),
        ('<store ["x"], sequential {}>', "memory name"),
        ("<sequential>", "'{' expected"),
        ('<sequential {"a" <>}>', "Expected ':'"),
        ("<sequential {for H.opc 4}>", "store or link name"),
        ('<sequential {"a": <for H.opc>}>', "Expected integer literal"),
        ("<sequential {}, for H.opc 4>", "'>' expected"),
    ],
)
def test_what_is_no_mapping_is_refused_at_its_place(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=message) as caught:
        parsed(f"#schedule.fused{text}")
    assert caught.value.span.start > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<for H.opc 0, sequential {}>", "a tile has 1 to 16777215 indices"),
        ("<for H.opc 2, for W.op 1, for H.opc 1, sequential {}>", "loop H.opc is there twice"),
        ('<store glb ["x"], for H.opc 2, store l2 ["x"], sequential {}>', 'tensor "x" is there twice'),
        ('<sequential {"a": <>, "b": <>, "a": <>}>', 'link "a" is there twice'),
        ('<sequential {store glb [anew "x"]}>', '"x": within links, everything is fetched anew'),
        ('<sequential {"a": <store glb [I], store glb [I]>}>', "a tensor is stored twice"),
    ],
)
def test_mappings_that_contradict_themselves_are_refused(text: str, message: str) -> None:
    with pytest.raises(VerifyException, match=message):
        parsed(f"#schedule.fused{text}")


@pytest.mark.parametrize(
    ("retentions", "message"),
    [
        ([Retention("x", "glb", 2)], '"x": below 2 of 1 loops'),
        ([Retention("x", "glb", -1)], '"x": below -1 of 1 loops'),
        ([Retention("x", "glb", 1), Retention("y", "glb", 0)], "in the order of their levels"),
    ],
)
def test_levels_that_no_text_says_are_refused(retentions: list[Retention], message: str) -> None:
    loops = (Temporal(Loop("H", LoopKind.OPC), 4),)
    with pytest.raises(VerifyException, match=message):
        FusedAttr(FusedMapping(loops, tuple(retentions)))


def test_what_stays_between_groups_is_text() -> None:
    text = '#schedule.fused<store glb [stay "x", "y"], for H.opc 4, sequential {}>'
    attribute = parsed(text)
    assert isinstance(attribute, FusedAttr)
    assert attribute.data.retention("x") == Retention("x", "glb", 0, resident=True)
    assert str(attribute) == text


@pytest.mark.parametrize("retention", [Retention("x", "glb", 1, resident=True), Retention("x", "glb", 0, False, True)])
def test_what_stays_lies_outside_of_all_loops(retention: Retention) -> None:
    with pytest.raises(VerifyException, match='"x" stays from one group to another: its place is outside of all'):
        FusedAttr(FusedMapping((Temporal(Loop("H", LoopKind.OPC), 4),), (retention,)))
