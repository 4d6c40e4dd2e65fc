"""The pass lower-onnx on IR text, and what it says about models it cannot lower."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
from onnx import defs, helper
from xdsl.dialects.builtin import ModuleOp

import passes.lower_onnx
from compiler.importer import import_model
from dialects.diagnostics import CatenaError
from dialects.locations import node_names
from dialects.weights import Blob
from passes.lower_onnx import FAMILIES, LOWERINGS, Lowering, LowerOnnxPass, unsupported
from passes.lower_onnx.node import Node
from tests.filechecking import check_ir, new_ir_context, parse_module
from tests.passes.lower_onnx.models import links_in, lower, model_of, normal, one_node

WEIGHT = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
BIAS = np.array([1, 2], np.float32)

CONVOLUTION = f"""
func.func @main(%x: tensor<1x3x4x4xf32> {{onnx.name = "x"}}) -> (tensor<1x2x2x2xf32> {{onnx.name = "y"}}) {{
  %w = weights.constant <"{Blob(WEIGHT).digest}"> : tensor<2x3x2x2xf32> loc("w")
  %b = weights.constant <"{Blob(BIAS).digest}"> : tensor<2xf32> loc("b")
  %c = onnx.Conv(%x, %w, %b) {{strides = [2, 2], outputs = ["c"]}}
    : (tensor<1x3x4x4xf32>, tensor<2x3x2x2xf32>, tensor<2xf32>) -> tensor<1x2x2x2xf32> loc("conv1")
  %y = onnx.Relu(%c) {{outputs = ["y"]}} : (tensor<1x2x2x2xf32>) -> tensor<1x2x2x2xf32> loc("relu1")
  func.return %y : tensor<1x2x2x2xf32>
}}
"""


def test_a_convolution_with_bias_and_its_activation() -> None:
    check_ir(
        CONVOLUTION,
        "lower-onnx",
        """
        CHECK:      func.func @main
        CHECK:      %w = weights.constant
        CHECK:      %b = weights.constant
        CHECK-NEXT: [[K:%.*]] = gconv.view %w <[0, 4, 2, 1]> : tensor<2x3x2x2xf32> -> tensor<1x6x2x2xf32> loc("conv1")
        CHECK-NEXT: [[B:%.*]] = gconv.view %b <[0, 1, 0, 0]> : tensor<2xf32> -> tensor<1x2x1x1xf32> loc("conv1")
        CHECK-NEXT: [[C:%.*]] = gconv.link %x : tensor<1x3x4x4xf32> by [[K]] : tensor<1x6x2x2xf32>
        CHECK-SAME: with [[B]] : tensor<1x2x1x1xf32>
        CHECK-SAME: <N, C op 2 ks 3, H opc 2 ks 2 stride 2, W opc 2 ks 2 stride 2> "mul" add
        CHECK-SAME: post <add[0]> {tensor = "c"} -> tensor<1x2x2x2xf32> loc("conv1")
        CHECK-NEXT: [[Y:%.*]] = gconv.link [[C]] : tensor<1x2x2x2xf32> <N, C opc 2, H opc 2, W opc 2> "pass" none
        CHECK-SAME: post <relu> {tensor = "y"} -> tensor<1x2x2x2xf32> loc("relu1")
        CHECK-NEXT: func.return [[Y]]
        """,
        [WEIGHT, BIAS],
        locations=True,
    )


def test_views_are_composed_into_one() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<1x4x4x3xf32> {onnx.name = "x"}) -> (tensor<1x3x2x4xf32> {onnx.name = "y"}) {
          %s = weights.constant <"0000000000000000000000000000000000000000000000000000000000000000">
            : tensor<0xi64> loc("s")
          %t = onnx.Transpose(%x) {perm = [0, 3, 1, 2], outputs = ["t"]}
            : (tensor<1x4x4x3xf32>) -> tensor<1x3x4x4xf32> loc("nchw")
          %a, %b = onnx.Split_v2(%t) {axis = 2, outputs = ["a", "b"]}
            : (tensor<1x3x4x4xf32>) -> (tensor<1x3x2x4xf32>, tensor<1x3x2x4xf32>) loc("halves")
          %y = onnx.Relu(%b) {outputs = ["y"]} : (tensor<1x3x2x4xf32>) -> tensor<1x3x2x4xf32> loc("relu")
          func.return %y : tensor<1x3x2x4xf32>
        }
        """,
        "lower-onnx",
        """
        CHECK:      func.func @main
        CHECK-NOT:  weights.constant
        CHECK-NEXT: [[B:%.*]] = gconv.view %x <[0, 1, 12, 3], offset 24> : tensor<1x4x4x3xf32> -> tensor<1x3x2x4xf32>
        CHECK-NEXT: gconv.link [[B]] : tensor<1x3x2x4xf32> <N, C opc 3, H opc 2, W opc 4> "pass" none post <relu>
        CHECK-NEXT: func.return
        """,
    )


