"""`--max-memory`: what is too large ends with a message, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from compiler.memory_limit import LEAST, bytes_of, memory_limit
from dialects.diagnostics import ExitCode
from tests.compiler.conftest import Cli
from tests.onnx_models import onnx_model, onnx_node

CATENA = "import sys; from compiler.cli import main; sys.exit(main())"


@pytest.mark.parametrize(
    ("text", "size"), [("4G", 4 << 30), ("512M", 512 << 20), ("512 MiB", 512 << 20), ("0.5gb", 1 << 29)]
)
def test_sizes(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "4x", "-1G", "1", "127M", "1e9", "99999999T"])
def test_what_is_no_size_is_refused(text: str, cli: Cli) -> None:
    with pytest.raises(ValueError, match="not a size"):
        bytes_of(text)
    if text:
        assert cli("targets", "--max-memory", text).code == ExitCode.USAGE


def test_the_limit_holds_within_the_block_only() -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory_limit(1 << 40):
        assert resource.getrlimit(resource.RLIMIT_DATA)[0] == 1 << 40
        with memory_limit(1 << 39):
            assert resource.getrlimit(resource.RLIMIT_DATA)[0] == 1 << 39
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert bytes_of(f"{LEAST >> 20}M") == LEAST


@pytest.mark.parametrize(("size", "code"), [("160M", ExitCode.USAGE), ("4G", ExitCode.OK)])
def test_a_model_that_is_too_large_ends_with_a_message(tmp_path: Path, size: str, code: ExitCode) -> None:
    pytest.importorskip("resource")
    words = np.zeros((1, 14 << 20), np.float32)
    words[0, ::2] = 1
    model = onnx_model(
        [onnx_node("Mul", "x w", "a"), onnx_node("Add", "a w", "y")], {"x": [1, 14 << 20]}, "y", {"w": words}
    )
    onnx.save(model, tmp_path / "m.onnx")
    done = subprocess.run(
        [sys.executable, "-c", CATENA, "compile", "m.onnx", "-t", "generic", "-o", "m.cat", "--max-memory", size],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CATENA_CACHE_DIR": ""},
    )
    assert done.returncode == code, done.stderr
    assert ("CAT-C007" in done.stderr) == (code is not ExitCode.OK)
    assert "Traceback" not in done.stderr
    expected = {"m.onnx", "m.cat"} if code is ExitCode.OK else {"m.onnx"}
    assert {each.name for each in tmp_path.iterdir()} == expected
