"""The verbs as Python functions."""

from __future__ import annotations

import inspect as introspection
from pathlib import Path

import numpy as np
import onnx
import pytest
from click import Context

import compiler
from compiler import api
from compiler.cli.main import CATENA, VERBS
from compiler.tables import number, table
from dialects.diagnostics import CatenaError
from tests.compiler.small_models import save_model, unsupported_model
from tests.onnx_models import onnx_model, onnx_node


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
    (lowered,) = (step for step in compiler.history(cnn, stop="gconv").steps if step.name == "lower-onnx")
    assert lowered.changes
    assert "gconv.link" in compiler.opt(cnn, "lower-onnx")


@pytest.mark.parametrize(
    "name", ["check", "compile", "explain", "inspect", "prune", "quantize", "reduce", "report", "verify"]
)
def test_what_decides_a_compilation_can_be_given_as_on_the_command_line(name: str) -> None:
    """Options of the terminal, and files that Python writes itself, apart; `inspect --passes` is `history`."""
    deciding = {"target", "settings", "mode", "fuse", "mapping", "input_shapes", "batch", "fallback"}
    command = CATENA.get_command(Context(CATENA), name)
    assert command is not None
    options = {parameter.name for parameter in command.params} & deciding
    parameters = set(introspection.signature(getattr(compiler, "history" if name == "inspect" else name)).parameters)
    assert {"allow_fallback" if option == "fallback" else option for option in options} <= parameters


def test_a_report_compiles_as_asked(tmp_path: Path) -> None:
    nodes = [onnx_node("Relu", "x", "r"), onnx_node("NonZero", "r", "z", "where")]
    onnx.save(onnx_model(nodes, {"x": ["n", 3]}, "z"), tmp_path / "model.onnx")
    with pytest.raises(CatenaError):
        compiler.report(tmp_path / "model.onnx")
    four = compiler.report(tmp_path / "model.onnx", batch=4, allow_fallback="host")
    assert [layer.layer.nodes for layer in four.host_segments] == [("where",)]
    assert four.counts.events["segment.read"] == 12
    six = compiler.report(tmp_path / "model.onnx", input_shapes={"x": [6, 3]}, allow_fallback="host")
    assert six.counts.events["segment.read"] == 18


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


def test_reduce_and_conform(tmp_path: Path) -> None:
    found = compiler.reduce(save_model(unsupported_model(), tmp_path / "u.onnx"), tmp_path / "small.onnx")
    assert found.is_finished
    assert found.after[0] == 1
    assert [node.op_type for node in onnx.load(tmp_path / "small.onnx").graph.node] != []
    assert compiler.conform("generic", ["Relu/float32/thin"]).results[0].status == "passed"


def test_notebooks_get_tables(program: Path, tmp_path: Path) -> None:
    """What Jupyter asks objects for: HTML with everything escaped that a model may be called."""
    report = compiler.report(program)
    assert report._repr_html_().count("<tr>") == len(report.layers) + 2
    kit = compiler.conform("generic", ["Relu/float32/thin"])
    assert "<td>Relu</td>" in kit._repr_html_()
    hostile = table(("<b>", number("n")), [("<script>", 1)], "a & b")
    html = hostile._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "a &amp; b" in html
    assert html.count('style="text-align: right"') == 2


def test_what_there_is_shows_in_completion() -> None:
    assert set(compiler.__all__) <= set(dir(compiler))


def test_every_command_is_a_function_or_a_list() -> None:
    names = {
        "asm": "assemble", "disasm": "disassemble", "conformance": "conform", "accuracy": "measure_accuracy",
        "targets": "list_targets", "new-backend": "new_backend",
    }  # fmt: skip
    lists = {"passes", "ops", "errors", "completion"}
    assert {names.get(verb, verb) for verb in VERBS if verb not in lists} == set(compiler.__all__) - {"history"}


def test_diff_takes_files_and_reports(program: Path, cnn: Path, tmp_path: Path) -> None:
    here, there = compiler.report(program), compiler.report(cnn, target="generic")
    found = compiler.diff(here, there, html=tmp_path / "d.html")
    assert (found.first, found.second) == (here, there)
    assert "generic" in (tmp_path / "d.html").read_text(encoding="utf-8")
    assert found._repr_html_().count("<table") == 2
    assert all(pair.is_same for pair in compiler.diff(program, cnn).pairs)


def test_tools(tmp_path: Path) -> None:
    assert "spots" in {row[0] for row in compiler.list_targets().rows}
    assert all(path.is_file() for path in compiler.new_backend("mine", output=tmp_path / "mine"))
    assert "catena" in compiler.doctor()._repr_html_()
    (tmp_path / "cache" / "programs").mkdir(parents=True)
    (tmp_path / "cache" / "programs" / f"{'0' * 64}.cat").write_bytes(b"kept")
    kept = {each.kind: each.files for each in compiler.cache(tmp_path / "cache")}
    assert sum(kept.values()) == 1
    assert not any(each.files for each in compiler.cache(tmp_path / "cache", clear=True))


def test_accuracy_on_crossbars(tmp_path: Path) -> None:
    nodes = [onnx_node("MatMulInteger", "x w", "y", "product")]
    weights = {"w": np.arange(-6, 6, dtype=np.int8).reshape(4, 3)}
    model = onnx_model(nodes, {"x": [2, 4]}, "y", weights, element_type=onnx.TensorProto.INT8)
    (tmp_path / "physics.toml").write_text("[adc]\nbits = 7\n")
    found = compiler.measure_accuracy(save_model(model, tmp_path / "m.onnx"), tmp_path / "physics.toml")
    assert [layer.name for layer in found.effect.layers] == ["y"]
    assert "<table" in found._repr_html_()
