"""Whole quantized networks on cores with crossbars: to the bit as the interpreter."""

from __future__ import annotations

import json
from dataclasses import asdict

import onnx
import pytest

from tests.backends.rram.quantized import ready
from tests.backends.rram.schedules import Ran, check, drawn, page
from tests.reference_models import FOLDER


@pytest.mark.skipif(not FOLDER.exists(), reason="needs the reference models")
@pytest.mark.models
@pytest.mark.parametrize("name", ["ort_qdq_multi", "mnist_quantized"])
@pytest.mark.parametrize("pipelined", ["false", "true"])
def test_quantized_reference_models(name: str, pipelined: str) -> None:
    made = ready(onnx.load(FOLDER / f"{name}.onnx"), {"schedule.pipelined": pipelined})
    assert not made.differences(made.emulate())


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", range(0, 125, 25))
def test_random_schedules(first: int) -> None:
    """A thousand of networks, chips, schemes and interleavings in all: no race, no deadlock, no wrong bit."""
    for seed in range(first, first + 25):
        check(drawn(seed), 8)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_random_schedule(seed: int) -> None:
    ran = check(drawn(seed), 1)
    assert ran.waits > 0
    assert Ran.of_line(json.dumps(asdict(ran))) == ran
    assert "1 schedules of 1 programs, seeds" in page([ran])
