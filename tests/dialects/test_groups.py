"""Placed groups as text: axes, boxes, and what the verifier refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.parser import Parser
from xdsl.utils.exceptions import VerifyException

from dialects.groups import AxesAttr, BoxAttr, PlacedAxis
from dialects.turn_box import Along, Span, TurnAxis, TurnBox
from tests.filechecking import new_ir_context

sizes = st.integers(1, 50)
spans = st.lists(st.builds(Span, sizes, sizes, sizes, st.integers(-9, 9), st.integers(-9, 9)), max_size=3).map(
    lambda found: (Span(0, 3, 4), *(Span(10 * n + 1, s.first, s.size, s.step, s.growth) for n, s in enumerate(found)))
)
axes = st.builds(
    TurnAxis,
    sizes,
    st.lists(st.builds(Along, st.integers(0, 3), spans), max_size=2, unique_by=lambda each: each.loop).map(tuple),
    st.integers(0, 9),
    sizes,
)
placed = st.builds(PlacedAxis, sizes, sizes, sizes, st.integers(0, 9), sizes)


@given(st.lists(axes, max_size=4))
def test_boxes_are_text_that_can_be_read_again(found: list[TurnAxis]) -> None:
    box = BoxAttr(TurnBox(tuple(found)))
    assert Parser(new_ir_context(), str(box)).parse_attribute() == box


@given(st.lists(placed, max_size=4))
def test_axes_are_text_that_can_be_read_again(found: list[PlacedAxis]) -> None:
    attribute = AxesAttr(tuple(found))
    assert Parser(new_ir_context(), str(attribute)).parse_attribute() == attribute


@given(axes, st.lists(sizes, min_size=4, max_size=4))
def test_sizes_are_those_of_every_turn(axis: TurnAxis, turns: list[int]) -> None:
    sizes_of = axis.sizes(turns)
    for each in ([0, 0, 0, 0], [count - 1 for count in turns]):
        at = tuple(min(turn, extent - 1) for turn, extent in zip(each, sizes_of.shape, strict=True))
        assert sizes_of[at] == len(axis.at(each))


@pytest.mark.parametrize(
    "box",
    [
        TurnBox((TurnAxis(3, (Along(0, (Span(1, 0, 2),)),)),)),
        TurnBox((TurnAxis(3, (Along(0, (Span(0, 0, 2), Span(0, 1, 1))),)),)),
        TurnBox((TurnAxis(3, (Along(0, (Span(0, 0, 2),)), Along(0, (Span(0, 0, 2),)))),)),
        TurnBox((TurnAxis(3, (), 0, 0),)),
    ],
)
def test_boxes_that_mean_nothing_do_not_verify(box: TurnBox) -> None:
    with pytest.raises(VerifyException):
        BoxAttr(box)
