"""Import with the host as a fallback: which nodes go there, what segments hold, what stays refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from xdsl.dialects.builtin import ModuleOp

from compiler.importer import import_model
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv.interpreter import argument_names, result_names
from dialects.host_segment import SegmentOp
from dialects.locations import node_names
from passes.lower_onnx import LOWERINGS
from passes.verification import verify_module
from tests.compiler.importer.test_control_flow import NUMBERS, parsed
from tests.onnx_models import main_function, onnx_model, onnx_node, onnx_ops

DATA_DEPENDENT = """
agraph (float[2, 3] x) => (float[2, 3] y) {
    [first] a = Relu (x)
    [sum] s = ReduceSum <keepdims = 0> (a)
    [test] c = Less (one, s)
    [choice] b = If (c) <
        then_branch = yes () => (float[2, 3] r) { r = Add (a, one) },
        else_branch = no () => (float[2, 3] r) { r = Mul (a, two) }
    >
    [last] y = Neg (b)
}
"""


def imported(model: onnx.ModelProto) -> ModuleOp:
    module = import_model(model, allows_host=True)
    verify_module(module, stage="import")
    return module


def segments(module: ModuleOp) -> list[SegmentOp]:
    return [op for op in module.walk() if isinstance(op, SegmentOp)]


def model_in(segment: SegmentOp) -> onnx.ModelProto:
    model = onnx.ModelProto.FromString(segment.content.tobytes())
    onnx.checker.check_model(model)
    return model


def refusal(model: onnx.ModelProto) -> Diagnostic:
    with pytest.raises(CatenaError) as caught:
        import_model(model, allows_host=True)
    return caught.value.diagnostics[0]


def test_a_segment_in_the_middle() -> None:
    module = imported(parsed(DATA_DEPENDENT, constants=NUMBERS))
    (segment,) = segments(module)
    assert node_names(segment.location) == ("choice",)
    assert (segment.read_names, segment.made_names) == (("c", "a"), ("b",))
    assert [op.op_type for op in onnx_ops(module)] == ["Relu", "ReduceSum", "Less", "Neg"]
    function = main_function(module)
    assert argument_names(function) == ["x", "b"]
    assert result_names(function) == ["y", "c", "a"]


def test_the_model_of_a_segment_stands_alone() -> None:
    (segment,) = segments(imported(parsed(DATA_DEPENDENT, constants=NUMBERS)))
    model = model_in(segment)
    assert [value.name for value in model.graph.input] == ["c", "a"]
    assert [value.name for value in model.graph.output] == ["b"]
    assert {tensor.name for tensor in model.graph.initializer} == {"one", "two"}


def test_equal_models_give_equal_segments() -> None:
    first, second = (segments(imported(parsed(DATA_DEPENDENT, constants=NUMBERS)))[0] for _ in range(2))
    assert first.model == second.model


def test_a_model_that_needs_no_host_is_imported_as_without_it() -> None:
    model = onnx_model([onnx_node("Relu", "x", "y")], {"x": [2]}, "y")
    assert str(imported(model)) == str(import_model(model))


def test_shapes_that_depend_on_values_end_at_the_user() -> None:
    nodes = [onnx_node("Relu", "x", "r"), onnx_node("NonZero", "r", "z", "where"), onnx_node("Neg", "r", "n")]
    module = imported(onnx_model(nodes, {"x": [2, 3]}, "z n"))
    (segment,) = segments(module)
    assert (segment.read_names, segment.made_names) == (("r",), ())
    assert [value.name for value in model_in(segment).graph.output] == ["z"]
    assert result_names(main_function(module)) == ["n", "r"]


def test_users_of_such_shapes_go_to_the_host_as_well() -> None:
    nodes = [
        onnx_node("NonZero", "x", "z", "where"),
        onnx_node("Shape", "z", "s", "shape"),
        onnx_node("Cast", "s", "y", "cast", to=TensorProto.FLOAT),
        onnx_node("Neg", "y", "n", "neg"),
    ]
    module = imported(onnx_model(nodes, {"x": [2, 3]}, "n"))
    (segment,) = segments(module)
    # The shape of a shape is static: from there on the device goes on.
    assert node_names(segment.location) == ("where", "shape")
    assert segment.made_names == ("s",)
    assert [op.op_type for op in onnx_ops(module)] == ["Cast", "Neg"]


BRANCHES_THAT_DIFFER = DATA_DEPENDENT.replace(
    "(float[2, 3] r) { r = Mul (a, two) }", "(float[4, 3] r) { r = Concat <axis = 0> (a, a) }"
)
LOOP = """
agraph (float[3, 4] x) => (float[3, 4] y) {
    [first] r = Relu (x)
    [loop] l = Loop (ten, yes, r) <
        body = step (int64 i, bool going, float[3, 4] before) => (bool goes, float[3, 4] after) {
            after = Add (before, x)
            t = ReduceSum <keepdims = 0> (after)
            goes = Less (t, limit)
        }
    >
    [scale] s = Mul (l, r)
    [last] y = Neg (s)
}
"""
"""The course of the loop depends on data, and ONNX does not say that its tensor keeps its shape."""
LOOP_CONSTANTS = {"ten": np.int64(10), "yes": np.array(True), "limit": np.float32(50)}


def loop_model(**declared: list[int | str] | None) -> onnx.ModelProto:
    """The loop, the shapes of some tensors declared otherwise; None leaves out the rank."""
    model = parsed(LOOP, constants=LOOP_CONSTANTS)
    for name, shape in declared.items():
        if name == "y":
            del model.graph.output[:]
        values = model.graph.output if name == "y" else model.graph.value_info
        values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return model


def test_an_unknown_rank_is_no_scalar() -> None:
    """What uses it goes to the host as well, as for any shape that is not known."""
    for model in (loop_model(), loop_model(y=None), loop_model(l=["m", "n"])):
        module = imported(model)
        (segment,) = segments(module)
        assert node_names(segment.location) == ("loop", "scale", "last")
        assert (segment.read_names, segment.made_names) == (("r",), ())
        assert [op.op_type for op in onnx_ops(module)] == ["Relu"]


def test_a_declared_shape_lets_the_device_go_on() -> None:
    module = imported(loop_model(l=[3, 4]))
    (segment,) = segments(module)
    assert node_names(segment.location) == ("loop",)
    assert segment.made_names == ("l",)
    assert [op.op_type for op in onnx_ops(module)] == ["Relu", "Mul", "Neg"]
    assert main_function(module).args[1].type == main_function(module).args[0].type
    (output,) = model_in(segment).graph.output
    assert [extent.dim_value for extent in output.type.tensor_type.shape.dim] == [3, 4]


def test_a_declared_shape_fills_in_what_is_open() -> None:
    """The branches agree in one extent; 0 is how some exporters write an unknown one."""
    for declared, names in (([2, 0], ("choice",)), (["n", 3], ("choice", "last"))):
        model = parsed(BRANCHES_THAT_DIFFER, constants=NUMBERS)
        del model.graph.output[:]
        model.graph.output.append(helper.make_empty_tensor_value_info("y"))
        model.graph.value_info.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, declared))
        (segment,) = segments(imported(model))
        assert node_names(segment.location) == names


def test_a_declared_shape_that_contradicts() -> None:
    for shape in ([2, 4], [2]):
        model = parsed(BRANCHES_THAT_DIFFER, constants=NUMBERS)
        model.graph.value_info.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, shape))
        problem = refusal(model)
        assert (problem.code, problem.node, problem.found) == ("CAT-M003", "choice", "[?, 3]")


def test_a_shape_that_is_known_needs_no_declaration() -> None:
    model = parsed(DATA_DEPENDENT, constants=NUMBERS)
    model.graph.value_info.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, ["n"]))
    assert segments(imported(model))[0].made_names == ("b",)


def test_inputs_of_the_user_go_to_the_host_directly() -> None:
    module = imported(onnx_model([onnx_node("NonZero", "x", "z")], {"x": [2, 3]}, "z"))
    (segment,) = segments(module)
    assert segment.read_names == ()
    assert [value.name for value in model_in(segment).graph.input] == ["x"]


def test_nodes_of_one_phase_are_one_segment_and_phases_alternate() -> None:
    nodes = [
        onnx_node("Gelu", "x", "a", "g1", domain="com.microsoft"),
        onnx_node("Gelu", "a", "b", "g2", domain="com.microsoft"),
        onnx_node("Gelu", "x", "c", "g3", domain="com.microsoft"),
        onnx_node("Add", "b c", "d", "add"),
        onnx_node("Gelu", "d", "e", "g4", domain="com.microsoft"),
        onnx_node("Add", "e a", "y", "end"),
    ]
    module = imported(onnx_model(nodes, {"x": [2, 3]}, "y", domains=["com.microsoft"]))
    first, second = segments(module)
    assert [node_names(each.location) for each in (first, second)] == [("g1", "g2", "g3"), ("g4",)]
    assert first.made_names == ("a", "b", "c")
    assert (second.read_names, second.made_names) == (("d",), ("e",))


def test_uses_that_no_chain_has_send_their_maker_to_the_host() -> None:
    """Only a use of the second result is in the way, which shows after the node itself."""
    nodes = [
        onnx_node("BatchNormalization", "x s s s s", "y m v", "norm", training_mode=1),
        onnx_node("Relu", "y", "z"),
    ]
    model = onnx_model(nodes, {"x": [2, 3]}, "z m", {"s": np.ones(3, np.float32)}, opset=15)
    assert node_names(segments(imported(model))[0].location) == ("norm",)


def test_a_use_that_shows_later_sends_the_maker_to_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if MaxPool made no indices: nothing is wrong with the node before another one reads them."""
    without_indices = replace(LOWERINGS["MaxPool"], results=1)
    monkeypatch.setattr("passes.lower_onnx.checking.LOWERINGS", {**LOWERINGS, "MaxPool": without_indices})
    nodes = [
        onnx_node("MaxPool", "x", "y i", "pool", kernel_shape=[2]),
        onnx_node("Relu", "y", "z", "first"),
        onnx_node("Cast", "i", "f", "then", to=TensorProto.FLOAT),
    ]
    module = imported(onnx_model(nodes, {"x": [1, 2, 6]}, "z f"))
    assert [node_names(each.location) for each in segments(module)] == [("pool",)]
    assert [op.op_type for op in onnx_ops(module)] == ["Relu", "Cast"]


