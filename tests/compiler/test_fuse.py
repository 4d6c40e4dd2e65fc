"""--fuse: networks compute what they did, move fewer words, and count what was predicted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from backends.generic.emulator import NestEmulator
from backends.registry import find_backend
from backends.spatial.emulator import SpatialEmulator
from backends.spots.emulator import SpotsEmulator
from compiler.compilation import CompileOptions, compile_source
from compiler.execution import predicted_report, run_loaded
from dialects.diagnostics import CatenaError
from dialects.events import Counts
from dialects.schedule import Objective
from passes.searching.options import SearchOptions
from tests.compiler.conftest import Cli
from tests.compiler.small_models import save_model
from tests.compiler.test_staying import network
from tests.end_to_end.networks import NETWORKS, Graph, inputs_of

READ = ("dram.input.read", "dram.kernel.read", "dram.extra.read")
WRITTEN = {"generic": "dram.output.update", "eyeriss": "dram.output.write"}
SETTINGS = {"generic": {"levels.glb.words": "2000"}, "eyeriss": {"glb.banks": "16", "glb.bank_words": "64"}}
"""Targets with buffers of about the size of the networks' tensors."""
ONLY_SCRATCHPADS = """
name = "scratchpads"
summary = "elements with memories of their own, and none outside of them"
clock_mhz = 100
word_bits = 16
[levels.dram]
kind = "memory"
[levels.pe]
kind = "axis"
size = 4
[levels.rf]
kind = "memory"
words = 64
"""
DEAR_HOLDS = """
extends = "generic"
name = "dear-holds"
[accesses.held]
energy = 10000
events = { "glb.output.hold" = 1 }
"""
"""A machine on which results that stay on the chip cost more than all else: only groups have any."""
NOT_WORTH_IT = {("residual", "eyeriss")}
"""Where groups would move fewer words for a larger product of energy and time."""
NOTHING_BETWEEN = ("moved-data", "typed")
"""Networks whose links lie apart."""
USUAL = ("residual", "separable", "attention", "joins", "broadcasts")
NAMES = [pytest.param(name, marks=[pytest.mark.exhaustive] * (name not in USUAL)) for name in NETWORKS]


def _run(source: Path, inputs: dict[str, np.ndarray], target: str, *, fuse: bool) -> tuple[dict[str, Any], int]:
    """Results and words over the off-chip link; all that is counted was predicted."""
    options = CompileOptions(target=target, settings=SETTINGS[target], fuse=fuse)
    program = compile_source(str(source), options).program
    assert program is not None
    assert bool(program.groups) <= fuse
    emulator = NestEmulator(program) if target == "generic" else SpatialEmulator(program)
    results = emulator.run(inputs)
    for layer in program.layers:
        assert not emulator.counters[layer.name].differences(Counts.of(layer.predicted)), layer.name
    return results, sum(counts.charged([*READ, WRITTEN[target]]) for counts in emulator.counters.values())


@pytest.mark.parametrize("target", SETTINGS)
@pytest.mark.parametrize("name", NAMES)
def test_networks_compute_the_same_and_move_less(name: str, target: str, tmp_path: Path) -> None:
    model = NETWORKS[name]()
    source = save_model(model, tmp_path / "model.onnx")
    inputs = inputs_of(model)
    expected, before = _run(source, inputs, target, fuse=False)
    found, after = _run(source, inputs, target, fuse=True)
    for output, values in expected.items():
        np.testing.assert_allclose(found[output], values, rtol=0, atol=1e-5 * np.abs(values).max(), err_msg=output)
    assert after <= before
    assert after < before or name in NOTHING_BETWEEN or (name, target) in NOT_WORTH_IT


