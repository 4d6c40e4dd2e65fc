"""Small networks on the generic machine: outputs as ONNX Runtime's, counts as predicted, stages that resume."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from backends.container import program_bytes, read_program
from backends.generic.emulator import NestEmulator
from compiler.compilation import CompileOptions, compile_source, write_compiled
from compiler.dumps import StageDump
from compiler.stages import dump_name
from tests.backends.generic.layers import check_counts
from tests.end_to_end.networks import NETWORKS, inputs_of, reference_outputs
from tests.end_to_end.test_networks import check_outputs
from tests.end_to_end.test_stages import STOPS, finished

pytest.importorskip("onnxruntime")

TARGET = CompileOptions(target="generic")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_computes_and_counts_what_it_should(name: str, tmp_path: Path) -> None:
    model = NETWORKS[name]()
    source, output = tmp_path / f"{name}.onnx", tmp_path / f"{name}.cat"
    onnx.save(model, source)
    write_compiled(compile_source(str(source), TARGET), output)
    source.unlink()
    program = read_program(output)
    inputs = inputs_of(model)
    emulator = NestEmulator(program)
    check_outputs(emulator.run(inputs), reference_outputs(model, inputs))
    check_counts(program, emulator)


@pytest.mark.parametrize(("name", "fuse"), [("classifier", False), ("residual", True)])
def test_programs_are_predicted_as_they_run_however_the_search_counts_tiles(
    name: str, fuse: bool, tmp_path: Path
) -> None:
    model = NETWORKS[name]()
    source, output = tmp_path / "model.onnx", tmp_path / "model.cat"
    onnx.save(model, source)
    options = CompileOptions(target="generic", settings={"nested": "false"}, fuse=fuse)
    write_compiled(compile_source(str(source), options), output)
    program = read_program(output)
    assert bool(program.groups) == fuse
    emulator = NestEmulator(program)
    inputs = inputs_of(model)
    check_outputs(emulator.run(inputs), reference_outputs(model, inputs))
    check_counts(program, emulator)


def test_stopping_and_resuming_changes_nothing(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    onnx.save(NETWORKS["residual"](), source)
    straight = compile_source(str(source), TARGET, [StageDump(tmp_path)])
    assert straight.program is not None
    for stage in STOPS:
        options = CompileOptions(target=None if stage not in ("import", "gconv") else "generic")
        assert finished(tmp_path / dump_name(stage), options) == program_bytes(straight.program), stage
