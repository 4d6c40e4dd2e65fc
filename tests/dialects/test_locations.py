"""ONNX node names as locations: read from any location, fused without repeats, printed and parsed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import (
    ArrayAttr,
    CallSiteLoc,
    FileLineColLoc,
    FusedLoc,
    IntAttr,
    LocationAttr,
    NameLoc,
    NoneAttr,
    StringAttr,
    UnknownLoc,
)

from dialects.locations import describe, fuse_locations, node_location, node_names
from tests.examples import examples
from tests.filechecking import parse_module, print_module

FILE = FileLineColLoc(StringAttr("m.onnx"), IntAttr(1), IntAttr(2))
NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5), max_size=5)


def fused(*locations: LocationAttr) -> FusedLoc:
    return FusedLoc(tuple(locations), NoneAttr())


@pytest.mark.parametrize(
    ("location", "names"),
    [
        (UnknownLoc(), ()),
        (FILE, ()),
        (node_location("conv1"), ("conv1",)),
        (NameLoc(StringAttr("conv1"), FILE), ("conv1",)),
        (fused(node_location("b"), node_location("a"), node_location("b")), ("b", "a")),
        (fused(node_location("a"), fused(node_location("b"), node_location("a")), UnknownLoc()), ("a", "b")),
        (CallSiteLoc(node_location("a"), node_location("caller")), ("a",)),
    ],
)
def test_names_in_a_location(location: LocationAttr, names: tuple[str, ...]) -> None:
    assert node_names(location) == names


def test_fusing_keeps_the_order_and_drops_repeats() -> None:
    a, b = node_location("a"), node_location("b")
    assert fuse_locations([]) == UnknownLoc()
    assert fuse_locations([UnknownLoc(), FILE]) == UnknownLoc()
    assert fuse_locations([a, UnknownLoc(), a]) == a
    assert fuse_locations([b, fused(a, b)]) == fused(b, a)


@settings(max_examples=examples(100), derandomize=True, deadline=None)
@given(st.lists(NAMES, max_size=4))
def test_fusing_in_steps_is_fusing_at_once(groups: list[list[str]]) -> None:
    steps: LocationAttr = UnknownLoc()
    for group in groups:
        steps = fuse_locations([steps, *map(node_location, group)])
    at_once = fuse_locations(node_location(name) for group in groups for name in group)
    assert node_names(steps) == node_names(at_once) == tuple(dict.fromkeys(n for group in groups for n in group))
    if len(node_names(steps)) > 1:
        assert isinstance(steps, FusedLoc)
        assert isinstance(steps.locations, ArrayAttr)


@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(NAMES)
def test_locations_print_and_parse_back(names: list[str]) -> None:
    module = parse_module("func.func @main() { func.return }")
    op = next(iter(module.ops))
    op.location = fuse_locations(map(node_location, names))
    again = parse_module(print_module(module))
    assert node_names(next(iter(again.ops)).location) == tuple(dict.fromkeys(names))
    assert print_module(again) == print_module(module)


def test_an_op_is_described_by_its_nodes() -> None:
    text = """
    func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
      %a = gconv.link %x : tensor<4xf32> <C opc 4> "pass" none -> tensor<4xf32> loc(fused["conv", "relu"])
      %b = gconv.link %a : tensor<4xf32> <C opc 4> "pass" none -> tensor<4xf32>
      func.return %b : tensor<4xf32>
    }
    """
    links = [op for op in parse_module(text).walk() if op.name == "gconv.link"]
    assert [describe(link) for link in links] == ["conv + relu", ""]