def test_sums_go_on_over_blocks_of_channels_where_this_moves_least(tmp_path: Path) -> None:
    graph = Graph(7)
    graph.conv(graph.input(1, 32, 5, 5), 32, 24, 3, 3, pads=[1, 1, 1, 1])
    model = graph.model("deep", [graph.rename("y", "y")])
    source, inputs = save_model(model, tmp_path / "model.onnx"), inputs_of(model)
    options = CompileOptions(target="generic", settings={"levels.glb.words": "1000"}, fuse=True)
    program = compile_source(str(source), options).program
    assert program is not None
    ((group,), (layer,)) = program.groups, program.layers
    assert "for C.ks 1" in group.mapping
    emulator = NestEmulator(program)
    (found,) = emulator.run(inputs).values()
    counts = emulator.counters[layer.name]
    assert not counts.differences(Counts.of(layer.predicted))
    # input, kernel, bias and result, each once
    assert counts.charged([*READ, WRITTEN["generic"]]) == 32 * 25 + 24 * 32 * 9 + 24 + 24 * 25
    alone = compile_source(str(source), CompileOptions(target="generic")).program
    assert alone is not None
    (expected,) = NestEmulator(alone).run(inputs).values()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def _expected(source: Path, target: str, words: int, objective: Objective | None, *, fuse: bool) -> tuple[float, ...]:
    """Energy in pJ, cycles and groups of a network."""
    settings = {"levels.glb.words": str(words)}
    options = CompileOptions(target=target, settings=settings, fuse=fuse, search=SearchOptions(objective))
    program = compile_source(str(source), options).program
    assert program is not None
    report = predicted_report(program)
    return report.energy, report.cycles, len(program.groups)


def test_groups_that_cost_more_are_taken_apart_where_an_objective_is_asked_for(tmp_path: Path) -> None:
    source = save_model(NETWORKS["residual"](), tmp_path / "model.onnx")
    target = tmp_path / "dear-holds.toml"
    target.write_text(DEAR_HOLDS, encoding="utf-8")
    alone = _expected(source, str(target), 300, Objective.ENERGY, fuse=False)
    fused = _expected(source, str(target), 300, None, fuse=True)
    assert fused[2] >= 1
    assert fused[0] > alone[0]
    assert _expected(source, str(target), 300, Objective.ENERGY, fuse=True) == alone


@pytest.mark.parametrize(("objective", "which"), [(Objective.ENERGY, 0), (Objective.LATENCY, 1)])
def test_fusing_makes_nothing_more_of_what_is_to_be_least(objective: Objective, which: int, tmp_path: Path) -> None:
    source = save_model(NETWORKS["joins"](), tmp_path / "model.onnx")
    alone, fused = (_expected(source, "generic", 300, objective, fuse=fuse) for fuse in (False, True))
    assert fused[2]
    assert fused[which] < alone[which]


@pytest.mark.parametrize("objective", [None, Objective.LATENCY])
def test_beside_groups_of_a_mapping_file_those_that_cost_more_are_taken_apart(
    objective: Objective | None, tmp_path: Path
) -> None:
    source = save_model(network(), tmp_path / "model.onnx")
    mapping = tmp_path / "mapping.toml"
    statement = 'fuse "a", "b" { for H.opc 3 store glb ["a", "b"] sequential {} }'
    mapping.write_text(f"groups = '{statement}'", encoding="utf-8")
    settings, search = {"glb.banks": "24", "glb.bank_words": "64"}, SearchOptions(objective)
    found: list[tuple[float, int]] = []
    for fuse in (False, True):
        options = CompileOptions(target="eyeriss", settings=settings, search=search, mapping=str(mapping), fuse=fuse)
        program = compile_source(str(source), options).program
        assert program is not None
        assert program.groups[0].layers == ("a", "b")
        report = predicted_report(program)
        found.append((report.energy, report.cycles))
    if objective is None:
        # c, d and e would be another one, in less energy, with many more cycles
        assert found[0] == found[1]
    assert found[1][1] <= found[0][1]


