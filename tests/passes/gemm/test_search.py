"""The best mapping by every objective: none of the space is better, and the IR says how good it is."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from compiler.compilation import CompileOptions, compile_source
from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce
from dialects.gconv.fused import FusedOp
from dialects.gemm_machine import GemmMachine
from dialects.schedule import Objective
from dialects.target import MachineOp
from passes.dissolve_groups import DissolveGroupsPass
from passes.fuse_layers import FuseLayersPass
from passes.gemm import tiles
from passes.gemm.candidates import candidates, with_groups, with_ring
from passes.gemm.cost import LINK, predict
from passes.gemm.legality import violations
from passes.gemm.pricing import price_of_products
from passes.gemm.search import Problem, best_mapping
from passes.map_gemm import MapGemmPass
from passes.searching.options import SearchOptions
from tests.backends.spatial.drawing import layers
from tests.backends.spatial.layers import Layer
from tests.backends.spots.layers import machine
from tests.backends.spots.test_random_layers import machines
from tests.examples import examples
from tests.filechecking import match_checks, parse_module, print_module
from tests.passes.gemm.test_gemm_passes import module_of

OBJECTIVES = list(Objective)


def values(problem: Problem, objective: Objective) -> list[float]:
    """What all mappings of the space cost, as the model counts them."""
    spec, target, shape = problem.spec, problem.machine, problem.input_shape
    found: list[float] = []
    for mapping in candidates(spec, target, shape, None, lambda: math.inf):
        whole = with_ring(spec, with_groups(spec, mapping, target, shape, None), target, shape)
        found.append(value(problem, whole, objective))
    return found


def value(problem: Problem, mapping: object, objective: Objective) -> float:
    counts = predict(problem.spec, mapping, problem.machine, problem.input_shape)  # pyright: ignore[reportArgumentType]
    price = price_of_products(counts, problem.machine)
    match objective:
        case Objective.ENERGY:
            return price.total_energy
        case Objective.LATENCY:
            return price.cycles
        case Objective.EDP:
            return price.total_energy * price.cycles
        case Objective.TRAFFIC:
            return counts.charged(LINK)


@settings(max_examples=examples(30), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(layer=layers(), target=machines(), objective=st.sampled_from(OBJECTIVES))
def test_no_mapping_of_the_space_is_better_than_the_gap_says(
    layer: Layer, target: GemmMachine, objective: Objective
) -> None:
    problem = Problem(layer.spec.bare, target, layer.input.view.shape)
    assume(layer.spec.trips <= 3000)
    chosen = best_mapping(problem, objective)
    assert not violations(problem.spec, chosen.mapping, target, problem.input_shape)
    mine, least = value(problem, chosen.mapping, objective), min(values(problem, objective))
    # Counts have whole cycles: of the link, and of what is waited for.
    rounding = 2 / min(values(problem, Objective.LATENCY)) if objective in (Objective.LATENCY, Objective.EDP) else 1e-9
    assert least >= (1 - chosen.gap) * mine * (1 - rounding)
    assert chosen.gap == 0 or objective is Objective.LATENCY


def test_windows_of_tiles_of_a_size_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    count = tiles.real_positions

    def counting(dim: Dim, extent: int, outputs: list[tuple[int, int]], kernels: list[tuple[int, int]]) -> int:
        asked.append((dim, extent, tuple(outputs), tuple(kernels)))
        return count(dim, extent, outputs, kernels)

    monkeypatch.setattr(tiles, "real_positions", counting)
    spec = GConv(
        (Dim("C", op=37, ks=41), Dim("H", opc=29, ks=3, pad=1), Dim("W", opc=29, ks=3, pad=1)), "mul", Reduce.ADD
    )
    best_mapping(Problem(spec, machine(), (41, 29, 29)))
    assert len(asked) > 3
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_ir_says_what_was_made_least_and_how_good_it_is(objective: Objective) -> None:
    module = module_of(sram={"output_words": 120, "input_words": 400})
    MapGemmPass(objective.value).apply(Context(), module)
    text = print_module(module)
    match_checks(text, f"// CHECK: #schedule.search<{objective} in divisions, {{{{optimal|gap 0.}}}}")
    assert print_module(parse_module(text)) == text


def test_a_mapping_that_is_given_has_no_mark() -> None:
    module = module_of("gemm<split 2, stream, store sram [K], for H.opc 2, store sram [O], store sram [I]>")
    MapGemmPass().apply(Context(), module)
    assert "schedule.search" not in print_module(module)


PAIR = """
func.func @main(%x: tensor<4x32x16xf32> {onnx.name = "x"}) -> (tensor<4x32x16xf32> {onnx.name = "y"}) {
  %a = gconv.link %x : tensor<4x32x16xf32> <C opc 4, H opc 32, W opc 16> "pass" none pre <relu> post <relu>
    {tensor = "a"} -> tensor<4x32x16xf32> loc("first")
  %y = gconv.link %a : tensor<4x32x16xf32> <C opc 4, H opc 32, W opc 16> "pass" none pre <relu> post <relu>
    {tensor = "y"} -> tensor<4x32x16xf32> loc("second")
  func.return %y : tensor<4x32x16xf32>
}
"""


def fused(objective: str, words_per_cycle: float) -> list[FusedOp]:
    """The groups that are left of the pair, on a machine with a link of so many words a cycle."""
    module: ModuleOp = parse_module(PAIR)
    target = machine(dram={"words_per_cycle": words_per_cycle}, sram={"input_words": 1000})
    first = module.body.block.first_op
    assert first is not None
    module.body.block.insert_op_before(MachineOp.of(target), first)
    for step in (FuseLayersPass(), MapGemmPass(objective), DissolveGroupsPass(objective)):  # pyright: ignore
        step.apply(Context(), module)
    return [op for op in module.walk() if isinstance(op, FusedOp)]


def test_groups_that_take_longer_than_their_links_are_taken_apart_where_time_counts() -> None:
    assert fused("latency", 2.0), "the link is what takes the time"
    assert fused("traffic", 4.0)
    assert fused("energy", 4.0)
    assert not fused("latency", 4.0), "transfers for holds are not hidden behind work"
    assert fused("edp", 4.0), "they take 1.49 times the time and 0.55 times the energy"
    assert not fused("edp", 64.0)


def test_options_of_searches_that_take_time_are_refused(tmp_path: Path) -> None:
    one = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4]), helper.make_tensor_value_info("y", 1, [4])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"], "relu")], "g", one[:1], one[1:])
    path = tmp_path / "relu.onnx"
    onnx.save(helper.make_model(graph), path)
    options = CompileOptions(target="spots", search=SearchOptions(Objective.ENERGY, jobs=2))
    with pytest.raises(CatenaError) as caught:
        compile_source(str(path), options)
    (found,) = caught.value.diagnostics
    assert (found.code, found.found) == ("CAT-C001", "--jobs")
    program = compile_source(str(path), CompileOptions(target="spots", search=SearchOptions(Objective.ENERGY))).program
    assert program is not None
    (layer,) = program.layers
    assert layer.search is not None
    assert (layer.search.objective, layer.search.space, layer.search.gap) == ("energy", "divisions", 0.0)
