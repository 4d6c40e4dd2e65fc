"""The chains of whole networks against stored outputs, where the folder of reference models is beside the checkout."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from compiler.importer import import_model
from dialects.diagnostics import CatenaError
from dialects.gconv.interpreter import Interpreter
from passes.verification import verify_module
from tests.filechecking import run_passes

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "models"
INDEX = FOLDER / "index.json"
MODELS: dict[str, dict[str, Any]] = (
    {entry["id"]: entry for entry in json.loads(INDEX.read_text())["models"]} if INDEX.exists() else {}
)

QUANTIZED = {"mnist_quantized", "of_kws", "qat_mnv4s", "ort_qdq_multi"}
"""Compared in units of the last place instead, `tests/end_to_end/test_reference_models.py`."""
LOOSER = {
    "squeezenet_fp16": 5e-3,  # the reference rounds every tensor to float16
    "basic_pitch": 1e-3,  # ONNX Runtime with and without optimizations differs by 2.4e-4
}

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.skipif(not MODELS, reason="no reference models")]


def ids() -> list[str]:
    """The models with references in floats; a stand-in where the folder is missing."""
    return [key for key, entry in MODELS.items() if entry.get("reference") and key not in QUANTIZED] or ["none"]


def tolerance(entry: dict[str, Any]) -> float:
    """Largest error relative to the largest value of an output: 1e-4 for trained networks, 1e-3 for seeded ones."""
    return LOOSER.get(entry["id"], 1e-3 if "fill" in entry else 1e-4)


@cache
def filler() -> Any:
    """The module that fills a topology with seeded weights."""
    spec = importlib.util.spec_from_file_location("fill_weights", FOLDER / "tools" / "fill_weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def source_of(entry: dict[str, Any]) -> Path | onnx.ModelProto:
    path = FOLDER / entry["file"]
    if "fill" not in entry:
        return path
    fill = entry["fill"]
    return filler().fill(str(path), fill["seed"], fill["residual_gain"], fill["last_gain"])[0]


@pytest.mark.parametrize("key", ids())
def test_outputs_match_the_reference(key: str) -> None:
    entry = MODELS[key]
    reference = entry["reference"]
    arrays = np.load(FOLDER / reference["file"])
    module = import_model(source_of(entry), input_shapes=reference["cases"][0]["in_shapes"])
    run_passes(module, "fold-constants,lower-onnx")
    verify_module(module)
    interpreter = Interpreter(module)
    for case in range(len(reference["cases"])):
        feeds = {name: arrays[f"c{case}_in_{index}"] for index, name in enumerate(reference["input_order"])}
        results = interpreter.run(feeds)
        for index, name in enumerate(reference["output_order"]):
            want = arrays[f"c{case}_out_{index}"].astype(np.float64)
            assert results[name].shape == want.shape
            if want.size:
                error = np.abs(results[name] - want).max() / max(float(np.abs(want).max()), 1e-12)
                assert error <= tolerance(entry), (name, error)


@pytest.mark.parametrize("key", [key for key, entry in MODELS.items() if entry["tier"] == "X"] or ["none"])
def test_models_with_foreign_operators_are_refused_at_import(key: str) -> None:
    with pytest.raises(CatenaError) as caught:
        import_model(FOLDER / MODELS[key]["file"])
    assert {problem.code for problem in caught.value.diagnostics} <= {"CAT-U001", "CAT-U003"}
