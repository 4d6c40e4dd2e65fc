"""A failure of any kind leaves a folder in which the same command fails with the same words; success leaves nothing."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

import compiler
from backends.container import write_program
from compiler.cli.main import VERBS
from compiler.compilation import CompileOptions, compile_source, resume_inside
from compiler.driver import Failure, SilentObserver, StageRun
from compiler.ir_text import print_module, write_module
from compiler.reproduction.recording import FailureRecorder
from compiler.stages import IMPORT
from dialects.diagnostics import CatenaError, Diagnostic
from passes.fuse_elementwise import FuseElementwisePass
from passes.lower_onnx import LowerOnnxPass
from tests.compiler.conftest import Cli, Result
from tests.compiler.localising.faults import altered, program_for
from tests.compiler.small_models import save_model, small_cnn


def words_of(result: Result) -> list[dict[str, Any]]:
    """The diagnostics of `--json`, without what they advise."""
    return [{key: value for key, value in each.items() if key != "hint"} for each in result.json["diagnostics"]]


def record_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "failure.json").read_text("utf-8"))


def again(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """What the command of a folder does in it."""
    monkeypatch.chdir(folder)
    return cli(*shlex.split(record_of(folder)["command"])[1:], "--json")


def raising(error: Exception) -> Callable[..., None]:
    def apply(self: object, context: Context, op: ModuleOp) -> None:
        # A pass that fails half-way leaves the IR as nobody should see it.
        for inner in list(op.walk()):
            if inner.name == "gconv.link":
                inner.properties.pop("spec", None)
        raise error

    return apply


REFUSAL = CatenaError([Diagnostic("CAT-U006", "planted", node=name, hint="none") for name in ("one", "two")])


@pytest.mark.parametrize("error", [KeyError("planted"), REFUSAL], ids=["bug", "refusal"])
def test_a_pass_that_fails_is_seen_again_with_the_same_words(
    error: Exception, cli: Cli, cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, output = tmp_path / "a b" / "failure", tmp_path / "p.cat"
    with monkeypatch.context() as patch:
        patch.setattr(FuseElementwisePass, "apply", raising(error))
        failed = cli("compile", cnn, "-t", "spots", "-o", output, "--reproducer", folder, "--json")
        replayed = again(cli, folder, patch)
    assert failed.code == replayed.code == (1 if isinstance(error, KeyError) else 3)
    assert words_of(failed) == words_of(replayed)
    assert failed.json["diagnostics"][0]["hint"].endswith(
        f"cd {shlex.quote(str(folder))} && catena opt reproducer.mlir --run-reproducer"
    )
    record = record_of(folder)
    assert (record["stage"], record["passes"][record["done"]]) == ("fused", "fuse-elementwise")
    assert [each["message"] for each in record["diagnostics"]] == [each["message"] for each in words_of(failed)]
    assert not output.exists()
    assert [each.name for each in folder.parent.iterdir()] == ["failure"], "nothing temporary is left"
    # Once the pass is mended the rest of its stage runs, to the same IR as ever.
    monkeypatch.chdir(tmp_path)
    mended = cli("opt", folder / "reproducer.mlir", "--run-reproducer", "-o", tmp_path / "mended.mlir")
    assert (mended.code, mended.err.count("error")) == (0, 0)
    assert cli("compile", cnn, "-t", "spots", "--to", "fused", "-o", tmp_path / "fused.mlir").code == 0
    assert (tmp_path / "mended.mlir").read_text() == (tmp_path / "fused.mlir").read_text()


def broken(self: object, context: Context, op: ModuleOp) -> None:
    """Leaves an attribute that nobody declares."""
    from xdsl.dialects.builtin import UnitAttr

    op.attributes["oops"] = UnitAttr()


@pytest.mark.parametrize(
    ("step", "apply", "message"),
    [
        (FuseElementwisePass, broken, "after fuse-elementwise"),
        (LowerOnnxPass, lambda self, context, op: None, "after the passes of stage gconv"),
    ],
)
def test_what_a_pass_leaves_behind_is_seen_again(
    step: type, apply: Callable[..., None], message: str, cli: Cli, cnn: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(step, "apply", apply)
    folder = tmp_path / "failure"
    failed = cli("compile", cnn, "-o", tmp_path / "p.cat", "--reproducer", folder, "--json")
    assert failed.code == 1
    assert failed.json["diagnostics"][0]["message"].startswith(message)
    assert words_of(again(cli, folder, monkeypatch)) == words_of(failed)


def test_a_target_that_is_too_small_goes_with_the_failure(
    cli: Cli, cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, folder = tmp_path / "tiny.toml", tmp_path / "failure"
    target.write_text('extends = "eyeriss"\nname = "tiny"\n[glb]\nbanks = 1\nbank_words = 16\n')
    failed = cli("compile", cnn, "-t", target, "-o", tmp_path / "p.cat", "--reproducer", folder, "--json")
    assert failed.code == 4
    target.unlink()
    replayed = again(cli, folder, monkeypatch)
    assert replayed.code == 4
    before, after = words_of(failed), words_of(replayed)
    places = [[each.pop("where") for each in some] for some in (before, after)]
    assert before == after
    assert places[0][0].startswith(str(target))
    assert places[1][0].startswith("target.toml")


def test_files_that_were_read_go_with_the_failure(
    cli: Cli, cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapping, samples, folder = tmp_path / "m.toml", tmp_path / "s.npz", tmp_path / "failure"
    mapping.write_text('[layers.conv1]\nmapping = """\npar H.opc 4 on nowhere\n"""\n')
    np.savez(samples, image=np.zeros((1, 2, 6, 6), np.float32))
    given = ["--mapping", mapping, "--calibrate", samples, "--set", "glb.banks=20", "--objective", "edp"]
    failed = cli("compile", cnn, *given, "-o", tmp_path / "p.cat", "--reproducer", folder, "--json")
    assert failed.code != 0
    mapping.unlink()
    samples.unlink()
    replayed = again(cli, folder, monkeypatch)
    assert [each["message"] for each in words_of(replayed)] == [each["message"] for each in words_of(failed)]
    assert record_of(folder)["asked"]["settings"] == {"glb.banks": "20"}


def test_a_program_that_cannot_be_made_is_seen_again(
    cli: Cli, cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("planted")

    monkeypatch.setattr("backends.spatial.emit.name_buffers", fail)
    folder = tmp_path / "failure"
    failed = cli("compile", cnn, "-o", tmp_path / "p.cat", "--reproducer", folder, "--json")
    assert failed.code == 1
    assert record_of(folder)["stage"] == "program"
    assert words_of(again(cli, folder, monkeypatch)) == words_of(failed)


def test_a_pipeline_that_fails_is_seen_again(
    cli: Cli, cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FuseElementwisePass, "apply", raising(KeyError("planted")))
    folder = tmp_path / "failure"
    assert cli("compile", cnn, "--to", "gconv", "-o", tmp_path / "g.mlir").code == 0
    pipeline = "fold-views,fuse-elementwise{residual=false},cse"
    failed = cli("opt", tmp_path / "g.mlir", "-p", pipeline, "--reproducer", folder, "--json")
    assert failed.code == 1
    assert record_of(folder)["done"] == 1
    assert words_of(again(cli, folder, monkeypatch)) == words_of(failed)


def dynamic_model() -> onnx.ModelProto:
    """A model one of whose inputs has a size that is not known, and that no option gives."""
    ports = [helper.make_tensor_value_info("a: b", TensorProto.FLOAT, ["n", 4, "m"])]
    results = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, "m"])]
    nodes = [helper.make_node("Relu", ["a: b"], ["r"], name="r"), helper.make_node("Exp", ["r"], ["y"], name="e")]
    graph = helper.make_graph(nodes, "g", ports, results)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_model_that_cannot_be_imported_is_its_own_reproducer(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, folder = save_model(dynamic_model(), tmp_path / "m.onnx"), tmp_path / "failure"
    failed = cli("compile", model, "--batch", "2", "-o", tmp_path / "p.cat", "--reproducer", folder, "--json")
    assert failed.code == 2
    assert failed.json["diagnostics"][0]["code"] == "CAT-M002"
    model.unlink()
    assert words_of(again(cli, folder, monkeypatch)) == words_of(failed)
    (smaller,) = [line for line in (folder / "README.txt").read_text().splitlines() if "catena reduce" in line]
    words = shlex.split(smaller.partition(": ")[2])
    assert cli(*words[1:], "--time-limit", "10").code == 0
    assert len(onnx.load(folder / "model.reduced.onnx").graph.node) == 1
    assert "CAT-M002" in cli("compile", folder / "model.reduced.onnx", "--to", "import", "-o", "x.mlir").err


def test_external_data_goes_with_a_model(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, folder = tmp_path / "source", tmp_path / "failure"
    source.mkdir()
    content = dynamic_model()
    content.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(4, np.float32), "w"))
    content.graph.node.append(helper.make_node("Add", ["w", "w"], ["v"], name="add"))
    content.graph.output.append(helper.make_tensor_value_info("v", TensorProto.FLOAT, [4]))
    onnx.save(content, source / "m.onnx", save_as_external_data=True, location="words.bin", size_threshold=0)
    failed = cli("compile", source / "m.onnx", "-o", tmp_path / "p.cat", "--reproducer", folder, "--json")
    assert failed.json["diagnostics"][0]["code"] == "CAT-M002"
    assert (folder / "words.bin").read_bytes() == (source / "words.bin").read_bytes()
    shutil.rmtree(source)
    assert words_of(again(cli, folder, monkeypatch)) == words_of(failed)


@pytest.mark.parametrize("engine", ["blocks", "elements"])
def test_a_run_that_stops_is_seen_again(engine: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = altered("conv1 + relu1", "base tensor=input", address=1 << 30)(
        program_for("eyeriss", small_cnn()), tmp_path
    )
    path, folder = tmp_path / "wrong.cat", tmp_path / "failure"
    write_program(program, path)
    failed = cli("run", path, "--random", "--engine", engine, "--reproducer", folder, "--json")
    assert failed.code == 5
    path.unlink()
    assert words_of(again(cli, folder, monkeypatch)) == words_of(failed)
    assert {each.name for each in folder.iterdir()} == {"program.cat", "inputs.npz", "README.txt", "failure.json"}


def test_nothing_is_left_where_nothing_fails_or_the_command_is_wrong(
    cli: Cli, cnn: Path, program: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "failure"
    given = ["-o", tmp_path / "out", "--reproducer", folder]
    assert cli("compile", cnn, *given).code == 0
    assert cli("opt", cnn, *given).code == 0
    assert cli("run", program, "--random", *given[2:]).code == 0
    assert cli("run", program, *given[2:]).code == 2
    assert cli("compile", cnn, "-t", "nowhere", *given).code == 2
    assert cli("compile", tmp_path / "missing.onnx", *given).code == 2
    assert cli("compile", cnn, "--set", "glb.bank=1", *given).code == 2
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_hides_no_failure(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = cli("compile", cnn, "--set", "glb.banks=0", "-o", tmp_path / "p.cat", "--reproducer", tmp_path / "file")
    assert result.code == 2  # a target that is wrong: nothing is written
    settings = ["--set", "glb.banks=1", "--set", "glb.bank_words=16"]
    for folder in (tmp_path / "file", tmp_path / "file" / "inside"):
        result = cli("compile", cnn, *settings, "-o", tmp_path / "p.cat", "--reproducer", folder)
        assert result.code == 4
        assert "CAT-F001" in result.err
        assert "CAT-C002]: cannot" in result.err
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_an_older_reproducer_makes_place(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    folder = tmp_path / "failure"
    folder.mkdir()
    (folder / "notes").write_text("mine")
    for words in (16, 8):
        settings = ["--set", "glb.banks=1", "--set", f"glb.bank_words={words}"]
        assert cli("compile", cnn, *settings, "-o", tmp_path / "p.cat", "--reproducer", folder).code == 4
        assert record_of(folder)["asked"]["settings"]["glb.bank_words"] == str(words)
    assert (folder / "notes").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no failure.json beside"),
        ("{", "failure.json cannot be read"),
        ('{"reproducer": 2}', "must be"),
        ("[" * 100_000, "failure.json cannot be read"),
    ],
)
def test_what_is_no_reproducer_is_refused(text: str | None, message: str, cli: Cli, cnn: Path, tmp_path: Path) -> None:
    assert cli("compile", cnn, "--to", "gconv", "-o", tmp_path / "reproducer.mlir").code == 0
    if text is not None:
        (tmp_path / "failure.json").write_text(text)
    result = cli("opt", tmp_path / "reproducer.mlir", "--run-reproducer")
    assert (result.code, message in result.err) == (2, True), result.err
    assert cli("opt", tmp_path / "reproducer.mlir", "--run-reproducer", "-p", "cse").code == 2


def test_a_folder_says_nothing_of_its_senders_cache_and_not_more_than_there_is(
    cli: Cli, cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cache = tmp_path / "failure", tmp_path / "cache"
    given = ["--set", "glb.banks=1", "--set", "glb.bank_words=16", "--cache-dir", cache, "--reproducer", folder]
    assert cli("compile", cnn, "-t", "eyeriss", *given, "-o", tmp_path / "p.cat").code == 4
    record = record_of(folder)
    assert record["passes"][record["done"]] == "map-row-stationary"
    assert not any(str(cache).encode() in each.read_bytes() for each in folder.iterdir() if each.is_file())
    for done in (-1, len(record["passes"]) + 1, 10**30):
        (folder / "failure.json").write_text(json.dumps({**record, "done": done}))
        found = cli("opt", folder / "reproducer.mlir", "--run-reproducer", "--json")
        assert [each["code"] for each in found.json["diagnostics"]] == ["CAT-C003"]


WITH_MODELS = {
    "compile": (), "opt": ("-p", "lower-onnx"), "verify": (), "report": (), "explain": (), "inspect": ("--passes",),
    "explore": (), "diff": (), "accuracy": ("--physics", "p.toml"),
}  # fmt: skip
"""The commands that compile a model, and what else they are given."""


@pytest.mark.parametrize("verb", WITH_MODELS)
def test_every_command_that_compiles_leaves_one(
    verb: str, cli: Cli, cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.toml").write_text("")
    monkeypatch.setattr(LowerOnnxPass, "apply", raising(KeyError("planted")))
    words = [verb, cnn, *([cnn] if verb == "diff" else []), *WITH_MODELS[verb], "--json"]
    advised = cli(*words).json["diagnostics"][0]["hint"]
    assert "--reproducer DIR" in advised
    assert not (tmp_path / "failure").exists()
    failed = cli(*words, "--reproducer", tmp_path / "failure")
    assert failed.code == 1
    assert "--reproducer" not in failed.json["diagnostics"][0]["hint"]
    assert words_of(again(cli, tmp_path / "failure", monkeypatch)) == words_of(failed)


def test_a_bug_outside_of_passes_leaves_the_command_and_its_files(
    cli: Cli, cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("planted")

    monkeypatch.setattr("compiler.reporting.predicted_report", fail)
    (tmp_path / "base.toml").write_text('extends = "generic"\nname = "base"\n')
    (tmp_path / "own.toml").write_text('extends = "base.toml"\nname = "own"\n')
    (tmp_path / "data").mkdir()
    assert cli("compile", cnn, "--to", "gconv", "-o", tmp_path / "data" / "cnn.mlir").code == 0
    words = [
        "report",
        tmp_path / "data" / "cnn.mlir",
        f"--target={tmp_path / 'own.toml'}",
        "--set",
        "levels.glb.words=9000",
    ]
    failed = cli(*words, "--json", "--reproducer", tmp_path / "failure")
    assert failed.code == 1
    command = record_of(tmp_path / "failure")["command"]
    assert command == "catena report cnn.mlir --target=own.toml --set levels.glb.words=9000 --json"
    for name in ("base.toml", "own.toml"):
        (tmp_path / name).unlink()
    shutil.rmtree(tmp_path / "data")
    monkeypatch.chdir(tmp_path / "failure")
    assert words_of(cli(*shlex.split(command)[1:])) == words_of(failed)
    assert command in failed.json["diagnostics"][0]["hint"]


WITHOUT_PASSES = ("asm", "check", "conformance", "disasm", "prune", "quantize")
"""The commands that run no passes of a compilation: only bugs leave anything."""


def test_a_bug_in_a_command_without_passes_leaves_the_command(
    cli: Cli, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(path: Path) -> str:
        raise KeyError("planted")

    monkeypatch.setattr("compiler.assembling.disassemble_program", bug)
    failed = cli("disasm", program, "--reproducer", tmp_path / "failure", "--json")
    assert failed.json["diagnostics"][0]["code"] == "CAT-I001"
    assert words_of(again(cli, tmp_path / "failure", monkeypatch)) == words_of(failed)


@pytest.mark.parametrize("verb", ["opt", "compile"])
def test_ir_that_is_wrong_goes_with_the_command(
    verb: str, cli: Cli, cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("ir.mlir")
    assert cli("compile", cnn, "--to", "gconv", "-o", path).code == 0
    path.write_text(path.read_text()[:-40])
    failed = cli(verb, path, "-o", tmp_path / "made", "--reproducer", tmp_path / "failure", "--json")
    assert failed.json["diagnostics"][0]["code"] == "CAT-R001"
    assert words_of(again(cli, tmp_path / "failure", monkeypatch)) == words_of(failed)


def test_no_other_command_has_the_option(cli: Cli) -> None:
    found = {verb for verb in VERBS if "--reproducer" in cli(verb, "--help").out}
    assert found == {*WITH_MODELS, "run", *WITHOUT_PASSES}


def test_functions_leave_one_too(cnn: Path, tmp_path: Path) -> None:
    settings = {"glb.banks": "1", "glb.bank_words": "16"}
    with pytest.raises(CatenaError, match="CAT-F001") as compiled:
        compiler.compile(cnn, settings=settings, reproducer=tmp_path / "one")
    with pytest.raises(CatenaError, match="CAT-F001") as verified:
        compiler.verify(cnn, settings=settings, reproducer=tmp_path / "two")
    for name, raised in (("one", compiled), ("two", verified)):
        assert f"cd {tmp_path / name} " in raised.value.diagnostics[0].hint


class Moments(SilentObserver):
    """The IR before every pass, and the text after every stage."""

    def __init__(self) -> None:
        self.found: list[tuple[str, int, ModuleOp]] = []
        self.made: dict[str, str] = {}

    def after_stage(self, run: StageRun, module: ModuleOp) -> None:
        self.made[run.stage] = print_module(module)

    def before_pass(self, stage: str, step: object, module: ModuleOp) -> None:
        done = sum(stage == each for each, *_ in self.found)
        self.found.append((stage, done, module.clone()))


class Copies(SilentObserver):
    """Compares what a recorder would write with the IR before every pass, which is the recorder's next observer."""

    def __init__(self, recorder: FailureRecorder) -> None:
        self._recorder = recorder
        self.compared = 0

    def before_pass(self, stage: str, step: ModulePass, module: ModuleOp) -> None:
        self._recorder.failure = Failure(stage, module, (step,))
        copied = self._recorder.module
        assert copied is not None
        assert print_module(copied) == print_module(module), (stage, step.name)
        self.compared += 1


def test_what_is_kept_is_the_ir_before_the_pass(cnn: Path) -> None:
    recorder = FailureRecorder()
    copies = Copies(recorder)
    compile_source(str(cnn), CompileOptions(target="spots"), [recorder, copies])
    assert copies.compared > 20


ALL = [pytest.param(each, 1, marks=pytest.mark.exhaustive) for each in ("eyeriss", "generic", "spots", "rram")]


@pytest.mark.parametrize(("target", "every"), [("eyeriss", 4), *ALL])
def test_ir_before_any_pass_goes_on_to_what_its_stage_makes(target: str, every: int, cnn: Path, tmp_path: Path) -> None:
    options, moments = CompileOptions(target=target), Moments()
    compile_source(str(cnn), options, [moments])
    assert {stage for stage, *_ in moments.found} == set(moments.made)
    for stage, done, module in moments.found[::every]:
        path = tmp_path / "reproducer.mlir"
        write_module(module, path)
        resumed = resume_inside(str(path), options, stage, done)
        assert print_module(resumed.module) == moments.made[stage], (stage, done)
    assert moments.found[0][0] == IMPORT.name
