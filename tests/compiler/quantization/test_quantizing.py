"""quantize: every format computes what ONNX says it computes, close to the float model, the same bytes every time."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import compiler
from compiler.quantization import Quantized, QuantizeOptions, quantize_model
from compiler.quantization.options import Format, Method
from dialects.diagnostics import CatenaError
from tests.compiler.conftest import Cli
from tests.compiler.small_models import save_model, small_cnn

pytest.importorskip("onnxruntime")


def normalized_model() -> onnx.ModelProto:
    """x [1, 3, 8, 8] -> conv1 -> BatchNormalization -> Relu -> conv2 -> Add with the ReLU -> pool, opset 11."""
    random = np.random.default_rng(5)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array((random.standard_normal(shape) / 3).astype(np.float32), name)

    positive = numpy_helper.from_array(random.random(4, dtype=np.float32) + np.float32(0.5), "variance")
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], name="conv1", pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", "scale", "shift", "mean", "variance"], ["b"], name="norm1"),
        helper.make_node("Relu", ["b"], ["c"], name="relu1"),
        helper.make_node("Conv", ["c", "w2", "bias2"], ["d"], name="conv2"),
        helper.make_node("Add", ["c", "d"], ["e"], name="add1"),
        helper.make_node("AveragePool", ["e"], ["y"], name="pool1", kernel_shape=[2, 2]),
    ]
    graph = helper.make_graph(
        nodes,
        "normalized",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 7, 7])],
        [
            weight("w1", 4, 3, 3, 3),
            weight("w2", 4, 4, 1, 1),
            weight("bias2", 4),
            *(weight(name, 4) for name in ("scale", "shift", "mean")),
            positive,
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(normalized_model(), tmp_path_factory.mktemp("models") / "normalized.onnx")


def initializers(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def dequantizers(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == "DequantizeLinear"]


def operators(found: Quantized) -> dict[str, int]:
    return {row.operator: row.quantized for row in found.operators if row.quantized}


CASES = {
    "int8": (QuantizeOptions(), 13, 20),
    "uint8": (QuantizeOptions(activations="uint8"), 13, 20),
    "per channel": (QuantizeOptions(per_channel=True, symmetric=True), 13, 20),
    "entropy": (QuantizeOptions(method=Method.ENTROPY), 13, 10),
    "percentile": (QuantizeOptions(method=Method.PERCENTILE), 13, 20),
    "int16": (QuantizeOptions(activations="int16", weights="int16"), 21, 60),
    "uint16": (QuantizeOptions(activations="uint16"), 21, 20),
    "int4": (QuantizeOptions(weights="int4", per_channel=True), 21, 5),
    "qoperator": (QuantizeOptions(Format.QOPERATOR), 13, 20),
    "fixed16": (QuantizeOptions(Format.FIXED16), 21, 60),
}


@pytest.mark.parametrize("case", CASES)
def test_a_format_is_valid_and_close_to_float(model: Path, tmp_path: Path, case: str) -> None:
    options, opset, sqnr = CASES[case]
    output = tmp_path / "q.onnx"
    found = quantize_model(model, output, ["random:4"], options)
    written = onnx.load(output)
    onnx.checker.check_model(written)
    assert [(entry.domain, entry.version) for entry in written.opset_import] == [("", opset)]
    assert {node.domain for node in written.graph.node} == {""}
    assert (found.opset, found.samples) == (opset, 4)
    assert operators(found)["Conv"] == 2
    (error,) = found.errors
    assert error.name == "y"
    assert sqnr < error.sqnr < math.inf
    assert 0 < error.largest < error.scale
    types = {array.dtype.name for array in initializers(written).values()}
    assert {options.activation_type, options.weight_type} <= types


def test_normalization_is_folded_before(model: Path, tmp_path: Path) -> None:
    quantize_model(model, tmp_path / "q.onnx", ["random:1"])
    assert "BatchNormalization" not in {node.op_type for node in onnx.load(tmp_path / "q.onnx").graph.node}


@pytest.mark.parametrize(
    "options", [QuantizeOptions(), QuantizeOptions(Format.QOPERATOR), QuantizeOptions(Format.FIXED16)]
)
def test_equal_arguments_give_equal_bytes(model: Path, tmp_path: Path, options: QuantizeOptions) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        quantize_model(model, tmp_path / name, ["random:2"], options, seed=seed)
    contents = [(tmp_path / name).read_bytes() for name in "abc"]
    assert contents[0] == contents[1]
    # Other samples may have ranges that are rounded to the same powers of two.
    assert options.format is Format.FIXED16 or contents[0] != contents[2]


def test_per_channel_weights_have_a_scale_a_channel(model: Path, tmp_path: Path) -> None:
    sizes = {}
    for per_channel in (False, True):
        quantize_model(model, tmp_path / "q.onnx", ["random:1"], QuantizeOptions(per_channel=per_channel))
        written = onnx.load(tmp_path / "q.onnx")
        values = initializers(written)
        weights = [node for node in dequantizers(written) if values.get(node.input[0], np.zeros(0)).dtype == np.int8]
        sizes[per_channel] = {values[node.input[1]].size for node in weights}
    assert sizes == {False: {1}, True: {4}}


def test_symmetric_activations_have_no_zero_point(model: Path, tmp_path: Path) -> None:
    zero_points = {}
    for symmetric in (False, True):
        quantize_model(model, tmp_path / "q.onnx", ["random:1"], QuantizeOptions(symmetric=symmetric))
        values = initializers(onnx.load(tmp_path / "q.onnx"))
        zero_points[symmetric] = {
            int(each) for name, array in values.items() if "zero_point" in name for each in array.flat
        }
    assert zero_points[True] == {0}
    assert len(zero_points[False]) > 1


def test_fixed_point_scales_are_powers_of_two_and_a_bias_fits_its_products(model: Path, tmp_path: Path) -> None:
    quantize_model(model, tmp_path / "q.onnx", ["random:2"], QuantizeOptions(Format.FIXED16, per_channel=True))
    written = onnx.load(tmp_path / "q.onnx")
    values = initializers(written)
    scale = {node.output[0]: values[node.input[1]] for node in dequantizers(written)}
    assert all(np.all(np.frexp(each)[0] == 0.5) for each in scale.values())
    zero_points = [values[node.input[2]] for node in dequantizers(written)]
    assert all(not np.any(each) for each in zero_points)
    convolutions = [node for node in written.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 2
    for node in convolutions:
        x, weight, bias = node.input
        assert np.array_equal(scale[bias], scale[x] * scale[weight])


def test_fixed_point_integers_are_the_nearest_to_the_floats(model: Path, tmp_path: Path) -> None:
    """Within half a unit; those of a bias are rounded twice, as integers of the quantizer's scale and of ours."""
    quantize_model(model, tmp_path / "q.onnx", ["random:2"], QuantizeOptions(Format.FIXED16, per_channel=True))
    floats, written = initializers(onnx.load(model)), onnx.load(tmp_path / "q.onnx")
    integers = initializers(written)
    for node in dequantizers(written):
        if (name := node.input[0].removesuffix("_quantized")) in floats:
            units = floats[name] / integers[node.input[1]].reshape(-1, *[1] * (floats[name].ndim - 1))
            off = np.abs(units - integers[node.input[0]]).max()
            assert off <= (0.5 if floats[name].ndim > 1 else 1.0), name


