"""A model that is written to while it is compiled is refused: its weights stay in the file until they are used."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from compiler import compilation
from tests.compiler.conftest import Cli


@pytest.fixture
def model(cnn: Path, tmp_path: Path) -> Path:
    """A model that may be changed."""
    return Path(shutil.copy(cnn, tmp_path / "mine.onnx"))


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen between the compilation and the writing of its program."""
    compile_source = compilation.compile_source

    def compiled(*given: object, **named: object) -> object:
        result = compile_source(*given, **named)  # type: ignore[arg-type]
        happens()
        return result

    monkeypatch.setattr(compilation, "compile_source", compiled)


def test_a_model_that_grew_is_refused_and_nothing_is_written(
    model: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "cnn.cat"
    meanwhile(monkeypatch, lambda: model.write_bytes(model.read_bytes() + b"\0"))
    outcome = cli("compile", model, "-o", program)
    assert outcome.code == 2
    assert "CAT-C002" in outcome.err
    assert "changed while it was compiled" in outcome.err
    assert not program.exists()


def test_a_model_in_the_place_of_another_is_no_matter(
    model: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path(shutil.copy(model, tmp_path / "other.onnx"))
    meanwhile(monkeypatch, lambda: other.replace(model))
    assert cli("compile", model, "-o", tmp_path / "cnn.cat").code == 0
