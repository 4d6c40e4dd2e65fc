"""What the verifier of `onnx` ops refuses, and that it says all of it."""

from __future__ import annotations

import pytest
from xdsl.utils.exceptions import VerifyException

from tests.filechecking import parse_module


def verify_lines(lines: str, arguments: str) -> None:
    parse_module(f"func.func @main({arguments}) {{\n{lines}\nfunc.return\n}}").verify()


def verify_op(op: str, arguments: str) -> None:
    verify_lines(f"%y = {op}", arguments)


def assert_refused(op: str, arguments: str, *messages: str) -> None:
    with pytest.raises(VerifyException) as caught:
        verify_op(op, arguments)
    for message in messages:
        assert message in str(caught.value)


X = "%x: tensor<2x3xf32>"
RELU = "onnx.Relu(%x) {{{}}} : (tensor<2x3xf32>) -> tensor<2x3xf32>"


def test_a_sound_op_verifies() -> None:
    verify_op(RELU.format('outputs = ["y"]'), X)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ('alpha = 1.0, outputs = ["y"]', "unknown attribute 'alpha'"),
        ("", 'needs the names of its outputs: outputs = ["..."]'),
        ("outputs = 3 : i64", "needs the names of its outputs"),
        ('outputs = ["y", "z"]', "has 1 results and 2 output names"),
        ('outputs = [""]', "output 0 must have a name exactly if it has a value"),
        ('outputs = ["y"]} attributes {typo = 1 : i64', "unknown attribute 'typo' (discardable"),
    ],
)
def test_attributes_are_checked(attributes: str, message: str) -> None:
    assert_refused(RELU.format(attributes), X, message)


def test_an_attribute_must_be_of_its_kind() -> None:
    op = '"onnx.LeakyRelu"(%x) <{alpha = 1 : i64, outputs = ["y"]}> : (tensor<2x3xf32>) -> tensor<2x3xf32>'
    assert_refused(op, X, "attribute 'alpha' must be of kind FLOAT, found 1 : i64")


def test_a_required_attribute_must_be_there() -> None:
    op = 'onnx.Concat(%x) {outputs = ["y"]} : (tensor<2x3xf32>) -> tensor<2x3xf32>'
    assert_refused(op, X, "required attribute 'axis' is missing")


def test_a_graph_attribute_cannot_be_held() -> None:
    op = 'onnx.If(%x) {then_branch = 1 : i64, outputs = ["y"]} : (tensor<i1>) -> tensor<2x3xf32>'
    assert_refused(op, "%x: tensor<i1>", "attribute 'then_branch' holds what the IR cannot represent", "else_branch")


def test_operands_are_counted() -> None:
    few = 'onnx.Add(%x) {outputs = ["y"]} : (tensor<2x3xf32>) -> tensor<2x3xf32>'
    assert_refused(few, X, "needs at least 2 inputs, has 1")
    many = 'onnx.Relu(%x, %x) {outputs = ["y"]} : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>'
    assert_refused(many, X, "takes at most 1 inputs, has 2")


def test_results_are_counted() -> None:
    with pytest.raises(VerifyException, match="takes at most 1 outputs, has 2"):
        verify_lines(
            '%y, %z = onnx.Relu(%x) {outputs = ["y", "z"]} : (tensor<2x3xf32>) -> (tensor<2x3xf32>, tensor<2x3xf32>)',
            X,
        )


def test_element_types_are_checked() -> None:
    op = 'onnx.Sigmoid(%x) {outputs = ["y"]} : (tensor<2xi64>) -> tensor<2xi64>'
    assert_refused(op, "%x: tensor<2xi64>", "input 0 (X) has type tensor(int64), allowed are", "tensor(float)")


def test_type_variables_bind_once() -> None:
    op = 'onnx.Add(%x, %z) {outputs = ["y"]} : (tensor<2x3xf32>, tensor<2x3xf64>) -> tensor<2x3xf32>'
    assert_refused(
        op, "%x: tensor<2x3xf32>, %z: tensor<2x3xf64>", "input 1 (B) has type tensor(double), but T is tensor(float)"
    )
    result = 'onnx.Relu(%x) {outputs = ["y"]} : (tensor<2x3xf32>) -> tensor<2x3xf16>'
    assert_refused(result, X, "output 0 (Y) has type tensor(float16), but T is tensor(float) here")


def test_types_that_onnx_does_not_have() -> None:
    op = 'onnx.Relu(%x) {outputs = ["y"]} : (i32) -> tensor<2x3xf32>'
    assert_refused(op, "%x: i32", "input 0 (X) has type i32, which ONNX does not have")


def test_shapes_are_static() -> None:
    op = 'onnx.Relu(%x) {outputs = ["y"]} : (tensor<?x3xf32>) -> tensor<?x3xf32>'
    assert_refused(op, "%x: tensor<?x3xf32>", "input 0 (X) has a dynamic shape")


