"""The scripts of `benchmarks/`, which is no package, as modules."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def script(name: str) -> ModuleType:
    """Import `benchmarks/NAME.py`."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def run(path: Path, *words: object) -> None:
    """Execute a script as a command does, in this process, which has imported most of what it needs.

    Raises `SystemExit` if the script does.
    """
    with pytest.MonkeyPatch.context() as patch:
        elsewhere = [each for each in sys.path if not Path(each).is_relative_to(FOLDER)]
        patch.setattr(sys, "path", [str(path.parent), *elsewhere])
        patch.setattr(sys, "argv", [str(path), *map(str, words)])
        runpy.run_path(str(path), run_name="__main__")


def generate(name: str, output: Path, *words: object) -> Path:
    """The model that `benchmarks/models/NAME.py` makes."""
    run(FOLDER / "models" / f"{name}.py", *words, "--output", output)
    return output
