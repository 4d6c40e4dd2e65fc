"""Gantt charts of a page: what a run noted stands where it was, and the page says where its times come from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from backends.container import read_program, write_program
from compiler.report_page import page_of, render
from compiler.report_page.cores import COLUMNS
from compiler.timeline_files import read_activities
from tests.backends.rram.quantized import SMALL, Network, ready, residual
from tests.compiler.conftest import Cli
from tests.compiler.report_page.in_browser import CHROMIUM, NARROW, data_of, drawn


@pytest.fixture(scope="module")
def cored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network on a few cores, as a program."""
    path = tmp_path_factory.mktemp("cores") / "cored.cat"
    write_program(ready(residual(1), SMALL).program, path)
    return path


def test_a_run_is_drawn_as_it_was(cored: Path, tmp_path: Path, cli: Cli) -> None:
    trace, page = tmp_path / "trace.json", tmp_path / "page.html"
    assert cli("run", cored, "--random", "--timeline", trace).code == 0
    assert cli("report", cored, "--timeline", trace, "-o", page).code == 0
    program, shown = read_program(cored), data_of(page.read_text())["timeline"]
    done = read_activities(str(trace), program)
    assert shown["provenance"].startswith("emulated")
    assert shown["end"] == max(each.end for each in done)
    assert {core for row in shown["rows"] for core in row["cores"]} == {each.core for each in done}
    column = shown["end"] / COLUMNS
    for row in shown["rows"]:
        for layer, start, stop, _ in row["work"]:
            mine = [each for each in done if each.core in row["cores"] and each.layer == program.layers[layer].name]
            for at in range(start, stop):
                assert any(each.begin < (at + 1) * column and each.end > at * column for each in mine)


PIPES = [
    {},
    {"cores.overlap": "true"},
    {"schedule.pipelined": "true", "schedule.duplicate": "true", "bus.width_bytes": "64"},
    {"schedule.pipelined": "true", "bus.width_bytes": "1", "cores.overlap": "true"},
]


@pytest.mark.parametrize("settings", PIPES, ids=["one by one", "overlapping", "pipelined", "on a slow bus"])
def test_without_a_run_cores_are_drawn_as_they_are_timed(settings: dict[str, str], tmp_path: Path, cli: Cli) -> None:
    path, trace = tmp_path / "program.cat", tmp_path / "trace.json"
    write_program(ready(residual(1), {**SMALL, **settings}).program, path)
    assert cli("run", path, "--random", "--timeline", trace).code == 0
    program = read_program(path)
    done = read_activities(str(trace), program)
    streams = {(each.core, layer.name): each for layer in program.layers for each in layer.streams}
    assert {(each.core, each.layer) for each in done} == set(streams)
    for (core, layer), predicted in streams.items():
        mine = [each for each in done if (each.core, each.layer) == (core, layer)]
        # A core does some of its layers in several streams, and layers may begin with what takes no time.
        assert predicted.begin == min(each.begin for each in mine), (core, layer)
        assert predicted.end == max(each.end for each in mine), (core, layer)
        if "cores.overlap" not in settings:
            assert predicted.busy == sum(each.cycles for each in mine), (core, layer)
    shown = page_of(program).data["timeline"]
    assert shown["provenance"].startswith("predicted")
    assert shown["end"] == sum(layer.predicted["cycles"] for layer in program.layers) == max(each.end for each in done)


def test_words_of_the_shared_memory_are_not_called_off_chip(cored: Path, program: Path) -> None:
    assert page_of(read_program(cored)).data["outer"] == "shared-memory"
    assert page_of(read_program(program)).data["outer"] == "off-chip"


