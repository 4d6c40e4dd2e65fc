"""What points cost, kept on disk: the same network, machine and options need not be compiled again by the same code."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

from compiler.design_space.evaluation import Evaluation
from compiler.design_space.figures import FIGURES
from compiler.design_space.points import Point
from compiler.design_space.space import Space
from dialects.code_digest import code_digest
from dialects.diagnostics import Diagnostic
from passes.searching.sealed_files import SealedFiles

FOLDER = "points"
_CODE = ("dialects", "passes", "backends", "compiler")
_PACKAGES = ("numpy", "onnx", "xdsl", "ml_dtypes", "onnxruntime")
_PASSING = frozenset({"CAT-I001", "CAT-C002", "CAT-C004", "CAT-C006", "CAT-C007"})
"""Codes of what may go well another time: these are not kept."""

Outcome = dict[str, float | int | None] | tuple[Diagnostic, ...]
"""The figures of a point, or why it has none."""


class Results:
    """The points of a cache; without a folder nothing is kept."""

    def __init__(self, folder: Path | None):
        self._files = None if folder is None else SealedFiles(folder / FOLDER, "point")

    def get(self, key: str) -> Outcome | None:
        """What is known of a point."""
        return None if self._files is None else self._files.get(key, _parsed)

    def put(self, key: str, outcome: Outcome) -> None:
        """Keep what a point has come to, unless that may change."""
        if self._files is None:
            return
        if isinstance(outcome, dict):
            self._files.put(key, {"figures": outcome})
        elif not any(each.code in _PASSING for each in outcome):
            self._files.put(key, {"problems": [asdict(each) for each in outcome]})


def key_of(evaluation: Evaluation, point: Point, space: Space, digests: Mapping[str, str]) -> str:
    """The name of a point: 64 hex digits that change with anything its figures depend on.

    `digests` are those of the files that it reads: the network, its external data, samples.
    """
    work = {**asdict(evaluation), "model": None, "cache_dir": None}
    if not evaluation.emulate:
        work["seed"] = None
    prepared: list[Any] = []
    if not point.variant.is_plain:
        prepared = [asdict(point.variant), space.prune.model_dump(mode="json"), space.quantize.model_dump(mode="json")]
        prepared += [space.seed, space.calibrate if space.calibrate.startswith("random:") else None]
    code = [code_digest(*_CODE), sys.version, *map(_version, _PACKAGES)]
    content = json.dumps([work, prepared, dict(digests), code], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


def _parsed(items: Mapping[str, Any]) -> Outcome:
    """Raises `ValueError`, `KeyError`, `TypeError` for anything that is no outcome."""
    if "problems" in items:
        return tuple(Diagnostic(**each) for each in items["problems"])
    figures = cast("dict[str, Any]", items["figures"])
    if list(figures) != list(FIGURES) or not all(isinstance(each, int | float | None) for each in figures.values()):
        raise ValueError("it has other figures")
    return figures
