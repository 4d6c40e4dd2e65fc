"""Every notebook runs from its first cell to its last, and what it shows is of the kinds that are recorded in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import compiler
from backends.registry import bundled_backends
from tests.compiler.small_models import save_model, small_cnn
from tests.docs.notebooks import Notebook, executed, read, shown

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def kinds(notebook: Notebook) -> list[list[list[str]]]:
    """For every cell, the kinds of what it shows."""
    cells = [cell.get("outputs", []) for cell in notebook["cells"]]
    return [[sorted(output.get("data", {"text": ""})) for output in outputs] for outputs in cells]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path) -> None:
    pytest.importorskip("onnxruntime")
    recorded = read(path)
    found = executed(recorded, FOLDER)
    assert kinds(found) == kinds(recorded)
    assert any(cell.get("outputs") for cell in found["cells"])
    assert "WRONG" not in json.dumps(found)


def test_every_backend_has_a_notebook() -> None:
    assert {each.name for each in bundled_backends()} == {path.stem for path in NOTEBOOKS}


def test_results_show_text_where_there_is_no_html(tmp_path: Path) -> None:
    cnn = save_model(small_cnn(), tmp_path / "cnn.onnx")
    report = compiler.report(cnn)
    bundle = shown(report)
    assert set(bundle) == {"text/html", "text/plain"}
    assert "conv1 + relu1" in bundle["text/plain"]
    assert bundle["text/html"].count("<table>") == 1
    assert "<p>" in shown(compiler.explain(cnn, "conv1"))["text/html"]
