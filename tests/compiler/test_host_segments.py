"""Host segments from end to end: compiled, stored, executed around the emulator, shown by every verb."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import compiler
from backends.container import program_bytes, read_program, write_program
from backends.registry import find_backend
from backends.segments import SEGMENT, is_segment_image, segments_of
from compiler.execution import predicted_report
from compiler.fallback_hint import HINT
from compiler.host_summary import describe_segments, segments_in_program
from dialects.diagnostics import CatenaError
from tests.compiler.importer.test_control_flow import NUMBERS, parsed
from tests.compiler.importer.test_fallback import DATA_DEPENDENT, loop_model
from tests.onnx_models import onnx_model, onnx_node

X = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A branch in the middle that data decide, and shapes that depend on data at the end."""
    graph = DATA_DEPENDENT.replace("(float[2, 3] y)", "(float[2, 3] y, int64[2, n] z)").replace(
        "[last] y = Neg (b)", "[last] y = Neg (b) [where] z = NonZero (y)"
    )
    path = tmp_path / "model.onnx"
    onnx.save(parsed(graph, constants=NUMBERS), path)
    return path


def compiled(model: Path) -> Path:
    path = model.with_suffix(".cat")
    compiler.compile(model, output=path, allow_fallback="host")
    return path


def reference(model: Path, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


@pytest.mark.parametrize("x", [X, -X, X * 0])
def test_outputs_are_those_of_onnx_runtime(model: Path, x: np.ndarray) -> None:
    found = compiler.run(compiled(model), {"x": x}).outputs
    wanted = reference(model, {"x": x})
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5)


def test_the_engine_that_goes_word_by_word(model: Path) -> None:
    found = compiler.run(compiled(model), {"x": X}, engine="elements").outputs
    np.testing.assert_allclose(found["y"], reference(model, {"x": X})["y"], rtol=1e-5)


def test_without_the_flag_it_is_refused_and_the_flag_is_named(model: Path) -> None:
    with pytest.raises(CatenaError) as caught:
        compiler.compile(model)
    assert all(problem.hint.endswith(HINT) for problem in caught.value.diagnostics)
    report = compiler.check(model)
    assert not report.is_supported
    assert [problem.hint.endswith(HINT) for problem in report.problems] == [True] * len(report.problems)


def test_a_fallback_that_does_not_exist(model: Path) -> None:
    with pytest.raises(CatenaError) as caught:
        compiler.compile(model, allow_fallback="cloud")
    assert caught.value.diagnostics[0].code == "CAT-C001"


def test_segments_are_shown_everywhere(model: Path) -> None:
    program = compiled(model)
    check = compiler.check(model, allow_fallback="host")
    assert check.is_supported
    for segments in (check.host_segments, segments_in_program(read_program(program))):
        assert [each.nodes for each in segments] == [("choice",), ("where",)]
        assert [each.words for each in segments] == [1 + 6 + 6, 6]
    assert "2 host segments: 2 nodes (choice, where)" in compiler.inspect(program).facts["host segments"]
    report = compiler.report(program)
    assert [each.layer.nodes for each in report.host_segments] == [("choice",), ("where",)]
    found = compiler.verify(model, allow_fallback="host")
    assert found.is_equal
    assert len(found.host_segments) == 2
    assert {each.tensor for each in found.layers} >= {"b", "y"}


def test_words_over_the_link_are_predicted_and_counted(model: Path) -> None:
    program = compiled(model)
    counted = compiler.run(program, {"x": X}).report
    predicted = predicted_report(read_program(program))
    assert [each.counts.flat() for each in counted.layers] == [each.counts.flat() for each in predicted.layers]
    assert counted.counts.events["segment.read"] == 1 + 6 + 6
    assert counted.counts.events["segment.write"] == 6


def test_every_stage_can_be_fed_back(model: Path, tmp_path: Path) -> None:
    straight = compiled(model).read_bytes()
    compiler.compile(model, allow_fallback="host", dump_ir=tmp_path / "ir")
    texts = sorted((tmp_path / "ir").glob("*.mlir"))
    assert len(texts) == 6
    for text in texts:
        resumed = tmp_path / f"{text.stem}.cat"
        compiler.compile(text, output=resumed)
        assert resumed.read_bytes() == straight, text.name


def test_listings_hold_segments(model: Path, tmp_path: Path) -> None:
    program = compiled(model)
    listing = compiler.disassemble(program, tmp_path / "model.casm")
    assert "segment" in listing
    compiler.assemble(tmp_path / "model.casm", tmp_path / "again.cat")
    assert (tmp_path / "again.cat").read_bytes() == program.read_bytes()


def test_equal_models_give_equal_programs(model: Path) -> None:
    assert compiled(model).read_bytes() == compiled(model).read_bytes()


def test_a_segment_without_its_model(model: Path, tmp_path: Path) -> None:
    program = read_program(compiled(model))
    images = tuple(image for image in program.constants if not is_segment_image(image))
    write_program(replace(program, constants=images), tmp_path / "broken.cat")
    with pytest.raises(CatenaError) as caught:
        compiler.run(tmp_path / "broken.cat", {"x": X})
    assert caught.value.diagnostics[0].code == "CAT-P001"


