"""The generators of models: the right networks, the same bytes every time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import onnx
import pytest

MODELS = Path(__file__).parents[2] / "benchmarks" / "models"


def generate(script: str, output: Path, *arguments: object) -> onnx.ModelProto:
    command = [sys.executable, MODELS / script, *arguments, "--output", output]
    subprocess.run([str(word) for word in command], check=True)
    return onnx.load(output)


def test_resnet_50_has_its_layers(tmp_path: Path) -> None:
    model = generate("resnet.py", tmp_path / "a.onnx", "--depth", 50, "--size", 32)
    operators = Counter(node.op_type for node in model.graph.node)
    assert operators == {
        "Conv": 53,
        "BatchNormalization": 53,
        "Relu": 49,
        "Add": 16,
        "MaxPool": 1,
        "GlobalAveragePool": 1,
        "Flatten": 1,
        "Gemm": 1,
    }
    weights = sum(
        onnx.numpy_helper.to_array(tensor).size
        for tensor in model.graph.initializer
        if not tensor.name.endswith((".mean", ".var"))
    )
    assert weights == 25_557_032


def test_equal_arguments_give_equal_files(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate("resnet.py", tmp_path / f"{name}.onnx", "--depth", 18, "--size", 32, "--seed", seed)
    contents = [(tmp_path / f"{name}.onnx").read_bytes() for name in "abc"]
    assert contents[0] == contents[1] != contents[2]


def test_alexnet_has_the_shapes_of_the_paper(tmp_path: Path) -> None:
    model = generate("alexnet_paper.py", tmp_path / "a.onnx")
    shapes = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    sizes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*shapes.value_info, *shapes.output)
    }
    assert [sizes[f"CONV{index}"] for index in range(1, 6)] == [
        [4, 96, 55, 55],
        [4, 256, 27, 27],
        [4, 384, 13, 13],
        [4, 384, 13, 13],
        [4, 256, 13, 13],
    ]


@pytest.mark.slow
def test_the_benchmark_prints_ratios(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    script = MODELS.parent / "run.py"
    done = subprocess.run(
        [
            sys.executable,
            str(script),
            "--depth",
            "18",
            "--size",
            "32",
            "--repeat",
            "1",
            "--json",
            str(tmp_path / "x.json"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    # The exit code says whether the bounds hold, which a busy machine decides.
    assert done.returncode in (0, 1), done.stderr
    assert "ReferenceEvaluator" in done.stdout
    found = json.loads((tmp_path / "x.json").read_text())
    assert {each["task"] for each in found} == {"start", "load", "check", "compile", "run"}
    assert all(each["cpu"] > 0 for each in found)
