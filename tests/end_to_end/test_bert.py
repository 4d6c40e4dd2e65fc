"""A BERT encoder: the length of its chain, and its numbers on the emulator."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

import compiler
from dialects.gconv import LinkOp
from dialects.locations import node_names
from tests.benchmarks.scripts import generate

SIZES = {"hidden": 24, "heads": 3, "intermediate": 48, "sequence": 10, "vocabulary": 40}


def encoder(folder: Path, layers: int, inputs: str) -> Path:
    sizes = [word for name, size in SIZES.items() for word in (f"--{name}", size)]
    return generate("bert", folder / "bert.onnx", "--layers", layers, "--inputs", inputs, *sizes)


def links_by_node(path: Path) -> Counter[str]:
    """How many links begin at every ONNX node."""
    module = compiler.compile(path, stop="fused").module
    links = [op for op in module.walk() if isinstance(op, LinkOp)]
    return Counter(node_names(link.location)[0] for link in links)


@pytest.mark.parametrize("layers", [1, 3])
def test_links_of_a_layer(tmp_path: Path, layers: int) -> None:
    found = links_by_node(encoder(tmp_path, layers, "embeddings"))
    for layer in range(layers):
        own = {
            name.removeprefix(f"layer.{layer}."): n for name, n in found.items() if name.startswith(f"layer.{layer}.")
        }
        assert own.pop("attention.softmax") <= 3
        assert own.pop("attention.norm") <= 3
        assert own.pop("norm") <= 3
        # Three inputs of the heads, scores, weighted sum, and three linear layers with all that follows them.
        assert sum(own.values()) == 8


@pytest.mark.parametrize("inputs", ["embeddings", "ids"])
def test_numbers(tmp_path: Path, inputs: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    path = encoder(tmp_path, 2, inputs)
    positions = np.arange(SIZES["sequence"])[np.newaxis]
    feeds = {"embeddings": np.random.default_rng(0).standard_normal((1, 10, 24)).astype(np.float32)}
    if inputs == "ids":
        feeds = {"input_ids": positions * 3, "attention_mask": (positions < 7).astype(np.int64)}
    compiler.compile(path, output=tmp_path / "p.cat")
    (result,) = compiler.run(tmp_path / "p.cat", feeds).outputs.values()
    session = onnxruntime.InferenceSession(onnx.load(path).SerializeToString())
    (wanted,) = session.run(None, feeds)
    assert np.abs(result - wanted).max() <= 1e-4 * np.abs(wanted).max()
