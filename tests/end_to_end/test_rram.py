"""Whole quantized networks on cores with crossbars: to the bit as the interpreter."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from backends.rram.steps import Pace
from tests.backends.rram.quantized import ready, residual
from tests.reference_models import FOLDER


@pytest.mark.skipif(not FOLDER.exists(), reason="needs the reference models")
@pytest.mark.models
@pytest.mark.parametrize("name", ["ort_qdq_multi", "mnist_quantized"])
@pytest.mark.parametrize("pipelined", ["false", "true"])
def test_quantized_reference_models(name: str, pipelined: str) -> None:
    made = ready(onnx.load(FOLDER / f"{name}.onnx"), {"schedule.pipelined": pipelined})
    assert not made.differences(made.emulate(), but="cycles")


@pytest.mark.exhaustive
def test_random_schedules() -> None:
    """A thousand of networks, chips, schemes and interleavings: no race, no deadlock, no wrong bit."""
    random = np.random.default_rng(0)
    for seed in range(125):
        settings = {
            "cores.count": str(random.choice([12, 24, 40, 144])),
            "cores.crossbars": str(random.choice([1, 2, 4])),
            "crossbar.rows": str(random.choice([9, 16, 32])),
            "crossbar.columns": str(random.choice([8, 16, 64])),
            "schedule.scheme": str(random.choice(["sequential", "linear", "cyclic"])),
            "schedule.pipelined": str(random.choice(["true", "false"])),
            "schedule.duplicate": str(random.choice(["true", "false"])),
            "schedule.signal_every": str(random.integers(1, 5)),
            "bus.latency": str(random.integers(0, 20)),
            "cores.overlap": str(random.choice(["true", "false"])),
        }
        made = ready(residual(seed, int(random.integers(3, 7))), settings, seed)
        assert not made.differences(made.emulate(), but="cycles")
        for pace in range(7):
            made.emulate("steps", Pace(8 * seed + pace))
