"""The generators of models: the right networks, the same bytes every time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.benchmarks import scripts


def generate(name: str, output: Path, *arguments: object) -> onnx.ModelProto:
    return onnx.load(scripts.generate(name, output, *arguments))


def test_resnet_50_has_its_layers(tmp_path: Path) -> None:
    model = generate("resnet", tmp_path / "a.onnx", "--depth", 50, "--size", 32)
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
        generate("resnet", tmp_path / f"{name}.onnx", "--depth", 18, "--size", 32, "--seed", seed)
    contents = [(tmp_path / f"{name}.onnx").read_bytes() for name in "abc"]
    assert contents[0] == contents[1] != contents[2]


def test_alexnet_has_the_shapes_of_the_paper(tmp_path: Path) -> None:
    model = generate("alexnet_paper", tmp_path / "a.onnx")
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


@pytest.mark.exhaustive
def test_the_benchmark_prints_ratios(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    script = scripts.FOLDER / "run.py"
    done = subprocess.run(
        [
            sys.executable,
            str(script),
            "--depth",
            "18",
            "--size",
            "32",
            "--layers",
            "1",
            "--repeat",
            "1",
            "--json",
            str(tmp_path / "x.json"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "ReferenceEvaluator" in done.stdout
    found = json.loads((tmp_path / "x.json").read_text())
    assert {each["task"] for each in found} == {
        *("start", "load", "check", "compile", "run", "quantize"),
        *("int8 load", "int8 compile", "int8 run", "BERT load", "BERT compile", "map a layer"),
    }
    assert all(each["cpu"] > 0 for each in found)


SMALL_BERT = ("--hidden", 16, "--heads", 2, "--intermediate", 32, "--sequence", 6, "--vocabulary", 50)


@pytest.mark.parametrize("inputs", ["embeddings", "ids"])
def test_bert_has_its_layers_and_runs(tmp_path: Path, inputs: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = generate("bert", tmp_path / "a.onnx", "--layers", 3, "--inputs", inputs, *SMALL_BERT)
    operators = Counter(node.op_type for node in model.graph.node)
    assert (operators["MatMul"], operators["Softmax"], operators["Erf"]) == (3 * 8, 3, 3)
    assert operators["LayerNormalization"] == 3 * 2 + (inputs == "ids")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    ids = np.arange(6)[np.newaxis]
    feeds = {"embeddings": np.ones((1, 6, 16), np.float32)}
    if inputs == "ids":
        feeds = {"input_ids": ids, "attention_mask": (ids < 4).astype(np.int64)}
    (result,) = session.run(None, feeds)
    assert result.shape == (1, 6, 16)
    assert np.isfinite(result).all()


def test_weights_of_bert_base(tmp_path: Path) -> None:
    model = generate("bert", tmp_path / "a.onnx", "--layers", 1)
    sizes = {tensor.name: onnx.numpy_helper.to_array(tensor).size for tensor in model.graph.initializer}
    assert sum(size for name, size in sizes.items() if name.startswith("layer.0.")) == 7_087_872


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def weights(model: onnx.ModelProto, *but: str) -> int:
    """Weights of a model, without tensors whose names end in `but`."""
    tensors = (each for each in model.graph.initializer if not but or not each.name.endswith(but))
    return sum(onnx.numpy_helper.to_array(tensor).size for tensor in tensors if tensor.data_type == 1)


def test_mobilenet_has_its_layers(tmp_path: Path) -> None:
    model = generate("mobilenet", tmp_path / "a.onnx", "--size", 32)
    found = operators(model)
    assert (found["Conv"], found["BatchNormalization"], found["Relu"]) == (27, 27, 27)
    # Howard et al., table 8: 4.2 million parameters.
    assert weights(model, ".mean", ".var") == 4_231_976


def test_mobilenet_v2_has_its_layers(tmp_path: Path) -> None:
    model = generate("mobilenet_v2", tmp_path / "a.onnx", "--size", 32)
    found = operators(model)
    assert (found["Conv"], found["BatchNormalization"], found["Clip"], found["Add"]) == (52, 52, 35, 10)
    # Sandler et al., table 4: 3.4 million parameters.
    assert weights(model, ".mean", ".var", ".low", ".high") == 3_504_872


def test_vgg_16_has_its_layers(tmp_path: Path) -> None:
    model = generate("vgg", tmp_path / "a.onnx", "--width", 16, "--size", 64)
    found = operators(model)
    assert (found["Conv"], found["MaxPool"], found["Gemm"]) == (13, 5, 3)
    kernels = {each.name: tuple(each.dims) for each in model.graph.initializer if each.name.endswith(".weight")}
    # Configuration D, a sixteenth as wide.
    assert kernels["conv3_1.weight"] == (256 // 16, 128 // 16, 3, 3)
    assert kernels["fc6.weight"] == (4096 // 16, 512 // 16 * 2 * 2)


def kernels(model: onnx.ModelProto) -> list[tuple[int, ...]]:
    """The shapes of the kernels of a hollow model's convolutions."""
    shapes = {each.name: tuple(d.dim_value for d in each.type.tensor_type.shape.dim) for each in model.graph.input}
    return [shapes[node.input[1]] for node in model.graph.node if node.op_type == "Conv"]


