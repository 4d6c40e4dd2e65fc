"""Computed addresses: the algebra, text, verifiers and meaning of indexed views and scatters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import TensorType, f32, i1, i64
from xdsl.dialects.test import TestOp as OtherOp
from xdsl.parser import Parser
from xdsl.utils.exceptions import ParseError, VerifyException

from dialects.diagnostics import CatenaError
from dialects.gconv import AddressingAttr, IndexedOp, IndexedView, Reduce, ScatterOp, View, loop_nest
from dialects.gconv.indexed import OutOfRangeError
from dialects.gconv.indexed_ops import Addressing
from dialects.gconv.interpreter import Interpreter
from tests.examples import examples
from tests.filechecking import new_ir_context, parse_module, print_module

Term = tuple[int, int]


def value(*shape: int, element_type=f32):
    return OtherOp(result_types=[TensorType(element_type, shape)]).results[0]


def rows(count: int) -> IndexedView:
    """`count` rows of a tensor of 5 x 4 that an index names."""
    return IndexedView.of_terms(View((count, 4), (0, 1)), [(4, 5)])


@st.composite
def lookups(draw: st.DrawFn) -> tuple[IndexedView, tuple[int, ...], np.ndarray]:
    """An indexed view, the shape of a tensor that it fits, and an index for it."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    strides = tuple(draw(st.integers(-3, 3)) for _ in shape)
    terms = draw(st.lists(st.tuples(st.integers(-3, 5), st.integers(1, 4)), min_size=1, max_size=3))
    reach = IndexedView.of_terms(View(shape, strides), terms).reach
    low, _ = reach.bounds()
    view = IndexedView.of_terms(View(shape, strides, -low), terms)
    extents = [n if draw(st.booleans()) else 1 for n in shape]
    generator = np.random.default_rng(draw(st.integers(0, 99)))
    index = np.stack([generator.integers(-extent, extent, extents) for _, extent in terms], axis=-1)
    return view, (view.reach.bounds()[1] + 1,), index


@settings(derandomize=True, deadline=None, max_examples=examples(150))
@given(lookups(), st.sampled_from([np.float32, np.int64, np.uint8, np.bool_]))
def test_a_gather_reads_what_the_loop_nest_reads(lookup, dtype) -> None:
    view, shape, index = lookup
    base = np.random.default_rng(1).integers(0, 100, shape).astype(dtype)
    found = view.gather(base, index)
    assert found.dtype == base.dtype
    np.testing.assert_array_equal(found, loop_nest.gather(view, base, index))


@settings(derandomize=True, deadline=None, max_examples=examples(150))
@given(lookups(), st.sampled_from(list(Reduce)), st.sampled_from([np.float32, np.int32, np.uint8]))
def test_a_scatter_updates_in_the_order_of_the_loop_nest(lookup, reduce, dtype) -> None:
    view, shape, index = lookup
    generator = np.random.default_rng(1)
    data = generator.standard_normal(shape).astype(dtype)
    # Numbers that f32 adds up differently in another order.
    updates = (generator.standard_normal(view.shape) * 10.0 ** generator.integers(-3, 6, view.shape)).astype(dtype)
    result = data.copy()
    view.scatter(result, index, updates, reduce)
    np.testing.assert_array_equal(result, loop_nest.scatter(view, data, index, updates, reduce))


@settings(derandomize=True, deadline=None, max_examples=examples(150))
@given(lookups(), st.data())
def test_composition_and_reshape_name_the_same_elements(lookup, data) -> None:
    view, (size,), index = lookup
    inner = View.dense((2, size)).slice(0, 1, 1).reshape((size,))
    assert inner is not None
    base = np.arange(2 * size)
    expected = view.gather(base[size:], index)
    composed = view.of(inner)
    assert composed is not None
    np.testing.assert_array_equal(composed.gather(base, index), expected)
    flat = view.reshape((math.prod(view.shape),))
    if flat is not None:
        whole = np.broadcast_to(index, (*view.shape, view.components)).reshape(-1, view.components)
        np.testing.assert_array_equal(flat.gather(base[size:], whole), expected.reshape(-1))


@settings(derandomize=True, deadline=None, max_examples=examples(100))
@given(
    st.lists(st.integers(-9, 9), max_size=4).map(tuple),
    st.lists(st.tuples(st.integers(-99, 99), st.integers(1, 10**6)), min_size=1, max_size=3).map(tuple),
    st.integers(0, 99),
)
def test_addressing_text_reads_back(strides: tuple[int, ...], terms: tuple[Term, ...], offset: int) -> None:
    attribute = AddressingAttr(Addressing(strides, terms, offset))
    assert Parser(new_ir_context(), str(attribute)).parse_attribute() == attribute


