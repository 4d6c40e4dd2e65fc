"""Stages: straight through, stopped and resumed, edited by a backend, dumped, verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.passes import ModulePass

from backends.container import program_bytes
from compiler.compilation import Compiled, CompileOptions, compile_source, write_compiled
from compiler.driver import run_passes, run_stage
from compiler.dumps import PassDump, PassPrinter, StageDump, pass_printer
from compiler.ir_text import new_context, parse_module, print_module
from compiler.stage_passes import stage_pipeline
from compiler.stages import STAGES, dump_name, stage_named, stages_after
from dialects.diagnostics import CatenaError, Diagnostic

IR_STAGES = [stage.name for stage in STAGES[:-1]]


def failure(action: Callable[[], object]) -> tuple[Diagnostic, ...]:
    with pytest.raises(CatenaError) as caught:
        action()
    return caught.value.diagnostics


def compiled_bytes(compiled: Compiled) -> bytes:
    assert compiled.program is not None
    return program_bytes(compiled.program)


@pytest.mark.parametrize("stage", IR_STAGES)
def test_resuming_from_a_dump_gives_the_same_bytes(cnn: Path, tmp_path: Path, stage: str) -> None:
    straight = compiled_bytes(compile_source(str(cnn), CompileOptions(), (StageDump(tmp_path),)))
    resumed = compile_source(str(tmp_path / dump_name(stage)), CompileOptions(target="eyeriss", start=stage))
    assert compiled_bytes(resumed) == straight
    inferred = compile_source(str(tmp_path / dump_name(stage)))
    assert compiled_bytes(inferred) == straight


@pytest.mark.parametrize("stage", IR_STAGES)
def test_stopping_and_dumping_give_the_same_text(cnn: Path, tmp_path: Path, stage: str) -> None:
    compile_source(str(cnn), CompileOptions(), (StageDump(tmp_path),))
    stopped = compile_source(str(cnn), CompileOptions(stop=stage))
    assert stopped.program is None
    text = print_module(stopped.module)
    assert text == (tmp_path / dump_name(stage)).read_text()
    assert print_module(parse_module(text).module) == text


def test_equal_inputs_give_equal_programs(cnn: Path, program: Path, tmp_path: Path) -> None:
    write_compiled(compile_source(str(cnn)), tmp_path / "again.cat")
    assert (tmp_path / "again.cat").read_bytes() == program.read_bytes()


def test_the_program_says_what_it_was_made_from(cnn: Path) -> None:
    import hashlib

    program = compile_source(str(cnn)).program
    assert program is not None
    assert program.metadata.model == "cnn"
    assert program.metadata.model_sha256 == hashlib.sha256(cnn.read_bytes()).hexdigest()
    assert program.metadata.backend == "eyeriss"


def test_ir_must_be_legal_at_the_stage_it_is_said_to_have_passed(cnn: Path, tmp_path: Path) -> None:
    compile_source(str(cnn), CompileOptions(stop="gconv"), (StageDump(tmp_path),))
    found = failure(lambda: compile_source(str(tmp_path / "02-gconv.mlir"), CompileOptions(start="mapped")))
    assert {problem.code for problem in found} == {"CAT-R003"}
    assert all(problem.where.startswith(str(tmp_path)) for problem in found)
    assert {"conv1", "pool1", "dense1"} <= {problem.node for problem in found}


def test_a_stage_that_nobody_knows_is_named_with_the_likely_one(cnn: Path) -> None:
    (problem,) = failure(lambda: compile_source(str(cnn), CompileOptions(stop="fuse")))
    assert problem.code == "CAT-C001"
    assert "fused" in problem.hint


def test_stages_do_not_run_backwards(cnn: Path, tmp_path: Path) -> None:
    compile_source(str(cnn), CompileOptions(stop="fused"), (StageDump(tmp_path),))
    options = CompileOptions(stop="gconv")
    (problem,) = failure(lambda: compile_source(str(tmp_path / "03-fused.mlir"), options))
    assert "does not come after" in problem.message


def test_ir_without_a_stage_needs_one(tmp_path: Path) -> None:
    (tmp_path / "x.mlir").write_text("builtin.module { func.func @main() { func.return } }")
    (problem,) = failure(lambda: compile_source(str(tmp_path / "x.mlir")))
    assert "--from" in problem.hint


def test_a_wrong_target_shows_before_the_model_is_read(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    (problem,) = failure(lambda: compile_source(str(tmp_path / "broken.onnx"), CompileOptions(target="eyeris")))
    assert (problem.code, problem.hint) == ("CAT-C001", "did you mean eyeriss or eyeriss-512 or eyeriss-256?")


def test_ir_of_one_target_is_not_compiled_for_another(cnn: Path, tmp_path: Path) -> None:
    compile_source(str(cnn), CompileOptions(stop="fused"), (StageDump(tmp_path),))
    options = CompileOptions(target="eyeriss", settings={"array.rows": "6"})
    (problem,) = failure(lambda: compile_source(str(tmp_path / "03-fused.mlir"), options))
    assert "another target" in problem.message
    assert compile_source(str(tmp_path / "03-fused.mlir"), CompileOptions(target="eyeriss")).program is not None


def test_a_backend_puts_its_passes_in_place_by_stage_name() -> None:
    from backends.registry import find_backend

    backend = replace(find_backend("eyeriss"), passes={"fused": ("cse", "dce")})
    assert stage_pipeline(stage_named("fused"), backend) == ("cse", "dce")
    assert stage_pipeline(stage_named("gconv"), backend) == stage_named("gconv").passes


def test_the_table_is_in_order() -> None:
    assert [stage.name for stage in stages_after("gconv", "mapped")] == ["fused", "encoded", "mapped"]
    assert [stage.name for stage in stages_after(None, "import")] == ["import"]
    assert dump_name("fused") == "03-fused.mlir"


MODULE = "builtin.module { func.func @main() { func.return } }"


@dataclass(frozen=True)
class MarkPass(ModulePass):
    """Leaves an attribute that nobody declares."""

    name = "mark"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        op.attributes["mark"] = StringAttr("x")


@dataclass(frozen=True)
class NothingPass(ModulePass):
    """Changes nothing."""

    name = "nothing"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        pass


@dataclass(frozen=True)
class RenamePass(ModulePass):
    """Changes the module in a legal way."""

    name = "rename"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        op.attributes["catena.model"] = StringAttr("renamed")


def test_a_pass_that_breaks_the_module_is_blamed() -> None:
    module = parse_module(MODULE).module
    (problem,) = failure(lambda: run_passes(module, [NothingPass(), MarkPass()], new_context(), stage="fused"))
    assert problem.code == "CAT-I001"
    assert problem.message == "after mark: builtin.module: unknown attribute 'mark'"


def test_a_stage_that_leaves_illegal_ops_is_blamed(cnn: Path) -> None:
    module = compile_source(str(cnn), CompileOptions(stop="import")).module
    found = failure(lambda: run_stage(module, stage_named("gconv"), [NothingPass()], new_context()))
    assert {problem.code for problem in found} == {"CAT-I001"}
    assert "conv1" in {problem.node for problem in found}


def test_printing_after_passes() -> None:
    passes = [NothingPass(), RenamePass(), NothingPass()]
    counts = {}
    for which in ("all", "changed", "rename"):
        stream = StringIO()
        run_passes(parse_module(MODULE).module, passes, new_context(), observers=(PassPrinter(which, stream),))
        counts[which] = [line for line in stream.getvalue().splitlines() if line.startswith("// -----")]
    assert len(counts["all"]) == 3
    assert counts["changed"] == ["// ----- IR after nothing -----", "// ----- IR after rename -----"]
    assert counts["rename"] == ["// ----- IR after rename -----"]


def test_printing_after_an_unknown_pass_is_refused() -> None:
    (problem,) = failure(lambda: pass_printer("fuse-elementwize", StringIO()))
    assert problem.hint == "did you mean fuse-elementwise?"


def test_dumps_of_passes_can_be_read_again(cnn: Path, tmp_path: Path) -> None:
    compile_source(str(cnn), CompileOptions(stop="fused"), (PassDump(tmp_path),))
    names = sorted(path.name for path in tmp_path.glob("*.mlir"))
    assert names[:2] == ["001-import-fold-constants.mlir", "002-gconv-lower-onnx.mlir"]
    for name in names:
        text = (tmp_path / name).read_text()
        assert print_module(parse_module(text).module) == text
