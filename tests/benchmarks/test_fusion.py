"""The fusion benchmark: its tables on one network, and that leaving out a rewrite is what it says."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest

from compiler.compilation import CompileOptions, compile_source
from dialects.diagnostics import CatenaError
from dialects.gconv.interpreter import Interpreter
from tests.benchmarks.scripts import script


@pytest.fixture(scope="module")
def fusion() -> ModuleType:
    module = script("fusion")
    if not module.bundled("squeezenet").exists():
        pytest.skip("this onnx package has no light models")
    return module


def test_figures_of_a_network_with_and_without_a_rewrite(fusion: ModuleType) -> None:
    model = fusion.bundled("squeezenet")
    full = fusion.figures(model)
    assert full.links == fusion.REFERENCE["squeezenet"]
    assert full.copies == 0
    assert full.words <= full.burst_words
    unfused = fusion.figures(model, ["fuse-elementwise"])
    assert unfused.links > full.links
    assert unfused.words > full.words
    assert "| squeezenet | 56 to 32 |" in fusion.rewrite_tables(
        [fusion.Saving("squeezenet", "fuse-elementwise", full, unfused)]
    )


@pytest.mark.parametrize("burst", [0, 32], ids=["as-delivered", "charged"])
def test_layouts_save_bursts_and_move_the_same_words(fusion: ModuleType, burst: int) -> None:
    model = fusion.bundled("squeezenet")
    plain, chosen = (fusion.figures(model, without, burst) for without in ([fusion.LAYOUTS], []))
    assert (chosen.links, chosen.words) == (plain.links, plain.words)
    assert chosen.burst_words < plain.burst_words
    assert (chosen.cycles < plain.cycles) == (chosen.energy < plain.energy) == bool(burst)


@pytest.mark.exhaustive
@pytest.mark.parametrize("target", ["eyeriss", "nlr", "systolic"])
def test_every_delivered_target_chooses_layouts(fusion: ModuleType, target: str) -> None:
    assert target in fusion.TARGETS
    plain, chosen = (fusion.figures(fusion.bundled("resnet50"), w, target=target) for w in ([fusion.LAYOUTS], []))
    assert chosen.burst_words < plain.burst_words
    assert (chosen.words, chosen.cycles, chosen.energy) == (plain.words, plain.cycles, plain.energy)


def test_every_pass_of_the_stage_is_on_the_page(fusion: ModuleType) -> None:
    from compiler.stages import stage_named

    assert {*fusion.REWRITES, *fusion.OTHERS, fusion.COPYING[0]} == set(stage_named("fused").passes)
    assert set(fusion.EXAMPLES) < set(fusion.REWRITES)
    assert fusion.LAYOUTS in stage_named("mapped").passes


@pytest.mark.parametrize(
    ("rewrite", "links"),
    [
        ("fold-quantization", (7, 5)),
        ("evaluate-constants", (3, 1)),
        ("match-activations", (6, 3)),
        ("fold-copies", (3, 2)),
        ("fold-pad", (4, 2)),
        ("fuse-pre", (3, 2)),
        ("fold-lookups", (2, 1)),
    ],
)
def test_an_example_has_what_its_rewrite_is_for(
    fusion: ModuleType, tmp_path: Path, rewrite: str, links: tuple[int, int]
) -> None:
    """The rewrite saves links, words, cycles and energy there, and the chain means the same with and without it."""
    model = fusion.generated(fusion.EXAMPLES[rewrite], tmp_path)
    kept, without = fusion.figures(model), fusion.figures(model, [rewrite])
    assert (without.links, kept.links) == links
    assert kept.words < without.words
    assert kept.cycles < without.cycles
    assert kept.energy < without.energy
    check_meaning(model, [])
    check_meaning(model, [rewrite])


@pytest.mark.parametrize("network", ["transformer_block", "int8_block", "joined"])
def test_blocks_mean_what_the_model_says(fusion: ModuleType, tmp_path: Path, network: str) -> None:
    assert {*fusion.BLOCKS, fusion.COPYING[1]} == {"transformer_block", "int8_block", "joined"}
    check_meaning(fusion.generated(network, tmp_path), [])


def test_what_saves_nothing_changes_nothing_or_is_needed(fusion: ModuleType, tmp_path: Path) -> None:
    copying, network = fusion.COPYING
    model = fusion.generated(network, tmp_path)
    full = fusion.figures(model)
    assert all(fusion.figures(model, [other]) == full for other in fusion.OTHERS)
    assert full.copies == 1
    with pytest.raises(CatenaError, match=f"run {copying} first"):
        fusion.figures(model, [copying])


def check_meaning(path: Path, without: list[str]) -> None:
    """The fused chain computes what ONNX Runtime does; rounded tensors may be a step off, in few places."""
    model = onnx.load(path)
    options = onnxruntime.SessionOptions()
    # Without VNNI, ONNX Runtime adds products of uint8 and int8 in 16 bits otherwise, and saturates.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(5)
    feeds = {
        port.name: random.integers(0, 1000, port.shape) if "int" in port.type
        else random.standard_normal(port.shape).astype(np.float32)
        for port in session.get_inputs()
    }  # fmt: skip
    (want,) = session.run(None, feeds)
    options = CompileOptions(target="eyeriss", stop="fused", without=frozenset(without))
    (got,) = Interpreter(compile_source(str(path), options).module).run(feeds).values()
    assert got.shape == want.shape
    off = np.abs(got - want)
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        assert off.max() <= 1 / 32
        assert np.mean(off > 0) < 0.001
    else:
        assert off.max() <= 1e-5 * np.abs(want).max()


def test_tables_are_markdown(fusion: ModuleType) -> None:
    assert fusion.markdown(("a", "b"), [("x", "1")]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"
    assert (fusion.change(75, 100), fusion.change(5, 5)) == ("+25.0 %", "0")
