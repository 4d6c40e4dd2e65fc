"""Operators that ONNX defines by others become those, unless there is a lowering of our own."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, defs, helper
from onnx.reference import ReferenceEvaluator

from compiler.checking import check_model
from compiler.compilation import CompileOptions
from compiler.importer import import_model
from compiler.importer.functions import function_body, has_body
from dialects.diagnostics import CatenaError
from dialects.locations import node_names
from dialects.onnx.values import ValueType
from passes.lower_onnx import LOWERINGS
from passes.verification import verify_module
from tests.onnx_models import onnx_model, onnx_node, onnx_ops, returned_arrays
from tests.passes.lower_onnx.models import check_values, normal

NEWEST = defs.onnx_opset_version()
F32 = np.dtype(np.float32)


def bodies_without_lowering() -> list[tuple[str, int]]:
    """Operators of the default domain that only their bodies can bring in, in every version that has one."""
    return sorted(
        (schema.name, schema.since_version)
        for schema in defs.get_all_schemas_with_history()
        if not schema.domain
        and schema.name not in {*LOWERINGS, "SequenceMap"}
        and has_body(schema.name, "", schema.since_version)
    )


@pytest.fixture
def no_lowering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some operators as if they had no lowering of their own."""
    missing = ("Attention", "DynamicQuantizeLinear", "RotaryEmbedding")
    others = {name: each for name, each in LOWERINGS.items() if name not in missing}
    monkeypatch.setattr("compiler.importer.building.LOWERINGS", others)


@pytest.mark.usefixtures("no_lowering")
def test_an_operator_becomes_its_body() -> None:
    model = onnx_model([onnx_node("DynamicQuantizeLinear", "x", "y s z", "q")], {"x": [2, 3]}, "y s z")
    ops = onnx_ops(import_model(model))
    assert [node_names(op.location)[0] for op in ops][:2] == ["q/ReduceMin_2", "q/Min_3"]
    assert [op.op_type for op in ops][-1] == "QuantizeLinear"
    assert ops[-1].output_names == ("y",)
    assert "s" in [name for op in ops for name in op.output_names]


def test_a_lowering_of_our_own_takes_precedence() -> None:
    ops = onnx_ops(import_model(onnx_model([onnx_node("Gelu", "x", "y")], {"x": [2, 3]}, "y", opset=20)))
    assert has_body("Gelu", "", 20)
    assert [op.op_type for op in ops] == ["Gelu"]


@pytest.mark.usefixtures("no_lowering")
def test_bodies_are_of_their_own_opset() -> None:
    """A body of opset 11 in a model of opset 13, where ReduceMin and Clip are of newer versions."""
    ops = onnx_ops(import_model(onnx_model([onnx_node("DynamicQuantizeLinear", "x", "y s z")], {"x": [2, 3]}, "y s z")))
    assert {op.since_version for op in ops if op.op_type in ("ReduceMin", "ReduceMax", "Clip")} == {11}
    verify_module(import_model(onnx_model([onnx_node("DynamicQuantizeLinear", "x", "y s z")], {"x": [2, 3]}, "y")))


def test_attributes_that_are_left_out_have_the_defaults_of_the_schema() -> None:
    given = onnx_model([onnx_node("HannWindow", "n", "y", periodic=1)], {}, "y", {"n": np.int64(8)}, opset=17)
    default = onnx_model([onnx_node("HannWindow", "n", "y")], {}, "y", {"n": np.int64(8)}, opset=17)
    other = onnx_model([onnx_node("HannWindow", "n", "y", periodic=0)], {}, "y", {"n": np.int64(8)}, opset=17)
    (wanted,), (found,), (symmetric,) = (returned_arrays(import_model(model)) for model in (given, default, other))
    np.testing.assert_array_equal(found, wanted)
    assert not np.array_equal(found, symmetric)


@pytest.mark.parametrize("operator", ["HannWindow", "HammingWindow", "BlackmanWindow"])
@pytest.mark.parametrize("periodic", [0, 1])
def test_windows_are_constants(operator: str, periodic: int) -> None:
    node = onnx_node(operator, "n", "y", periodic=periodic)
    model = onnx_model([node], {}, "y", {"n": np.int64(10)}, opset=17)
    (found,) = returned_arrays(import_model(model))
    (wanted,) = ReferenceEvaluator(model).run(None, {})
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def attention(outputs: str = "y", **attributes: object) -> onnx.ModelProto:
    node = onnx_node("Attention", "q k v", outputs, "attention", **attributes)
    shapes = {"q": [1, 2, 4, 8], "k": [1, 2, 6, 8], "v": [1, 2, 6, 8]}
    return onnx_model([node], shapes, outputs.replace("- ", ""), opset=23)


@pytest.mark.usefixtures("no_lowering")
def test_outputs_that_the_node_leaves_out() -> None:
    feeds = {"q": normal(1, 2, 4, 8), "k": normal(1, 2, 6, 8, seed=1), "v": normal(1, 2, 6, 8, seed=2)}
    for outputs in ("y", "y - - scores"):
        model = attention(outputs)
        assert len(onnx_ops(import_model(model))) > 5
        wanted = ReferenceEvaluator(model).run(None, feeds)
        check_values(model, feeds, dict(zip([value.name for value in model.graph.output], wanted, strict=True)))