@pytest.mark.parametrize("text", ["<[1] 2 of 3>", "<[1], 2 by 3>", "<[1], 2 of -3>", "<[1], offset -1>"])
def test_malformed_addressing_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        Parser(new_ir_context(), f"#gconv.addressing{text}").parse_attribute()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AddressingAttr(Addressing((1,), ())), "one component at least"),
        (lambda: AddressingAttr(Addressing((1,), ((2, 0),))), "has no index"),
        (lambda: indexed(value(8, 1, 1, element_type=f32)), "an index holds integers, not f32"),
        (lambda: indexed(value(8, 1, 1, element_type=i1)), "an index holds integers, not i1"),
        (lambda: indexed(value(8, 1, 2, element_type=i64)), "does not broadcast"),
        (lambda: indexed(value(8, 3, 1, element_type=i64)), "does not broadcast"),
        (lambda: indexed(value(8, 1, element_type=i64)), "does not broadcast"),
        (lambda: indexed(value(8, 1, 1, element_type=i64), base=value(5, 3)), "reach elements 0 to 19 of"),
        (lambda: scatter(data=value(5, 3)), "data of"),
        (lambda: scatter(reduce=Reduce.ADD), "need data to act on"),
        (lambda: scatter(shape=(4, 4)), "reach elements 0 to 19 of a tensor with 16"),
    ],
)
def test_verifiers(make, message: str) -> None:
    with pytest.raises(VerifyException, match=message):
        make()


def indexed(index, base=None) -> None:
    IndexedOp.of(value(5, 4) if base is None else base, index, rows(8)).verify()


def scatter(data=None, reduce=Reduce.NONE, shape=(5, 4)) -> None:
    ScatterOp.of(value(8, 4), value(8, 1, 1, element_type=i64), rows(8), shape, data, reduce).verify()


MODULE = """
func.func @main(%x: tensor<5x4xf32>, %i: tensor<8x1x1xi64>) -> tensor<5x4xf32> {
  %v = gconv.indexed %x : tensor<5x4xf32> at %i : tensor<8x1x1xi64> <[0, 1], 4 of 5> -> tensor<8x4xf32>
  %u = gconv.link %v : tensor<8x4xf32> <R opc 8, C opc 4> "pass" none -> tensor<8x4xf32>
  %y = gconv.scatter %u : tensor<8x4xf32> at %i : tensor<8x1x1xi64> into %x : tensor<5x4xf32>
       <[0, 1], 4 of 5> add -> tensor<5x4xf32>
  func.return %y : tensor<5x4xf32>
}
"""


def test_ops_read_back_and_compute() -> None:
    module = parse_module(MODULE)
    module.verify()
    text = print_module(module)
    assert print_module(parse_module(text)) == text
    x = np.arange(20, dtype=np.float32).reshape(5, 4)
    index = np.array([0, 1, 1, -1, 4, 2, 2, 2])
    result = Interpreter(module).run({"0": x, "1": index.reshape(8, 1, 1)})["0"]
    times = np.array([1, 2, 3, 0, 2])[:, np.newaxis]
    np.testing.assert_array_equal(result, x * (1 + times))


@pytest.mark.parametrize("index", [5, -6])
def test_an_index_out_of_range_is_refused(index: int) -> None:
    with pytest.raises(OutOfRangeError):
        rows(1).addresses(np.array([[[index]]]))
    inputs = {"0": np.zeros((5, 4), np.float32), "1": np.full((8, 1, 1), index)}
    with pytest.raises(CatenaError, match="out of range") as caught:
        Interpreter(parse_module(MODULE)).run(inputs)
    diagnostic = caught.value.diagnostics[0]
    assert (diagnostic.code, diagnostic.expected, diagnostic.found) == ("CAT-C005", "-5 to 4", str(index))


def test_only_the_input_of_a_link_is_read_at_computed_addresses() -> None:
    module = parse_module(MODULE.replace("scatter %u", "scatter %v"))
    with pytest.raises(VerifyException, match=r"only the input of a link .* not operand 0 of gconv.scatter"):
        module.verify()


def test_without_data_every_element_is_written() -> None:
    text = """
    func.func @main(%u: tensor<3xf32>, %i: tensor<3x1xi64>) -> tensor<3xf32> {
      %y = gconv.scatter %u : tensor<3xf32> at %i : tensor<3x1xi64> <[0], 1 of 3> none -> tensor<3xf32>
      func.return %y : tensor<3xf32>
    }
    """
    u = np.array([1, 2, 3], np.float32)
    run = Interpreter(parse_module(text)).run
    np.testing.assert_array_equal(run({"0": u, "1": np.array([[2], [0], [1]])})["0"], [2, 3, 1])
    with pytest.raises(CatenaError, match="unwritten"):
        run({"0": u, "1": np.array([[2], [0], [0]])})
