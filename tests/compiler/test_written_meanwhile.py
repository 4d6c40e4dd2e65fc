"""A model that is written to while it is compiled is refused: its weights stay in the file until they are used."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from backends import container
from compiler import compilation, ir_text
from tests.compiler.conftest import Cli


@pytest.fixture
def model(cnn: Path, tmp_path: Path) -> Path:
    """A model that may be changed."""
    return Path(shutil.copy(cnn, tmp_path / "mine.onnx"))


def meanwhile(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, happens: Callable[[], object]) -> None:
    """Let something happen right behind a function."""
    function = getattr(module, name)

    def followed(*given: Any, **named: Any) -> Any:
        try:
            return function(*given, **named)
        finally:
            happens()

    monkeypatch.setattr(module, name, followed)


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        (compilation, "compile_source", ()),
        (compilation, "compile_source", ("--to", "fused")),
        (container, "_write", ()),
        (ir_text, "save_weights", ("--to", "fused")),
    ],
)
def test_a_model_that_grew_is_refused_and_nothing_is_written(
    model: Path,
    tmp_path: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    name: str,
    words: tuple[str, ...],
) -> None:
    output = tmp_path / "cnn.out"
    output.write_text("older")
    meanwhile(monkeypatch, module, name, lambda: grow(model))
    result = cli("compile", model, *words, "-o", output)
    assert result.code == 2
    assert "CAT-C002" in result.err
    assert "changed while it was compiled" in result.err
    assert output.read_text() == "older"


def test_what_is_wrong_with_a_model_that_is_being_written_is_not_said(
    model: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.write_bytes(model.read_bytes()[:300])
    assert "CAT-M001" in cli("compile", model, "-o", tmp_path / "cnn.cat").err
    meanwhile(monkeypatch, compilation, "compile_source", lambda: grow(model))
    assert "CAT-C002" in cli("compile", model, "-o", tmp_path / "cnn.cat").err


def test_a_model_in_the_place_of_another_is_no_matter(
    model: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path(shutil.copy(model, tmp_path / "other.onnx"))
    meanwhile(monkeypatch, compilation, "compile_source", lambda: other.replace(model))
    assert cli("compile", model, "-o", tmp_path / "cnn.cat").code == 0
