"""The reference models of a folder beside the checkout; tests that need them skip where it is absent."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from compiler.reference import optimized_outputs, reference_model

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "models"
INDEX = FOLDER / "index.json"

Feeds = dict[str, np.ndarray]

UNSTABLE = ("basic_pitch",)
"""Networks whose outputs hang on roundings of float32 sums: `tests/end_to_end/test_basic_pitch.py` says how."""


@cache
def reference_index() -> dict[str, dict[str, Any]]:
    """What is said of each model, by its id; empty where the folder is absent."""
    return {entry["id"]: entry for entry in json.loads(INDEX.read_text())["models"]} if INDEX.exists() else {}


def reference_source(name: str, filled: bool = True) -> Path | onnx.ModelProto:
    """The model's file; for a topology without weights the model filled with its seeded ones, if `filled`."""
    entry = reference_index()[name]
    path = FOLDER / entry["file"]
    if "fill" not in entry or not filled:
        return path
    fill = entry["fill"]
    return _filler().fill(str(path), fill["seed"], fill["residual_gain"], fill["last_gain"])[0]


def reference_shapes(name: str) -> dict[str, list[int]]:
    """The input shapes of the stored references."""
    return reference_index()[name]["reference"]["cases"][0]["in_shapes"]


def reference_cases(name: str) -> Iterator[tuple[Feeds, Feeds]]:
    """The stored inputs and outputs, by tensor name."""
    reference = reference_index()[name]["reference"]
    with np.load(FOLDER / reference["file"]) as arrays:
        for case in range(len(reference["cases"])):
            yield tuple(  # pyright: ignore[reportReturnType]
                {tensor: arrays[f"c{case}_{kind}_{index}"] for index, tensor in enumerate(reference[f"{word}_order"])}
                for kind, word in (("in", "input"), ("out", "output"))
            )


def reference_tolerances(name: str, inputs: Feeds, expected: Feeds) -> dict[str, float]:
    """The largest error of each output, relative to its largest value: 1e-4 for trained networks, 1e-3 for seeded ones.

    Unstable networks may be further away by as much as ONNX Runtime's optimizations move them.
    """
    allowed = 1e-3 if "fill" in reference_index()[name] else 1e-4
    if name not in UNSTABLE:
        return dict.fromkeys(expected, allowed)
    pytest.importorskip("onnxruntime")
    source = reference_source(name)
    assert isinstance(source, Path)
    moved = relative_errors(optimized_outputs(reference_model(source), inputs), expected)
    return {output: allowed + error for output, error in moved.items()}


def relative_errors(found: Feeds, expected: Feeds) -> dict[str, float]:
    """The largest error of each expected output, relative to its largest value."""
    errors: dict[str, float] = {}
    for name, array in expected.items():
        wanted = array.astype(np.float64)
        largest = np.abs(wanted).max(initial=0) or 1
        errors[name] = float(np.abs(found[name].astype(np.float64) - wanted).max(initial=0) / largest)
    return errors


@cache
def _filler() -> Any:
    spec = importlib.util.spec_from_file_location("fill_weights", FOLDER / "tools" / "fill_weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
