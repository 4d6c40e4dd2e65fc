"""The benchmark of the chain's claim, on one small network: the page has its parts and the figures add up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def claim() -> ModuleType:
    """The benchmark as a module, its neighbours beside it."""
    sys.path.insert(0, str(BENCHMARKS))
    import chain_claim

    return chain_claim


@pytest.fixture(scope="module")
def measured(claim: ModuleType) -> object:
    """A small CapsNet on two targets, emulated."""
    network = claim.Network("capsnet", "CapsNet", "capsnet.py", ("--size", "17", "--filters", "16"))
    return claim.measure(network, ("eyeriss", "nlr"), emulate=True)


def test_the_page_has_every_part(claim: ModuleType, measured: object) -> None:
    from chain_claim_page import page

    text = page([measured], ("eyeriss", "nlr"))
    for part in ("Chain against offload", "depends on", "Why", "before and after fusion", "hardware", "developer"):
        assert part in text
    assert "CapsNet (chain, offload): equal" in text
    assert "NOT EQUAL" not in text
    assert "| MaxRoiPool |" in text


def test_costs_follow_the_assumptions(claim: ModuleType, measured: object) -> None:
    from chain_claim_prices import SCENARIOS, cost, ratios

    scenarios = {each.name: each for each in SCENARIOS}
    offload = measured.compilations["eyeriss", "offload"]
    usual = cost(offload)
    assert 0 < usual.host_milliseconds < usual.milliseconds
    assert cost(offload, scenarios["host x0.01"]).host_milliseconds > usual.host_milliseconds
    assert cost(offload, scenarios["host x0.01"]).host_millijoules > 10 * usual.host_millijoules
    assert cost(offload, scenarios["ideal host"]).host_milliseconds < 0.05 * usual.host_milliseconds
    host_layers = sum(layer.kind.startswith("host ") for layer in offload.layers)
    late = cost(offload, scenarios["100 us a layer"])
    assert late.milliseconds == pytest.approx(usual.milliseconds + 0.1 * host_layers, rel=1e-3)
    # What the chain costs does not depend on the host.
    chain = measured.compilations["eyeriss", "chain"]
    assert cost(chain) == cost(chain, scenarios["host x0.01"])
    assert ratios(measured, "eyeriss")[0] == usual.milliseconds / cost(chain).milliseconds
    assert ratios(measured, "eyeriss", scenarios["no output path"])[0] > ratios(measured, "eyeriss")[0]


def test_means_and_slowdowns(claim: ModuleType, measured: object) -> None:
    from chain_claim_prices import arithmetic_mean, geometric_mean, slowdown_for

    assert geometric_mean([1.0, 4.0]) == pytest.approx(2.0)
    assert arithmetic_mean([1.0, 4.0]) == 2.5
    least = slowdown_for(3.4, [measured], "eyeriss")
    assert least is not None
    assert least > 1
    assert slowdown_for(0.01, [measured], "eyeriss") == 1.0


def test_fusion_shortens_the_chain(measured: object) -> None:
    fused = measured.compilations["eyeriss", "chain"]
    assert len(measured.unfused.layers) > len(fused.layers)
    assert measured.unfused.code_bytes > fused.code_bytes


def test_the_command_line_knows_its_networks() -> None:
    command = [sys.executable, str(BENCHMARKS / "chain_claim.py"), "--network", "lenet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "invalid choice" in done.stderr
