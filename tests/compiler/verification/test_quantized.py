"""verify for quantized models: in LSB, against ONNX Runtime, layer by layer and from end to end."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from backends.container import write_program
from compiler.compilation import compile_source
from compiler.execution import load_program
from compiler.quantization import QuantizeOptions, quantize_model
from compiler.quantization.options import Format
from compiler.verification.comparison import Unit
from compiler.verification.layers import verify_program
from compiler.verification.measures import LSB_OF_OUTPUT, Tolerances
from compiler.verification.programs import verify_source
from compiler.verification.quantized_tensors import QuantizedTensors
from compiler.verification.result import Verification
from tests.compiler.conftest import Cli
from tests.compiler.small_models import save_model

pytest.importorskip("onnxruntime")

FORMATS = {
    "int8": QuantizeOptions(),
    "uint8": QuantizeOptions(activations="uint8"),
    "per channel": QuantizeOptions(per_channel=True, symmetric=True),
    "int16": QuantizeOptions(activations="int16", weights="int16"),
    "int4": QuantizeOptions(weights="int4", per_channel=True),
    "qoperator": QuantizeOptions(Format.QOPERATOR),
    "qoperator uint8": QuantizeOptions(Format.QOPERATOR, activations="uint8", per_channel=True),
    "fixed16": QuantizeOptions(Format.FIXED16),
}


def residual_model() -> onnx.ModelProto:
    """Two branches, a residual sum, a Concat, pools, a dense layer and a Softmax over image [1, 3, 10, 10]."""
    random = np.random.default_rng(11)
    tensors: list[onnx.TensorProto] = []

    def weight(*shape: int) -> str:
        values = random.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:])))
        tensors.append(numpy_helper.from_array(values.astype(np.float32), f"w{len(tensors)}"))
        return tensors[-1].name

    def conv(x: str, name: str, channels: int, filters: int, kernel: int) -> onnx.NodeProto:
        inputs = [x, weight(filters, channels, kernel, kernel), weight(filters)]
        return helper.make_node("Conv", inputs, [name], name=name, pads=[kernel // 2] * 4)

    nodes = [
        conv("image", "conv1", 3, 8, 3),
        helper.make_node("Relu", ["conv1"], ["relu1"], name="relu1"),
        helper.make_node("MaxPool", ["relu1"], ["pool1"], name="pool1", kernel_shape=[2, 2], strides=[2, 2]),
        conv("pool1", "conv2", 8, 8, 3),
        helper.make_node("Add", ["pool1", "conv2"], ["add1"], name="add1"),
        conv("add1", "left", 8, 4, 1),
        conv("add1", "right", 8, 6, 3),
        helper.make_node("Concat", ["left", "right"], ["both"], name="concat1", axis=1),
        helper.make_node("GlobalAveragePool", ["both"], ["mean"], name="mean1"),
        helper.make_node("Flatten", ["mean"], ["flat"], name="flat1"),
        helper.make_node("Gemm", ["flat", weight(10, 5), weight(5)], ["dense"], name="dense1"),
        helper.make_node("Softmax", ["dense"], ["scores"], name="softmax1", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "residual",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 10, 10])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 5])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The residual model in every format."""
    path = tmp_path_factory.mktemp("quantized")
    source = save_model(residual_model(), path / "float.onnx")
    for name, options in FORMATS.items():
        quantize_model(source, path / f"{name}.onnx", ["random:4"], options)
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_within_the_rule(folder: Path, name: str) -> None:
    for seed in range(2):
        found = verify_source(str(folder / f"{name}.onnx"), seed=seed)
        assert found.is_equal, found.diagnostics()
        units = [each.unit for each in found.layers if each.error is not None]
        assert units.count(Unit.LSB) >= 6
        (output,) = found.outputs
        assert (output.unit, output.tolerance >= LSB_OF_OUTPUT) == (Unit.LSB, True)


class _Samples:
    """Calibration data as ONNX Runtime's quantizer asks for it."""

    def __init__(self) -> None:
        random = np.random.default_rng(2)
        self._left = [{"image": random.random((1, 3, 10, 10), np.float32)} for _ in range(4)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self._left.pop() if self._left else None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["QUInt8", "QInt8"])