def test_text_and_sequences() -> None:
    nodes = [onnx_node("StringConcat", "t t", "u", "join"), onnx_node("Relu", "x", "y")]
    model = onnx_model(nodes, {"x": [2]}, "u y", opset=20)
    model.graph.input.append(helper.make_tensor_value_info("t", TensorProto.STRING, [3]))
    (segment,) = segments(imported(model))
    assert [value.name for value in model_in(segment).graph.input] == ["t"]
    nodes = [
        onnx_node("SequenceConstruct", "x r", "s", "pack"),
        onnx_node("Relu", "x", "r"),
        onnx_node("ConcatFromSequence", "s", "y", "join", axis=0),
    ]
    (segment,) = segments(imported(onnx_model(nodes, {"x": [2]}, "y")))
    assert node_names(segment.location) == ("pack", "join")


def test_operators_that_nobody_knows_stay_refused() -> None:
    problem = refusal(onnx_model([onnx_node("Foo", "x", "y", "foo", domain="bar")], {"x": [2]}, "y", domains=["bar"]))
    assert (problem.code, problem.node) == ("CAT-U001", "foo")
    assert "the host cannot execute it either" in problem.message


def test_mistakes_in_the_model_stay_mistakes() -> None:
    problem = refusal(onnx_model([onnx_node("MatMul", "x x", "y", "product")], {"x": [2, 3]}, "y"))
    assert (problem.code, problem.node) == ("CAT-M003", "product")


def test_without_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    problem = refusal(onnx_model([onnx_node("NonZero", "x", "y")], {"x": [2]}, "y"))
    assert problem.code == "CAT-C004"
    assert "a host segment needs ONNX Runtime" in problem.message
