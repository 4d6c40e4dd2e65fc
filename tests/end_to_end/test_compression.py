"""Feature maps compressed on the off-chip link: results as without, and counts of what the data take."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import compiler
from backends.container import read_program
from backends.program import Program
from backends.spatial.codes import Tensor
from backends.spatial.emulator import MODES, SpatialEmulator
from backends.spatial.isa import ISA, Compress
from dialects.events import Counts
from passes.mapping.cost import price
from tests.onnx_models import onnx_model, onnx_node

TARGET = Path(__file__).parents[2] / "benchmarks" / "eyeriss_chip" / "target.toml"
SHAPES = {"w1": (8, 4, 3, 3), "w2": (6, 8, 3, 3), "w3": (6, 8, 3, 3)}
INPUT = (1, 4, 9, 9)


def network(dense: bool, pads: int) -> onnx.ModelProto:
    """Two convolutions and a third one that is added; no word is zero if `dense`, and about half of them otherwise."""
    random = np.random.default_rng(0)
    weights = {name: random.integers(-3, 4, shape).astype(np.float32) for name, shape in SHAPES.items()}
    if dense:
        weights = {name: np.abs(words) + 1 for name, words in weights.items()}
    nodes = [
        onnx_node("Conv", "x w1", "a", pads=[pads] * 4),
        onnx_node("Relu", "a", "y"),
        onnx_node("Conv", "y w2", "b", pads=[pads] * 4),
        onnx_node("Conv", "y w3", "c", pads=[pads] * 4),
        onnx_node("Add", "b c", "d"),
        onnx_node("Relu", "d", "z"),
    ]
    return onnx_model(nodes, {"x": INPUT}, "y z", weights)


def inputs() -> dict[str, np.ndarray[Any, Any]]:
    return {"x": np.random.default_rng(1).integers(1, 5, INPUT).astype(np.float32)}


def built(folder: Path, model: onnx.ModelProto, zeros: str = "") -> Program:
    path, mapping = folder / "m.onnx", folder / "m.toml"
    onnx.save(model, path)
    mapping.write_text(zeros)
    compiler.compile(path, target=str(TARGET), output=folder / "p.cat", mapping=mapping)
    return read_program(folder / "p.cat")


def counted(program: Program, mode: str) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Counts]]:
    emulator = SpatialEmulator(program, mode)
    outputs = emulator.run(inputs())
    return outputs, dict(emulator.counters)


def predicted(program: Program) -> dict[str, Counts]:
    return {layer.name: Counts.of(layer.predicted) for layer in program.layers}


def test_both_engines_compute_and_count_the_same(tmp_path: Path) -> None:
    program = built(tmp_path, network(dense=False, pads=1))
    plain = tmp_path / "plain.cat"
    compiler.compile(tmp_path / "m.onnx", target="eyeriss", output=plain)
    expected = SpatialEmulator(read_program(plain)).run(inputs())
    found = {mode: counted(program, mode) for mode in MODES}
    for outputs, counts in found.values():
        for name, output in expected.items():
            np.testing.assert_array_equal(outputs[name], output)
        assert counts == found["blocks"][1]
    assert sum(counts.events["operation.gated"] for counts in found["blocks"][1].values()) > 0


def test_inputs_of_the_network_and_constants_go_as_they_are(tmp_path: Path) -> None:
    program = built(tmp_path, network(dense=False, pads=1))
    layers = {entry.layer: ISA.decode(program.code[0])[entry.start : entry.end] for entry in program.debug}
    compressed = [[each.tensor for each in code if isinstance(each, Compress)] for code in layers.values()]
    assert compressed[0] == [Tensor.OUTPUT]
    assert all(tensors[0] is Tensor.INPUT and tensors[-1] is Tensor.OUTPUT for tensors in compressed[1:])
    assert any(Tensor.EXTRA0 in tensors for tensors in compressed)
    counts = next(iter(counted(program, "blocks")[1].values())).events
    assert counts["dram.input.compressed"] == counts["dram.input.read"] + counts["dram.input.padding"]


def test_data_without_zeros_take_what_is_predicted(tmp_path: Path) -> None:
    program = built(tmp_path, network(dense=True, pads=0))
    _, counts = counted(program, "blocks")
    for name, expected in predicted(program).items():
        assert not counts[name].differences(expected)
        events = counts[name].events
        # Three words of 16 bits take four: compression of what has no zeros is a loss.
        assert events["dram.output.compressed"] == 4 * -(-events["dram.output.write"] // 3)


def test_one_transfer_takes_what_the_code_makes_of_its_words(tmp_path: Path) -> None:
    program = built(tmp_path, network(dense=False, pads=1))
    emulator = SpatialEmulator(program)
    output = emulator.run(inputs())["z"]
    last = program.layers[-1]
    compression = emulator.machine.dram.compression
    assert compression is not None
    words = 4 * compression.code(16).link_words(output)
    assert emulator.counters[last.name].events["dram.output.compressed"] == words


def test_gated_operations_are_those_on_inputs_of_zero_and_save_energy(tmp_path: Path) -> None:
    program = built(tmp_path, network(dense=False, pads=1))
    outputs, counts = counted(program, "blocks")
    y = np.pad(outputs["y"], ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(y, (3, 3), axis=(2, 3))
    filters = SHAPES["w2"][0]
    machine = SpatialEmulator(program).machine
    for layer in program.layers[1:]:
        found = counts[layer.name]
        assert found.events["operation.gated"] == filters * int(np.count_nonzero(windows == 0))
        without = deepcopy(found)
        without.events["operation.gated"] = 0
        assert price(found, machine).total_energy < price(without, machine).total_energy
        assert price(found, machine).cycles == price(without, machine).cycles


def test_measured_zeros_predict_what_is_counted(tmp_path: Path) -> None:
    """Calibrated on the inputs of the run: by the chain as it is mapped, padding that is fetched included."""
    model, data = tmp_path / "m.onnx", tmp_path / "inputs.npz"
    onnx.save(network(dense=False, pads=1), model)
    np.savez(data, **inputs())
    compiler.compile(model, target=str(TARGET), output=tmp_path / "p.cat", calibrate=data)
    program = read_program(tmp_path / "p.cat")
    _, counts = counted(program, "blocks")
    saved = 0
    for name, expected in predicted(program).items():
        for event in ("dram.output.compressed", "dram.input.compressed", "operation.gated"):
            assert expected.events[event] == pytest.approx(counts[name].events[event], rel=0.05, abs=8)
        saved += expected.events["dram.output.write"] - expected.events["dram.output.compressed"]
    assert saved > 0


def test_reports_and_explanations_of_models_go_by_zeros_as_programs_do(tmp_path: Path) -> None:
    model, data = tmp_path / "m.onnx", tmp_path / "inputs.npz"
    onnx.save(network(dense=False, pads=1), model)
    np.savez(data, **inputs())
    compiler.compile(model, target=str(TARGET), output=tmp_path / "p.cat", calibrate=data)
    of_program = compiler.report(tmp_path / "p.cat").layers
    assert [each.counts for each in compiler.report(model, target=str(TARGET), calibrate=data).layers] == [
        each.counts for each in of_program
    ]
    explained = compiler.explain(model, target=str(TARGET), calibrate=data)
    assert [each.facts.counts for each in explained.layers if each.facts] == [each.counts for each in of_program]
    stated = compiler.report(model, target=str(TARGET), density=0.1).layers
    assert sum(each.price.total_energy for each in stated) < sum(each.price.total_energy for each in of_program)


def test_given_zeros_predict_what_is_counted(tmp_path: Path) -> None:
    program = built(tmp_path, network(dense=False, pads=1))
    outputs, counts = counted(program, "blocks")
    y = outputs["y"]
    padded = np.pad(y, ((0, 0), (0, 0), (1, 1), (1, 1)))
    shares = f"{{ output = {np.mean(y == 0)} }}", f"{{ input = {np.mean(padded == 0)} }}"
    tables = '[zeros]\n"make a" = {}\n"make b" = {}\n'.format(*shares)
    expected = predicted(built(tmp_path, network(dense=False, pads=1), tables))
    for layer, event in zip(program.layers, ("dram.output.compressed", "dram.input.compressed"), strict=False):
        assert expected[layer.name].events[event] == pytest.approx(counts[layer.name].events[event], rel=0.05)
    second = program.layers[1].name
    gated = "operation.gated"
    assert expected[second].events[gated] == pytest.approx(counts[second].events[gated], rel=0.05)
