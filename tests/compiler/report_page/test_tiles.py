"""Tiles of fused groups on a page: turn by turn they add up to what the model of groups counts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import pytest
from xdsl.dialects.builtin import ModuleOp

from compiler.cli.main import execute
from compiler.compilation import CompileOptions, compile_source
from compiler.driver import SilentObserver, StageRun
from compiler.report_page.tiles import tiles_json
from dialects.fused_attribute import FusedAttr
from dialects.gconv.fused import FusedOp
from dialects.schedule import Objective
from passes.fusion.from_ir import group_of
from passes.fusion.model import FusedCosts
from passes.searching.options import SearchOptions
from tests.compiler.report_page.in_browser import CHROMIUM, NARROW, data_of, drawn, needed_width
from tests.compiler.small_models import save_model
from tests.end_to_end.networks import NETWORKS

SMALL = {"generic": {"levels.glb.words": "2000"}, "eyeriss": {"glb.banks": "16", "glb.bank_words": "64"}}


class Groups(SilentObserver):
    """The fused groups of a compilation."""

    def __init__(self) -> None:
        self.found: list[tuple[dict[str, Any], FusedCosts]] = []

    def after_stage(self, run: StageRun, module: ModuleOp) -> None:
        for op in module.walk():
            if run.stage == "mapped" and isinstance(op, FusedOp) and isinstance(op.mapping, FusedAttr):
                group, mapping = group_of(op), op.mapping.data
                self.found.append((tiles_json(group, mapping, {}), FusedCosts(group, mapping)))


def indices(axis: dict[str, Any], turns: tuple[int, ...]) -> range:
    """The indices of an axis in a turn, as the page draws them."""
    low, high = 0, axis["count"]
    for loop, spans in axis["along"]:
        turn, first, size, step, growth = next(each for each in reversed(spans) if each[0] <= turns[loop])
        later = turns[loop] - turn
        low, high = max(low, first + later * step), min(high, first + later * (step + growth) + size)
    return range(axis["from"] + axis["by"] * low, axis["from"] + axis["by"] * max(low, high), axis["by"])


def elements(boxes: list[list[dict[str, Any]]], turns: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The elements of some boxes in a turn."""
    for box in boxes:
        yield from product(*(indices(axis, turns) for axis in box))


@pytest.mark.parametrize("name", ["residual", "separable"])
@pytest.mark.parametrize("target", SMALL)
def test_tiles_add_up_to_what_is_counted(name: str, target: str, tmp_path: Path) -> None:
    source, groups = save_model(NETWORKS[name](), tmp_path / "network.onnx"), Groups()
    asked = CompileOptions(
        target=target, settings=SMALL[target], fuse=True, stop="mapped", search=SearchOptions(Objective.TRAFFIC)
    )
    compile_source(str(source), asked, [groups])
    assert groups.found
    for shown, costs in groups.found:
        extents = tuple(loop["turns"] for loop in shown["loops"])
        every = list(product(*(range(count) for count in extents)))
        for tensor in shown["tensors"]:
            there: set[tuple[int, ...]] = set()
            new, most = 0, 0
            for turns in every:
                needed = list(elements(tensor["needed"], turns))
                due = tensor["role"] != "read" or tensor["below"] is None or not any(turns[tensor["below"] :])
                came = list(elements(tensor["new"], turns)) if due else []
                assert len(set(came)) == len(came)
                assert len(set(needed)) == len(needed)
                assert set(came) <= set(needed)
                # What is drawn as staying was there in an earlier turn; of what goes on from group to group, a place.
                assert set(needed) - set(came) <= there or tensor["resident"]
                there |= set(needed)
                new, most = new + len(came), max(most, len(needed))
            assert (new, most) == (tensor["words"], tensor["most"])
            assert tensor["once"] == (len(there) if new else 0)
            if tensor["role"] == "read" and tensor["below"] is not None:
                assert new == costs.reads[tensor["tensor"]]
        for memory, words in shown["held"].items():
            assert len(words) == prod(extents)
            assert max(words) == costs.peak(memory)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_draws_tiles(tmp_path: Path) -> None:
    source, page = save_model(NETWORKS["classifier"](), tmp_path / "network.onnx"), tmp_path / "page.html"
    setting = [f"--set={key}={value}" for key, value in SMALL["generic"].items()]
    assert execute(["report", str(source), "-t", "generic", *setting, "--fuse", "-o", str(page)]) == 0
    tiles = next(each["tiles"][0] for each in data_of(page.read_text())["groups"] if each["tiles"])
    shown = drawn(f"file://{page}#groups", NARROW)
    assert needed_width(page, 390) <= 390
    data = data_of(page.read_text())
    assert all(layer["off_chip_words"] for layer in data["layers"] if layer["inputs"][0] == "x")
    traffic = next(each for each in data["figures"] if each["name"] == "off-chip words")
    assert traffic["value"] == f"{sum(layer['off_chip_words'] for layer in data['layers']):,}"
    counted = sum(
        count
        for layer in data["layers"]
        for name, count in layer["counts"].items()
        if name in ("dram.input.read", "dram.kernel.read", "dram.extra.read", "dram.output.update")
    )
    assert traffic["value"] == f"{counted:,}"
    assert all(layer["binds"] for layer in data["layers"])
    fits = next(each for each in data["figures"] if each["name"] == "fits")
    held = {group["name"]: group["held"]["glb"] for group in data["groups"]}
    most = max(held.values()) / 2000
    for layer in data["layers"]:
        for own in (each for each in layer["own_memories"] if each["capacity"]):
            beside = held[layer["group"]] if own["memory"] == "glb" else 0
            most = max(most, (beside + own["taken"]) / own["capacity"])
    assert fits["value"] == f"{100 * most:.0f} %"
    own = [(held, layer["group"]) for layer in data["layers"] for held in layer["own_memories"]]
    assert {held["memory"] for held, _ in own} >= {"rf"}
    holds = {group["name"]: group["held"] for group in data["groups"]}
    assert all(held["taken"] + holds[group].get(held["memory"], 0) <= held["capacity"] for held, group in own)
    memories = shown[shown.index('<section id="memories">') : shown.index('<section id="groups">')]
    assert "glb: " in memories
    assert "rf: " in memories
    part = shown[shown.index('<section id="groups">') : shown.index('<section id="layers">')]
    for tensor in tiles["tensors"]:
        again = tensor["words"] - tensor["once"]
        assert f"all turns: {tensor['words']:,} " in part
        assert f"{again:,} of them again" in part if again else "each once" in part
    assert 'class="tile-fresh"' in part
    assert 'class="tile-stays"' in part