def test_traces_of_other_programs_are_refused(cored: Path, program: Path, tmp_path: Path, cli: Cli) -> None:
    trace = tmp_path / "trace.json"
    event = {"ph": "X", "tid": 0, "name": "other", "cat": "bus", "args": {"begin_cycle": 0, "end_cycle": 1}}
    for content in ("{", "[]", json.dumps({"traceEvents": []}), json.dumps({"traceEvents": [event]})):
        trace.write_text(content)
        found = cli("report", cored, "--timeline", trace, "-o", tmp_path / "page.html")
        assert found.code == 2
        assert "CAT-C003" in found.err
    assert cli("report", program, "--timeline", trace).code == 2


def test_the_first_screen_says_how_full_the_chip_is(cored: Path) -> None:
    data = page_of(read_program(cored)).data
    figures = {each["name"]: each for each in data["figures"]}
    cores = [layer["cores"] for layer in data["layers"] if "cores" in layer]
    assert f"{sum(each['crossbars'] for each in cores)} of {SMALL['cores.count']} in" in figures["fits"]["note"]
    counts = [layer["counts"] for layer in data["layers"]]
    moved = sum(count for each in counts for name, count in each.items() if name.startswith("memory."))
    assert figures["shared-memory words"]["value"] == f"{moved:,}"
    assert {layer["binds"]["what"] for layer in data["layers"] if "cores" in layer} == {each["binds"] for each in cores}


BUFFER = 65_536
"""Bytes of the buffer of a core of the target."""


def test_buffers_are_as_full_as_the_layers_need_that_cores_are_on(cored: Path) -> None:
    program = read_program(cored)
    data = page_of(program).data
    needs = [
        (stream, layer["cores"]["buffer_bytes"], layer["cores"]["part_bytes"])
        for entry, layer in zip(program.layers, data["layers"], strict=True)
        for stream in entry.streams
        if "cores" in layer
    ]
    for row, of in zip(data["buffers"]["rows"], (max, sum), strict=True):
        taken, steps = 0, dict(row["steps"])
        for cycle in sorted({at for stream, _, _ in needs for at in (stream.begin, stream.end)}):
            taken = steps.get(cycle, taken)
            there = [each[1 if of is max else 2] for each in needs if each[0].begin <= cycle < each[0].end]
            assert taken == of(there or [0])
        assert row["capacity"] == BUFFER * (1 if of is max else int(SMALL["cores.count"]))


def test_a_layer_that_waits_for_room_is_not_what_the_time_goes_to() -> None:
    """What it puts off the end by is what it waits for."""
    network = Network(np.random.default_rng(1))
    pooled = network.node("MaxPool", ["x"], kernel_shape=[2, 2])
    slow = network.conv(pooled, 4, 4, 3, pads=[1, 1, 1, 1])
    model = network.model((1, 4, 13, 13), network.node("MaxPool", [slow], kernel_shape=[2, 2]))
    program = ready(model, {"schedule.pipelined": "true"}, fuse=True).program
    first, slow, *_ = page_of(program).data["layers"]
    assert first["cycles"] > slow["cycles"]
    assert first["at_work"] == max(each.busy for each in program.layers[0].streams) < slow["at_work"] / 10


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_draws_cores(cored: Path, tmp_path: Path) -> None:
    page, program = tmp_path / "page.html", read_program(cored)
    page.write_text(render(page_of(program)))
    shown = drawn(f"file://{page}#cores", NARROW)
    part = shown[shown.index('<section id="cores">') : shown.index('<section id="layers">')]
    rows = data_of(page.read_text())["timeline"]["rows"]
    assert part.count('class="part"') == sum(len(row["work"]) for row in rows)
    assert "predicted: every core from where it begins" in part
    assert shown.count('class="held"') == len(data_of(page.read_text())["buffers"]["rows"])
    layers = data_of(page.read_text())["layers"]
    busiest = max(layers, key=lambda layer: layer["at_work"] or 0)
    top = shown[shown.index('<div class="top">') : shown.index('<section id="network">')]
    assert top.index('class="name"') < top.index(f"{busiest['number']}. {busiest['label']}") < top.index('class="bar"')
