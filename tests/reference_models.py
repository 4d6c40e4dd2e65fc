"""The reference models of a folder beside the checkout; tests that need them skip where it is absent."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Iterator, Set
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "models"
INDEX = FOLDER / "index.json"

LARGE = frozenset(
    (
        *("light_bvlc_alexnet", "light_vgg19", "light_zfnet512", "light_inception_v1", "light_resnet50"),
        *("prisma_seg", "fastestdet", "yolox_nano", "deeplab_dm05", "selfie_seg", "ppocr_cls"),
    )
)
"""Models that take many seconds: they are in the exhaustive run. ResNet-18, SqueezeNet and smaller ones with layers of
every kind are in every test run."""

Feeds = dict[str, np.ndarray]


def by_size(names: Iterable[str], large: Set[str] = LARGE) -> list[Any]:
    """Parameters of a test for these models; large ones are for the exhaustive run."""
    return [pytest.param(name, marks=pytest.mark.exhaustive) if name in large else name for name in names]


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


def reference_tolerance(name: str) -> float:
    """The largest error allowed, relative to an output's maximum: 1e-4 for trained networks, 1e-3 for seeded ones."""
    return 1e-3 if "fill" in reference_index()[name] else 1e-4


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