def test_excluded_nodes_stay_in_float_and_are_told(model: Path, tmp_path: Path) -> None:
    found = quantize_model(model, tmp_path / "q.onnx", ["random:1"], QuantizeOptions(exclude=("conv2",)))
    assert [(row.operator, row.in_float) for row in found.operators if row.reason == "excluded"] == [
        ("Conv", ("conv2",))
    ]
    assert operators(found)["Conv"] == 1
    weights = initializers(onnx.load(tmp_path / "q.onnx"))
    assert weights["w2"].dtype == np.float32


def test_calibration_decides_the_ranges(model: Path, tmp_path: Path) -> None:
    scales = []
    for factor in (1, 10):
        x = np.full((2, 1, 3, 8, 8), factor, np.float32)
        compiler.quantize(model, tmp_path / "q.onnx", {"x": x})
        scales.append(float(initializers(onnx.load(tmp_path / "q.onnx"))["x_scale"]))
    assert scales[1] == pytest.approx(10 * scales[0])


def test_the_ranges_are_those_of_all_samples(model: Path, tmp_path: Path) -> None:
    """The samples are given to the quantizer one by one."""
    x = np.stack([np.full((1, 3, 8, 8), factor, np.float32) for factor in (1, 7, 3)])
    found = compiler.quantize(model, tmp_path / "q.onnx", {"x": x})
    assert found.samples == 3
    assert float(initializers(onnx.load(tmp_path / "q.onnx"))["x_scale"]) == pytest.approx(7 / 255)


