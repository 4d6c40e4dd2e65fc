"""Groups as ops: text, meaning, and what is no group."""

from __future__ import annotations

import numpy as np
import pytest

from dialects.diagnostics import CatenaError
from dialects.gconv.fused import FusedOp
from dialects.gconv.interpreter import Interpreter
from passes.verification import verify_module
from tests.filechecking import parse_module, print_module

GROUP = """
func.func @main(%x: tensor<4x6xf64> {onnx.name = "x"}, %k: tensor<4x6xf64> {onnx.name = "k"})
    -> (tensor<6x4xf64> {onnx.name = "y"}, tensor<4x6xf64> {onnx.name = "a"}) {
  %y, %m = gconv.fused %x, %k reads ["x", "k"] makes ["a", "b"] {MAPPING}
      : tensor<4x6xf64>, tensor<4x6xf64> -> tensor<6x4xf64>, tensor<4x6xf64> {
  ^bb0(%0: tensor<4x6xf64>, %1: tensor<4x6xf64>):
    %a = gconv.link %0 : tensor<4x6xf64> by %1 : tensor<4x6xf64> <H g 4, W g 6> "mul" none {tensor = "a"}
      -> tensor<4x6xf64> loc("first")
    %t = gconv.view %a <[1, 6]> : tensor<4x6xf64> -> tensor<6x4xf64>
    %b = gconv.link %t : tensor<6x4xf64> <W opc 6, H opc 4> "pass" none post <neg> -> tensor<6x4xf64> loc("second")
    gconv.yield %b, %a : tensor<6x4xf64>, tensor<4x6xf64>
  } loc("group")
  func.return %y, %m : tensor<6x4xf64>, tensor<4x6xf64>
}
"""
PLACES = 'store glb ["x", "k"], for H.opc 2, store glb ["a", "b"]'


def group(mapping: str = f'{PLACES}, sequential {{"a": <for W.g 2>}}') -> str:
    return GROUP.replace("MAPPING", f"mapping = #schedule.fused<{mapping}>")


def test_a_group_prints_and_parses_back() -> None:
    module = parse_module(group())
    verify_module(module)
    text = print_module(module)
    assert print_module(parse_module(text)) == text
    (op,) = (each for each in module.walk() if isinstance(each, FusedOp))
    assert (op.read_names, op.link_names, op.head) == (["x", "k"], ["a", "b"], op.links[1])
    assert list(op.names.values()) == ["x", "k", "a", "b"]


def test_a_group_computes_what_its_links_do() -> None:
    x, k = np.arange(24.0).reshape(4, 6), np.arange(24.0)[::-1].reshape(4, 6)
    interpreter = Interpreter(parse_module(group()))
    results = interpreter.run({"x": x, "k": k})
    np.testing.assert_array_equal(results["a"], x * k)
    np.testing.assert_array_equal(results["y"], -(x * k).T)
    np.testing.assert_array_equal(interpreter.tensors["a"], x * k)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('reads ["x", "k"]', 'reads ["x"]', "1 names for 2 operands"),
        ('makes ["a", "b"]', 'makes ["a", "b", "c"]', "3 names for 2 links"),
        ('reads ["x", "k"]', 'reads ["x", "a"]', 'two tensors of the group are called "a"'),
        ("%a <[1, 6]>", "%0 <[1, 6]>", 'a group has one head, .*; found "a", "b"'),
        ("gconv.yield %b, %a : tensor<6x4xf64>, tensor<4x6xf64>", "gconv.yield %a : tensor<4x6xf64>", "of its head"),
        (
            "gconv.yield %b, %a : tensor<6x4xf64>, tensor<4x6xf64>",
            "gconv.yield %b, %t : tensor<6x4xf64>, tensor<6x4xf64>",
            "results of its links, each once",
        ),
        (
            "gconv.yield %b, %a : tensor<6x4xf64>, tensor<4x6xf64>",
            "gconv.yield %b : tensor<6x4xf64>",
            "other types than what the group yields",
        ),
        ("^bb0(%0: tensor<4x6xf64>, %1", "^bb0(%0: tensor<4x6xf64>, %2: tensor<4x6xf64>, %1", "other types than the"),
        ("by %1 :", "by %0 :", 'nothing in the group reads "k"'),
        ('{tensor = "a"}', '{tensor = "a", mapping = #schedule.host}', "no mapping of its own"),
        (
            "%t = gconv.view %a <[1, 6]>",
            "%c = gconv.concat %a axis 0 : tensor<4x6xf64> -> tensor<4x6xf64>\n%t = gconv.view %c <[1, 6]>",
            "made of links and views, found gconv.concat",
        ),
        ("%0 : tensor<4x6xf64> by", "%x : tensor<4x6xf64> by", "defined"),
    ],
)
def test_what_is_no_group_is_refused(old: str, new: str, message: str) -> None:
    text = group()
    assert old in text
    with pytest.raises(CatenaError, match=message):
        verify_module(parse_module(text.replace(old, new)))


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (f"for C.opc 1, {PLACES}, sequential {{}}", 'for C.opc 1: the head "b" has no dimension C, it has W, H'),
        (f"for W.opc 7, {PLACES}, sequential {{}}", 'for W.opc 7: the head "b" has 6 indices of W.opc'),
        ('store glb ["x", "k", "a"], sequential {}', '"b" has no place'),
        (f'store glb ["z"], {PLACES}, sequential {{}}', '"z" is no tensor of the group'),
        ('store glb ["x", "k", "b"], sequential {store glb ["a"]}', '"a" lives from one link to another'),
        (f'{PLACES}, sequential {{"x": <>}}', '"x" is no link of the group'),
        (f'{PLACES}, sequential {{"a": <for W.g 7>}}', 'for W.g 7: the link "a" has 6 indices of W.g'),
    ],
)
def test_a_mapping_of_another_group_is_refused(mapping: str, message: str) -> None:
    with pytest.raises(CatenaError, match=message):
        verify_module(parse_module(group(mapping)))


def test_other_mappings_are_refused() -> None:
    text = GROUP.replace("MAPPING", "mapping = #schedule.mapping<>")
    with pytest.raises(CatenaError, match=r"the mapping of a group is #schedule.fused"):
        verify_module(parse_module(text))
    text = GROUP.replace("MAPPING", "search = #schedule.host")
    with pytest.raises(CatenaError, match=r"what is known of a search is #schedule.search"):
        verify_module(parse_module(text))
