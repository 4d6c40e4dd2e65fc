"""What the compilations of `chain_claim` cost, under the target's own host and under other assumptions about it.

A module of `benchmarks/chain_claim.py`, no command of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chain_claim import Compilation, Measured

from dialects.array_machine import Machine
from dialects.events import Counts
from dialects.machine_kinds import parse_machine
from passes.mapping.cost import price


@dataclass(frozen=True)
class Cost:
    """Milliseconds and millijoules, and how much of either is the host's."""

    milliseconds: float
    millijoules: float
    host_milliseconds: float
    host_millijoules: float


@dataclass(frozen=True)
class Scenario:
    """An assumption about the host or the accelerator used the conventional way.

    `factors` scale figures of the host; `without` are kinds of layers that cost nothing in mode `offload`; `bare` is an
    accelerator whose output path does nothing but write.
    """

    name: str
    factors: Mapping[str, float]
    overhead_us: float = 0.0
    without: tuple[str, ...] = ()
    bare: bool = False


def _computing(factor: float) -> dict[str, float]:
    """The host `factor` times as fast and as sparing, its link and memory unchanged."""
    return {
        "simple_gops": factor,
        "special_gops": factor,
        "simple_pj": 1 / factor,
        "special_pj": 1 / factor,
    }


ANY_RATE = 1e6
SCENARIOS = (
    Scenario("as described", {}),
    Scenario("host x0.01", _computing(0.01)),
    Scenario("host x0.1", _computing(0.1)),
    Scenario("host x10", _computing(10)),
    Scenario("host x100", _computing(100)),
    Scenario("link x0.25", {"link_gbs": 0.25}),
    Scenario("link x4", {"link_gbs": 4}),
    Scenario("shared memory", {"link_gbs": ANY_RATE}),
    Scenario("ideal host", {**_computing(ANY_RATE), "link_gbs": ANY_RATE, "memory_gbs": ANY_RATE, "memory_pj": 0}),
    Scenario("100 us a layer", {}, overhead_us=100),
    Scenario("pools free", {}, without=("host pool",)),
    Scenario("no output path", {}, bare=True),
)
"""The first is the result; the others ask how far it depends on what is assumed."""


def machine_of(compilation: Compilation, scenario: Scenario) -> Machine:
    """The machine of a compilation under an assumption."""
    machine = parse_machine(compilation.machine)
    assert machine.host is not None
    changed: dict[str, Any] = {name: getattr(machine.host, name) * factor for name, factor in scenario.factors.items()}
    changed["overhead_us"] = machine.host.overhead_us + scenario.overhead_us
    return machine.model_copy(update={"host": machine.host.model_copy(update=changed)})


def cost(compilation: Compilation, scenario: Scenario = SCENARIOS[0]) -> Cost:
    """What all layers cost, one after the other."""
    machine = machine_of(compilation, scenario)
    prices = [
        price(Counts.of(layer.counts), machine)
        for layer in compilation.layers
        if not layer.kind.startswith(scenario.without or ("nothing",))
    ]
    to_milliseconds = 1e-3 / machine.clock_mhz
    return Cost(
        sum(each.cycles for each in prices) * to_milliseconds,
        sum(each.total_energy for each in prices) * 1e-9,
        sum(each.host_cycles for each in prices) * to_milliseconds,
        sum(each.energy["host"] for each in prices) * 1e-9,
    )


def ratios(measured: Measured, target: str, scenario: Scenario = SCENARIOS[0]) -> tuple[float, float]:
    """How many times faster the chain is than offloading, and how many times less energy it takes."""
    offload = measured.bare[target] if scenario.bare else measured.compilations[target, "offload"]
    chain, other = cost(measured.compilations[target, "chain"]), cost(offload, scenario)
    return other.milliseconds / chain.milliseconds, other.millijoules / chain.millijoules


def geometric_mean(values: Sequence[float]) -> float:
    """The mean of ratios."""
    return math.exp(sum(map(math.log, values)) / len(values))


def arithmetic_mean(values: Sequence[float]) -> float:
    """The mean that the paper's word `average` may stand for."""
    return sum(values) / len(values)


def slowdown_for(speed_up: float, found: Sequence[Measured], target: str) -> float | None:
    """How many times slower than described the host must be for a geometric mean speed-up; None beyond 10 000 times."""

    def reached(factor: float) -> bool:
        scenario = Scenario("", {**_computing(1 / factor), "link_gbs": 1 / factor, "memory_gbs": 1 / factor})
        return geometric_mean([ratios(each, target, scenario)[0] for each in found]) >= speed_up

    return _bisect(reached, 1.0, 1e4)


def _bisect(reached: Callable[[float], bool], low: float, high: float) -> float | None:
    """The least factor, on a logarithmic scale, at which something is reached."""
    if reached(low):
        return low
    if not reached(high):
        return None
    while high / low > 1.02:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def other_share(compilation: Compilation) -> float:
    """The share of cycles in layers that are neither convolutions nor matrix products."""
    machine = machine_of(compilation, SCENARIOS[0])
    cycles = [(layer.kind, price(Counts.of(layer.counts), machine).cycles) for layer in compilation.layers]
    return sum(n for kind, n in cycles if kind not in ("conv", "matmul")) / sum(n for _, n in cycles)


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/chain_claim.py: run that one")
