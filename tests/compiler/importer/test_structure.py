"""The structure of the graph: what is refused, what is put in order, what things are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compiler.importer import import_model
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.locations import node_names
from passes.verification import verify_module
from tests.filechecking import match_checks, parse_module, print_module
from tests.onnx_models import main_function, onnx_model, onnx_node, onnx_ops


def refusal(model: onnx.ModelProto | Path) -> tuple[Diagnostic, ...]:
    with pytest.raises(CatenaError) as caught:
        import_model(model)
    return caught.value.diagnostics


def test_a_small_model_as_text() -> None:
    nodes = [
        onnx_node("Conv", "x w b", "y", "conv 1", strides=[2, 2]),
        onnx_node("Relu", "y", "out", "relu"),
    ]
    weights = {"w": np.ones((4, 3, 3, 3), np.float32), "b": np.zeros(4, np.float32)}
    module = import_model(onnx_model(nodes, {"x": [1, 3, 9, 9]}, "out", weights))
    verify_module(module, stage="import")
    match_checks(
        print_module(module),
        """
        // CHECK: builtin.module {
        // CHECK-NEXT: func.func @main(%x: tensor<1x3x9x9xf32> {onnx.name = "x"} {{.*}}) -> ({{.*}} {onnx.name = "out"})
        // CHECK-NEXT: %w = weights.constant <"{{[0-9a-f]+}}"> : tensor<4x3x3x3xf32> loc("w")
        // CHECK-NEXT: %b = weights.constant <"{{[0-9a-f]+}}"> : tensor<4xf32> loc("b")
        // CHECK-NEXT: %y = onnx.Conv_v11(%x, %w, %b) {strides = [2, 2], outputs = ["y"]} : {{.*}} loc("conv 1")
        // CHECK-NEXT: %out = onnx.Relu_v13(%y) {outputs = ["out"]} : {{.*}} loc("relu")
        // CHECK-NEXT: func.return %out : tensor<1x4x4x4xf32>
        """,
    )


def test_nodes_are_sorted_and_otherwise_keep_their_order() -> None:
    nodes = [onnx_node("Add", "b c", "d"), onnx_node("Relu", "x", "c"), onnx_node("Neg", "x", "b")]
    module = import_model(onnx_model(nodes, {"x": [2]}, "d"))
    assert [op.op_type for op in onnx_ops(module)] == ["Relu", "Neg", "Add"]


def test_ready_nodes_run_in_file_order() -> None:
    nodes = [
        onnx_node("Sum", "a b c d", "y"),
        onnx_node("Relu", "x", "a"),
        onnx_node("Neg", "a", "b"),
        onnx_node("Abs", "a", "c"),
        onnx_node("Exp", "x", "d"),
    ]
    nodes = [nodes[0], nodes[3], nodes[2], nodes[1], nodes[4]]
    module = import_model(onnx_model(nodes, {"x": [2]}, "y"))
    assert [op.op_type for op in onnx_ops(module)] == ["Relu", "Abs", "Neg", "Exp", "Sum"]


def test_gaps_at_the_end_of_the_inputs_are_dropped() -> None:
    module = import_model(onnx_model([onnx_node("Clip", "x - -", "y")], {"x": [2]}, "y"))
    (clip,) = onnx_ops(module)
    assert len(clip.operands) == 1


def test_nodes_without_effect_on_an_output_vanish() -> None:
    nodes = [
        onnx_node("Relu", "x", "y"),
        onnx_node("Neg", "x", "unused"),
        onnx_node("Foo", "x", "unused.2", domain="custom"),
    ]
    module = import_model(onnx_model(nodes, {"x": [2]}, "y", {"w": np.zeros(3)}, domains=["custom"]))
    assert [op.op_type for op in onnx_ops(module)] == ["Relu"]


def test_unused_opset_imports_are_fine() -> None:
    model = onnx_model([onnx_node("Relu", "x", "y")], {"x": [2]}, "y", domains=["ai.onnx.ml", "custom"])
    assert len(onnx_ops(import_model(model))) == 1


def test_the_long_name_of_the_default_domain() -> None:
    model = onnx_model([onnx_node("Relu", "x", "y", domain="ai.onnx")], {"x": [2]}, "y")
    model.opset_import[0].domain = "ai.onnx"
    assert len(onnx_ops(import_model(model))) == 1


def test_nodes_without_names_get_deterministic_ones() -> None:
    nodes = [onnx_node("Relu", "x", "a", name=""), onnx_node("Neg", "a", "b", name="")]
    module = import_model(onnx_model(nodes, {"x": [2]}, "b"))
    assert [node_names(op.location) for op in onnx_ops(module)] == [("Relu_0",), ("Neg_1",)]


def test_node_names_become_unique() -> None:
    nodes = [
        onnx_node("Relu", "x", "a", name="n"),
        onnx_node("Relu", "a", "b", name="n"),
        onnx_node("Relu", "b", "c", name="n#1"),
        onnx_node("Relu", "c", "d", name="Relu_4"),
        onnx_node("Relu", "d", "e", name=""),
    ]
    names = [node_names(op.location)[0] for op in onnx_ops(import_model(onnx_model(nodes, {"x": [2]}, "e")))]
    assert names == ["n", "n#2", "n#1", "Relu_4", "Relu_4#2"]


def test_names_that_are_not_ascii_survive_the_text() -> None:
    model = onnx_model([onnx_node("Relu", "größe", "输出", name='узел "1"')], {"größe": [2]}, "输出")
    module = import_model(model)
    match_checks(print_module(module), "// CHECK: onnx.Relu_v13")
    again = parse_module(print_module(module))
    assert print_module(again) == print_module(module)
    (op,) = onnx_ops(again)
    assert (op.output_names, node_names(op.location)) == (("输出",), ('узел "1"',))


def test_a_model_of_the_input_itself() -> None:
    model = onnx_model([onnx_node("Identity", "x", "y")], {"x": [2]}, "y")
    function = main_function(import_model(model))
    function_return = function.get_return_op()
    assert function_return is not None
    assert tuple(function_return.arguments) == tuple(function.args)


def test_optional_inputs_and_outputs_that_are_left_out() -> None:
    nodes = [onnx_node("Clip", "x - high", "y"), onnx_node("LSTM", "y w r - - h", "- state", hidden_size=2)]
    constants = {
        "high": np.float32(6),
        "w": np.zeros((1, 8, 4), np.float32),
        "r": np.zeros((1, 8, 2), np.float32),
        "h": np.zeros((1, 3, 2), np.float32),
    }
    module = import_model(onnx_model(nodes, {"x": [5, 3, 4]}, "state", constants))
    verify_module(module, stage="import")
    clip, lstm = onnx_ops(module)
    assert clip.operand("min") is None
    assert clip.operand("max") is clip.operands[2]
    assert lstm.operand("B") is None
    assert lstm.operand("initial_h") is lstm.operands[5]
    assert lstm.result("Y") is None
    assert lstm.output_names == ("", "state")


def broken(change: Callable[[onnx.GraphProto], object]) -> onnx.ModelProto:
    nodes = [onnx_node("Relu", "x", "a", "first"), onnx_node("Add", "a w", "y", "second")]
    model = onnx_model(nodes, {"x": [2]}, "y", {"w": np.zeros(2, np.float32)})
    change(model.graph)
    return model


@pytest.mark.parametrize(
    ("change", "node", "message"),
    [
        (lambda graph: graph.initializer.pop(), "second", "input 'w' is not made by anything"),
        (lambda graph: graph.output.pop(), "", "the graph has no outputs"),
        (lambda graph: graph.output[0].MergeFrom(onnx.ValueInfoProto(name="z")), "", "output 'z' is not made"),
        (lambda graph: graph.initializer.append(graph.initializer[0]), "", "two initializers are named 'w'"),
        (lambda graph: graph.input.append(graph.input[0]), "", "two inputs are named 'x'"),
        (
            lambda graph: graph.node.append(onnx_node("Neg", "x", "a", "third")),
            "third",
            "tensor 'a' is made by this node and by 'first'",
        ),
        (
            lambda graph: graph.node.append(onnx_node("Neg", "x", "w", "third")),
            "third",
            "tensor 'w' is also an input or initializer",
        ),
        (
            lambda graph: graph.node[0].input.__setitem__(0, "y"),
            "first",
            "the graph has a cycle: 'first' -> 'second' -> 'first'",
        ),
        (lambda graph: graph.node[0].input.append("x"), "first", "input size 2 not in range"),
        (
            lambda graph: graph.node[0].attribute.append(helper.make_attribute("foo", 1)),
            "first",
            "Unrecognized attribute: foo",
        ),
    ],
)
def test_broken_graphs(change: Callable[[onnx.GraphProto], object], node: str, message: str) -> None:
    (problem,) = refusal(broken(change))
    assert problem.code == "CAT-M001"
    assert problem.node == node
    assert message in problem.message


def test_a_cycle_of_one_node() -> None:
    (problem,) = refusal(onnx_model([onnx_node("Add", "x y", "y", "loop")], {"x": [2]}, "y"))
    assert problem.message == "the graph has a cycle: 'loop' -> 'loop'"


def test_every_structural_problem_is_named_at_once() -> None:
    nodes = [onnx_node("Add", "x lost", "a", "first"), onnx_node("Add", "a gone", "a", "second")]
    problems = refusal(onnx_model(nodes, {"x": [2]}, "y"))
    assert len(problems) == 4


def test_unknown_operators_are_named_at_once() -> None:
    nodes = [
        onnx_node("Crop", "x", "a", "crop"),
        onnx_node("Convolution", "a", "b", "conv"),
        onnx_node("HardSwish", "b", "y", "swish"),
    ]
    problems = refusal(onnx_model(nodes, {"x": [2]}, "y"))
    assert [(problem.code, problem.node) for problem in problems] == [
        ("CAT-U001", "crop"),
        ("CAT-U001", "conv"),
        ("CAT-U001", "swish"),
    ]
    assert "removed from ONNX" in problems[0].hint
    assert problems[2].hint == "export the model with opset 14 or newer, which has HardSwish"


def test_a_misspelt_operator_gets_a_suggestion() -> None:
    (problem,) = refusal(onnx_model([onnx_node("MaxPol", "x", "y")], {"x": [2]}, "y"))
    assert problem.hint == "did you mean MaxPool?"


def test_custom_domains_are_refused() -> None:
    nodes = [onnx_node("Quant", "x", "a", "q", domain="brevitas"), onnx_node("Scaler", "a", "y", domain="ai.onnx.ml")]
    problems = refusal(onnx_model(nodes, {"x": [2]}, "y", domains=["brevitas", "ai.onnx.ml"]))
    assert [problem.code for problem in problems] == ["CAT-U003", "CAT-U003"]
    assert "'brevitas'" in problems[0].message


def test_a_model_of_custom_operators_only() -> None:
    model = onnx_model([onnx_node("Quant", "x", "y", domain="brevitas")], {"x": [2]}, "y", domains=["brevitas"])
    del model.opset_import[0]
    (problem,) = refusal(model)
    assert problem.code == "CAT-U003"


def test_local_functions_are_inlined() -> None:
    twice = helper.make_function(
        "local",
        "Twice",
        ["a"],
        ["b"],
        [helper.make_node("Relu", ["a"], ["m"]), helper.make_node("Neg", ["m"], ["b"])],
        [helper.make_opsetid("", 13)],
    )
    nodes = [onnx_node("Twice", "x", "h", domain="local"), onnx_node("Twice", "h", "y", domain="local")]
    module = import_model(onnx_model(nodes, {"x": [2]}, "y", functions=[twice], domains=["local"]))
    assert [op.op_type for op in onnx_ops(module)] == ["Relu", "Neg"] * 2
    names = [node_names(op.location) for op in onnx_ops(module)]
    assert len(set(names)) == 4
    assert onnx_ops(module)[-1].output_names == ("y",)


def test_sequences_are_refused() -> None:
    nodes = [onnx_node("SequenceConstruct", "x x", "s", "pack"), onnx_node("SequenceAt", "s i", "y")]
    (problem,) = refusal(onnx_model(nodes, {"x": [2]}, "y", {"i": np.int64(0)}))
    assert (problem.code, problem.node) == ("CAT-U002", "pack")


def test_text_is_refused() -> None:
    model = onnx_model([onnx_node("Identity", "x", "y")], {"x": [2]}, "y", element_type=TensorProto.STRING)
    (problem,) = refusal(model)
    assert (problem.code, problem.message) == ("CAT-U002", "the element type of input 'x' is not supported")


def test_shapes_that_depend_on_values_are_refused() -> None:
    (problem,) = refusal(onnx_model([onnx_node("NonZero", "x", "y", "where")], {"x": [2]}, "y"))
    assert (problem.code, problem.node) == ("CAT-U002", "where")
    assert "not known before run time" in problem.message


def test_contradictions_are_named_with_the_node_and_its_types() -> None:
    nodes = [
        onnx_node("MatMul", "x w", "a", "product"),
        onnx_node("Conv", "i k", "b", "conv"),
        onnx_node("Relu", "a", "y", "after"),
    ]
    constants = {"w": np.zeros((5, 6), np.float32), "k": np.zeros((2, 3, 3, 3), np.float32)}
    problems = refusal(onnx_model(nodes, {"x": [1, 4], "i": [1, 4, 8, 8]}, "y b", constants))
    assert [(problem.code, problem.node) for problem in problems] == [("CAT-M003", "product"), ("CAT-M003", "conv")]
    assert problems[0].found == "float32[1, 4], float32[5, 6]"
    assert problems[1].message == "Conv: 4 input channels for weights of 3 channels in 1 groups"


@pytest.mark.parametrize(
    ("element_type", "shape", "accepted"),
    [
        (TensorProto.FLOAT, [2, 3], True),
        (TensorProto.FLOAT, ["n", 3], True),
        (TensorProto.FLOAT, None, True),
        (TensorProto.FLOAT, [2, 4], False),
        (TensorProto.FLOAT, [6], False),
        (TensorProto.INT64, [2, 3], False),
    ],
)
def test_the_declared_type_of_an_output_has_to_fit(element_type: int, shape: list[int], accepted: bool) -> None:
    model = onnx_model([onnx_node("Relu", "x", "y")], {"x": [2, 3]}, "y")
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", element_type, shape))
    if accepted:
        import_model(model)
        return
    (problem,) = refusal(model)
    assert problem.code == "CAT-M003"
    assert problem.found == "float32 [2, 3]"
