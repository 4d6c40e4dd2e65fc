"""The command line: every verb on good input, streams, exit codes, JSON, suggestions."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from compiler.cli.console import Console
from compiler.cli.main import VERBS
from dialects.diagnostics import Diagnostic, ExitCode
from tests.compiler.conftest import Cli
from tests.compiler.small_models import save_model, small_cnn, unsupported_model
from tests.onnx_models import onnx_model, onnx_node


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(cli: Cli, verb: str) -> None:
    result = cli(verb, "--help")
    assert result.code == 0
    assert result.out.startswith(f"Usage: catena {verb}")
    assert "--json" in result.out


def test_help_lists_all_verbs(cli: Cli) -> None:
    result = cli("--help")
    assert result.code == 0
    assert all(f"\n  {verb} " in result.out for verb in VERBS)


def test_without_arguments_help_goes_to_standard_error(cli: Cli) -> None:
    result = cli()
    assert (result.code, result.out) == (2, "")
    assert "Usage: catena" in result.err


def test_version(cli: Cli) -> None:
    result = cli("--version")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("catena ")


def test_compile_run_report_disassemble_assemble(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    program = tmp_path / "cnn.cat"
    compiled = cli("compile", cnn, "-o", program)
    assert (compiled.code, compiled.out) == (0, "")
    lines = compiled.err.splitlines()
    assert [line[:15].split()[1] for line in lines[:7]] == [
        "import",
        "gconv",
        "fused",
        "encoded",
        "mapped",
        "placed",
        "program",
    ]
    assert lines[-1].startswith("OK | ")
    assert lines[-1].endswith(f" | {program}")

    np.save(tmp_path / "image.npy", np.ones((1, 2, 6, 6), np.float32))
    ran = cli(
        "run", program, "-i", f"image={tmp_path}/image.npy", "-o", tmp_path / "out.npz", "--stats", tmp_path / "s.json"
    )
    assert ran.code == 0
    assert "scores" in ran.out
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays["scores"].shape == (1, 3)

    predicted = cli("report", program)
    emulated = cli("report", program, "--stats", tmp_path / "s.json")
    assert "predicted from the mapping" in predicted.out
    assert "emulated" in emulated.out
    assert predicted.out.splitlines()[1:] == emulated.out.splitlines()[1:]

    assert cli("disasm", program, "-o", tmp_path / "cnn.s").code == 0
    listing = cli("disasm", program)
    assert "onnx:conv1" in listing.out
    assert cli("asm", tmp_path / "cnn.s", "-o", tmp_path / "again.cat").code == 0
    assert (tmp_path / "again.cat").read_bytes() == program.read_bytes()


def test_the_program_is_named_after_the_model(
    cli: Cli, cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("compile", cnn).err.splitlines()[-1].endswith("| cnn.cat")
    assert cli("compile", cnn, "--to", "fused").err.splitlines()[-1].endswith("| cnn.fused.mlir")
    assert {path.name for path in tmp_path.iterdir()} == {"cnn.cat", "cnn.fused.mlir", "weights"}


def test_stopping_printing_and_resuming(cli: Cli, cnn: Path, program: Path, tmp_path: Path) -> None:
    printed = cli("compile", cnn, "--to", "gconv", "-o", "-")
    assert printed.out.startswith("builtin.module")
    assert cli("compile", cnn, "--dump-ir", tmp_path / "ir", "-o", tmp_path / "a.cat").code == 0
    assert (tmp_path / "ir" / "02-gconv.mlir").read_text() == printed.out
    resumed = cli("compile", tmp_path / "ir" / "04-encoded.mlir", "--from", "encoded", "-o", tmp_path / "b.cat")
    assert resumed.code == 0
    assert (tmp_path / "b.cat").read_bytes() == program.read_bytes()


def test_a_program_is_not_printed(cli: Cli, cnn: Path) -> None:
    result = cli("compile", cnn, "-o", "-")
    assert (result.code, result.out) == (2, "")


def test_print_ir_after_goes_to_standard_error(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    result = cli("compile", cnn, "--to", "gconv", "-o", tmp_path / "x.mlir", "--print-ir-after", "lower-onnx")
    assert "// ----- IR after gconv: lower-onnx -----" in result.err
    assert result.out == ""


def test_timing_lists_passes(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    result = cli("compile", cnn, "-o", tmp_path / "x.cat", "--timing")
    assert "lower-onnx" in result.err
    assert "verify" in result.err


def test_quiet_prints_nothing_but_results(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    result = cli("compile", cnn, "-o", tmp_path / "x.cat", "-q")
    assert (result.code, result.out, result.err) == (0, "", "")


def test_mapping_files(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(
        '[layers]\nconv1 = "#schedule.row_stationary<m 2, n 1, e 6, p 2, q 2, r 1, t 1>"\n'
    )
    result = cli("compile", cnn, "--to", "mapped", "-o", "-", "--mapping", tmp_path / "m.toml")
    assert result.code == 0
    free = cli("compile", cnn, "--to", "mapped", "-o", "-")
    assert result.out != free.out
    wrong = cli("compile", cnn, "-o", tmp_path / "x.cat", "--mapping", tmp_path / "none.toml")
    assert wrong.code == 2
    assert not (tmp_path / "x.cat").exists()


def test_a_saved_mapping_gives_the_same_program(cli: Cli, cnn: Path, program: Path, tmp_path: Path) -> None:
    saved = tmp_path / "m.toml"
    assert cli("compile", cnn, "-o", tmp_path / "a.cat", "--save-mapping", saved).code == 0
    assert saved.read_text().count("[layers.") == 3
    assert cli("compile", cnn, "-o", tmp_path / "b.cat", "--mapping", saved).code == 0
    assert (tmp_path / "b.cat").read_bytes() == program.read_bytes()


def test_a_mapping_that_would_not_be_used_is_refused(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    assert cli("compile", cnn, "--to", "fused", "-o", "-", "--mapping", tmp_path / "m.toml").code == 2


def test_check_accepts(cli: Cli, cnn: Path) -> None:
    result = cli("check", cnn)
    assert result.code == 0
    assert "all 5 nodes are supported on eyeriss" in result.out


def test_check_names_every_unsupported_node_once_per_kind(cli: Cli, tmp_path: Path) -> None:
    model = save_model(unsupported_model(), tmp_path / "u.onnx")
    result = cli("check", model)
    assert result.code == 3
    assert result.err.count("error[CAT-U") == 1
    assert "(x2)" in result.err
    assert "noise1, noise2" in result.err
    compiled = cli("compile", model, "-o", tmp_path / "u.cat")
    assert compiled.code == 3
    assert not (tmp_path / "u.cat").exists()


def test_dynamic_batch(cli: Cli, tmp_path: Path) -> None:
    model = save_model(small_cnn("N"), tmp_path / "m.onnx")
    assert "2x3" in cli("inspect", model, "--batch", "2").out
    assert "4x3" in cli("inspect", model, "--input-shape", "image:4,2,6,6").out
    assert "too large" in cli("inspect", model, "--batch", 10**20).err
    assert "too large" in cli("inspect", model, "--input-shape", f"image:{2**31},2,6,6").err
    assert cli("inspect", model, "--input-shape", "imaeg:4,2,6,6").code == 2
    assert cli("inspect", model, "--input-shape", "image:4,x").code == 2
    assert cli("inspect", model, "--input-shape", "image:1,2", "--input-shape", "image:1,2").code == 2


def test_the_target_comes_from_the_environment_unless_given(
    cli: Cli, cnn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATENA_TARGET", "eyeris")
    assert "no target is called 'eyeris'" in cli("check", cnn).err
    assert "catena targets lists those that there are" in cli("check", cnn, "-t", "nothing-alike").err
    assert cli("check", cnn, "-t", "eyeriss").code == 0


@pytest.mark.parametrize("wrong", [("-t", "eyeris"), ("--set", "array.rows=0"), ("--set", "no.such=1")])
def test_a_wrong_target_is_said_where_no_stage_reads_it(
    cli: Cli, cnn: Path, tmp_path: Path, wrong: tuple[str, str]
) -> None:
    ir = tmp_path / "ir.mlir"
    assert cli("compile", cnn, "-o", ir, "--to", "import", "-t", "eyeriss", "--set", "array.rows=2").code == 0
    for source in (cnn, ir):
        refused = cli("compile", source, "-o", tmp_path / "out.mlir", "--to", "gconv", *wrong)
        assert refused.code == 2
        assert wrong[1].partition("=")[0] in refused.err
        assert not (tmp_path / "out.mlir").exists()


def test_a_model_has_passed_no_stage(cli: Cli, cnn: Path) -> None:
    result = cli("compile", cnn, "--from", "gconv", "-o", "-", "--to", "fused")
    assert result.code == 2
    assert "--from needs an IR file" in result.err


def test_changed_targets_change_the_report(cli: Cli, cnn: Path) -> None:
    small = cli("report", cnn, "--set", "array.rows=2", "--json").json["result"]
    large = cli("report", cnn, "--json").json["result"]
    assert small["totals"]["counts"]["operation.mac"] == large["totals"]["counts"]["operation.mac"]
    assert small["machine"]["array"]["rows"] == 2
    assert small["totals"]["cycles"] > large["totals"]["cycles"]


def test_run_with_random_inputs_is_repeatable(cli: Cli, program: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert cli("run", program, "--random", "--seed", seed, "-o", tmp_path / f"{name}.npz").code == 0
    contents = [(tmp_path / f"{name}.npz").read_bytes() for name in "abc"]
    assert contents[0] == contents[1] != contents[2]


def test_run_writes_a_trace(cli: Cli, program: Path, tmp_path: Path) -> None:
    assert cli("run", program, "--random", "--trace", tmp_path / "t.txt").code == 0
    assert (tmp_path / "t.txt").read_text().count("\n") > 20


def test_run_reports_every_wrong_input(cli: Cli, program: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", imgae=np.ones((1, 2, 6, 6)))
    result = cli("run", program, "-i", tmp_path / "x.npz", "-o", tmp_path / "o.npz")
    assert result.code == 2
    assert "no input 'imgae'" in result.err
    assert "did you mean image?" in result.err
    assert "input 'image' is missing" in result.err
    assert not (tmp_path / "o.npz").exists()
    np.savez(tmp_path / "y.npz", image=np.ones((1, 2, 6, 7)))
    assert "[1, 2, 6, 7]" in cli("run", program, "-i", tmp_path / "y.npz").err
    np.savez(tmp_path / "z.npz", image=np.full((1, 2, 6, 6), "x"))
    assert cli("run", program, "-i", tmp_path / "z.npz").code == 2
    assert cli("run", program, "--random", "-i", tmp_path / "x.npz").code == 2


def test_opt_prints_ir_only(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    result = cli("opt", cnn, "-p", "lower-onnx,cse")
    assert result.code == 0
    assert result.out.startswith("builtin.module")
    assert "onnx.Conv" not in result.out
    assert "OK" not in result.out
    assert cli("opt", cnn, "-p", "lower-onnx", "-o", tmp_path / "x.mlir").out == ""
    again = cli("opt", tmp_path / "x.mlir", "-p", "dce")
    assert again.code == 0


def test_opt_reads_standard_input(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    text = "builtin.module { func.func @main() { func.return } }"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    result = cli("opt", "-")
    assert result.code == 0
    assert "func.func @main" in result.out


def test_inspect_knows_all_kinds(cli: Cli, cnn: Path, program: Path, tmp_path: Path) -> None:
    model = cli("inspect", cnn)
    assert "MACs" in model.out
    assert "2,700" in model.out or "2700" in model.out
    assert cli("compile", cnn, "--to", "fused", "-o", tmp_path / "x.mlir").code == 0
    assert "gconv.link" in cli("inspect", tmp_path / "x.mlir").out
    found = cli("inspect", program)
    assert "conv1" in found.out
    assert "scores" in found.out


def test_listings(cli: Cli) -> None:
    assert "eyeriss" in cli("targets").out
    assert "lower-onnx" in cli("passes").out
    assert "Conv" in cli("ops").out
    assert "CAT-U001" in cli("errors").out
    assert "numpy" in cli("doctor").out
    assert cli("ops", "--markdown").out.startswith("**Operators**\n\n| operator |")


@pytest.mark.parametrize(
    "words",
    [
        ("check", "CNN"),
        ("inspect", "CNN"),
        ("opt", "CNN"),
        ("compile", "CNN", "-o", "TMP/x.cat"),
        ("run", "PROGRAM", "--random"),
        ("quantize", "CNN", "-o", "TMP/q.onnx", "--calibrate", "random:1"),
        ("prune", "CNN", "-o", "TMP/p.onnx", "--structure", "group", "--sparsity", "0.5"),
        ("report", "PROGRAM"),
        ("report", "CNN"),
        ("report", "CNN", "--density", "0.5"),
        ("explain", "CNN", "--density", "0.5"),
        ("inspect", "PROGRAM"),
        ("disasm", "PROGRAM"),
        ("targets",),
        ("passes",),
        ("ops",),
        ("errors",),
        ("doctor",),
    ],
)
def test_json_is_one_object_and_nothing_else(
    cli: Cli, cnn: Path, program: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    places = {"CNN": str(cnn), "PROGRAM": str(program)}
    result = cli(*(places.get(word, word.replace("TMP", str(tmp_path))) for word in words), "--json")
    assert result.err == ""
    assert result.json["status"] == "ok"
    assert (result.json["command"], result.json["exit_code"], result.code) == (words[0], 0, 0)
    assert result.json["result"]


def test_json_holds_errors(cli: Cli, tmp_path: Path) -> None:
    model = save_model(unsupported_model(), tmp_path / "u.onnx")
    result = cli("check", model, "--json")
    assert (result.code, result.json["exit_code"], result.json["status"]) == (3, 3, "failed")
    assert [each["node"] for each in result.json["diagnostics"]] == ["noise1", "noise2"]
    usage = cli("check", "--json", "--bogus")
    assert (usage.code, usage.json["diagnostics"][0]["code"]) == (2, "CAT-C001")
    missing = cli("compile", tmp_path / "none.onnx", "--json")
    assert (missing.code, missing.json["diagnostics"][0]["code"]) == (2, "CAT-C002")


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (("complie", "x"), "compile"),
        (("compile", "x", "--tagret", "y"), "--target"),
        (("compile", "CNN", "-t", "eyerris"), "eyeriss"),
        (("opt", "CNN", "-p", "lower-onx"), "lower-onnx"),
        (("opt", "CNN", "-p", "fuse-elementwise{max-step=3}"), "max-steps"),
        (("compile", "CNN", "--to", "maped"), "mapped"),
        (("compile", "CNN", "--set", "glb.bnaks=3"), "banks"),
        (("compile", "CNN", "--print-ir-after", "fold-veiws"), "fold-views"),
    ],
)
def test_misspelt_words_are_corrected(cli: Cli, cnn: Path, words: tuple[str, ...], suggestion: str) -> None:
    result = cli(*(str(cnn) if word == "CNN" else word for word in words))
    assert result.code == 2
    assert "did you mean" in result.err.lower()
    assert suggestion in result.err.lower().partition("did you mean")[2]
    assert "Traceback" not in result.err


def test_an_internal_error_is_one_line_and_debug_shows_more(
    cli: Cli, cnn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise LookupError("boom")

    monkeypatch.setattr("compiler.checking.check_model", broken)
    result = cli("check", cnn)
    assert result.code == 1
    assert "error[CAT-I001]" in result.err
    assert "boom" in result.err
    assert "Traceback" not in result.err
    assert "Traceback" in cli("check", cnn, "--debug").err
    assert json.loads(cli("check", cnn, "--json").out)["exit_code"] == 1


def test_an_interrupt_ends_with_130(cli: Cli, cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("backends.container._write", interrupted)
    result = cli("compile", cnn, "-o", tmp_path / "x.cat")
    assert result.code == 130
    assert list(tmp_path.iterdir()) == []


def test_colour_is_off_in_files_and_on_by_request(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\033[" not in cli("targets").err
    assert "\033[" in cli("targets", "--color", "always").err
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033[" not in cli("targets").err


def test_help_names_every_exit_code(cli: Cli) -> None:
    epilog = " ".join(cli("--help").out.partition("Exit codes:")[2].split())
    assert all(re.search(rf"(^| ){code.value} [a-z]", epilog) for code in ExitCode)


def test_equal_problems_say_where_once(capsys: pytest.CaptureFixture[str]) -> None:
    first = Diagnostic("CAT-F002", "too small", where="set by --set glb.banks", node="conv1")
    Console().errors([first, replace(first, node="conv2"), replace(first, node="conv2")])
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["error[CAT-F002] (set by --set glb.banks): too small (x3)", "  at:       conv1, conv2"]
    Console().errors([first, replace(first, where="a.toml, line 3"), replace(first, where="", node="conv2")])
    assert "  at:       conv1 (set by --set glb.banks), conv1 (a.toml, line 3), conv2\n" in capsys.readouterr().err


def test_inspect_shows_models_that_are_not_supported(cli: Cli, tmp_path: Path) -> None:
    nodes = [onnx_node("Relu", "x", "r", "first"), onnx_node("Own", "r", "y", "second", domain="company")]
    model = save_model(onnx_model(nodes, {"x": ["N", 3]}, "y", domains=["company"]), tmp_path / "own.onnx")
    found = cli("inspect", model, "--json")
    assert found.code == 0
    result = found.json["result"]
    assert result["facts"]["not supported"] == "1 problem, see below"
    assert [(each["code"], each["node"]) for each in result["Problems"]] == [("CAT-U003", "second")]
    assert [(each["node"], each["operator"]) for each in result["Nodes"]] == [
        ("first", "Relu"),
        ("second", "company.Own"),
    ]
    assert [(each["tensor"], each["shape"], each["type"]) for each in result["Inputs and outputs"]] == [
        ("x", "Nx3", "float"),
        ("y", "", "not declared"),
    ]


def test_a_file_that_is_no_model_is_not_inspected(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    assert cli("inspect", tmp_path / "m.onnx").code == 2
