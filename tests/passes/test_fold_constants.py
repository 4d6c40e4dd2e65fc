"""`fold-constants` on textual IR, and `fold` on single nodes."""

from __future__ import annotations

import numpy as np
import pytest

from dialects.onnx import NoValueOp, OnnxOp
from dialects.weights import ConstantOp, WeightRef
from passes.fold_constants import FoldConstantsPass
from tests.filechecking import check_ir, new_ir_context, parse_module, run_passes
from tests.onnx_models import onnx_ops, returned_arrays


def weight(name: str, array: np.ndarray) -> str:
    """A line that defines `%name` as a constant."""
    kind = {"float32": "f32", "int64": "i64", "bool": "i1"}[array.dtype.name]
    extents = "".join(f"{extent}x" for extent in array.shape)
    return f'%{name} = weights.constant <"{WeightRef.of(array).data.digest}"> : tensor<{extents}{kind}> loc("{name}")'


def in_main(arguments: str, result: str, *lines: str) -> str:
    body = "\n  ".join(lines)
    return f"func.func @main({arguments}) -> {result} {{\n  {body}\n  func.return %y : {result}\n}}"


IMAGE = "tensor<1x4x6x6xf32>"


def test_a_shape_chain_becomes_one_weight() -> None:
    zero, minus = np.zeros(1, np.int64), np.array([-1], np.int64)
    text = in_main(
        f"%x: {IMAGE}",
        "tensor<1x144xf32>",
        weight("zero", zero),
        weight("minus", minus),
        f'%s = onnx.Shape(%x) {{outputs = ["s"]}} : ({IMAGE}) -> tensor<4xi64>',
        '%n = onnx.Gather(%s, %zero) {outputs = ["n"]} : (tensor<4xi64>, tensor<1xi64>) -> tensor<1xi64>',
        '%t = onnx.Concat(%n, %minus) {axis = 0, outputs = ["t"]} : (tensor<1xi64>, tensor<1xi64>) -> tensor<2xi64>',
        f'%y = onnx.Reshape(%x, %t) {{outputs = ["y"]}} : ({IMAGE}, tensor<2xi64>) -> tensor<1x144xf32> loc("r")',
    )
    module = check_ir(
        text,
        "fold-constants",
        f"""
        // CHECK: func.func @main
        // CHECK-NEXT: %t = weights.constant <"{WeightRef.of(np.array([1, -1])).data.digest}"> : tensor<2xi64> loc("t")
        // CHECK-NEXT: %y = onnx.Reshape(%x, %t) {{{{.*}}}} loc("r")
        // CHECK-NEXT: func.return %y
        """,
        weights=[zero, minus],
        locations=True,
    )
    (constant,) = (op for op in module.walk() if isinstance(op, ConstantOp))
    np.testing.assert_array_equal(constant.array, [1, -1])


def test_ops_that_pass_their_input_on_vanish() -> None:
    check_ir(
        in_main(
            f"%x: {IMAGE}",
            IMAGE,
            f'%a = onnx.Identity(%x) {{outputs = ["a"]}} : ({IMAGE}) -> {IMAGE}',
            f'%b = onnx.Dropout_v7(%a) {{ratio = 0.3, outputs = ["b"]}} : ({IMAGE}) -> {IMAGE}',
            f'%c = onnx.Cast(%b) {{to = 1, outputs = ["c"]}} : ({IMAGE}) -> {IMAGE}',
            f'%y = onnx.Relu(%c) {{outputs = ["y"]}} : ({IMAGE}) -> {IMAGE}',
        ),
        "fold-constants",
        """
        // CHECK: func.func @main
        // CHECK-NEXT: %y = onnx.Relu(%x)
        // CHECK-NEXT: func.return %y
        """,
    )


def test_a_chain_of_them_down_to_the_result() -> None:
    check_ir(
        in_main(f"%x: {IMAGE}", IMAGE, f'%y = onnx.Identity(%x) {{outputs = ["y"]}} : ({IMAGE}) -> {IMAGE}'),
        "fold-constants",
        "// CHECK: func.return %x",
    )


