"""The compile mode at every door: options, Python functions, reports, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

import compiler
from compiler.compilation import CompileOptions, compile_source
from compiler.ir_text import write_module
from compiler.modes import Mode
from compiler.reports import layer_table, read_statistics, statistics_json
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.target import MachineOp, require_machine
from tests.compiler.conftest import Cli
from tests.end_to_end.networks import NETWORKS


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A network with links of every kind as a file."""
    path = tmp_path / "residual.onnx"
    onnx.save(NETWORKS["residual"](), path)
    return path


def problems(source: Path, options: CompileOptions) -> list[Diagnostic]:
    with pytest.raises(CatenaError) as caught:
        compile_source(str(source), options)
    return list(caught.value.diagnostics)


def test_the_mode_needs_the_mapping_stage_and_a_host(source: Path, tmp_path: Path) -> None:
    (problem,) = problems(source, CompileOptions(mode=Mode.OFFLOAD, stop="fused"))
    assert (problem.code, problem.message) == ("CAT-C001", "mode offload is of no use without stage mapped")
    module = compile_source(str(source), CompileOptions(stop="encoded")).module
    machine = require_machine(module, "encoded")
    first = module.body.block.first_op
    assert first is not None
    module.body.block.insert_op_before(MachineOp.of(machine.model_copy(update={"host": None})), first)
    module.body.block.erase_op(first)
    path = tmp_path / "hostless.mlir"
    write_module(module, path)
    (problem,) = problems(path, CompileOptions(mode=Mode.OFFLOAD))
    assert (problem.code, problem.hint) == ("CAT-U006", "describe one in the table [host] of the target")


def test_the_verbs_take_the_mode(cli: Cli, source: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    done = cli("report", source, "--mode", "offload")
    assert done.code == 0
    assert "host cycles" in done.out
    assert "host cycles" not in cli("report", source).out
    totals = cli("report", source, "--mode", "offload", "--json").json["result"]["totals"]
    assert totals["host_cycles"] > 0 < totals["host_energy_pj"]
    assert cli("verify", source, "--mode", "offload").code == 0
    assert cli("check", source, "--mode", "offload").code == 0
    done = cli("compile", source, "--mode", "ofload", "-o", tmp_path / "x.cat")
    assert done.code == 2
    assert "did you mean offload?" in done.err


def test_the_python_functions_take_the_mode(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "offload.cat"
    assert compiler.check(source, mode="offload").is_supported
    compiler.compile(source, mode="offload", output=path)
    done = compiler.run(path)
    predicted = compiler.report(source, mode="offload")
    assert predicted.host_cycles == done.report.host_cycles > 0
    assert predicted.host_energy == done.report.host_energy > 0
    assert predicted.energy == pytest.approx(done.report.energy)
    assert compiler.verify(source, mode="offload").is_equal
    assert f"{predicted.host_cycles:,}" in layer_table(predicted).footer
    with pytest.raises(CatenaError, match="no mode is called 'host'"):
        compiler.compile(source, mode="host")


def test_statistics_keep_the_host(source: Path, tmp_path: Path) -> None:
    report = compiler.report(source, mode="offload")
    path = tmp_path / "s.json"
    path.write_text(json.dumps(statistics_json(report)))
    assert read_statistics(str(path)) == report