def test_a_residual_addition_and_a_concatenation() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<1x2x3xf32> {onnx.name = "x"}) -> (tensor<1x4x3xf32> {onnx.name = "y"}) {
          %r = onnx.Relu(%x) {outputs = ["r"]} : (tensor<1x2x3xf32>) -> tensor<1x2x3xf32> loc("relu")
          %a = onnx.Add(%x, %r) {outputs = ["a"]}
            : (tensor<1x2x3xf32>, tensor<1x2x3xf32>) -> tensor<1x2x3xf32> loc("add")
          %y = onnx.Concat(%r, %a) {axis = -2, outputs = ["y"]}
            : (tensor<1x2x3xf32>, tensor<1x2x3xf32>) -> tensor<1x4x3xf32> loc("concat")
          func.return %y : tensor<1x4x3xf32>
        }
        """,
        "lower-onnx",
        """
        CHECK:      [[R:%.*]] = gconv.link %x
        CHECK-NEXT: [[A:%.*]] = gconv.link %x : tensor<1x2x3xf32> by [[R]] : tensor<1x2x3xf32>
        CHECK-SAME: <N, C g 2, W g 3> "add" none
        CHECK-NEXT: [[Y:%.*]] = gconv.concat [[R]], [[A]] axis 1 {tensor = "y"}
        CHECK-NEXT: func.return [[Y]]
        """,
    )


def test_every_op_names_the_node_it_came_from() -> None:
    module = parse_module(CONVOLUTION, [WEIGHT, BIAS])
    LowerOnnxPass().apply(new_ir_context(), module)
    located = [node_names(op.location) for op in module.walk() if op.name.startswith("gconv.")]
    assert located == [("conv1",), ("conv1",), ("conv1",), ("relu1",)]


def imported(*nodes, inputs, constants=None, outputs=("y",), opset: int = 17) -> ModuleOp:
    return import_model(model_of(nodes, inputs, constants or {}, list(outputs), opset))


def test_all_unsupported_nodes_are_named_at_once_and_nothing_is_changed() -> None:
    module = imported(
        helper.make_node("RandomNormalLike", ["x"], ["d"], "random"),
        helper.make_node("BatchNormalization", ["p", "c", "c", "c", "c"], ["m", "i", "v"], "norm", training_mode=1),
        helper.make_node("Relu", ["d"], ["y"], "fine"),
        inputs={"x": normal(1, 3, 3), "p": normal(1, 1, 4), "c": normal(1)},
        outputs=["y", "m", "i", "v"],
    )
    before = str(module)
    with pytest.raises(CatenaError) as caught:
        LowerOnnxPass().apply(new_ir_context(), module)
    assert str(module) == before
    found = [(each.code, each.node) for each in caught.value.diagnostics]
    assert found == [("CAT-U001", "random"), *[("CAT-U002", "norm")] * 3]
    assert found == [(each.code, each.node) for each in unsupported(module)]
    assert "output 'i' is used" in str(caught.value.diagnostics[2])
    assert caught.value.exit_code == 3


def test_an_operator_that_is_not_supported_comes_with_a_hint() -> None:
    module = imported(helper.make_node("RandomNormalLike", ["x"], ["y"], "random"), inputs={"x": normal(3)})
    (problem,) = unsupported(module)
    assert (problem.code, problem.node) == ("CAT-U001", "random")
    assert problem.hint


def test_an_output_without_elements_is_a_constant() -> None:
    constant = lower(one_node("Shape", {"x": normal(2)}, opset=15, start=1, end=1))
    assert not links_in(constant)


def test_an_operator_version_from_the_future_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_model(one_node("Relu", {"x": normal(2)}))
    monkeypatch.setattr("passes.lower_onnx.checking.NEWEST_OPSET", 10)
    (problem,) = unsupported(module)
    assert (problem.code, problem.found) == ("CAT-U005", "version 14")


def test_a_result_type_that_does_not_follow_is_reported() -> None:
    module = parse_module(
        """
        func.func @main(%x: tensor<2x3xf32> {onnx.name = "x"}) -> (tensor<2x4xf32> {onnx.name = "y"}) {
          %y = onnx.Relu(%x) {outputs = ["y"]} : (tensor<2x3xf32>) -> tensor<2x4xf32> loc("relu")
          func.return %y : tensor<2x4xf32>
        }
        """
    )
    with pytest.raises(CatenaError, match="type of result 'y' does not follow from the operands"):
        LowerOnnxPass().apply(new_ir_context(), module)


def test_the_table_names_real_operators_once_and_documents_them() -> None:
    known = {schema.name for schema in defs.get_all_schemas() if schema.domain == ""} | {"Upsample"}
    listed = [op_type for family in FAMILIES.values() for op_type in family]
    assert set(listed) <= known
    assert len(listed) == len(set(listed)) == len(LOWERINGS)
    assert listed == [lowering.op_type for lowering in LOWERINGS.values()]
    for lowering in LOWERINGS.values():
        assert lowering.doc
        assert "\n" not in lowering.doc
        assert all(rule.doc for rule in lowering.constraints)


def test_the_table_names_every_operator_that_a_file_lowers() -> None:
    declared = {
        lowering.op_type
        for info in pkgutil.iter_modules(passes.lower_onnx.__path__)
        for value in vars(import_module(f"passes.lower_onnx.{info.name}")).values()
        if isinstance(value, tuple)
        for lowering in value
        if isinstance(lowering, Lowering)
    }
    assert declared == set(LOWERINGS)


def test_a_file_is_loaded_when_its_operator_is_asked_for() -> None:
    script = (
        "import sys; from passes.lower_onnx import LOWERINGS; file = 'passes.lower_onnx.recurrent';"
        "known = 'LSTM' in LOWERINGS and file not in sys.modules;"
        "print(known, LOWERINGS['LSTM'].op_type, file in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "LSTM", "True"]


def test_an_attribute_that_a_version_lacks_reads_as_its_default() -> None:
    module = import_model(one_node("MaxPool", {"x": normal(1, 1, 4)}, opset=7, kernel_shape=[2]))
    node = next(Node(op) for op in module.walk() if op.name.startswith("onnx.MaxPool"))
    assert node.integers("dilations", (1,)) == (1,)
    assert node.integer("ceil_mode", 5) == 5
    assert node.integers("kernel_shape") == (2,)
    assert node.input(3) is None