def test_vgg_19_has_its_layers(tmp_path: Path) -> None:
    model = generate("vgg", tmp_path / "a.onnx", "--depth", 19, "--hollow")
    assert [each[0] for each in kernels(model)] == [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8
    # Simonyan and Zisserman, table 2: 144 million parameters.
    shapes = [[d.dim_value for d in each.type.tensor_type.shape.dim] for each in model.graph.input[1:]]
    assert sum(int(np.prod(shape)) for shape in shapes) == 143_667_240


@pytest.mark.parametrize(("depth", "convolutions", "weights"), [(101, 104, 44_549_160), (152, 155, 60_192_808)])
def test_deep_resnets_have_their_layers(depth: int, convolutions: int, weights: int, tmp_path: Path) -> None:
    """As many weights as the models of torchvision have."""
    model = generate("resnet", tmp_path / "a.onnx", "--depth", depth, "--hollow")
    assert len(kernels(model)) == convolutions
    tensors = [each for each in model.graph.input[1:] if not each.name.endswith((".mean", ".var"))]
    assert sum(int(np.prod([d.dim_value for d in each.type.tensor_type.shape.dim])) for each in tensors) == weights


def test_tiny_yolos_have_their_layers(tmp_path: Path) -> None:
    third = generate("tiny_yolo", tmp_path / "a.onnx", "--version", 3, "--hollow")
    filters = [16, 32, 64, 128, 256, 512, 1024, 256, 512, 255, 128, 256, 255]
    assert [each[0] for each in kernels(third)] == filters
    fourth = generate("tiny_yolo", tmp_path / "b.onnx", "--version", 4, "--hollow")
    block = [64, 32, 32, 64]
    blocks = [each * scale for scale in (1, 2, 4) for each in block]
    assert [each[0] for each in kernels(fourth)] == [32, 64, *blocks, 512, 256, 512, 255, 128, 256, 255]
    for model in (third, fourth):
        heads = [[d.dim_value for d in each.type.tensor_type.shape.dim] for each in model.graph.output]
        assert heads == [[1, 255, 13, 13], [1, 255, 26, 26]]
        onnx.shape_inference.infer_shapes(model, strict_mode=True)


def test_an_original_resnet_halves_before_its_3_x_3(tmp_path: Path) -> None:
    model = generate("resnet", tmp_path / "a.onnx", "--depth", 50, "--original", "--hollow")
    strides = {n.name: list(a.ints) for n in model.graph.node for a in n.attribute if a.name == "strides"}
    assert (strides["layer2.0.conv1"], strides["layer2.0.conv2"]) == ([2, 2], [1, 1])


def test_googlenet_with_the_pools_of_caffe(tmp_path: Path) -> None:
    model = generate("light", tmp_path / "a.onnx", "--network", "googlenet", "--ceil", "--hollow")
    shapes = onnx.shape_inference.infer_shapes(model).graph.value_info
    sizes = {each.name: [d.dim_value for d in each.type.tensor_type.shape.dim] for each in shapes}
    widths = [sizes[node.output[0]][3] for node in model.graph.node if node.op_type == "Conv"]
    assert list(dict.fromkeys(widths)) == [112, 56, 28, 14, 7]


def test_c3d_has_its_layers(tmp_path: Path) -> None:
    model = generate("c3d", tmp_path / "a.onnx", "--width", 16)
    found = operators(model)
    assert (found["Conv"], found["MaxPool"], found["Gemm"]) == (8, 5, 3)
    shapes = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.value_info
    (pooled,) = (value for value in shapes if value.name == "pool5")
    assert [each.dim_value for each in pooled.type.tensor_type.shape.dim] == [1, 32, 1, 4, 4]


def test_capsnet_routes_three_times(tmp_path: Path) -> None:
    model = generate("capsnet", tmp_path / "a.onnx")
    found = operators(model)
    assert (found["Softmax"], found["Einsum"]) == (3, 6)
    # Sabour et al.: two convolutions of 256 filters, 1152 capsules by 10 classes by 8 x 16.
    products = (81 * 256 + 256) + (256 * 256 * 81 + 256) + 1152 * 10 * 8 * 16
    assert weights(model, ".one", ".tiny", "logits") == products


def test_faster_rcnn_has_its_parts(tmp_path: Path) -> None:
    model = generate(
        "faster_rcnn_zf", tmp_path / "a.onnx", "--height", 96, "--width", 128, "--proposals", 5, "--thinner", 16
    )
    found = operators(model)
    assert (found["Conv"], found["LRN"], found["MaxRoiPool"], found["Gemm"], found["Softmax"]) == (8, 2, 1, 4, 2)
    rois = next(onnx.numpy_helper.to_array(each) for each in model.graph.initializer if each.name == "rois")
    assert (rois[:, 0] == 0).all()
    assert (rois[:, 1:3] < rois[:, 3:]).all()
    assert (rois[:, 3] < 128).all()
    assert (rois[:, 4] < 96).all()


def test_the_bundled_topologies_get_weights(tmp_path: Path) -> None:
    model = generate("light", tmp_path / "a.onnx", "--network", "squeezenet")
    assert "ConstantOfShape" not in operators(model)
    assert weights(model) == 1_235_496
    assert [value.name for value in model.graph.input] == ["data_0"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("mobilenet", ("--size", 32)),
        ("mobilenet_v2", ("--size", 32)),
        ("vgg", ("--size", 32, "--width", 16)),
        pytest.param("tiny_yolo", ("--version", 4, "--size", 32), marks=pytest.mark.exhaustive),
        pytest.param("googlenet", ("--size", 32), marks=pytest.mark.exhaustive),
        ("c3d", ("--width", 32, "--size", 32)),
        ("capsnet", ("--size", 17, "--filters", 16)),
        ("faster_rcnn_zf", ("--height", 96, "--width", 128, "--proposals", 5, "--thinner", 16)),
    ],
)
def test_small_ones_compute_what_onnx_runtime_does(name: str, arguments: tuple[object, ...], tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    import compiler

    path = tmp_path / "a.onnx"
    generate(name, path, *arguments)
    for mode in ("chain", "offload"):
        found = compiler.verify(path, mode=mode)
        assert found.is_equal, [str(each) for each in found.diagnostics()]