def test_the_mask_of_a_dropout_is_true_everywhere() -> None:
    text = in_main(
        "%x: tensor<3xf32>",
        "tensor<3xi1>",
        '%a, %y = onnx.Dropout(%x) {outputs = ["a", "y"]} : (tensor<3xf32>) -> (tensor<3xf32>, tensor<3xi1>)',
    )
    module = parse_module(text)
    run_passes(module, "fold-constants")
    np.testing.assert_array_equal(returned_arrays(module), [[True] * 3])


def test_dropout_in_training_stays() -> None:
    true, half = np.array(True), np.array(0.5, np.float32)
    text = in_main(
        "%x: tensor<3xf32>",
        "tensor<3xf32>",
        weight("half", half),
        weight("true", true),
        '%y = onnx.Dropout(%x, %half, %true) {outputs = ["y"]} '
        ": (tensor<3xf32>, tensor<f32>, tensor<i1>) -> tensor<3xf32>",
    )
    module = parse_module(text, [true, half])
    run_passes(module, "fold-constants")
    assert [op.op_type for op in onnx_ops(module)] == ["Dropout"]


@pytest.mark.parametrize(
    "op",
    [
        'onnx.DequantizeLinear(%w, %w) {outputs = ["y"]} : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>',
        'onnx.RandomUniformLike(%w) {outputs = ["y"]} : (tensor<2xf32>) -> tensor<2xf32>',
        'onnx.Bernoulli(%w) {outputs = ["y"]} : (tensor<2xf32>) -> tensor<2xf32>',
        'onnx.LRN(%w) {size = 1, outputs = ["y"]} : (tensor<2xf32>) -> tensor<2xf32>',
        'onnx.Add_v6(%w, %w) {axis = 0, broadcast = 1, outputs = ["y"]} '
        ": (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>",
    ],
)
def test_what_has_to_stay(op: str) -> None:
    array = np.zeros(2, np.float32)
    text = in_main("", "tensor<2xf32>", weight("w", array), f"%y = {op}")
    module = parse_module(text, [array])
    before = str(module)
    FoldConstantsPass().apply(new_ir_context(), module)
    assert str(module) == before


def test_batch_normalization_is_not_folded_into_anything() -> None:
    array = np.ones(4, np.float32)
    text = in_main(
        f"%x: {IMAGE}",
        IMAGE,
        weight("w", array),
        f'%y = onnx.BatchNormalization(%x, %w, %w, %w, %w) {{outputs = ["y"]}} '
        f": ({IMAGE}, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> {IMAGE}",
    )
    module = parse_module(text, [array])
    run_passes(module, "fold-constants")
    assert [op.op_type for op in onnx_ops(module)] == ["BatchNormalization"]


def test_weights_that_are_not_at_hand_are_left_alone() -> None:
    text = in_main(
        "",
        "tensor<2xf32>",
        weight("w", np.zeros(2, np.float32)),
        '%y = onnx.Neg(%w) {outputs = ["y"]} : (tensor<2xf32>) -> tensor<2xf32>',
    )
    module = parse_module(text)
    run_passes(module, "fold-constants")
    assert len(onnx_ops(module)) == 1


def test_dead_weights_and_ops_are_removed() -> None:
    array = np.zeros(2, np.float32)
    text = in_main(
        "%x: tensor<2xf32>",
        "tensor<2xf32>",
        weight("w", array),
        "%n = onnx.NoValue : none",
        '%d = onnx.Add(%x, %w) {outputs = ["d"]} : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>',
        '%e = onnx.Relu(%d) {outputs = ["e"]} : (tensor<2xf32>) -> tensor<2xf32>',
        '%y = onnx.Neg(%x) {outputs = ["y"]} : (tensor<2xf32>) -> tensor<2xf32>',
    )
    module = parse_module(text, [array])
    run_passes(module, "fold-constants")
    left = [op for op in module.walk() if isinstance(op, OnnxOp | ConstantOp | NoValueOp)]
    assert [op.name for op in left] == ["onnx.Neg"]
