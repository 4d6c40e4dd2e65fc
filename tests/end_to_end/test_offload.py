"""Small networks in mode `offload`: outputs as in mode `chain`, counts as predicted, the host's share in reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.container import read_program
from backends.program import Program
from backends.spatial.emulator import SpatialEmulator
from compiler.compilation import CompileOptions, compile_source, write_compiled
from compiler.dumps import StageDump
from compiler.modes import Mode
from dialects.events import Counts
from tests.end_to_end.networks import NETWORKS, inputs_of
from tests.end_to_end.quantized_layers import quantized_layers
from tests.examples import examples

ON_CHIP = ("conv", "matmul")


def saved(name: str, folder: Path) -> tuple[onnx.ModelProto, Path]:
    """A network, and its file."""
    model = NETWORKS[name]()
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    return model, path


def compiled(source: Path, mode: Mode) -> Program:
    """The program of a model, as read back from its file."""
    path = source.with_suffix(f".{mode}.cat")
    write_compiled(compile_source(str(source), CompileOptions(mode=mode)), path)
    return read_program(path)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_computes_what_it_does_as_a_chain(name: str, tmp_path: Path) -> None:
    model, source = saved(name, tmp_path)
    inputs = inputs_of(model)
    chain, offload = (compiled(source, mode) for mode in Mode)
    emulator = SpatialEmulator(offload)
    expected = SpatialEmulator(chain).run(inputs)
    for tensor, array in emulator.run(inputs).items():
        np.testing.assert_array_equal(array, expected[tensor])
    assert {layer.kind for layer in offload.layers if not layer.kind.startswith("host ")} <= set(ON_CHIP)
    assert not any(layer.kind.startswith("host ") for layer in chain.layers)
    for layer in offload.layers:
        differences = emulator.counters[layer.name].differences(Counts.of(layer.predicted))
        assert not differences, f"{layer.name}: (counted, predicted) {differences}"


@settings(
    derandomize=True,
    deadline=None,
    max_examples=examples(25),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(quantized_layers(), st.integers(0, 99))
def test_a_quantized_layer_computes_the_same_integers(tmp_path: Path, model: onnx.ModelProto, seed: int) -> None:
    source = tmp_path / "layer.onnx"
    onnx.save(model, source)
    inputs = inputs_of(model, seed)
    expected, found = (SpatialEmulator(compiled(source, mode)).run(inputs) for mode in Mode)
    for tensor, array in found.items():
        assert array.dtype == expected[tensor].dtype
        np.testing.assert_array_equal(array, expected[tensor])


def test_the_decision_is_in_the_ir(tmp_path: Path) -> None:
    _, source = saved("residual", tmp_path)
    straight = compile_source(str(source), CompileOptions(mode=Mode.OFFLOAD), (StageDump(tmp_path / "ir"),))
    assert straight.program is not None
    mapped = tmp_path / "ir" / "05-mapped.mlir"
    assert "#schedule.host" in mapped.read_text()
    assert "spatial.offload" in (tmp_path / "ir" / "06-placed.mlir").read_text()
    for resumed in (compile_source(str(mapped)), compile_source(str(tmp_path / "ir" / "06-placed.mlir"))):
        assert resumed.program is not None
        assert resumed.program.code == straight.program.code


def test_a_mapping_file_can_send_a_layer_to_the_host(tmp_path: Path) -> None:
    _, source = saved("classifier", tmp_path)
    program = compile_source(str(source)).program
    assert program is not None
    layer = next(each for each in program.layers if each.kind == "conv")
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(f'[layers]\n"{layer.nodes[0]}" = "#schedule.host"\n')
    pinned = compile_source(str(source), CompileOptions(mapping=str(mapping))).program
    assert pinned is not None
    changed = [
        (before.kind, after.kind)
        for before, after in zip(program.layers, pinned.layers, strict=True)
        if before.kind != after.kind
    ]
    assert changed == [("conv", "host conv")]
