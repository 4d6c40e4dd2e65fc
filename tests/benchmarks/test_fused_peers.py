"""The comparison with peers on fused groups: one problem for all, and what was recorded, priced again."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dialects.gconv.spec import LoopKind
from dialects.schedule import Loop, Mapping, Operand, Storage, Temporal
from passes.fusion.inference import turns_of
from passes.fusion.legality import violations
from passes.fusion.model import FusedCosts
from tests.benchmarks.scripts import FOLDER, script
from tests.passes.fusion.resnet_pair import GROUP, ROWS
from tests.passes.fusion.walk import walk

MANY = 400
"""Turns of a group whose walk takes longer than a test may."""


@pytest.fixture(scope="module")
def peers() -> ModuleType:
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    return script("fused_peers")


@pytest.fixture(scope="module")
def given(peers: ModuleType) -> ModuleType:
    return import_module("fused_peers_problems")


def problem(given: ModuleType, name: str) -> Any:
    every = (*given.PAIRS, *given.PADDED, *given.NETWORKS)
    return next(each for each in every if each.name == name)


def test_the_pair_is_that_of_the_published_figures(given: ModuleType) -> None:
    group = problem(given, "resnet18_layer1").group()
    assert [link.spec for link in group.links] == [link.spec for link in GROUP.links]
    assert [tensor.shape for tensor in group.tensors] == [tensor.shape for tensor in GROUP.tensors]


@pytest.mark.parametrize(
    ("name", "links", "operations"), [("resnet18", 27, 1_695_547_392), ("mobilenet_v2", 62, 299_494_272)]
)
def test_networks_have_the_operations_of_the_networks(
    given: ModuleType, name: str, links: int, operations: int
) -> None:
    network = problem(given, name)
    assert len(network.layers) == links
    channels = {layer.name: 1 if layer.depthwise else network.shapes[layer.inputs[0]][0] for layer in network.layers}
    worked = sum(network.words(each.name) * channels[each.name] * each.window**2 for each in network.layers)
    assert worked == pytest.approx(operations, rel=0.01)


def test_einsums_read_what_the_links_read(given: ModuleType) -> None:
    for each in (*given.PAIRS, *given.PADDED, *given.NETWORKS):
        written = each.einsums()
        ranks = written["ranks"]
        made: dict[str, set[str]] = {"input": set(written["einsums"][0]["tensor_accesses"][0]["projection"])}
        for layer, einsum in zip(each.layers, written["einsums"], strict=True):
            first, second, result = einsum["tensor_accesses"]
            assert set(first["projection"]) == made[layer.inputs[0]]
            if not layer.window:
                assert set(second["projection"]) == made[layer.inputs[1]]
            made[layer.name] = set(result["projection"])
            size = 1
            for rank in made[layer.name]:
                size *= ranks[rank]
            assert size == each.words(layer.name)


def test_mappings_survive_their_record(peers: ModuleType) -> None:
    ours, mappings = import_module("fused_peers_ours"), import_module("fused_peers_mappings")
    own = (("conv1", Mapping((Temporal(Loop("C", LoopKind.OP), 1), Storage(ours.BUFFER, (Operand.KERNEL,))))),)
    for row in ROWS:
        kept = {each.tensor: (each.level, each.reuse) for each in row.mapping.retentions}
        part = ours.read(ours.written(mappings.Part(("conv1", "conv2"), replace(row.mapping, branches=own))))
        assert part.mapping.branches == own
        assert part.mapping.loops == row.mapping.loops
        assert {each.tensor: (each.level, each.reuse) for each in part.mapping.retentions} == kept


def test_accelforges_mappings_cost_what_accelforge_says(peers: ModuleType, given: ModuleType) -> None:
    ours, mappings = import_module("fused_peers_ours"), import_module("fused_peers_mappings")
    priced = 0
    for chain in given.PAIRS:  # with padding AccelForge reads less than there is
        for best in peers.recorded("accelforge")[chain.name]["best"].values():
            try:
                found = ours.price(chain, mappings.rewritten(chain, best["mapping"]))
            except mappings.NotExpressibleError:
                continue
            assert found == (best["traffic"], best["buffer"])
            priced += 1
    assert priced >= 10


@pytest.mark.exhaustive
def test_a_walk_of_all_elements_prices_streams_groups_alike(peers: ModuleType, given: ModuleType) -> None:
    ours, mappings = import_module("fused_peers_ours"), import_module("fused_peers_mappings")
    pair = problem(given, "resnet18_layer1_padded")
    checked = 0
    for size, run in peers.recorded("stream")[pair.name].items():
        parts = mappings.with_room(pair, run["groups"], int(size))
        groups = [pair.group(part.layers) for part in parts]
        turns = [math.prod(turns_of(group.head, part.mapping)) for group, part in zip(groups, parts, strict=True)]
        if max(turns) > MANY:
            continue
        walked = [walk(group, part.mapping) for group, part in zip(groups, parts, strict=True)]
        priced = sum(each.offchip for each in walked), max(each.capacity[ours.BUFFER] for each in walked)
        assert priced == ours.price(pair, parts)
        checked += 1
    assert checked >= 3


def test_our_recorded_mappings_fit_and_cost_what_is_recorded(peers: ModuleType, given: ModuleType) -> None:
    ours = import_module("fused_peers_ours")
    for name, run in peers.recorded("ours").items():
        for size, found in run.items():
            if "traffic" not in found:
                continue
            parts = [ours.read(part) for part in found["parts"]]
            assert all(violations(problem(given, name).group(part.layers), part.mapping) == [] for part in parts)
            assert ours.price(problem(given, name), parts) == (found["traffic"], found["buffer"])
            assert found["buffer"] <= int(size)
            assert [layer for part in parts for layer in part.layers] == [
                layer.name for layer in problem(given, name).layers
            ]
            assert_what_stays_is_there(problem(given, name), parts)


def assert_what_stays_is_there(whole: Any, parts: list[Any]) -> None:
    """Groups read on the chip what one before them left there, and nobody misses off-chip what never went there."""
    here: set[str] = set()
    for part in parts:
        group = whole.group(part.layers)
        resident = {each.tensor for each in part.mapping.retentions if each.resident}
        assert resident - {*part.layers} == here & {*group.external}
        here |= resident & {*part.layers}
    assert whole.result not in here


def test_what_passes_through_a_group_takes_room_there(peers: ModuleType, given: ModuleType) -> None:
    ours = import_module("fused_peers_ours")
    layer, chain = given.Layer, (2, 4, 4)
    whole = given.Problem(
        "skip",
        "",
        chain,
        (layer("a", ("input",), 2), layer("b", ("a",), 2), layer("c", ("b",), 2), layer("sum", ("c", "a"), 2, 0)),
    )
    stays = {"a": ["a"], "b": ["a"], "c": [], "sum": ["a"]}
    parts = [
        ours.read(
            {
                "layers": [name],
                "loops": [],
                "kept": {tensor.name: [0, True] for tensor in whole.group([name]).tensors},
                "stages": "sequential",
                "resident": stays[name],
                "own": {},
            }
        )
        for name in stays
    ]
    words, kernel = 32, 4
    # Read the input, write and read b and c, write the sum, and three kernels; a never leaves.
    assert ours.price(whole, parts) == (6 * words + 3 * kernel, 3 * words + kernel)
    assert_what_stays_is_there(whole, parts)


@pytest.mark.exhaustive
def test_a_walk_of_all_elements_prices_our_groups_alike(peers: ModuleType, given: ModuleType) -> None:
    """But for pieces, which move the same words (`test_model.py` has them walked): their turns are too many."""
    ours = import_module("fused_peers_ours")
    checked = 0
    for name_of in ("resnet18_layer2", "mobilenet_expand_padded"):
        for found in peers.recorded("ours")[name_of].values():
            parts = [ours.read(part) for part in found["parts"]]
            parts = [replace(part, mapping=replace(part.mapping, branches=())) for part in parts]
            groups = [problem(given, name_of).group(part.layers) for part in parts]
            turns = [math.prod(turns_of(group.head, part.mapping)) for group, part in zip(groups, parts, strict=True)]
            if max(turns) > MANY:
                continue
            walked = [walk(group, part.mapping) for group, part in zip(groups, parts, strict=True)]
            moved = 0
            for part, each in zip(parts, walked, strict=True):
                # The walk brings and takes off-chip what stays: each element once, for its place is above all loops.
                stays = [kept.tensor for kept in part.mapping.retentions if kept.resident]
                moved += each.offchip - sum(each.reads.get(name, 0) + each.writes.get(name, 0) for name in stays)
                assert all(
                    each.reads.get(name, 0) + each.writes.get(name, 0) == problem(given, name_of).words(name)
                    for name in stays
                )
            assert moved == found["traffic"]
            costs = [FusedCosts(group, part.mapping) for group, part in zip(groups, parts, strict=True)]
            assert [each.capacity[ours.BUFFER] for each in walked] == [each.capacity(ours.BUFFER) for each in costs]
            assert found["buffer"] <= max(each.capacity(ours.BUFFER) for each in costs)
            checked += 1
    assert checked >= 5


def test_without_a_peer_one_line_says_what_to_do(
    peers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = peers.PEERS[0]
    (tmp_path / peer.name / "bin").mkdir(parents=True)
    (tmp_path / peer.name / "bin" / "python").symlink_to("/bin/false")
    monkeypatch.setattr(peers, "INSTALLED", tmp_path)
    with pytest.raises(SystemExit, match="--reprice"):
        peers.interpreter(peer)


def test_no_peer_moves_less_and_every_search_is_faster(peers: ModuleType) -> None:
    assert import_module("fused_peers_page").shortfalls(peers.PEERS) == []


def test_the_page_says_what_was_recorded(peers: ModuleType) -> None:
    page = (FOLDER.parent / "docs" / "fused-peers.md").read_text()
    made = import_module("fused_peers_page").page(peers.PEERS)
    assert page == made, "run: python benchmarks/fused_peers.py --reprice --output docs/fused-peers.md"


def test_the_page_marks_plans_that_are_not_proved(peers: ModuleType) -> None:
    module = import_module("fused_peers_page")
    rows = [
        (cells[1].strip(), int(cells[2]), int(cells[3].replace(",", "")), cells[7].strip())
        for line in module.page(peers.PEERS[:1]).splitlines()
        if len(cells := line.split("|")) > 7 and cells[2].strip().isdigit()
    ]
    ours = peers.recorded("ours")
    marks: set[tuple[bool, bool]] = set()
    for name, size, compulsory, told in rows:
        found = ours[name][str(size * 1024)]
        is_open = not found["exact"] and found["traffic"] > compulsory
        assert told == f"{found['traffic']:,}" + (r"\*" if is_open else "")
        marks.add((found["exact"], is_open))
    # what moves no more than it must needs no proof
    assert marks == {(True, False), (False, True), (False, False)}
