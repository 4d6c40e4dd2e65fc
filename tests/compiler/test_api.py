"""The verbs as Python functions."""

from __future__ import annotations

import inspect as introspection
from pathlib import Path

import numpy as np
import pytest

import compiler
from compiler import api
from dialects.diagnostics import CatenaError
from tests.compiler.small_models import save_model, unsupported_model


def test_the_whole_way(cnn: Path, tmp_path: Path) -> None:
    compiled = compiler.compile(cnn, output=tmp_path / "p.cat", dump_ir=tmp_path / "ir")
    assert compiled.program is not None
    assert (tmp_path / "ir" / "01-import.mlir").exists()
    image = np.ones((1, 2, 6, 6), np.float32)
    execution = compiler.run(tmp_path / "p.cat", {"image": image}, trace=tmp_path / "trace.txt")
    assert execution.outputs["scores"].shape == (1, 3)
    assert (tmp_path / "trace.txt").read_text()
    predicted = compiler.report(tmp_path / "p.cat")
    assert predicted.counts == execution.report.counts
    assert predicted.milliseconds == pytest.approx(predicted.cycles / 200e3)
    listing = compiler.disassemble(tmp_path / "p.cat", tmp_path / "p.s")
    assert listing == (tmp_path / "p.s").read_text()
    compiler.assemble(tmp_path / "p.s", tmp_path / "q.cat")
    assert (tmp_path / "q.cat").read_bytes() == (tmp_path / "p.cat").read_bytes()
    resumed = compiler.compile(tmp_path / "ir" / "03-fused.mlir", start="fused")
    assert resumed.program is not None
    assert resumed.program.code[0] == compiled.program.code[0]


def test_random_inputs_are_the_default(program: Path) -> None:
    first, second = compiler.run(program, seed=1).outputs, compiler.run(program, seed=1).outputs
    assert np.array_equal(first["scores"], second["scores"])


def test_check_inspect_opt(cnn: Path, tmp_path: Path) -> None:
    assert compiler.check(cnn).is_supported
    found = compiler.check(save_model(unsupported_model(), tmp_path / "u.onnx"))
    assert [problem.node for problem in found.problems] == ["noise1", "noise2"]
    assert compiler.inspect(cnn).facts["MACs"] == 2700
    assert "gconv.link" in compiler.opt(cnn, "lower-onnx")


def test_errors_carry_diagnostics(tmp_path: Path) -> None:
    with pytest.raises(CatenaError) as caught:
        compiler.compile(tmp_path / "none.onnx")
    assert caught.value.diagnostics[0].code == "CAT-C002"


def test_every_function_is_documented_and_exported() -> None:
    assert set(compiler.__all__) == {name for name in api.__all__ if introspection.isfunction(getattr(api, name))}
    for name in compiler.__all__:
        assert introspection.getdoc(getattr(compiler, name))


def test_nothing_else_is_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'complie'"):
        compiler.complie  # noqa: B018