def test_an_emulator_alone_does_not_execute_segments(model: Path) -> None:
    program = read_program(compiled(model))
    emulator = find_backend(program.metadata.backend).load(program, None)
    with pytest.raises(CatenaError) as caught:
        emulator.run({"x": X})
    assert caught.value.diagnostics[0].code == "CAT-E003"
    assert "a host segment without a runtime" in caught.value.diagnostics[0].message


def test_models_of_segments_are_in_the_program_and_nowhere_else(model: Path) -> None:
    program = read_program(compiled(model))
    found = list(segments_of(program))
    assert [layer.kind for layer, _ in found] == [SEGMENT, SEGMENT]
    for _, content in found:
        onnx.checker.check_model(onnx.ModelProto.FromString(content))
        assert content in program_bytes(program)


def test_text_comes_from_the_user_and_goes_back(tmp_path: Path) -> None:
    nodes = [onnx_node("StringConcat", "t t", "u"), onnx_node("Relu", "x", "y")]
    message = onnx_model(nodes, {"x": [2]}, "u y", opset=20)
    message.graph.input.append(helper.make_tensor_value_info("t", TensorProto.STRING, [2]))
    onnx.save(message, tmp_path / "model.onnx")
    program = compiled(tmp_path / "model.onnx")
    found = compiler.run(program, {"x": X[0, :2], "t": np.array(["a", "b"], object)}).outputs
    assert found["u"].tolist() == ["aa", "bb"]
    with pytest.raises(CatenaError) as caught:
        compiler.run(program, {"x": X[0, :2]})
    assert (caught.value.diagnostics[0].code, "'t'" in caught.value.diagnostics[0].message) == ("CAT-C005", True)


def test_the_entries_of_sequences(tmp_path: Path) -> None:
    nodes = [onnx_node("Relu", "x", "r"), onnx_node("SequenceConstruct", "x r", "s", "pack")]
    onnx.save(onnx_model(nodes, {"x": [2]}, "s"), tmp_path / "model.onnx")
    found = compiler.run(compiled(tmp_path / "model.onnx"), {"x": X[0, :2]}).outputs
    assert list(found) == ["s[0]", "s[1]"]
    np.testing.assert_array_equal(found["s[1]"], np.maximum(X[0, :2], 0))


def test_values_that_pass_between_segments_stay_on_the_host(tmp_path: Path) -> None:
    nodes = [
        onnx_node("NonZero", "x", "z", "where"),
        onnx_node("Shape", "z", "s", "shape"),
        onnx_node("Cast", "s", "f", "cast", to=TensorProto.FLOAT),
        onnx_node("Add", "f f", "d", "double"),
        onnx_node("Cast", "d", "e", "back", to=TensorProto.INT64),
        onnx_node("Tile", "z e", "y", "tile"),
    ]
    onnx.save(onnx_model(nodes, {"x": [2, 3]}, "y"), tmp_path / "model.onnx")
    program = compiled(tmp_path / "model.onnx")
    assert [each.nodes for each in segments_in_program(read_program(program))] == [("where", "shape"), ("tile",)]
    found = compiler.run(program, {"x": X}).outputs
    np.testing.assert_array_equal(found["y"], reference(tmp_path / "model.onnx", {"x": X})["y"])


@pytest.mark.parametrize(("declared", "words"), [({}, 12), ({"l": [3, 4]}, 12 + 12)])
def test_loops_whose_tensors_have_no_known_rank(tmp_path: Path, declared: dict[str, list[int]], words: int) -> None:
    model = tmp_path / "model.onnx"
    onnx.save(loop_model(**declared), model)
    inputs = {"x": np.arange(12, dtype=np.float32).reshape(3, 4) - 4}
    (segment,) = compiler.check(model, allow_fallback="host").host_segments
    assert segment.words == words
    assert segment.open_shapes == (() if declared else ("l",))
    assert segments_in_program(read_program(compiled(model))) == (segment,)
    text = describe_segments([segment])
    assert ("what uses 'l'" in text) is not bool(declared)
    found = compiler.run(compiled(model), inputs)
    np.testing.assert_allclose(found.outputs["y"], reference(model, inputs)["y"], rtol=1e-5)
    counts = found.report.counts.events
    assert counts["segment.read"] + counts.get("segment.write", 0) == words


@pytest.mark.parametrize(("declared", "tensor", "maker"), [({"l": [6, 4]}, "l", "loop"), ({"y": [12]}, "y", "last")])
def test_a_declared_shape_that_the_data_contradict(
    tmp_path: Path, declared: dict[str, list[int]], tensor: str, maker: str
) -> None:
    message = loop_model(**declared)
    if tensor == "l":
        # Only a use that fits the declared shape hides the contradiction from the compiler.
        message.graph.node[2].CopyFrom(onnx_node("Abs", "l", "s", "scale"))
        message.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(message, tmp_path / "model.onnx")
    program = compiled(tmp_path / "model.onnx")
    with pytest.raises(CatenaError) as caught:
        compiler.run(program, {"x": np.ones((3, 4), np.float32)})
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.node) == ("CAT-E003", maker)
    assert (problem.expected, problem.found) == (str(declared[tensor]), "[3, 4]")