def test_what_onnx_runtime_writes_with_its_own_operators(tmp_path: Path, dtype: str) -> None:
    from onnxruntime import quantization

    source, path = save_model(residual_model(), tmp_path / "float.onnx"), tmp_path / "q.onnx"
    kind = quantization.QuantType[dtype]
    form = quantization.QuantFormat.QOperator
    quantization.quantize_static(
        source, path, _Samples(), quant_format=form, activation_type=kind, weight_type=quantization.QuantType.QInt8
    )
    own = {node.op_type for node in onnx.load(path).graph.node if node.domain == "com.microsoft"}
    assert own == {"QLinearAdd", "QLinearConcat", "QLinearGlobalAveragePool", "QGemm", "QLinearSoftmax"}
    found = verify_source(str(path))
    assert found.is_equal, found.diagnostics()
    assert {each.unit for each in (*found.layers, *found.outputs) if each.error is not None} == {Unit.LSB}
    assert sum(each.error is not None for each in found.layers) >= 8


def with_bias_off_by(source: Path, places: int, output: Path, bias: str = "w1_quantized") -> Path:
    """The model with `places` more in every 32-bit bias of a layer."""
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        if tensor.name == bias:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.int32(places), bias))
    return save_model(model, output)


def verify_as_if(compiled: Path, claimed: Path, folder: Path, tolerances: Tolerances | None = None) -> Verification:
    """Verify the program of one model beside another model, by claiming that it was made from that one."""
    program = compile_source(str(compiled)).program
    assert program is not None
    digest = hashlib.sha256(claimed.read_bytes()).hexdigest()
    path = folder / "claimed.cat"
    write_program(replace(program, metadata=replace(program.metadata, model_sha256=digest)), path)
    return verify_program(*load_program(path), claimed, tolerances=tolerances)


