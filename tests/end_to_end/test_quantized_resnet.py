"""ResNet-18 for small images, quantized in every format: each layer within a last place of ONNX Runtime, counts too."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.container import write_program
from backends.spatial.emulator import SpatialEmulator
from compiler.compilation import compile_source, write_compiled
from compiler.execution import load_program
from compiler.localising.locating import locate
from compiler.quantization import QuantizeOptions, quantize_model
from compiler.quantization.options import Format
from compiler.verification.comparison import Unit
from compiler.verification.layers import verify_program
from dialects.events import Counts
from tests.benchmarks.scripts import generate
from tests.compiler.localising.faults import negate, other_constants

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow

FORMATS = {
    "int8": QuantizeOptions(),
    "int8 per channel": QuantizeOptions(per_channel=True, symmetric=True),
    "uint8": QuantizeOptions(activations="uint8", per_channel=True),
    "int16": QuantizeOptions(activations="int16", weights="int16"),
    "int4 weights": QuantizeOptions(activations="uint8", weights="int4", per_channel=True),
    "qoperator": QuantizeOptions(Format.QOPERATOR, activations="uint8"),
    "fixed16": QuantizeOptions(Format.FIXED16),
}
USUAL = ("int8", "qoperator", "fixed16")


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate("resnet", tmp_path_factory.mktemp("resnet") / "resnet18.onnx", "--depth", 18, "--size", 64)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.exhaustive] * (name not in USUAL)) for name in FORMATS]
)
def test_every_layer_is_within_a_last_place(resnet: Path, tmp_path: Path, name: str) -> None:
    model, path = tmp_path / "q.onnx", tmp_path / "q.cat"
    quantize_model(resnet, model, ["random:2"], FORMATS[name])
    write_compiled(compile_source(str(model)), path)
    program, emulator = load_program(path)
    assert isinstance(emulator, SpatialEmulator)
    found = verify_program(program, emulator, model)
    assert found.is_equal, found.diagnostics()
    assert sum(each.unit is Unit.LSB and each.error is not None for each in found.layers) >= 20
    for layer in program.layers:
        assert not emulator.counters[layer.name].differences(Counts.of(layer.predicted)), layer.name


def test_a_negated_kernel_is_found_down_to_the_instruction(resnet: Path, tmp_path: Path) -> None:
    """As the README has it quantized, on the default target."""
    model, path = tmp_path / "q.onnx", tmp_path / "q.cat"
    quantize_model(resnet, model, ["random:1"], QuantizeOptions(per_channel=True))
    right = compile_source(str(model)).program
    assert right is not None
    weights = [each.name for each in right.tensors if "layer2.0.conv1" in each.name and each.dtype == "int8"]
    assert len(weights) == 1
    write_program(other_constants(weights[0], negate)(right, tmp_path), path)
    program, emulator = load_program(path)
    evidence = verify_program(program, emulator, model).evidence
    assert evidence is not None
    found = locate(program, emulator, model, evidence)
    assert "layer2.0.conv1" in found.nodes
    assert found.tile is not None
    assert found.blame is not None, found.lines()
    assert found.blame.text.startswith("load tensor=kernel")
    assert weights[0] in found.blame.reason
