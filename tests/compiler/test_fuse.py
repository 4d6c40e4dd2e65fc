"""--fuse: networks compute what they did, move fewer words, and count what was predicted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.generic.emulator import NestEmulator
from backends.spatial.emulator import SpatialEmulator
from compiler.compilation import CompileOptions, compile_source
from dialects.diagnostics import CatenaError
from dialects.events import Counts
from tests.compiler.conftest import Cli
from tests.compiler.small_models import save_model
from tests.end_to_end.networks import NETWORKS, inputs_of

READ = ("dram.input.read", "dram.kernel.read", "dram.extra.read")
WRITTEN = {"generic": "dram.output.update", "eyeriss": "dram.output.write"}
SETTINGS = {"generic": {"levels.glb.words": "2000"}, "eyeriss": {"glb.banks": "16", "glb.bank_words": "64"}}
"""Targets with buffers of about the size of the networks' tensors."""
ONLY_SCRATCHPADS = """
name = "scratchpads"
summary = "elements with memories of their own, and none outside of them"
clock_mhz = 100
word_bits = 16
[levels.dram]
kind = "memory"
[levels.pe]
kind = "axis"
size = 4
[levels.rf]
kind = "memory"
words = 64
"""
NOTHING_BETWEEN = ("moved-data", "typed")
"""Networks whose links lie apart."""
USUAL = ("residual", "separable", "attention", "joins", "broadcasts")
NAMES = [pytest.param(name, marks=[] if name in USUAL else [pytest.mark.slow]) for name in NETWORKS]


def _run(source: Path, inputs: dict[str, np.ndarray], target: str, *, fuse: bool) -> tuple[dict[str, Any], int]:
    """Results and words over the off-chip link; all that is counted was predicted."""
    options = CompileOptions(target=target, settings=SETTINGS[target], fuse=fuse)
    program = compile_source(str(source), options).program
    assert program is not None
    assert bool(program.groups) <= fuse
    emulator = NestEmulator(program) if target == "generic" else SpatialEmulator(program)
    results = emulator.run(inputs)
    for layer in program.layers:
        assert not emulator.counters[layer.name].differences(Counts.of(layer.predicted)), layer.name
    return results, sum(counts.charged([*READ, WRITTEN[target]]) for counts in emulator.counters.values())


@pytest.mark.parametrize("target", SETTINGS)
@pytest.mark.parametrize("name", NAMES)
def test_networks_compute_the_same_and_move_less(name: str, target: str, tmp_path: Path) -> None:
    model = NETWORKS[name]()
    source = save_model(model, tmp_path / "model.onnx")
    inputs = inputs_of(model)
    expected, before = _run(source, inputs, target, fuse=False)
    found, after = _run(source, inputs, target, fuse=True)
    for output, values in expected.items():
        np.testing.assert_allclose(found[output], values, rtol=0, atol=1e-5 * np.abs(values).max(), err_msg=output)
    assert after <= before
    assert after < before or name in NOTHING_BETWEEN


def test_a_target_that_cannot_fuse_says_so(tmp_path: Path, cli: Cli) -> None:
    source = save_model(NETWORKS["separable"](), tmp_path / "model.onnx")
    target = tmp_path / "scratchpads.toml"
    target.write_text(ONLY_SCRATCHPADS, encoding="utf-8")
    found = cli("compile", source, "-t", target, "--fuse", "-o", tmp_path / "out.cat")
    assert found.code == 3
    assert "CAT-U006" in found.err
    assert "do without --fuse" in found.err
    assert not (tmp_path / "out.cat").exists()


def test_fusing_needs_the_mapping_stage(tmp_path: Path) -> None:
    source = save_model(NETWORKS["separable"](), tmp_path / "model.onnx")
    with pytest.raises(CatenaError, match="--fuse is of no use without stage mapped"):
        compile_source(str(source), CompileOptions(target="generic", stop="fused", fuse=True))
