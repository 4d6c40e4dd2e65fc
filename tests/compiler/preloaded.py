"""What the server of processes has done before it makes any: compiled once, so that all that takes is imported."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from compiler.cli.main import execute
from tests.compiler.small_models import save_model
from tests.end_to_end.networks import NETWORKS

with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
    model = save_model(NETWORKS["residual"](), Path(folder) / "model.onnx")
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        execute(["compile", str(model), "-o", f"{folder}/program.cat", "--no-cache", "-j", "1"])
