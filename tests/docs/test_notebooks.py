"""Every notebook runs from its first cell to its last, and shows what is recorded in it, but for what varies."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import compiler
from backends.registry import bundled_backends
from tests.compiler.small_models import save_model, small_cnn
from tests.docs.notebooks import Notebook, executed, read, shown

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


VARYING = re.compile(r"\d+(\.\d+)?e[-+]\d+|\d+(\.\d+)? s\b")
"""Errors of floats, which differ from one processor to the next, and times."""
LAYOUT = re.compile(r"[\s-]+")
"""What columns are made wider and narrower with."""


def kinds(notebook: Notebook) -> list[list[list[str]]]:
    """For every cell, the kinds of what it shows."""
    cells = [cell.get("outputs", []) for cell in notebook["cells"]]
    return [[sorted(output.get("data", {"text": ""})) for output in outputs] for outputs in cells]


def steady(output: Mapping[str, Any]) -> dict[str, str]:
    """What a cell shows, by kind, without what varies from run to run and between computers."""
    texts: Mapping[str, str | list[str]] = output.get("data", {"text": output.get("text", "")})
    whole = {kind: text if isinstance(text, str) else "".join(text) for kind, text in texts.items()}
    return {kind: LAYOUT.sub(" ", VARYING.sub("#", text)) for kind, text in whole.items()}


def stale(recorded: Notebook, found: Notebook) -> list[int]:
    """The cells that show something else than is recorded."""
    pairs = zip(recorded["cells"], found["cells"], strict=True)
    shows = ([[steady(each) for each in cell.get("outputs", [])] for cell in pair] for pair in pairs)
    return [number for number, (before, now) in enumerate(shows) if before != now]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path) -> None:
    pytest.importorskip("onnxruntime")
    recorded = read(path)
    found = executed(recorded, FOLDER)
    assert kinds(found) == kinds(recorded)
    assert not stale(recorded, found), "python3 tasks.py notebooks writes what they show"
    assert any(cell.get("outputs") for cell in found["cells"])
    assert "WRONG" not in json.dumps(found)


def test_what_makes_a_notebook_stale() -> None:
    def notebook(text: str) -> Notebook:
        return {"cells": [{"outputs": [{"data": {"text/plain": [text]}}]}]}

    recorded = notebook("layer   cycles  error\n-----  ------\nconv1   1,200  1.19e-07, 0.5 s")
    assert not stale(recorded, notebook("layer  cycles error\n---  ---\nconv1  1,200  2.4e-08, 1.25 s"))
    assert stale(recorded, notebook("layer   cycles  error\n-----  ------\nconv1   1,201  1.19e-07, 0.5 s")) == [0]


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
