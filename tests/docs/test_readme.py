"""The commands of the README, executed one after the other in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from compiler.cli.main import execute
from tests.compiler.small_models import save_model, small_cnn
from tests.docs.commands import carry_out

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_commands_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert sum(line.startswith("catena ") for line in lines) >= 10
    for line in lines:
        carry_out(line, capsys)
    (example,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(1, 1000) ")


def test_the_commands_that_take_long_work_on_a_small_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    save_model(small_cnn(), tmp_path / "out" / "cnn.onnx")
    assert execute(["quantize", "out/cnn.onnx", "-o", "out/int8.onnx", "--calibrate", "random:2"]) == 0
    (block,) = blocks("console")
    for line in block.splitlines():
        if line.startswith("catena "):
            assert execute(shlex.split(line)[1:]) == 0, (line, capsys.readouterr().err)
        else:
            subprocess.run(["bash", "-c", line], check=True)
    assert "SNR" in capsys.readouterr().out


def test_the_two_commands_are_tasks() -> None:
    tasks = subprocess.run([sys.executable, str(ROOT / "tasks.py")], capture_output=True, text=True, check=False).stdout
    for name in re.findall(r"python3 tasks\.py (\w+)", README):
        assert f"tasks.py {name} " in tasks
        assert re.search(rf"^[a-z ]*\b{name}\b[a-z ]*:", (ROOT / "Makefile").read_text(), re.MULTILINE)
