"""Dense latencies of the SPOTS machine: the closed forms of the reference, from programs."""

from __future__ import annotations

import onnx
import pytest

from tests.benchmarks.scripts import script


@pytest.mark.parametrize("name", ["AlexNet", pytest.param("GoogLeNet", marks=pytest.mark.exhaustive)])
def test_convolutions_take_what_their_shapes_say(name: str) -> None:
    spots = script("spots")
    sources = {"AlexNet": ("alexnet_paper", (1,)), "GoogLeNet": ("googlenet", ())}
    spots.sys.path.insert(0, str(spots.HERE / "models"))
    module, arguments = sources[name]
    model: onnx.ModelProto = getattr(__import__(module), module)(*arguments)
    found, reference = spots.measured(model), spots.REFERENCES[name]
    assert found["tall"].macs / 1e9 == pytest.approx(reference.gmac, abs=0.005)
    assert found["tall"].milliseconds == pytest.approx(reference.tall, abs=0.005)
    assert found["best"].milliseconds == pytest.approx(reference.best, abs=0.005)
    assert found["best"].cycles < found["filling"].cycles < 1.05 * found["best"].cycles
    assert found["best"].most > reference.saving - 0.05
    for variant in ("tall", "best", "filling", "as it is"):
        assert found[variant].saving == pytest.approx(found["best"].most, rel=1e-9), "every word is read once"
    assert found["across"].saving > 1.8
