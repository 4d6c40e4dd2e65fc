"""The fusion benchmark: its tables on one network, and that leaving out a rewrite is what it says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fusion.py"


@pytest.fixture(scope="module")
def fusion() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fusion", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fusion"] = module
    spec.loader.exec_module(module)
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


def test_layouts_never_cost_bursts(fusion: ModuleType) -> None:
    model = fusion.bundled("squeezenet")
    plain, chosen = (fusion.figures(model, without, 32) for without in ([fusion.LAYOUTS], []))
    assert chosen.words == plain.words
    assert chosen.burst_words < plain.burst_words


def test_every_rewrite_is_a_pass_of_the_stage(fusion: ModuleType) -> None:
    from compiler.stages import stage_named

    assert set(fusion.REWRITES) < set(stage_named("fused").passes)
    assert fusion.LAYOUTS in stage_named("mapped").passes


def test_tables_are_markdown(fusion: ModuleType) -> None:
    assert fusion.markdown(("a", "b"), [("x", "1")]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"
    assert (fusion.change(75, 100), fusion.change(5, 5)) == ("+25.0 %", "0")
