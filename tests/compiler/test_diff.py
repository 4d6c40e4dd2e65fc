"""Two reports side by side."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.reporting import report_on
from compiler.reports import Report
from compiler.reports.difference_tables import pair_table, total_table
from compiler.reports.differences import differences
from tests.compiler.conftest import Cli
from tests.examples import examples


@pytest.fixture(scope="module")
def report(program: Path) -> Report:
    return report_on(str(program))


def test_a_report_does_not_differ_from_itself(report: Report) -> None:
    found = differences(report, report)
    assert all(pair.is_same for pair in found.pairs)
    assert all(not each["events"] for each in found.json["pairs"])
    assert pair_table(found).rows == ()
    assert "left out" in pair_table(found).title
    assert len(pair_table(found, every=True).rows) == len(found.pairs)
    assert {row[-1] for row in total_table(found).rows} <= {"=", ""}


@settings(max_examples=examples(60), deadline=None, derandomize=True)
@given(st.data())
def test_every_layer_is_in_one_pair_with_all_that_share_its_nodes(report: Report, data: st.DataObject) -> None:
    def drawn() -> Report:
        names = st.lists(st.sampled_from("abcdef"), max_size=3, unique=True)
        layers = data.draw(st.lists(names, max_size=5))
        one = report.layers[0]
        made = [
            replace(one, layer=replace(one.layer, name=f"layer{number}", nodes=tuple(nodes)))
            for number, nodes in enumerate(layers)
        ]
        return replace(report, layers=tuple(made))

    first, second = drawn(), drawn()
    found = differences(first, second)
    for side, mine in (("first", first), ("second", second)):
        inside = [id(each) for pair in found.pairs for each in getattr(pair, side)]
        assert Counter(inside) == Counter(id(each) for each in mine.layers)
    seen: set[str] = set()
    for pair in found.pairs:
        assert seen.isdisjoint(pair.nodes)
        seen |= set(pair.nodes)
    sums = [sum(pair.costs[side].cycles for pair in found.pairs) for side in (0, 1)]
    assert sums == [first.cycles, second.cycles]


def test_two_targets_are_compared_by_what_nodes_their_layers_came_from(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    for target in ("eyeriss", "spots"):
        assert cli("compile", cnn, "-t", target, "-o", tmp_path / f"{target}.cat").code == 0
    result = cli("diff", tmp_path / "eyeriss.cat", tmp_path / "spots.cat", "--json").json["result"]
    assert [each["target"] for each in result["reports"]] == ["eyeriss", "spots"]
    by_node = {node: pair for pair in result["pairs"] for node in pair["nodes"]}
    assert set(by_node) == {"conv1", "relu1", "pool1", "dense1"} | ({"flatten1"} & set(by_node))
    for side in (0, 1):
        assert sum(pair["cycles"][side] for pair in result["pairs"]) == result["reports"][side]["cycles"]
    shown = cli("diff", tmp_path / "eyeriss.cat", tmp_path / "spots.cat").out
    assert "conv1, relu1" in shown
    assert "glb accesses" in shown


def test_statistics_are_compared_with_a_program(cli: Cli, program: Path, tmp_path: Path) -> None:
    stats = tmp_path / "stats.json"
    assert cli("run", program, "--random", "--stats", stats).code == 0
    result = cli("diff", stats, program, "--json").json["result"]
    assert result["reports"][0]["provenance"] == "emulated"
    assert all(pair["same"] for pair in result["pairs"])
    counted = json.loads(stats.read_text())
    counted["layers"][0]["counts"]["operation.mac"] += 1
    stats.write_text(json.dumps(counted))
    changed = cli("diff", stats, program, "--json").json["result"]["pairs"]
    assert [pair["same"] for pair in changed].count(False) == 1
    macs = counted["layers"][0]["counts"]["operation.mac"]
    assert changed[0]["events"]["operation.mac"] == [macs, macs - 1]


def test_what_is_no_report_is_refused(cli: Cli, program: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("[]")
    result = cli("diff", tmp_path / "bad.json", program)
    assert result.code == 2
    assert "CAT-C003" in result.err
