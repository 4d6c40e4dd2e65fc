"""Every file of `benchmarks` is a command that says what it does, or a module that says whose."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_help(path: Path) -> None:
    words = [sys.executable, str(path), "--help"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    if "no command of its own" in path.read_text():
        assert (done.returncode, "is a module of" in done.stderr) == (1, True)
    else:
        assert (done.returncode, done.stdout.startswith("usage: ")) == (0, True), done.stderr
