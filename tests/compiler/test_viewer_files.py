"""Files for viewers of others: traces of layers and tiles (Perfetto), graphs and their costs (Model Explorer)."""

from __future__ import annotations

import json
from math import isclose
from pathlib import Path
from typing import Any

import pytest

from backends.container import read_program
from compiler.compilation import CompileOptions, compile_source, write_compiled
from compiler.explanation.drawing import nest_lines
from compiler.explanation.explaining import explain_program
from compiler.layer_trace import LAYERS, MOST_TILES, RESOURCES, layer_trace, outer_loops
from compiler.reporting import report_of
from tests.compiler.conftest import Cli


@pytest.fixture(scope="module")
def program(cnn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network in tiles, for a buffer of a few words."""
    path = tmp_path_factory.mktemp("tiled") / "tiled.cat"
    settings = {"glb.banks": "6", "glb.bank_words": "32"}
    write_compiled(compile_source(str(cnn), CompileOptions(target="eyeriss", settings=settings)), path)
    return path


@pytest.fixture(scope="module")
def events(program: Path) -> list[dict[str, Any]]:
    """The trace of the small network."""
    trace = json.loads(layer_trace(explain_program(read_program(program))))
    assert trace["otherData"]["counts"] == "predicted from the mapping"
    return trace["traceEvents"]


def test_layers_follow_one_another(events: list[dict[str, Any]], program: Path) -> None:
    report = report_of(read_program(program))
    slices = {each["name"]: each for each in events if each["ph"] == "X" and "kind" in each["args"]}
    begin = 0
    for layer in report.layers:
        found = slices[layer.layer.name]
        assert found["args"]["onnx"] == list(layer.layer.nodes)
        assert found["args"]["cycles"] == layer.price.cycles
        assert isclose(found["ts"] * report.machine.clock_mhz, begin, abs_tol=1e-6)
        assert isclose(found["dur"] * report.machine.clock_mhz, layer.price.cycles)
        begin += layer.price.cycles


def test_tiles_fill_their_layers(events: list[dict[str, Any]], program: Path) -> None:
    found = explain_program(read_program(program))
    tiles = [each for each in events if each["ph"] == "X" and "indices" in each["args"]]
    expected = 0
    for each in found.layers:
        if each.facts is None or each.layer.work is None:
            continue
        loops = outer_loops(nest_lines(each.layer.work.spec, each.facts))
        together = 1
        for line in loops:
            together *= line.tiles
            expected += together
        assert together <= MOST_TILES
        mine = [tile for tile in tiles if tile["args"]["onnx"] == list(each.layer.entry.nodes)]
        if loops:
            outermost = [tile for tile in mine if tile["name"].startswith(f"{loops[0].node}: ")]
            assert isclose(sum(tile["dur"] for tile in outermost) * 200, each.report.price.cycles)
    assert len(tiles) == expected > 0


def test_no_resource_is_busy_longer_than_its_layer(events: list[dict[str, Any]]) -> None:
    slices = [each for each in events if each["ph"] == "X"]
    layers = {each["name"]: each for each in slices if each["pid"] == LAYERS and "kind" in each["args"]}
    busy = [each for each in slices if each["pid"] == RESOURCES]
    assert busy
    for each in busy:
        layer = layers[each["name"].partition(": ")[2]]
        assert each["ts"] == layer["ts"]
        assert each["dur"] <= layer["dur"] * (1 + 1e-9)


def test_a_graph_for_model_explorer_has_every_layer(program: Path, tmp_path: Path, cli: Cli) -> None:
    assert cli("report", program, "--model-explorer", tmp_path / "explorer", "--trace", tmp_path / "t.json").code == 0
    assert json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    loaded = read_program(program)
    (collection,) = json.loads((tmp_path / "explorer" / "graph.json").read_text())
    (graph,) = collection["graphs"]
    nodes = {each["id"]: each for each in graph["nodes"]}
    assert len(nodes) == len(graph["nodes"])
    makers = {name: layer.name for layer in loaded.layers for name in layer.outputs}
    for layer in loaded.layers:
        sources = [edge["sourceNodeId"] for edge in nodes[layer.name]["incomingEdges"]]
        assert set(sources) <= nodes.keys()
        assert [name for name in sources if not name.startswith("input ")] == [
            makers[name] for name in layer.inputs if name in makers
        ]
    ends = [each for each in nodes if each.startswith(("input ", "output "))]
    assert len(ends) == 2
    data = json.loads((tmp_path / "explorer" / "cycles.json").read_text())
    results = data[graph["id"]]["results"]
    assert results.keys() <= nodes.keys()
    assert {name: each["value"] for name, each in results.items()} == {
        each.layer.name: each.price.cycles for each in report_of(loaded).layers
    }
    assert {path.name for path in (tmp_path / "explorer").iterdir()} == {
        *("graph.json", "cycles.json", "energy-pj.json", "array-use.json", "off-chip-words.json")
    }
