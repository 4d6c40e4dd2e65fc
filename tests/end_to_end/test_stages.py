"""Straight through equals stop, print, parse and resume, at every stage, byte for byte."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from backends.container import program_bytes
from compiler.compilation import CompileOptions, compile_source, write_compiled
from compiler.dumps import StageDump
from compiler.ir_text import print_module, read_module
from compiler.sources import ImportOptions
from compiler.stages import PROGRAM, STAGE_NAMES, dump_name
from tests.end_to_end.networks import NETWORKS
from tests.reference_models import reference_index, reference_shapes, reference_source

STOPS = [name for name in STAGE_NAMES if name != PROGRAM.name]


def check_resuming(source: Path, folder: Path, importing: ImportOptions) -> bytes:
    """Compile once with the IR of all stages written, then go on from each of the texts; the program."""
    straight = compile_source(str(source), CompileOptions(importing=importing), [StageDump(folder)])
    assert straight.program is not None
    expected = program_bytes(straight.program)
    for stage in STOPS:
        assert finished(folder / dump_name(stage)) == expected, f"resumed after {stage}"
    return expected


def check_stopping(source: Path, folder: Path, expected: bytes) -> None:
    """Stop after each stage: the text is what a run straight through writes there, parses to itself, and goes on."""
    for stage in STOPS:
        stopped = folder / f"stopped.{stage}.mlir"
        write_compiled(compile_source(str(source), CompileOptions(stop=stage)), stopped)
        text = stopped.read_text(encoding="utf-8")
        assert text == (folder / dump_name(stage)).read_text(encoding="utf-8"), f"stopped after {stage}"
        assert print_module(read_module(str(stopped)).module) == text
        assert finished(stopped, CompileOptions(start=stage)) == expected, f"stopped after {stage} and resumed"


def finished(text: Path, options: CompileOptions | None = None) -> bytes:
    """The program that IR text compiles to."""
    program = compile_source(str(text), options).program
    assert program is not None
    return program_bytes(program)


@pytest.mark.parametrize("name", ["classifier", "moved-data", "odd-names"])
def test_stopping_and_resuming_changes_nothing(name: str, tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    onnx.save(NETWORKS[name](), source)
    check_stopping(source, tmp_path, check_resuming(source, tmp_path, ImportOptions()))


def test_one_stage_at_a_time(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    onnx.save(NETWORKS["residual"](), source)
    expected = finished(source)
    before = source
    for stage in STOPS:
        after = tmp_path / f"{stage}.mlir"
        write_compiled(compile_source(str(before), CompileOptions(stop=stage)), after)
        before = after
    assert finished(before) == expected


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist8", "zz_resnet8", "blazeface_front"])
def test_reference_models_too(name: str, tmp_path: Path) -> None:
    if name not in reference_index():
        pytest.skip("no reference models")
    source = reference_source(name)
    assert isinstance(source, Path)
    check_resuming(source, tmp_path, ImportOptions(reference_shapes(name)))
