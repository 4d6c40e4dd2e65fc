"""--fuse on cores: networks with nothing for crossbars are no pipeline where that is predicted to cost more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import compiler
from backends.container import read_program
from backends.program import Program
from compiler.compilation import CompileOptions, compile_model, compile_source
from compiler.design_space import Space
from compiler.execution import predicted_report
from compiler.pipeline_choice import NOT_FUSED, Way, remark_on
from compiler.targets import select_target
from passes.off_chip import off_chip_words
from tests.backends.rram.quantized import SMALL, residual
from tests.compiler.conftest import Cli
from tests.compiler.small_models import save_model
from tests.end_to_end.networks import NETWORKS

PIPELINE = {"schedule.pipelined": "true"}
FUSED = CompileOptions(target="rram", fuse=True)


@pytest.fixture(scope="module")
def float_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of which vector units do everything."""
    return save_model(NETWORKS["classifier"](), tmp_path_factory.mktemp("models") / "float.onnx")


def program_of(source: Path, options: CompileOptions) -> Program:
    found = compile_source(str(source), options).program
    assert found is not None
    return found


def costs(program: Program) -> Way:
    report = predicted_report(program)
    return Way(off_chip_words(report.counts, report.machine), report.cycles)


def same_code(one: Program, other: Program) -> bool:
    return list(one.code) == list(other.code) and one.layers == other.layers


def test_what_moves_more_and_is_no_faster_is_worse() -> None:
    assert Way(11, 20).is_worse_than(Way(10, 20))
    assert not Way(11, 19).is_worse_than(Way(10, 20))
    assert not Way(10, 99).is_worse_than(Way(10, 20))


def test_fusing_costs_no_more_than_not_fusing(float_network: Path) -> None:
    pipeline = program_of(float_network, replace(FUSED, settings=PIPELINE))
    alone = program_of(float_network, replace(FUSED, fuse=False))
    assert pipeline.groups
    assert costs(pipeline).is_worse_than(costs(alone))
    asked = program_of(float_network, FUSED)
    assert same_code(asked, alone)
    assert remark_on(asked, fuse=True) == NOT_FUSED
    assert not remark_on(alone, fuse=False)
    assert not remark_on(pipeline, fuse=True)


def test_what_crossbars_multiply_is_a_pipeline() -> None:
    unfused = select_target("rram", SMALL)
    target = select_target("rram", {**SMALL, **PIPELINE})
    fused = compile_model(residual(1), target, CompileOptions(fuse=True), unfused=unfused).program
    assert fused is not None
    assert fused.groups


def test_later_stages_know_what_was_chosen(float_network: Path, tmp_path: Path, cli: Cli) -> None:
    straight = program_of(float_network, FUSED)
    for stage, more in (("gconv", ["--fuse"]), ("mapped", [])):
        ir, path = tmp_path / f"{stage}.mlir", tmp_path / f"{stage}.cat"
        on_the_way = ["--fuse"] if stage == "mapped" else []
        assert cli("compile", float_network, "-t", "rram", *on_the_way, "--to", stage, "-o", ir).code == 0
        found = cli("compile", ir, "-t", "rram", *more, "--no-cache", "-o", path)
        assert found.code == 0, found.err
        assert (NOT_FUSED in found.out) == bool(more)
        assert same_code(read_program(path), straight)


def test_points_of_a_space_are_fused_as_compilations_are(float_network: Path) -> None:
    found = compiler.explore(float_network, Space(targets={"rram": {}}, fuse=(False, True)), no_cache=True).json
    alone, fused = (each["figures"] for each in sorted(found["points"], key=lambda each: each["fuse"]))
    assert alone == fused
