"""The comparison with ZigZag: one machine for both, and what was recorded, priced again."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from passes.mapper.counts import Counts
from passes.mapper.legality import violations
from passes.mapper.nest import nest_of
from passes.mapper.pricing import Prices
from passes.mapper.problem import Problem
from tests.benchmarks.scripts import FOLDER, script
from tests.passes.mapper.literal import Literal

NETWORKS = ["alexnet", "resnet18", "resnet50", "mobilenet_v2", "vgg16"]
USUAL = ("resnet18", "mobilenet_v2")
SHARED = [pytest.param(each, marks=[pytest.mark.exhaustive] * (each not in USUAL)) for each in NETWORKS]
SMALL = [("resnet18", "fc"), ("mobilenet_v2", "block14.depthwise")]
"""Layers that the walk of all loops at once does in less than a minute."""


@pytest.fixture(scope="module")
def zigzag() -> ModuleType:
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    return script("zigzag")


@pytest.fixture(scope="module")
def mappings(zigzag: ModuleType) -> ModuleType:
    return import_module("zigzag_mappings")


def layers(zigzag: ModuleType, network: str) -> list[tuple[Any, Any]]:
    """The layers of a network, and what the peer found for each."""
    read = import_module("zigzag_layers").Layer.read
    found = zigzag.recorded("peer.json")["networks"][network]
    return [(read(name, content["layer"]), content) for name, content in found.items()]


def test_both_descriptions_have_the_same_memories_and_energies(zigzag: ModuleType) -> None:
    text = (FOLDER / "zigzag" / "eyeriss_like.yaml").read_text()
    bits: dict[str, int] = {}
    energies: dict[str, float] = {}
    for name, body in re.findall(r"^  (\w+):\n((?:    .*\n)+)", text, re.MULTILINE):
        numbers = {key: float(value) for key, value in re.findall(r"(size|r_cost|w_cost|bandwidth_max): (.+)", body)}
        bits[name] = int(numbers["size"])
        for way, cost in (("read", "r_cost"), ("write", "w_cost")):
            energies[f"{name}_{way}"] = numbers[cost] * 8 / numbers["bandwidth_max"]
    machine = zigzag.machine()
    rooms = {name: machine.memory(name).rooms for name in ("sram", "rf")}
    assert machine.memory("sram_1m").words == bits["sram_1M"] // 8
    assert rooms["sram"] == {"K": bits["sram_64KB"] // 8, "O": bits["sram_8KB"] // 8}
    assert rooms["rf"] == {"I": bits["rf_64B_A"] // 8, "K": bits["rf_64B_W"] // 8, "O": bits["rf_16B"] // 8}
    paid = {access.name.lower(): access.energy for access in machine.accesses}
    assert paid.pop("dram") == energies.pop("dram_read") == energies.pop("dram_write")
    shorter = {"rf_64b_a": "rf_64b", "rf_64b_w": "rf_64b"}
    for name, energy in energies.items():
        memory, way = name.lower().rsplit("_", 1)
        assert paid[f"{shorter.get(memory, memory)}_{way}"] == pytest.approx(energy, rel=1e-9), name
    assert [axis.size for axis in machine.axes] == [14, 12]
    assert "sizes: [14, 12]" in text
    assert f"unit_energy: {machine.operation}" in text


@pytest.mark.parametrize("network", ["resnet18", "mobilenet_v2"])
def test_the_recorded_layers_are_the_networks(zigzag: ModuleType, network: str) -> None:
    (generated,) = (each for each in zigzag.NETWORKS if each.name == network)
    assert zigzag.layers_of(generated) == [layer for layer, _ in layers(zigzag, network)]


def test_a_layer_has_the_problem_of_its_link(zigzag: ModuleType) -> None:
    from dialects.gconv import Dim, GConv, Reduce

    window = {"opc": 5, "ks": 3, "stride": 2, "pad": 1}
    dims = (Dim("N", opc=2), Dim("C", g=2, op=3, ks=4), Dim("H", **window), Dim("W", opc=7, ks=1, stride=2))
    product = (Dim("M", opc=2), Dim("K", ks=7), Dim("N", op=5))
    of = import_module("zigzag_layers").Layer.of
    for found in (GConv(dims, main="mul", reduce=Reduce.ADD), GConv(product, main="mul", reduce=Reduce.ADD)):
        expected, made = Problem.of(found), Problem.of(of("", 1, found).spec)
        kinds = [
            sorted((loop.kind, extent) for loop, extent in zip(p.loops, p.extents, strict=True))
            for p in (expected, made)
        ]
        assert kinds[0] == kinds[1]
        assert [(w.stride, w.dilation) for w in expected.windows] == [(w.stride, w.dilation) for w in made.windows]


@pytest.mark.parametrize("network", SHARED)
def test_the_peers_mappings_cost_what_the_peer_says(zigzag: ModuleType, mappings: ModuleType, network: str) -> None:
    """As far as the cost models agree: the page says how they differ, and steps are the same."""
    machine = zigzag.machine()
    for layer, content in layers(zigzag, network):
        for objective in zigzag.OBJECTIVES:
            found = mappings.exported(layer, content[objective], machine)
            walk = mappings.walked(layer, found.mapping, machine)
            cost = mappings.price(walk)
            assert walk.steps == content[objective]["steps"], layer.name
            assert cost.energy == pytest.approx(content[objective]["energy"], rel=0.15), layer.name
            assert set(mappings.overruns(walk)) <= set(found.moved), layer.name


@pytest.mark.parametrize("network", SHARED)
def test_the_walk_prices_as_the_cost_model_does(zigzag: ModuleType, mappings: ModuleType, network: str) -> None:
    machine = zigzag.machine()
    prices = Prices(machine)
    for layer, content in layers(zigzag, network):
        found = mappings.exported(layer, content["energy"], machine)
        problem = Problem.of(layer.spec)
        counts = Counts(problem, machine, *nest_of(problem, found.mapping))
        walk = mappings.walked(layer, found.mapping, machine)
        assert {event: int(words[0]) for event, words in counts.events.items()} == dict(walk.events)
        cost = mappings.price(walk)
        operations = machine.operation * problem.operations
        assert np.isclose(cost.energy - operations, prices.energy(counts)[0], rtol=1e-12)
        assert cost.cycles == prices.cycles(counts)[0]
        broken = {each.message for each in violations(layer.spec, found.mapping, machine)}
        assert bool(broken) == bool(mappings.overruns(walk)), layer.name


@pytest.mark.exhaustive
@pytest.mark.parametrize(("network", "name"), SMALL)
def test_whole_layers_walked_word_by_word(zigzag: ModuleType, mappings: ModuleType, network: str, name: str) -> None:
    machine = zigzag.machine()
    ((layer, content),) = islice(((a, b) for a, b in layers(zigzag, network) if a.name == name), 1)
    mapping = mappings.exported(layer, content["energy"], machine).mapping
    problem = Problem.of(layer.spec)
    nest, tiles = nest_of(problem, mapping)
    literal = Literal(problem, machine, nest, [int(tile[0]) for tile in tiles])
    walk = mappings.walked(layer, mapping, machine)
    events = set(walk.events) | set(literal.events)
    assert {e: walk.events.get(e, 0) for e in events} == {e: literal.events.get(e, 0) for e in events}
    assert (walk.steps, walk.occupancy) == (literal.steps, dict(literal.occupancy))


def test_without_the_peer_one_line_says_what_to_do(
    zigzag: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to("/bin/false")
    monkeypatch.setattr(zigzag, "PEER", tmp_path)
    with pytest.raises(SystemExit, match="--recorded"):
        zigzag.interpreter()


@pytest.fixture(scope="module")
def results(zigzag: ModuleType) -> Any:
    """Both recorded runs, priced."""
    return zigzag.results(zigzag.NETWORKS, zigzag.recorded("peer.json"), zigzag.recorded("ours.json"))


@pytest.mark.exhaustive
def test_no_layer_is_worse_and_every_search_is_faster(results: Any) -> None:
    assert [each.network.name for each in results] == NETWORKS
    assert [problem for each in results for problem in each.problems()] == []


@pytest.mark.exhaustive
def test_the_page_says_what_was_recorded(zigzag: ModuleType, results: Any) -> None:
    made = import_module("zigzag_page").page(results, zigzag.recorded("peer.json"), zigzag.recorded("ours.json"))
    page = (FOLDER.parent / "docs" / "zigzag.md").read_text()
    assert page == made, "run: python benchmarks/zigzag.py --reprice --output docs/zigzag.md"


def problems_now(zigzag: ModuleType, network: str, name: str, theirs: Any) -> list[str]:
    """Where today's search of a layer is worse than the peer's recorded one."""
    layer = import_module("zigzag_layers").Layer.read(name, theirs["layer"])
    found = {objective: zigzag.search(layer, objective) for objective in zigzag.OBJECTIVES}
    compared = zigzag.compared(name, theirs, found)
    ratios = {objective: compared.ratio(objective) for objective in zigzag.OBJECTIVES}
    return [f"{network}, {name}: {each} {ratio}" for each, ratio in ratios.items() if ratio > 1 + zigzag.ROUNDING]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "name"),
    [("resnet18", "layer1.0.conv1"), ("mobilenet_v2", "block8.depthwise"), ("resnet18", "layer3.0.conv2")],
)
def test_the_search_is_still_no_worse(zigzag: ModuleType, network: str, name: str) -> None:
    """The last was, when dives followed bounds and not estimates."""
    assert problems_now(zigzag, network, name, zigzag.recorded("peer.json")["networks"][network][name]) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("network", NETWORKS)
def test_no_search_of_a_network_is_worse_today(zigzag: ModuleType, network: str) -> None:
    layers = zigzag.recorded("peer.json")["networks"][network]
    assert [each for name, theirs in layers.items() for each in problems_now(zigzag, network, name, theirs)] == []
