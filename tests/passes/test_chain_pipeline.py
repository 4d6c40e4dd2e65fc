"""All passes on gconv chains together: what they leave, how long the chains of known networks become."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from compiler.importer import import_model
from dialects.gconv import LinkOp
from dialects.gconv.interpreter import Interpreter
from passes.statistics import chain_statistics
from passes.verification import verify_module
from tests.filechecking import print_module, run_passes
from tests.passes.chains import Chain, assert_close, check_pass, random_chains

PASSES = (
    "fold-views",
    "evaluate-constants",
    "match-activations",
    "fold-copies",
    "fold-pad",
    "fuse-elementwise",
    "fold-weights",
    "fuse-pre",
    "merge-dims",
    "copy-concat",
)


@pytest.mark.parametrize("name", PASSES)
def test_every_pass_ends_in_one_sweep(name: str) -> None:
    @settings(derandomize=True, deadline=None, max_examples=30)
    @given(random_chains())
    def check(module: Chain) -> None:
        run_passes(module, name)
        once = print_module(module)
        run_passes(module, name)
        assert print_module(module) == once

    check()


@settings(derandomize=True, deadline=None, max_examples=60)
@given(random_chains())
def test_the_pipeline_keeps_the_meaning(module: Chain) -> None:
    check_pass(module, ",".join(PASSES), 1e-12)


def light_model(name: str) -> Path:
    """A network that the onnx package brings for its own tests."""
    import onnx

    path = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx"
    if not path.exists():
        pytest.skip(f"this onnx package has no {path.name}")
    return path


@pytest.mark.parametrize(
    ("name", "lowered", "fused", "contractions", "mega_words"),
    # Words are those that links read and write: the traffic of a chain that keeps nothing on the chip.
    [
        ("bvlc_alexnet", 25, 16, 8, 63.92),
        ("zfnet512", 25, 16, 8, 95.03),
        ("inception_v1", 136, 77, 58, 20.48),
        ("inception_v2", 362, 86, 70, 25.02),
        ("resnet50", 177, 59, 54, 52.86),
        ("densenet121", 610, 188, 121, 52.94),
        ("squeezenet", 59, 33, 26, 7.41),
        ("shufflenet", 169, 58, 50, 9.65),
        ("vgg19", 45, 27, 19, 176.60),
    ],
)
def test_chain_lengths(name: str, lowered: int, fused: int, contractions: int, mega_words: float) -> None:
    module = import_model(light_model(name))
    run_passes(module, "fold-constants,lower-onnx")
    before = chain_statistics(module)
    run_passes(module, ",".join(PASSES))
    verify_module(module)
    after = chain_statistics(module)
    assert before.links <= lowered
    assert after.links <= fused
    assert after.mac_links == before.mac_links == contractions
    assert after.mac_trips == before.mac_trips
    assert after.words / 1e6 < mega_words + 0.01
    assert max(len(op.nest.data) for op in module.walk() if isinstance(op, LinkOp)) <= 4


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_a_network_computes_the_same(name: str) -> None:
    module = import_model(light_model(name))
    run_passes(module, "fold-constants,lower-onnx")
    words = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    inputs = {"data_0": words, "gpu_0/data_0": words}
    first = Interpreter(module)
    first.run(inputs)
    run_passes(module, ",".join(PASSES))
    second = Interpreter(module)
    second.run(inputs)
    shared = first.tensors.keys() & second.tensors.keys()
    assert len(shared) > 10
    for tensor in shared:
        assert_close(second.tensors[tensor].reshape(-1), first.tensors[tensor].reshape(-1), 1e-4)