@pytest.mark.usefixtures("no_lowering")
def test_inputs_that_the_node_leaves_out() -> None:
    x, cos, sin = normal(1, 2, 3, 4), normal(1, 3, 2), normal(1, 3, 2, seed=1)
    node = onnx_node("RotaryEmbedding", "x cos sin", "y", rotary_embedding_dim=2, interleaved=1)
    feeds = {"x": x, "cos": cos[..., :1], "sin": sin[..., :1]}
    model = onnx_model([node], {name: array.shape for name, array in feeds.items()}, "y", opset=23)
    check_values(model, feeds, dict(zip(["y"], ReferenceEvaluator(model).run(None, feeds), strict=True)))


def flex_attention(modifier: str = "") -> onnx.ModelProto:
    attributes = {}
    if modifier:
        attributes["score_mod"] = onnx.parser.parse_graph(modifier)
    node = helper.make_node("FlexAttention", ["q", "k", "v"], ["y"], "flex", domain="ai.onnx.preview", **attributes)
    shapes = {"q": [1, 4, 3, 8], "k": [1, 2, 5, 8], "v": [1, 2, 5, 6]}
    model = onnx_model([node], shapes, "y", {"two": np.float32(2)}, opset=26)
    model.opset_import.add(domain="ai.onnx.preview", version=1)
    return model


def test_functions_of_the_preview_domain() -> None:
    feeds = {"q": normal(1, 4, 3, 8), "k": normal(1, 2, 5, 8, seed=1), "v": normal(1, 2, 5, 6, seed=2)}
    keys, values = (np.repeat(feeds[name], 2, axis=1) for name in "kv")
    for modifier, factor in (("", 1), ("m (float[1, 4, 3, 5] s) => (float[1, 4, 3, 5] t) { t = Mul (s, two) }", 2)):
        scores = factor * feeds["q"] @ keys.swapaxes(-1, -2) / np.sqrt(np.float32(8))
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        wanted = weights / weights.sum(-1, keepdims=True) @ values
        check_values(flex_attention(modifier), feeds, {"y": wanted})


def test_a_preview_domain_that_is_not_imported() -> None:
    model = flex_attention()
    del model.opset_import[1:]
    with pytest.raises(CatenaError) as caught:
        import_model(model)
    assert caught.value.diagnostics[0].code == "CAT-U003"


def test_data_that_a_body_would_loop_over_are_refused_as_such() -> None:
    model = onnx_model([onnx_node("Range", "a b c", "y")], {name: [] for name in "abc"}, "y")
    with pytest.raises(CatenaError) as caught:
        import_model(model)
    (problem,) = caught.value.diagnostics
    assert problem.code == "CAT-U002"
    assert "not known before run time" in problem.message


@pytest.mark.usefixtures("no_lowering")
def test_problems_in_a_body_name_the_node_and_the_place() -> None:
    node = onnx_node("DynamicQuantizeLinear", "x", "y s z", "q")
    model = onnx_model([node], {"x": [2, 3]}, "y s z", element_type=TensorProto.INT32)
    with pytest.raises(CatenaError) as caught:
        import_model(model)
    assert all(problem.node.startswith("q") for problem in caught.value.diagnostics)


def test_a_check_knows_operators_that_have_bodies(tmp_path: Path) -> None:
    nodes = [onnx_node("RotaryEmbedding", "r c c", "a"), onnx_node("NonZero", "x", "y")]
    path = tmp_path / "model.onnx"
    onnx.save(onnx_model(nodes, {"x": [2, 2], "r": [1, 2, 3, 4], "c": [1, 3, 2]}, "a y", opset=23), path)
    assert [problem.node for problem in check_model(str(path), CompileOptions()).problems] == ["make y"]


@pytest.mark.parametrize(("operator", "version"), bodies_without_lowering())
def test_every_body_can_be_read(operator: str, version: int) -> None:
    """The bodies of all operators that have no lowering, with the types of ONNX's own tests of them."""
    schema = defs.get_schema(operator, version, "")
    case = next((each for each in node_cases() if each.graph.node[0].op_type == operator), None)
    if case is None:
        pytest.skip(f"ONNX has no test of {operator}")
    (node,) = case.graph.node
    declared = {value.name: value.type.tensor_type for value in case.graph.input}
    types = [
        ValueType(
            np.dtype(helper.tensor_dtype_to_np_dtype(declared[name].elem_type)),
            tuple(dimension.dim_value for dimension in declared[name].shape.dim),
        )
        if name in declared
        else None
        for name in node.input
    ]
    found = function_body(node, version, types)
    assert found is not None
    graph, opsets = found
    assert len(graph.output) == sum(1 for name in node.output if name)
    for inner in graph.node:
        assert not [attribute.name for attribute in inner.attribute if attribute.ref_attr_name]
        domain = inner.domain
        assert defs.get_schema(inner.op_type, opsets.get(domain, schema.since_version), domain)


def node_cases() -> list[onnx.ModelProto]:
    """The models of ONNX's own operator tests, of one node each."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases()
    return [case.model for case in cases if case.model is not None and len(case.model.graph.node) == 1]
