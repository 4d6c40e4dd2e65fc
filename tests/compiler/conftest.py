"""Fixtures of the compiler's tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from compiler.cli.main import execute
from compiler.compilation import CompileOptions, compile_source, write_compiled
from tests.compiler.small_models import save_model, small_cnn


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        return json.loads(self.out)


Cli = Callable[..., Result]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run `catena` in this process."""

    def run(*words: object) -> Result:
        capsys.readouterr()
        code = execute([str(word) for word in words])
        captured = capsys.readouterr()
        return Result(int(code), captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small CNN as a file."""
    return save_model(small_cnn(), tmp_path_factory.mktemp("models") / "cnn.onnx")


@pytest.fixture(scope="session")
def program(cnn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small CNN as a program."""
    path = tmp_path_factory.mktemp("programs") / "cnn.cat"
    write_compiled(compile_source(str(cnn), CompileOptions()), path)
    return path