def places_of(model: Path, count: float) -> int:
    """How much more in the bias of the first layer is `count` LSB of its result."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(model).graph.initializer}
    return round(count * float(values["relu1_scale"]) / float(values["image_scale"] * values["w0_scale"]))


@pytest.mark.parametrize(("count", "blamed"), [(0.4, False), (2.6, True)])
def test_a_layer_may_be_off_by_one_last_place(folder: Path, tmp_path: Path, count: float, blamed: bool) -> None:
    right = folder / "int8.onnx"
    wrong = with_bias_off_by(right, places_of(right, count), tmp_path / "wrong.onnx")
    found = verify_as_if(wrong, right, tmp_path)
    layers = [each for each in found.layers if not each.is_equal]
    assert [each.unit for each in layers] == [Unit.LSB] * blamed
    assert all("conv1" in each.nodes for each in layers)
    first = next(each for each in found.layers if "conv1" in each.nodes)
    assert first.error == (3.0 if blamed else 1.0)
    if blamed:
        assert found.diagnostics()[0].expected == "a difference of at most 1 LSB"
        loose = verify_as_if(wrong, right, tmp_path, Tolerances(lsb=3.0))
        assert all(each.is_equal for each in loose.layers)


def test_a_wrong_part_of_an_integer_concatenation_is_the_only_one_blamed(folder: Path, tmp_path: Path) -> None:
    right = folder / "int8.onnx"
    model = onnx.load(right)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    doubled = numpy_helper.to_array(weights["w6_quantized"]) // 2
    weights["w6_quantized"].CopyFrom(numpy_helper.from_array(doubled, "w6_quantized"))
    found = verify_as_if(save_model(model, tmp_path / "wrong.onnx"), right, tmp_path)
    blamed = [each.nodes for each in found.layers if not each.is_equal]
    assert len(blamed) == 1
    assert "right" in blamed[0]


def test_the_command_shows_units(cli: Cli, folder: Path) -> None:
    result = cli("verify", folder / "int8.onnx")
    assert result.code == 0
    assert "LSB" in result.out
    as_json = cli("verify", folder / "int8.onnx", "--lsb", "0", "--tolerance", "0", "--json").json
    comparisons = as_json["result"]["comparisons"]
    assert {each["unit"] for each in comparisons} >= {"LSB"}
    assert {each["tolerance"] for each in comparisons if each["unit"] == "LSB"} == {0.0}


def test_indices_and_masks_are_exact(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Greater", ["x", "y"], ["mask"], name="greater1"),
        helper.make_node("ArgMax", ["x"], ["place"], name="argmax1", axis=1, keepdims=0),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 4]) for name in "xy"]
    results = [
        helper.make_tensor_value_info("mask", TensorProto.BOOL, [3, 4]),
        helper.make_tensor_value_info("place", TensorProto.INT64, [3]),
    ]
    graph = helper.make_graph(nodes, "indices", ports, results)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = verify_source(str(save_model(model, tmp_path / "m.onnx")))
    assert found.is_equal
    assert {(each.unit, each.tolerance, each.error) for each in found.outputs} == {(Unit.EXACT, 0.0, 0.0)}


class TestQuantizedTensors:
    """What is found out about the tensors of a model."""

    def chain(self, *nodes: onnx.NodeProto) -> QuantizedTensors:
        scales = {"s": np.array(0.5, np.float32), "t": np.array([0.25, 2.0], np.float32), "z": np.array(0, np.int8)}
        scales |= {"u": np.array(0.125, np.float32), "w": np.zeros(1, np.int32)}
        tensors = [numpy_helper.from_array(array, name) for name, array in scales.items()]
        tensors += [numpy_helper.from_array(np.array([0, 0], np.int8), "zz")]
        graph = helper.make_graph(list(nodes), "chain", [], [], tensors)
        x = np.zeros((1, 2, 3), np.float32)
        made = {name: x.astype(np.int8) if name.startswith("q") else x for node in nodes for name in node.output}
        return QuantizedTensors(helper.make_model(graph), {"x": x, **made})

    def test_a_float_model_has_none(self) -> None:
        found = self.chain(helper.make_node("Relu", ["x"], ["y"]))
        assert (found.is_quantized, found.integers, found.steps) == (False, set(), {})

    def test_steps_move_with_the_data(self) -> None:
        found = self.chain(
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("Transpose", ["q"], ["q2"]),
            helper.make_node("DequantizeLinear", ["q2", "s", "z"], ["a"]),
            helper.make_node("Flatten", ["a"], ["b"]),
            helper.make_node("Concat", ["a", "a"], ["c"], axis=1),
            helper.make_node("Softmax", ["b"], ["d"]),
        )
        assert found.integers == {"q", "q2"}
        assert {name: step.item() for name, step in found.steps.items()} == {"a": 0.5, "b": 0.5, "c": 0.5}
        assert found.behind["d"] == 0.5
        assert not found.is_wide

    def test_a_channel_has_its_own_step(self) -> None:
        found = self.chain(
            helper.make_node("QuantizeLinear", ["x", "t", "zz"], ["q"], axis=1),
            helper.make_node("DequantizeLinear", ["q", "t", "zz"], ["a"], axis=-2),
            helper.make_node("Flatten", ["a"], ["b"]),
        )
        assert found.steps["a"].shape == (1, 2, 1)
        assert (found.behind["a"], found.behind["b"], "b" in found.steps) == (2.0, 2.0, False)

    @pytest.mark.parametrize(
        ("op_type", "inputs"),
        [
            ("QLinearAdd", "q u z q u z s z"),
            ("QLinearMul", "q u z q u z s z"),
            ("QLinearConcat", "s z q u z q u z"),
            ("QLinearWhere", "x q u z q u z s z"),
            ("QLinearSigmoid", "q u z s z"),
            ("QLinearLeakyRelu", "q u z s z"),
            ("QLinearSoftmax", "q u z s z"),
            ("QLinearAveragePool", "q u z s z"),
            ("QLinearGlobalAveragePool", "q u z s z"),
            ("QGemm", "q u z q u z w s z"),
        ],
    )
    def test_operators_of_onnx_runtime_round_to_the_scale_of_their_result(self, op_type: str, inputs: str) -> None:
        found = self.chain(
            helper.make_node("QuantizeLinear", ["x", "u", "z"], ["q"]),
            helper.make_node(op_type, inputs.split(), ["q2"], domain="com.microsoft"),
        )
        assert found.integers == {"q", "q2"}
        assert found.behind["q2"] == 0.5
        assert found.rounds_between("q2", {"q"})

    def test_a_product_without_a_scale_is_real(self) -> None:
        found = self.chain(
            helper.make_node("QuantizeLinear", ["x", "u", "z"], ["q"]),
            helper.make_node("QGemm", ["q", "u", "z", "q", "u", "z"], ["y"], domain="com.microsoft"),
        )
        assert found.integers == {"q"}
        assert found.behind["y"] == 0.125

    def test_channels_are_the_second_dimension_unless_an_axis_is_given(self) -> None:
        found = self.chain(
            helper.make_node("QuantizeLinear", ["x", "t", "zz"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "t", "zz"], ["a"]),
        )
        assert found.steps["a"].shape == (1, 2, 1)

    def test_different_steps_make_no_grid(self) -> None:
        found = self.chain(
            helper.make_node("DequantizeLinear", ["qx", "s", "z"], ["a"]),
            helper.make_node("Concat", ["a", "x"], ["b"], axis=1),
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["qx"]),
        )
        assert "b" not in found.steps

    def test_rounding_on_the_way(self) -> None:
        found = self.chain(
            helper.make_node("Relu", ["x"], ["a"]),
            helper.make_node("QuantizeLinear", ["a", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["b"]),
            helper.make_node("Softmax", ["b"], ["c"]),
        )
        assert found.rounds_between("c", {"x"})
        assert found.rounds_between("c", {"a"})
        assert not found.rounds_between("c", {"q"})
        assert not found.rounds_between("a", {"x"})
