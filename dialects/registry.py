"""Every dialect by its name, loaded only when the IR uses it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from xdsl.ir import Dialect

_DIALECTS: dict[str, str] = {
    # name -> "module:value"
    "multicore": "dialects.multicore:MULTICORE",
    "onnx": "dialects.onnx:ONNX",
    "encodings": "dialects.encodings.attributes:ENCODINGS",
    "gconv": "dialects.gconv.dialect:GCONV",
    "gemm": "dialects.gemm:GEMM",
    "group": "dialects.groups:GROUP",
    "host": "dialects.host_segment:HOST",
    "levels": "dialects.levels:LEVELS",
    "schedule": "dialects.schedule_dialect:SCHEDULE",
    "spatial": "dialects.spatial:SPATIAL",
    "target": "dialects.target:TARGET",
    "weights": "dialects.weights:WEIGHTS",
}


def _loader(path: str) -> Callable[[], Dialect]:
    def load() -> Dialect:
        module, name = path.split(":")
        return cast("Dialect", getattr(import_module(module), name))

    return load


def available_dialects() -> dict[str, Callable[[], Dialect]]:
    """Dialect factories by name; calling one imports the dialect."""
    return {name: _loader(path) for name, path in _DIALECTS.items()}
