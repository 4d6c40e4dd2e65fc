"""--fuse --objective on arrays: networks of groups cost no more than those that move least, or than links alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from backends.registry import find_backend
from compiler.compilation import CompileOptions, compile_source
from compiler.execution import predicted_report, run_loaded
from dialects.schedule import Objective
from passes.dissolve_groups import DissolveGroupsPass
from passes.fuse_layers import FuseLayersPass
from passes.fusion.paths import value_of
from passes.layer_costs import judge_of, layer_costs
from passes.map_gemm import MapGemmPass
from passes.map_row_stationary import MapRowStationaryPass
from passes.merge_dims import MergeDimsPass
from passes.searching.options import SearchOptions
from tests.compiler.small_models import save_model
from tests.compiler.test_staying import network
from tests.end_to_end.networks import Graph, inputs_of
from tests.filechecking import new_ir_context

TARGETS: dict[str, tuple[type[ModulePass], dict[str, str]]] = {
    "eyeriss": (MapRowStationaryPass, {"glb.banks": "24", "glb.bank_words": "64"}),
    "spots": (MapGemmPass, {"sram.input_words": "900", "sram.kernel_words": "900"}),
}
"""The pass that maps, and buffers in which not all of the longer network fits."""


def _short() -> onnx.ModelProto:
    graph = Graph(3)
    value = graph.conv(graph.input(1, 3, 8, 8), 3, 4, 3, 3, pads=[1, 1, 1, 1])
    return graph.model("short", [graph.conv(value, 4, 4, 3, 3, pads=[1, 1, 1, 1])])


def _value(module: ModuleOp, objective: Objective) -> float:
    costs = layer_costs(new_ir_context(), module, judge_of(module))
    return value_of(objective, sum(each.energy for each in costs), sum(each.cycles for each in costs))


def _by(source: Path, target: str, objective: Objective, least: str | None) -> float:
    """What the network costs with groups that make something least, without those that are not worth it."""
    mapping, settings = TARGETS[target]
    module = compile_source(str(source), CompileOptions(target=target, settings=settings, stop="encoded")).module
    options: dict[str, Any] = {"objective": objective.value}
    # chosen by words tensors may stay, too; chosen by price they do not
    steps: list[ModulePass] = [] if least is None else [FuseLayersPass(least=least, staying=0, **options)]  # pyright: ignore
    for step in (*steps, MergeDimsPass(), mapping(**options), DissolveGroupsPass(**options)):
        step.apply(new_ir_context(), module)
    return _value(module, objective)


@pytest.mark.parametrize(
    ("target", "objective", "longer"),
    [
        ("eyeriss", Objective.LATENCY, False),
        *(
            pytest.param(target, objective, True, marks=pytest.mark.exhaustive)
            for target in TARGETS
            for objective in (Objective.ENERGY, Objective.LATENCY, Objective.EDP)
        ),
    ],
)
def test_no_network_by_words_or_without_groups_costs_less(
    target: str, objective: Objective, *, longer: bool, tmp_path: Path
) -> None:
    source = save_model(network() if longer else _short(), tmp_path / "model.onnx")
    by_price, by_words, unfused = (_by(source, target, objective, each) for each in (objective.value, "traffic", None))
    assert by_price <= by_words <= unfused
    assert by_price < unfused
    if (target, objective, longer) == ("eyeriss", Objective.EDP, True):
        assert by_price < 0.9 * by_words


@pytest.mark.parametrize("target", TARGETS)
def test_it_runs_as_predicted_and_computes_the_same(target: str, tmp_path: Path) -> None:
    source = save_model(model := _short(), tmp_path / "model.onnx")
    outputs: list[np.ndarray] = []
    costs: list[float] = []
    for fuse in (False, True):
        settings, search = TARGETS[target][1], SearchOptions(Objective.ENERGY)
        options = CompileOptions(target=target, settings=settings, fuse=fuse, search=search)
        program = compile_source(str(source), options).program
        assert program is not None
        assert bool(program.groups) == fuse
        done = run_loaded(program, find_backend(program.metadata.backend).load(program, None), inputs_of(model))
        predicted = predicted_report(program)
        assert [each.counts for each in done.report.layers] == [each.counts for each in predicted.layers]
        outputs += done.outputs.values()
        costs.append(predicted.energy)
    assert costs[1] < costs[0]
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=0, atol=1e-5 * np.abs(outputs[0]).max())