def refused(model: Path, output: Path, options: QuantizeOptions | None = None) -> list[tuple[str, str]]:
    with pytest.raises(CatenaError) as caught:
        quantize_model(model, output, ["random:1"], options)
    assert not output.exists()
    return [(each.code, each.node) for each in caught.value.diagnostics]


def test_a_quantized_model_is_refused_with_all_its_nodes(model: Path, tmp_path: Path) -> None:
    quantize_model(model, tmp_path / "q.onnx", ["random:1"])
    found = refused(tmp_path / "q.onnx", tmp_path / "again.onnx")
    assert {code for code, _ in found} == {"CAT-Q001"}
    assert len(found) == len([node for node in onnx.load(tmp_path / "q.onnx").graph.node if "Linear" in node.op_type])


def test_a_model_without_anything_to_quantize_is_refused(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Erf", ["x"], ["y"], name="erf1")],
        "erf",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
    )
    model = save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    assert refused(model, tmp_path / "q.onnx") == [("CAT-Q001", "")]


def test_unknown_and_folded_nodes_cannot_be_excluded(model: Path, tmp_path: Path) -> None:
    assert refused(model, tmp_path / "q.onnx", QuantizeOptions(exclude=("conv3", "b"))) == [("CAT-C001", "")] * 2
    assert refused(model, tmp_path / "q.onnx", QuantizeOptions(exclude=("norm1",))) == [("CAT-C001", "norm1")]


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({"activations": "int7"}, 1),
        ({"activations": "float8", "weights": "int3"}, 2),
        ({"activations": "int8", "weights": "uint8"}, 1),
        ({"format": Format.QOPERATOR, "activations": "int16"}, 1),
        ({"format": Format.QOPERATOR, "weights": "int4"}, 1),
        ({"format": Format.FIXED16, "weights": "int8"}, 1),
    ],
)
def test_types_that_do_not_go_together(arguments: dict[str, str], count: int) -> None:
    with pytest.raises(CatenaError) as caught:
        QuantizeOptions(**arguments)  # pyright: ignore[reportArgumentType]
    assert [each.code for each in caught.value.diagnostics] == ["CAT-C001"] * count


def test_the_command_prints_what_was_done(cli: Cli, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "q.onnx"
    result = cli("quantize", model, "-o", output, "--calibrate", "random:2", "--exclude", "conv2")
    assert (result.code, output.exists()) == (0, True)
    assert "excluded" in result.out
    assert "SQNR dB" in result.out
    assert "2 calibration samples" in result.out
    as_json = cli("quantize", model, "-o", output, "--calibrate", "random:2", "--format", "fixed16", "--json")
    assert (as_json.err, as_json.json["result"]["opset"]) == ("", 21)
    assert as_json.json["result"]["outputs"][0]["sqnr_db"] > 60


def test_wrong_options_of_the_command(cli: Cli, model: Path, tmp_path: Path) -> None:
    words = ("quantize", model, "--calibrate", "random:1", "-o")
    assert "did you mean qdq?" in cli(*words, tmp_path / "q.onnx", "--format", "qqd").err
    assert "did you mean entropy?" in cli(*words, tmp_path / "q.onnx", "--method", "entropie").err
    assert "are the same file" in cli(*words, model).err
    assert "CAT-C002" in cli(*words, tmp_path / "none" / "q.onnx").err
    assert "--calibrate" in cli("quantize", model, "-o", tmp_path / "q.onnx").err


def test_without_onnx_runtime_one_line_says_what_to_do(
    cli: Cli, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    result = cli("quantize", model, "-o", tmp_path / "q.onnx", "--calibrate", "random:1")
    assert result.code == 2
    assert "error[CAT-C004]: quantization needs ONNX Runtime" in result.err
    assert "pip install 'catena[verify]'" in result.err


def test_a_dynamic_batch_stays_dynamic(tmp_path: Path) -> None:
    model = save_model(small_cnn("N"), tmp_path / "m.onnx")
    compiler.quantize(model, tmp_path / "q.onnx", "random:2", batch=3)
    (image,) = onnx.load(tmp_path / "q.onnx").graph.input
    assert image.type.tensor_type.shape.dim[0].dim_param == "N"
