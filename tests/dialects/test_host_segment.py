"""Host segments in the IR: text, verification, the order in which they run."""

from __future__ import annotations

import numpy as np
import pytest
from xdsl.dialects import test
from xdsl.dialects.builtin import TensorType, f32
from xdsl.utils.exceptions import VerifyException

from dialects.diagnostics import CatenaError
from dialects.gconv.interpreter import Interpreter, main_function
from dialects.host_segment import SegmentOp, execution_order, segment_inputs, segment_outputs
from dialects.locations import describe
from tests.filechecking import parse_module, print_module
from tests.host_segments import chain_text


def test_the_text_parses_back() -> None:
    module = parse_module(chain_text("a x", "segment", "y b"))
    module.verify()
    assert print_module(parse_module(print_module(module))) == print_module(module)
    (segment,) = (op for op in module.walk() if isinstance(op, SegmentOp))
    assert (segment.read_names, segment.made_names) == (("a",), ("b",))


def test_ports_of_segments_are_told_from_the_users() -> None:
    function = main_function(parse_module(chain_text("a x", "segment", "y b")))
    assert list(segment_inputs(function)) == ["a"]
    assert list(segment_outputs(function)) == ["b"]


def test_segments_run_after_what_they_read_and_before_what_reads_them() -> None:
    for steps in (("y b", "segment", "a x"), ("segment", "y b", "a x"), ("y b", "a x", "segment")):
        function = main_function(parse_module(chain_text(*steps)))
        assert [describe(op) for op in execution_order(function)][:3] == ["a node", "host node", "y node"]


def test_an_order_that_is_right_stays() -> None:
    function = main_function(parse_module(chain_text("a x", "segment", "y b")))
    assert execution_order(function) == list(function.body.block.ops)


def test_the_interpreter_lets_the_caller_execute_segments() -> None:
    interpreter = Interpreter(parse_module(chain_text("y b", "a x", "segment")))
    x = np.arange(4, dtype=np.float32)
    found = interpreter.run({"x": x}, lambda segment, arrays: [arrays[0] * 2])
    assert list(found) == ["y"]
    np.testing.assert_array_equal(found["y"], x * 2)


def test_the_interpreter_needs_the_caller_for_segments() -> None:
    with pytest.raises(CatenaError) as caught:
        Interpreter(parse_module(chain_text("a x", "segment", "y b"))).run({"x": np.zeros(4, np.float32)})
    assert caught.value.diagnostics[0].code == "CAT-R003"


def test_buffers_are_all_or_none() -> None:
    segment = SegmentOp.of(0, b"model", ["a"], ["b"])
    segment.verify()
    one = test.TestOp(result_types=[TensorType(f32, [4])]).results[0]
    segment.placed([one, one]).verify()
    with pytest.raises(VerifyException, match="1 buffers for 1 inputs and 1 outputs"):
        segment.placed([one]).verify()
