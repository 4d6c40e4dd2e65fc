"""gconv attributes and ops: parsing gives back what was printed, and verifiers reject what is not legal."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects.builtin import (
    ArrayAttr,
    Builtin,
    DictionaryAttr,
    FunctionType,
    IntegerAttr,
    ModuleOp,
    StringAttr,
    TensorType,
    f32,
    i32,
    i64,
)
from xdsl.dialects.func import Func, FuncOp, ReturnOp
from xdsl.dialects.test import TestOp as OtherOp
from xdsl.parser import Parser
from xdsl.utils.exceptions import ParseError, VerifyException

from dialects.diagnostics import CatenaError
from dialects.gconv import (
    ConcatOp,
    Dim,
    GConv,
    LinkOp,
    NestAttr,
    Reduce,
    ReduceAttr,
    ScalarAttr,
    Step,
    StepsAttr,
    StridedAttr,
    View,
    ViewOp,
)
from dialects.gconv.dialect import GCONV
from dialects.gconv.interpreter import Interpreter
from dialects.gconv.scalar import BY_CODE, FUNCTIONS, Arity, apply
from dialects.weights import WEIGHTS, ConstantOp
from tests.examples import examples


def gconv_context() -> Context:
    context = Context()
    for dialect in (Builtin, Func, GCONV, WEIGHTS):
        context.load_dialect(dialect)
    return context


def parse_attribute(text: str):
    return Parser(gconv_context(), text).parse_attribute()


def value(*shape: int, element_type=f32):
    return OtherOp(result_types=[TensorType(element_type, shape)]).results[0]


NUMBERS = st.one_of(st.floats(), st.sampled_from((1e-05, 1e22, -0.0, math.inf, -math.inf, math.nan, 5e-324)))
COUNT = st.integers(1, 2000)
DIMS = st.builds(Dim, st.just("d"), COUNT, COUNT, COUNT, COUNT, COUNT, COUNT, st.integers(-9, 9), COUNT)


@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(st.lists(DIMS, max_size=4))
def test_nest_text_reads_back(dims):
    named = tuple(Dim(f"d{i}", *list(vars(dim).values())[1:]) for i, dim in enumerate(dims))
    attribute = NestAttr(named)
    assert parse_attribute(str(attribute)) == attribute


@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(NUMBERS)
def test_scalar_text_reads_back(number):
    attribute = ScalarAttr(number)
    assert parse_attribute(str(attribute)) == attribute
    assert hash(parse_attribute(str(attribute))) == hash(attribute)


@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(st.data(), st.lists(st.sampled_from(sorted(FUNCTIONS)), max_size=4))
def test_steps_text_reads_back(data, names):
    steps = tuple(
        Step(
            name,
            tuple(data.draw(st.floats(allow_nan=False)) for _ in FUNCTIONS[name].parameters),
            data.draw(st.integers(0, 3)) if FUNCTIONS[name].arity is Arity.BINARY else None,
        )
        for name in names
    )
    assert parse_attribute(str(StepsAttr(steps))) == StepsAttr(steps)


@settings(max_examples=examples(100), derandomize=True, deadline=None)
@given(st.integers(0, 10**9), st.lists(st.integers(-(10**6), 10**6), max_size=5).map(tuple))
def test_strided_text_reads_back(offset, strides):
    attribute = StridedAttr((offset, strides))
    assert parse_attribute(str(attribute)) == attribute


@pytest.mark.parametrize("reduce", list(Reduce))
def test_reduce_text_reads_back(reduce):
    assert parse_attribute(str(ReduceAttr(reduce))) == ReduceAttr(reduce)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#gconv.nest<N what 3>", "expected one of g, op"),
        ("#gconv.nest<N g 3 g 3>", "each once"),
        ("#gconv.scalar<x>", "expected"),
        ("#gconv.strided<[1], offset -2>", "Expected integer literal"),
    ],
)
def test_malformed_attribute_text_is_refused(text, message):
    with pytest.raises(ParseError, match=message):
        parse_attribute(text)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NestAttr((Dim("N"), Dim("N"))), "names must differ"),
        (lambda: NestAttr((Dim("2x"),)), "no dimension name"),
        (lambda: NestAttr((Dim("N", ks=0),)), "ks of dimension N must be at least 1"),
        (lambda: StepsAttr((Step("frob"),)), "unknown scalar function"),
        (lambda: StepsAttr((Step("clip", (1.0,)),)), "takes 2 parameters, 1 given"),
        (lambda: StepsAttr((Step("add"),)), "operand must be given"),
        (lambda: StepsAttr((Step("relu", (), 0),)), "operand must be given"),
    ],
)
def test_attribute_verifiers(make, message):
    with pytest.raises(VerifyException, match=message):
        make()


CONVOLUTION = GConv(
    (Dim("N", opc=2), Dim("C", g=2, op=2, ks=3), Dim("W", opc=4, ks=3, stride=2, pad=1)), "mul", Reduce.ADD
)


def convolution_link(spec: GConv = CONVOLUTION, **shapes: tuple[int, ...]) -> LinkOp:
    shapes = {"input": (2, 6, 8), "kernel": (1, 12, 3)} | shapes
    kernel = value(*shapes["kernel"]) if shapes["kernel"] else None
    extras = [value(*shapes[key]) for key in ("extra",) if key in shapes]
    return LinkOp.of(spec, value(*shapes["input"]), kernel, extras)


def test_link_verifies():
    convolution_link().verify()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: convolution_link(input=(2, 6)), "input must have a static shape of rank 3"),
        (lambda: convolution_link(input=(2, 5, 8)), "no multiple of g = 2"),
        (lambda: convolution_link(kernel=(1, 12, 2)), r"kernel must have shape \[1, 12, 3\]"),
        (lambda: convolution_link(kernel=()), "main operator 'mul' and no kernel"),
        (lambda: convolution_link(GConv(CONVOLUTION.dims, "pass", Reduce.ADD)), "'pass' and a kernel"),
        (lambda: convolution_link(GConv(CONVOLUTION.dims, "relu", Reduce.ADD)), "no main operator"),
        (lambda: convolution_link(GConv(CONVOLUTION.dims, "mul")), "reduce none needs every ks to be 1"),
        (
            lambda: convolution_link(GConv(CONVOLUTION.dims, "mul", Reduce.ADD, mid=(Step("add", (), 0),))),
            "only post steps",
        ),
        (
            lambda: convolution_link(GConv(CONVOLUTION.dims, "mul", Reduce.ADD, post=(Step("add", (), 1),))),
            r"use operands \[1\], the link has 0",
        ),
        (
            lambda: convolution_link(
                GConv(CONVOLUTION.dims, "mul", Reduce.ADD, post=(Step("add", (), 0),)), extra=(2, 3, 1)
            ),
            "extra operand 0 must broadcast",
        ),
        (lambda: convolution_link(extra=(2, 4, 1)), r"use operands \[\], the link has 1"),
    ],
)
def test_link_verifier_rejects(make, message):
    with pytest.raises(VerifyException, match=message):
        make().verify()


def test_link_verifier_rejects_a_wrong_result_shape():
    link = convolution_link()
    wrong = LinkOp.create(operands=link.operands, properties=link.properties, result_types=[TensorType(f32, (2, 4, 5))])
    with pytest.raises(VerifyException, match="result must have shape"):
        wrong.verify()


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (View((2, 3), (3, 1), 1), "reads elements 1 to 6 of a tensor with 6"),
        (View((2,), (-1,), 0), "reads elements -1 to 0"),
    ],
)
def test_view_verifier_rejects_what_lies_outside(view, message):
    with pytest.raises(VerifyException, match=message):
        ViewOp.of(value(6), view).verify()


def test_view_verifier_rejects_another_element_type_and_rank():
    base = value(6)
    layout = {"layout": StridedAttr((0, (1,)))}
    with pytest.raises(VerifyException, match="keeps the element type"):
        ViewOp.create(operands=[base], properties=layout, result_types=[TensorType(i32, (6,))]).verify()
    with pytest.raises(VerifyException, match="1 strides"):
        ViewOp.create(operands=[base], properties=layout, result_types=[TensorType(f32, (2, 3))]).verify()


def test_concat_verifier():
    ConcatOp.of([value(2, 3), value(2, 5)], 1).verify()
    with pytest.raises(VerifyException, match="does not fit beside"):
        ConcatOp.of([value(2, 3), value(3, 5)], 1).verify()
    good = ConcatOp.of([value(2, 3), value(2, 3)], 0)
    good.verify()
    off_axis = {"axis": IntegerAttr(2, i64)}
    with pytest.raises(VerifyException, match="is not a dimension"):
        ConcatOp.create(operands=good.operands, properties=off_axis, result_types=good.result_types).verify()
    with pytest.raises(VerifyException, match="do not fill axis 0"):
        ConcatOp.create(operands=good.operands[:1], properties=good.properties, result_types=good.result_types).verify()


def onnx_names(name: str):
    return ArrayAttr([DictionaryAttr({"onnx.name": StringAttr(name)})])


def chain_module() -> ModuleOp:
    """relu(convolution + bias) of a view of the argument, beside the view itself."""
    values = np.random.default_rng(5)
    function = FuncOp("main", FunctionType.from_lists([TensorType(f32, (2, 6, 8))], [TensorType(f32, (2, 10, 4))]))
    function.arg_attrs, function.res_attrs = onnx_names("x"), onnx_names("out")
    block = function.body.block
    weight = ConstantOp.of(values.standard_normal((12, 3)).astype(np.float32))
    bias = ConstantOp.of(np.float32(0.5))
    kernel = ViewOp.of(weight.result, View.dense((1, 12, 3)))
    extra = ViewOp.of(bias.result, View.dense((1, 1, 1)))
    spec = GConv(CONVOLUTION.dims, "mul", Reduce.ADD, post=(Step("add", (), 0), Step("relu")), pad_value=1e-05)
    link = LinkOp.of(spec, block.args[0], kernel.result, [extra.result], tensor="y")
    part = ViewOp.of(block.args[0], View.dense((2, 6, 8)).slice(2, 7, 4, -2))
    concat = ConcatOp.of([link.result, part.result], 1, tensor="z")
    block.add_ops([weight, bias, kernel, extra, link, part, concat, ReturnOp(concat.result)])
    return ModuleOp([function])


def test_module_text_reads_back():
    module = chain_module()
    module.verify()
    again = Parser(gconv_context(), str(module)).parse_module()
    again.verify()
    assert str(again) == str(module)


def test_interpreter_runs_a_chain_and_keeps_named_tensors():
    module = chain_module()
    data = np.random.default_rng(6).standard_normal((2, 6, 8)).astype(np.float32)
    interpreter = Interpreter(module)
    result = interpreter.run({"x": data})["out"]
    assert result.shape == (2, 10, 4)
    np.testing.assert_array_equal(result[:, 4:], data[:, :, 7::-2])
    np.testing.assert_array_equal(result[:, :4], interpreter.tensors["y"])
    assert (interpreter.tensors["y"] >= 0).all()
    np.testing.assert_array_equal(result, interpreter.tensors["z"])


def test_interpreter_names_an_input_that_does_not_fit():
    with pytest.raises(CatenaError, match="input 'x' does not fit"):
        Interpreter(chain_module()).run({"x": np.zeros((1, 2))})
    with pytest.raises(CatenaError, match="found:    nothing"):
        Interpreter(chain_module()).run({})


def test_interpreter_refuses_other_dialects_and_missing_main():
    with pytest.raises(CatenaError, match="no function @main"):
        Interpreter(ModuleOp([]))
    module = chain_module()
    block = module.body.block.first_op.body.block
    block.insert_op_before(OtherOp(), block.first_op)
    with pytest.raises(CatenaError, match="no op of a gconv chain"):
        Interpreter(module).run({"x": np.zeros((2, 6, 8), np.float32)})


INTEGER_FUNCTIONS = ("bit_and", "bit_not", "bit_or", "bit_xor", "shift_left", "shift_right")


def test_scalar_functions_are_numbered_once_and_keep_the_dtype():
    assert len(BY_CODE) == len(FUNCTIONS)
    for function in FUNCTIONS.values():
        of_integers = function.name in ("bits_to_float32", *INTEGER_FUNCTIONS)
        samples = np.array([-1, 0, 5, 2], np.int32) if of_integers else np.array([-1.5, -0.0, 0.5, 2.0], np.float32)
        operands = [samples] * (1 if function.arity is Arity.UNARY else 2)
        result = apply(function.name, *operands, parameters=(0.5,) * len(function.parameters))
        assert result.dtype == (function.result or samples.dtype), function.name
        assert result.shape == samples.shape, function.name
