"""`catena inspect` and `catena opt` say what passes did."""

from __future__ import annotations

from pathlib import Path

from tests.compiler.conftest import Cli


def test_a_line_for_every_pass(cli: Cli, cnn: Path) -> None:
    found = cli("inspect", cnn, "--passes")
    assert found.code == 0
    rows = {line.split()[1]: line.split() for line in found.out.splitlines()[3:] if line}
    assert rows["lower-onnx"][0] == "gconv"
    assert rows["place-spatial"][0] == "placed"
    numbers = cli("inspect", cnn, "--passes", "--json").json["result"]["steps"]
    lowered = next(each for each in numbers if each["pass"] == "lower-onnx")
    assert lowered["removed"] >= 5
    assert not any(name.startswith("onnx.") for name in lowered["ops"])


def test_changes_of_a_pass_are_plain_text_without_a_terminal(cli: Cli, cnn: Path) -> None:
    found = cli("inspect", cnn, "--changes", "lower-onnx", "--to", "gconv")
    lines = found.out.splitlines()
    assert lines[0].startswith("// ----- gconv: lower-onnx: ")
    at = next(number for number, line in enumerate(lines) if line.startswith("- ") and "onnx.Conv" in line)
    assert any(line.startswith("+ ") and "gconv.link" in line and '"conv1"' in line for line in lines[at:])
    assert "\033" not in found.out
    assert "\033[32m+" in cli("inspect", cnn, "--changes", "gconv", "--to", "gconv", "--color", "always").out


def test_a_node_is_followed_through_the_passes(cli: Cli, cnn: Path) -> None:
    found = cli("inspect", cnn, "--node", "pool1")
    heads = [line.split(": ")[1] for line in found.out.splitlines() if line.startswith("// -----")]
    assert heads[0] == "lower-onnx"
    assert heads[-1] == "place-spatial"
    assert all("pool1" in line for line in found.out.splitlines() if line.startswith("+") and "loc(" in line)


def test_what_did_not_run_is_refused(cli: Cli, cnn: Path) -> None:
    found = cli("inspect", cnn, "--changes", "lower-onx")
    assert found.code == 2
    assert "did you mean lower-onnx?" in found.err
    found = cli("inspect", cnn, "--node", "pool")
    assert found.code == 2
    assert "did you mean pool1?" in found.err


def test_passes_run_by_themselves_say_what_they_did(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    ir = tmp_path / "chain.mlir"
    cli("compile", cnn, "--to", "gconv", "-o", ir)
    found = cli(
        "opt", ir, "-p", "fold-views,fuse-elementwise", "--changes", "fuse-elementwise", "-o", tmp_path / "out.mlir"
    )
    assert found.code == 0
    assert "// ----- fuse-elementwise: 1 removed" in found.err
    assert "- %" in found.err
    assert "fold-views" not in found.err


def test_dumps_of_passes_are_read_again(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    dumps, again = tmp_path / "passes", tmp_path / "again.mlir"
    assert cli("compile", cnn, "--to", "fused", "-o", tmp_path / "f.mlir", "--dump-passes", dumps).code == 0
    (before,) = dumps.glob("*-fused-fold-pad.mlir")
    (after,) = dumps.glob("*-fused-fuse-elementwise.mlir")
    found = cli("opt", before, "-p", "fuse-elementwise", "--changes", "all", "-o", again)
    assert found.code == 0
    assert "// ----- fuse-elementwise: " in found.err
    assert again.read_text() == after.read_text()
