"""order-segments: links and host segments in the order in which they run."""

from __future__ import annotations

import numpy as np
import pytest

from dialects.diagnostics import CatenaError
from dialects.gconv.interpreter import Interpreter
from tests.filechecking import check_ir, parse_module, print_module, run_passes
from tests.host_segments import chain_text

IN_ORDER = """
    CHECK:      %a = gconv.link %x
    CHECK-NEXT: host.segment 0
    CHECK-NEXT: %y = gconv.link %b
    CHECK-NEXT: func.return
"""


@pytest.mark.parametrize("steps", [("y b", "segment", "a x"), ("segment", "a x", "y b"), ("a x", "segment", "y b")])
def test_segments_stand_between_makers_and_users(steps: tuple[str, ...]) -> None:
    check_ir(chain_text(*steps), "order-segments", IN_ORDER)


def test_the_meaning_stays() -> None:
    x = np.arange(4, dtype=np.float32)
    module = parse_module(chain_text("y b", "segment", "a x"))
    before = Interpreter(module).run({"x": x}, lambda segment, arrays: [arrays[0] + 1])
    run_passes(module, "order-segments")
    after = Interpreter(module).run({"x": x}, lambda segment, arrays: [arrays[0] + 1])
    np.testing.assert_array_equal(before["y"], after["y"])


def test_chains_without_segments_stay() -> None:
    text = chain_text("a x", "y b")
    module = parse_module(text)
    before = print_module(module)
    run_passes(module, "order-segments")
    assert print_module(module) == before


def test_invalid_input_a_segment_that_needs_what_it_makes() -> None:
    """Nothing can run first: the order stays as it is, and placing finds a tensor that is read before it is made."""
    module = parse_module(chain_text("a b", "segment", "y x"))
    run_passes(module, "order-segments")
    with pytest.raises((CatenaError, KeyError)):
        Interpreter(module).run({"x": np.zeros(4, np.float32)}, lambda segment, arrays: [arrays[0]])
