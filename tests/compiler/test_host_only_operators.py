"""Operators listed as "host segment only" are refused, and run as host segments where that is allowed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import parser

import compiler
from backends.container import read_program
from compiler.host_summary import segments_in_program
from compiler.operators import NOWHERE, Status, operators
from dialects.diagnostics import CatenaError

X = "float[2, 3] x"
TEXT = "string[2] t"
CASES = {
    "Bernoulli": (X, "float[2, 3] y", "y = Bernoulli <seed = 3.0> (x)"),
    "ConcatFromSequence": (X, "float[4, 3] y", "s = SequenceConstruct (x, x) y = ConcatFromSequence <axis = 0> (s)"),
    "Multinomial": (X, "int32[2, 4] y", "y = Multinomial <sample_size = 4, seed = 3.0> (x)"),
    "NonMaxSuppression": ("float[1, 4, 4] b, float[1, 2, 4] p", "int64[n, 3] y", "y = NonMaxSuppression (b, p, most)"),
    "NonZero": (X, "int64[2, n] y", "y = NonZero (x)"),
    "Optional": (X, "float[2, 3] y", "o = Optional (x) y = OptionalGetElement (o)"),
    "OptionalGetElement": (X, "float[2, 3] y", "o = Optional (x) y = OptionalGetElement (o)"),
    "OptionalHasElement": (X, "bool[] y", "o = Optional (x) y = OptionalHasElement (o)"),
    "RandomNormal": (X, "float[2, 3] y", "r = RandomNormal <shape = [2, 3], seed = 3.0> () y = Add (x, r)"),
    "RandomNormalLike": (X, "float[2, 3] y", "y = RandomNormalLike <seed = 3.0> (x)"),
    "RandomUniform": (X, "float[2, 3] y", "r = RandomUniform <shape = [2, 3], seed = 3.0> () y = Add (x, r)"),
    "RandomUniformLike": (X, "float[2, 3] y", "y = RandomUniformLike <seed = 3.0> (x)"),
    "RegexFullMatch": (TEXT, "bool[2] y", 'y = RegexFullMatch <pattern = "a.*"> (t)'),
    "SequenceAt": (X, "float[2, 3] y", "n = Neg (x) s = SequenceConstruct (x, n) y = SequenceAt (s, one)"),
    "SequenceConstruct": (X, "seq(float[2, 3]) y", "n = Neg (x) y = SequenceConstruct (x, n)"),
    "SequenceEmpty": (X, "seq(float[2, 3]) y", "s = SequenceEmpty () y = SequenceInsert (s, x)"),
    "SequenceErase": (X, "seq(float[2, 3]) y", "n = Neg (x) s = SequenceConstruct (x, n) y = SequenceErase (s, one)"),
    "SequenceInsert": (X, "seq(float[2, 3]) y", "s = SequenceConstruct (x, x) y = SequenceInsert (s, x)"),
    "SequenceLength": (X, "int64[] y", "s = SequenceConstruct (x, x) y = SequenceLength (s)"),
    "SequenceMap": (
        X,
        "seq(float[2, 3]) y",
        "s = SequenceConstruct (x, x) y = SequenceMap <body = b (float[2, 3] e) => (float[2, 3] f) {f = Neg (e)}> (s)",
    ),
    "SplitToSequence": (X, "seq(float[1, 3]) y", "y = SplitToSequence <axis = 0> (x)"),
    "StringConcat": (TEXT, "string[2] y", "y = StringConcat (t, t)"),
    "StringNormalizer": (
        TEXT,
        "string[2] y",
        # The default locale is not installed everywhere.
        'y = StringNormalizer <case_change_action = "UPPER", locale = "C"> (t)',
    ),
    "StringSplit": (TEXT, "string[2, n] y, int64[2] z", 'y, z = StringSplit <delimiter = " "> (t)'),
    "Unique": (X, "float[n] y", "y = Unique (x)"),
}
"""By operator: inputs, outputs and nodes of a model of it."""

INPUTS = {
    "x": np.array([[0.5, 0.2, 0.3], [0, 0.4, 0.4]], np.float32),
    "t": np.array(["ab c", "b a"], object),
    "b": np.array([[[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, 2, 1, 3], [0, 5, 1, 6]]], np.float32),
    "p": np.array([[[0.9, 0.8, 0.7, 0.1], [0.1, 0.8, 0.7, 0.9]]], np.float32),
}


def saved_model(operator: str, folder: Path) -> Path:
    inputs, outputs, nodes = CASES[operator]
    graph = f"g ({inputs}) => ({outputs}) <int64 one = {{1}}, int64[1] most = {{2}}> {{ {nodes} }}"
    path = folder / "model.onnx"
    onnx.save(parser.parse_model(f'<ir_version: 9, opset_import: ["" : 20]> {graph}'), path)
    return path


def inputs_of(path: Path) -> dict[str, np.ndarray]:
    return {value.name: INPUTS[value.name] for value in onnx.load(path).graph.input}


def reference(path: Path) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    results: dict[str, np.ndarray] = {}
    for value, result in zip(session.get_outputs(), session.run(None, inputs_of(path)), strict=True):
        if isinstance(result, list):
            results.update((f"{value.name}[{index}]", each) for index, each in enumerate(result))
        else:
            results[value.name] = result
    return results


def operators_with(status: Status) -> set[str]:
    return {each.name for each in operators() if each.status is status}


def test_every_such_operator_has_a_model() -> None:
    assert operators_with(Status.HOST) == set(CASES)
    assert operators_with(Status.REFUSED) == set(NOWHERE)


@pytest.mark.parametrize("operator", CASES)
def test_it_runs_as_a_host_segment_and_only_there(operator: str, tmp_path: Path) -> None:
    model = saved_model(operator, tmp_path)
    with pytest.raises(CatenaError, match="--allow-fallback host"):
        compiler.compile(model)
    compiler.compile(model, output=tmp_path / "model.cat", allow_fallback="host")
    segments = segments_in_program(read_program(tmp_path / "model.cat"))
    assert any(name.startswith(f"{operator}_") for segment in segments for name in segment.nodes)
    found = compiler.run(tmp_path / "model.cat", inputs_of(model)).outputs
    wanted = reference(model)
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        if array.dtype.kind in "OU":
            assert found[name].tolist() == array.tolist()
        else:
            np.testing.assert_array_equal(found[name], array, strict=True)


def test_what_onnx_runtime_has_not_either(tmp_path: Path) -> None:
    text = 'd (uint8[9] x) => (uint8[1, 1, 3] y) { y = ImageDecoder <pixel_format = "RGB"> (x) }'
    onnx.save(parser.parse_model(f'<ir_version: 9, opset_import: ["" : 20]> {text}'), tmp_path / "model.onnx")
    with pytest.raises(CatenaError, match="the host cannot execute it either"):
        compiler.compile(tmp_path / "model.onnx", allow_fallback="host")
