"""Files that are no models, or damaged ones: always a `CatenaError`, never anything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, defs, helper

from compiler.importer import import_model
from dialects.diagnostics import CatenaError, Diagnostic
from passes.verification import verify_module
from tests.examples import examples
from tests.onnx_models import onnx_model, onnx_node

FUZZ = settings(derandomize=True, deadline=None, max_examples=examples(150))


def valid_bytes() -> bytes:
    nodes = [
        onnx_node("Conv", "x w b", "c", "conv", strides=[2, 2], auto_pad="VALID"),
        onnx_node("Shape", "c", "s"),
        onnx_node("Gather", "s i", "n"),
        onnx_node("Concat", "n m", "t", axis=0),
        onnx_node("Reshape", "c t", "r"),
        onnx_node("Gemm", "r k", "y", alpha=0.5),
    ]
    constants = {
        "w": np.ones((4, 3, 3, 3), np.float32),
        "b": np.zeros(4, np.float32),
        "i": np.array([0], np.int64),
        "m": np.array([-1], np.int64),
        "k": np.ones((64, 5), np.float32),
    }
    return onnx_model(nodes, {"x": ["N", 3, 9, 9]}, "y", constants).SerializeToString()


VALID = valid_bytes()


def try_bytes(path: Path, content: bytes) -> Diagnostic | None:
    """Import a file with this content: its first problem, None if it is a sound model."""
    path.write_bytes(content)
    try:
        module = import_model(path)
    except CatenaError as error:
        return error.diagnostics[0]
    verify_module(module, stage="import")
    str(module)
    return None


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile") / "model.onnx"


def test_the_base_of_the_mutations_is_sound(path: Path) -> None:
    assert try_bytes(path, VALID) is None


@FUZZ
@given(content=st.binary(max_size=300))
def test_random_bytes(path: Path, content: bytes) -> None:
    problem = try_bytes(path, content)
    assert problem is not None
    assert problem.code == "CAT-M001"
    assert problem.where == str(path)


@FUZZ
@given(length=st.integers(0, len(VALID) - 1))
def test_truncated_models(path: Path, length: int) -> None:
    problem = try_bytes(path, VALID[:length])
    assert problem is None or problem.code.startswith("CAT-M")


@FUZZ
@given(edits=st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.binary(max_size=4)), min_size=1, max_size=5))
def test_overwritten_bytes(path: Path, edits: list[tuple[int, bytes]]) -> None:
    content = bytearray(VALID)
    for start, patch in edits:
        content[start : start + len(patch)] = patch
    try_bytes(path, bytes(content))


@FUZZ
@given(start=st.integers(0, len(VALID) - 1), removed=st.integers(0, 20), added=st.binary(max_size=12))
def test_bytes_removed_and_added(path: Path, start: int, removed: int, added: bytes) -> None:
    try_bytes(path, VALID[:start] + added + VALID[start + removed :])


NAMES = ("x", "f", "i", "s", "b")
VALUES = {
    "INT": st.sampled_from([0, 1, 2, -1, 7, 2**40]),
    "INTS": st.lists(st.sampled_from([-1, 0, 1, 2, 3, 2**40]), min_size=1, max_size=4),
    "FLOAT": st.sampled_from([0.5, -2.0, float("inf"), float("nan")]),
    "FLOATS": st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=3),
    "STRING": st.sampled_from(["NOTSET", "SAME_UPPER", "VALID", "linear", "nearest", "nonsense"]),
    "STRINGS": st.lists(st.sampled_from(["Relu", "Tanh"]), min_size=1, max_size=3),
}


@st.composite
def arbitrary_models(draw: st.DrawFn) -> onnx.ModelProto:
    """Two nodes of any operators, wired and attributed at random within the counts of their schemas."""
    schemas = sorted((each for each in defs.get_all_schemas() if not each.domain), key=lambda each: each.name)
    available = list(NAMES)
    nodes = []
    for index in range(2):
        schema = draw(st.sampled_from(schemas))
        count = draw(st.integers(schema.min_input, min(schema.max_input, schema.min_input + 3)))
        inputs = [draw(st.sampled_from([*available, ""])) for _ in range(count)]
        outputs = [f"o{index}_{place}" for place in range(max(schema.min_output, 1))]
        node = helper.make_node(schema.name, inputs, outputs)
        for name, attribute in sorted(schema.attributes.items()):
            kind = attribute.type.name  # pyright: ignore[reportAttributeAccessIssue]
            if kind in VALUES and (attribute.required or draw(st.booleans())):
                node.attribute.append(helper.make_attribute(name, draw(VALUES[kind])))
        nodes.append(node)
        available += outputs
    constants = {
        "f": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
        "i": np.array([1, 2, 0], np.int64),
        "s": np.array(2, np.int64),
        "b": np.array([True, False, True]),
    }
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    opset = draw(st.sampled_from([7, 9, 11, 13, 18, 21, 23]))
    return onnx_model(nodes, {"x": shape}, f"{nodes[-1].output[0]} o0_0", constants, opset=opset)


@settings(derandomize=True, deadline=None, max_examples=examples(400))
@given(arbitrary_models())
def test_nodes_put_together_at_random(model: onnx.ModelProto) -> None:
    try:
        module = import_model(model)
    except CatenaError:
        return
    verify_module(module, stage="import")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CatenaError, match="No such file") as caught:
        import_model(tmp_path / "lost.onnx")
    assert caught.value.diagnostics[0].code == "CAT-C002"


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CatenaError) as caught:
        import_model(tmp_path)
    assert caught.value.diagnostics[0].code == "CAT-C002"


def test_an_empty_file(path: Path) -> None:
    problem = try_bytes(path, b"")
    assert problem is not None
    assert "no graph with nodes" in problem.message


def test_a_graph_without_nodes_returns_its_input() -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    graph = helper.make_graph([], "identity", [value], [value])
    module = import_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]))
    (function,) = module.ops
    block = function.regions[0].block
    (end,) = block.ops
    assert tuple(end.operands) == tuple(block.args)


def test_a_name_that_is_not_text(path: Path) -> None:
    problem = try_bytes(path, VALID.replace(b"conv", b"c\xff\xfev"))
    assert problem is not None
    assert "not UTF-8" in problem.message


def test_an_attribute_that_is_not_text(path: Path) -> None:
    problem = try_bytes(path, VALID.replace(b"VALID", b"VA\xff\xfeD"))
    assert problem is not None
    assert (problem.code, problem.node) == ("CAT-M001", "conv")


def test_an_initializer_without_the_data_it_claims() -> None:
    model = onnx_model([onnx_node("Add", "x w", "y")], {"x": [1]}, "y")
    model.graph.initializer.append(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2**40], raw_data=b"1234"))
    with pytest.raises(CatenaError) as caught:
        import_model(model)
    assert caught.value.diagnostics[0].code == "CAT-M001"
