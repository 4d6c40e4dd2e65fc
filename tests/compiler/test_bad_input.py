"""Every verb on files that are not what they should be: an error with a code, no traceback, nothing half-written."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import numpy as np
import pytest

from tests.compiler.conftest import Cli, Result

CODE = re.compile(r"error\[CAT-[A-Z]\d{3}\]")
NOISE = random.Random(20).randbytes(4096)
CONTENTS = {
    "empty": b"",
    "noise": NOISE,
    "text": b"this is not a model\n",
    "zeros": bytes(512),
    "not utf-8": b"\xff\xfe\xfd" * 40,
    "magic only": b"\x89CAT\r\n\x1a\n",
    "json": b'{"format": 1}',
    "deep": b"(" * 100_000,
}
VERBS = {
    "check": ("check", "FILE"),
    "compile": ("compile", "FILE", "-o", "OUT.cat"),
    "compile ir": ("compile", "FILE.mlir", "-o", "OUT.cat"),
    "compile ir from": ("compile", "FILE.mlir", "--from", "fused", "-o", "OUT.cat"),
    "quantize": ("quantize", "FILE", "-o", "OUT.onnx", "--calibrate", "random:1"),
    "prune": ("prune", "FILE", "-o", "OUT.onnx", "--structure", "group", "--sparsity", "0.5"),
    "run": ("run", "FILE", "--random", "-o", "OUT.npz", "--stats", "OUT.json"),
    "verify": ("verify", "FILE"),
    "verify program": ("verify", "FILE.cat", "--model", "FILE"),
    "inspect": ("inspect", "FILE"),
    "inspect ir": ("inspect", "FILE.mlir"),
    "inspect program": ("inspect", "FILE.cat"),
    "opt": ("opt", "FILE.mlir", "-o", "OUT.mlir"),
    "asm": ("asm", "FILE", "-o", "OUT.cat"),
    "disasm": ("disasm", "FILE", "-o", "OUT.s"),
    "report": ("report", "FILE.cat"),
    "explain": ("explain", "FILE.cat"),
}


def assert_refused(result: Result, folder: Path, before: set[Path]) -> None:
    assert result.code in (2, 3, 5), result.err
    assert CODE.search(result.err), result.err
    assert "CAT-I001" not in result.err
    assert "Traceback" not in result.err
    assert result.err.splitlines()[-1].startswith("FAILED | ")
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("verb", VERBS)
def test_wrong_content_is_refused(cli: Cli, tmp_path: Path, verb: str, content: str) -> None:
    for name in ("FILE", "FILE.mlir", "FILE.cat"):
        (tmp_path / name).write_bytes(CONTENTS[content])
    before = set(tmp_path.iterdir())
    words = [str(tmp_path / word) if word.startswith(("FILE", "OUT")) else word for word in VERBS[verb]]
    assert_refused(cli(*words), tmp_path, before)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_missing_files_and_folders_are_refused(cli: Cli, tmp_path: Path, verb: str, kind: str) -> None:
    if kind == "folder":
        for name in ("FILE", "FILE.mlir", "FILE.cat"):
            (tmp_path / name).mkdir()
    before = set(tmp_path.iterdir())
    words = [str(tmp_path / word) if word.startswith(("FILE", "OUT")) else word for word in VERBS[verb]]
    assert_refused(cli(*words), tmp_path, before)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_cut_files_are_refused(cli: Cli, cnn: Path, program: Path, tmp_path: Path, share: float) -> None:
    for name, source in (("m.onnx", cnn), ("p.cat", program)):
        content = source.read_bytes()
        (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    before = set(tmp_path.iterdir())
    for words in (
        ("check", "m.onnx"),
        ("compile", "m.onnx", "-o", "x.cat"),
        ("verify", "m.onnx"),
        ("run", "p.cat", "--random"),
        ("disasm", "p.cat"),
        ("report", "p.cat"),
    ):
        assert_refused(cli(*(str(tmp_path / word) if "." in word else word for word in words)), tmp_path, before)


def test_flipped_bits_of_a_program_are_detected(cli: Cli, program: Path, tmp_path: Path) -> None:
    content = program.read_bytes()
    generator = random.Random(3)
    path = tmp_path / "p.cat"
    for _ in range(40):
        damaged = bytearray(content)
        damaged[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        assert_refused(cli("run", path, "--random"), tmp_path, {path})


def test_flipped_bytes_of_a_model_never_crash(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    content = cnn.read_bytes()
    generator = random.Random(4)
    path = tmp_path / "m.onnx"
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(generator.randrange(1, 4)):
            damaged[generator.randrange(len(content))] = generator.randrange(256)
        path.write_bytes(damaged)
        result = cli("check", path)
        assert result.code in (0, 2, 3), result.err
        assert "Traceback" not in result.err


def test_damaged_ir_never_crashes(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    assert cli("compile", cnn, "--dump-ir", tmp_path / "ir", "-o", tmp_path / "x.cat").code == 0
    generator = random.Random(5)
    for stage in ("01-import", "03-fused", "05-mapped", "06-placed"):
        text = (tmp_path / "ir" / f"{stage}.mlir").read_text()
        for _ in range(15):
            start = generator.randrange(len(text))
            damaged = text[:start] + generator.choice(["", "0", "-1", "<", '"', "999999"]) + text[start + 1 :]
            (tmp_path / "ir" / "damaged.mlir").write_text(damaged)
            result = cli("compile", tmp_path / "ir" / "damaged.mlir", "-o", tmp_path / "y.cat")
            assert result.code in (0, 2, 3, 4), result.err
            assert "Traceback" not in result.err


def test_damaged_weights_are_detected(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    assert cli("compile", cnn, "--dump-ir", tmp_path, "-o", tmp_path / "x.cat").code == 0
    for path in (tmp_path / "weights").iterdir():
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    result = cli("compile", tmp_path / "03-fused.mlir", "-o", tmp_path / "y.cat")
    assert result.code == 2
    assert "CAT-R004" in result.err
    assert not (tmp_path / "y.cat").exists()


def test_missing_weights_are_named(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    import shutil

    assert cli("compile", cnn, "--dump-ir", tmp_path, "-o", tmp_path / "x.cat").code == 0
    shutil.rmtree(tmp_path / "weights")
    result = cli("compile", tmp_path / "05-mapped.mlir", "-o", tmp_path / "y.cat")
    assert result.code == 2
    assert "CAT-R004" in result.err
    assert "weights" in result.err


@pytest.mark.parametrize("content", ["noise", "text", "json", "not utf-8"])
@pytest.mark.parametrize("option", ["--target", "--mapping"])
def test_bad_configuration_is_refused(cli: Cli, cnn: Path, tmp_path: Path, option: str, content: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(CONTENTS[content])
    assert_refused(cli("compile", cnn, "-o", tmp_path / "x.cat", option, path), tmp_path, {path})


@pytest.mark.parametrize(
    "text",
    [
        "layers = 3",
        "[layers]\nconv1 = 3",
        '[layers]\nconv1 = "#schedule.mapping<"',
        '[layers]\nconv1 = "f32"',
        '[layers]\nconv1 = "#schedule.row_stationary<m 0, n 1, e 1, p 1, q 1, r 1, t 1>"',
        '[layers]\nnone = "#schedule.row_stationary<m 1, n 1, e 1, p 1, q 1, r 1, t 1>"',
        "[leyers]",
    ],
)
def test_bad_mappings_are_refused(cli: Cli, cnn: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    result = cli("compile", cnn, "-o", tmp_path / "x.cat", "--mapping", path)
    assert result.code in (2, 4)
    assert CODE.search(result.err)
    assert "CAT-I001" not in result.err
    assert not (tmp_path / "x.cat").exists()


def test_a_mapping_that_does_not_fit_is_refused(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('[layers]\nconv1 = "#schedule.row_stationary<m 4, n 1, e 6, p 4, q 2, r 1, t 1>"')
    words = ("compile", cnn, "-o", tmp_path / "x.cat", "--mapping", path)
    assert cli(*words, "--set", "pe.kernel_words=24").code == 0
    (tmp_path / "x.cat").unlink()
    result = cli(*words, "--set", "pe.kernel_words=23")
    assert result.code == 4
    assert "conv1" in result.err
    assert not (tmp_path / "x.cat").exists()


@pytest.mark.parametrize("name", ["", "noise.npz", "image=noise.npz", "image=none.npy", "image"])
def test_bad_arrays_are_refused(cli: Cli, program: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "noise.npz").write_bytes(NOISE)
    argument = name.replace("n", f"{tmp_path}/n", 1) if "." in name else name
    before = set(tmp_path.iterdir())
    assert_refused(cli("run", program, "-i", argument, "-o", tmp_path / "o.npz"), tmp_path, before)


@pytest.mark.parametrize(
    "change", [{"format": 1}, {"layers": []}, {"layers": [{}]}, {"machine": {}}, {"model": 3}, None]
)
def test_bad_statistics_are_refused(cli: Cli, program: Path, tmp_path: Path, change: dict[str, object] | None) -> None:
    path = tmp_path / "s.json"
    assert cli("run", program, "--random", "--stats", path).code == 0
    content = json.loads(path.read_text())
    path.write_text(json.dumps([] if change is None else {**content, **change}))
    result = cli("report", program, "--stats", path)
    if change == {"model": 3}:
        assert result.code == 0
    else:
        assert_refused(result, tmp_path, {path})


def test_values_that_are_not_finite_run(cli: Cli, program: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", image=np.full((1, 2, 6, 6), np.nan, np.float32))
    result = cli("run", program, "-i", tmp_path / "x.npz", "--json")
    assert result.code == 0
    assert result.json["result"]["outputs"]["scores"]["shape"] == [1, 3]


@pytest.mark.parametrize("output", ["missing/x.cat", "."])
def test_impossible_outputs_are_refused(cli: Cli, cnn: Path, tmp_path: Path, output: str) -> None:
    result = cli("compile", cnn, "-o", tmp_path / output)
    assert result.code == 2
    assert "CAT-C002" in result.err
    assert not list(tmp_path.iterdir())