def test_a_target_that_cannot_fuse_says_so(tmp_path: Path, cli: Cli) -> None:
    source = save_model(NETWORKS["separable"](), tmp_path / "model.onnx")
    target = tmp_path / "scratchpads.toml"
    target.write_text(ONLY_SCRATCHPADS, encoding="utf-8")
    found = cli("compile", source, "-t", target, "--fuse", "-o", tmp_path / "out.cat")
    assert found.code == 3
    assert "CAT-U006" in found.err
    assert "do without --fuse" in found.err
    assert not (tmp_path / "out.cat").exists()


def test_fusing_needs_the_mapping_stage(tmp_path: Path) -> None:
    source = save_model(NETWORKS["separable"](), tmp_path / "model.onnx")
    with pytest.raises(CatenaError, match="--fuse is of no use without stage mapped"):
        compile_source(str(source), CompileOptions(target="generic", stop="fused", fuse=True))


@pytest.mark.parametrize("target", ["generic", "eyeriss", "spots"])
def test_scalars_take_part_in_groups(target: str, tmp_path: Path) -> None:
    """A scalar that is no constant, beside a tensor; and a link that has no loops at all."""
    random = np.random.default_rng(3)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["t"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Mul", ["t", "s"], ["u"], name="mul"),
        helper.make_node("MaxPool", ["u"], ["y"], name="pool", kernel_shape=[2, 2]),
        helper.make_node("Exp", ["s"], ["e"], name="exp"),
    ]
    shapes = {"x": [1, 3, 8, 8], "s": [], "y": [1, 4, 7, 7], "e": []}
    ports = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    stored = [numpy_helper.from_array(random.standard_normal((4, 3, 3, 3)).astype(np.float32), "w")]
    graph = helper.make_graph(nodes, "scaled", [ports["x"], ports["s"]], [ports["y"], ports["e"]], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = save_model(model, tmp_path / "model.onnx")
    inputs = {"x": random.random((1, 3, 8, 8), dtype=np.float32), "s": np.float32(0.5).reshape(())}
    outputs: list[Mapping[str, np.ndarray]] = []
    for fuse in (True, False):
        program = compile_source(str(path), CompileOptions(target=target, fuse=fuse)).program
        assert program is not None
        assert len(program.groups) == fuse
        done = run_loaded(program, find_backend(program.metadata.backend).load(program, None), inputs)
        assert [each.counts for each in done.report.layers] == [
            each.counts for each in predicted_report(program).layers
        ]
        outputs.append(done.outputs)
    for name, expected in outputs[1].items():
        np.testing.assert_allclose(outputs[0][name], expected, rtol=1e-6)


def test_groups_of_matrix_products_are_for_words_where_these_are_asked_for(tmp_path: Path) -> None:
    """Though a group takes a larger product of energy and time than its links alone, for which it is left otherwise."""
    graph = Graph(3)
    graph.conv(graph.input(1, 3, 16, 16), 3, 4, 3, 3, pads=[1, 1, 1, 1])
    graph.conv(graph.rename("a", "a"), 4, 4, 3, 3, pads=[1, 1, 1, 1])
    model = graph.model("pair", [graph.rename("b", "b")])
    source, inputs = save_model(model, tmp_path / "model.onnx"), inputs_of(model)
    settings = {"sram.input_words": "900", "sram.kernel_words": "900", "im2col.skips": "false"}
    words: list[float] = []
    results: list[np.ndarray] = []
    for objective, fuse in ((Objective.TRAFFIC, False), (Objective.TRAFFIC, True), (None, True)):
        options = CompileOptions(target="spots", settings=settings, fuse=fuse, search=SearchOptions(objective))
        program = compile_source(str(source), options).program
        assert program is not None
        assert bool(program.groups) == (fuse and objective is not None)
        emulator = SpotsEmulator(program)
        results += emulator.run(inputs).values()
        for layer in program.layers:
            assert not emulator.counters[layer.name].differences(Counts.of(layer.predicted)), layer.name
        words.append(sum(counts.charged([*READ, WRITTEN["eyeriss"]]) for counts in emulator.counters.values()))
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=1e-5 * np.abs(results[0]).max())
    assert words[0] - words[1] >= 2 * 4 * 16 * 16