def test_only_an_optional_input_may_be_left_out() -> None:
    lines = (
        '%n = onnx.NoValue : none\n%y = onnx.Add(%x, %n) {outputs = ["y"]} : (tensor<2x3xf32>, none) -> tensor<2x3xf32>'
    )
    with pytest.raises(VerifyException, match=r"input 1 \(B\) is required"):
        verify_lines(lines, X)


def test_result_types_are_what_onnx_infers() -> None:
    op = 'onnx.Relu(%x) {outputs = ["y"]} : (tensor<2x3xf32>) -> tensor<3x2xf32>'
    assert_refused(op, X, "output 0 has type float32[3, 2], ONNX infers float32[2, 3]")


def test_all_problems_are_named_at_once() -> None:
    op = "onnx.Sigmoid(%x) {alpha = 1.0, outputs = []} : (tensor<2xi64>) -> tensor<2xi64>"
    assert_refused(op, "%x: tensor<2xi64>", "unknown attribute 'alpha'", "allowed are", "1 results and 0 output names")


IMAGE = "tensor<1x4x8x8xf32>"


def two_operands(op: str, attributes: str, second: str, result: str, first: str = IMAGE) -> tuple[str, str]:
    given = f"{attributes}, " if attributes else ""
    line = f'onnx.{op}(%x, %w) {{{given}outputs = ["y"]}} : ({first}, {second}) -> {result}'
    return line, f"%x: {first}, %w: {second}"


@pytest.mark.parametrize(
    ("op", "attributes", "second", "result", "message"),
    [
        ("Conv", "", "tensor<6x3x3x3xf32>", "tensor<1x6x6x6xf32>", "4 input channels for weights of 3 channels"),
        ("Conv", "group = 2", "tensor<5x2x3x3xf32>", "tensor<1x5x6x6xf32>", "5 output channels cannot be divided"),
        ("Conv", "kernel_shape = [5, 5]", "tensor<6x4x3x3xf32>", "tensor<1x6x4x4xf32>", "kernel_shape [5, 5]"),
        ("Conv", "", "tensor<6x4x9x9xf32>", "tensor<1x6x0x0xf32>", "larger than the padded input"),
        ("Conv", "", "tensor<6x4x9xf32>", "tensor<1x6x6x6xf32>", "must have the same rank"),
        ("ConvTranspose", "", "tensor<3x6x3x3xf32>", "tensor<1x6x10x10xf32>", "for weights of 3 channels"),
        ("ConvTranspose", "group = 3", "tensor<4x6x3x3xf32>", "tensor<1x18x10x10xf32>", "cannot be divided into 3"),
        ("PRelu", "", "tensor<4xf32>", IMAGE, "the slope [4] does not broadcast to [1, 4, 8, 8]"),
    ],
)
def test_shape_rules_of_two_operands(op: str, attributes: str, second: str, result: str, message: str) -> None:
    assert_refused(*two_operands(op, attributes, second, result), message)


@pytest.mark.parametrize(
    ("op", "attributes", "result", "message"),
    [
        ("MaxPool", "kernel_shape = [9, 9]", "tensor<1x4x0x0xf32>", "larger than the padded input"),
        ("Transpose", "perm = [0, 1]", "tensor<1x4xf32>", "perm [0, 1] is no permutation of the 4 axes"),
        ("Softmax_v1", "axis = 9", IMAGE, "axis 9 is outside the 4 axes"),
        ("DepthToSpace", "blocksize = 3", "tensor<1x0x24x24xf32>", "different numbers of elements"),
    ],
)
def test_shape_rules_of_one_operand(op: str, attributes: str, result: str, message: str) -> None:
    line = f'onnx.{op}(%x) {{{attributes}, outputs = ["y"]}} : ({IMAGE}) -> {result}'
    assert_refused(line, f"%x: {IMAGE}", message)


def test_vectors_have_the_length_of_the_channels() -> None:
    types = f"{IMAGE}, tensor<4xf32>, tensor<4xf32>, tensor<3xf32>, tensor<4xf32>"
    line = f'onnx.BatchNormalization_v9(%x, %a, %a, %b, %a) {{outputs = ["y"]}} : ({types}) -> {IMAGE}'
    assert_refused(line, f"%x: {IMAGE}, %a: tensor<4xf32>, %b: tensor<3xf32>", "mean has shape [3], expected [4]")


def test_the_product_of_matrices() -> None:
    types = "tensor<1x4xf32>, tensor<5x6xf32>, tensor<5xf32>"
    line = f'onnx.Gemm_v7(%a, %b, %c) {{outputs = ["y"]}} : ({types}) -> tensor<1x6xf32>'
    assert_refused(
        line,
        "%a: tensor<1x4xf32>, %b: tensor<5x6xf32>, %c: tensor<5xf32>",
        "the inner extents differ: 4 and 5",
        "the addend [5] does not broadcast to [1, 6]",
    )
