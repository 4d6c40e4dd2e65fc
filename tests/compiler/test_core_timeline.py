"""Pictures and traces of what cores did: all of it, in the right place."""

from __future__ import annotations

import dataclasses
import json
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from backends.activity import Activity
from backends.container import write_program
from compiler.core_rows import carrier, core_rows
from compiler.core_timeline import COLUMNS, LEFT, CoreTimeline
from compiler.targets import select_target
from dialects.multicore_machine import MulticoreMachine
from tests.backends.rram.quantized import SMALL, ready, residual
from tests.compiler.conftest import Cli

_SVG = "{http://www.w3.org/2000/svg}"


def _timeline(cores: int = 2) -> CoreTimeline:
    """The first core works on `a` in the first half, all others on `b` in the second."""
    activities = [Activity(0, "a", "crossbars", 0, 500)]
    activities += [Activity(core, "b", "bus", 500, 1000) for core in range(1, cores)]
    return CoreTimeline("network", 100.0, ["a", "b"], {"a": ("conv",), "b": ("pool",)}, activities)


def test_work_is_drawn_where_it_was_done() -> None:
    tree = ElementTree.fromstring(_timeline().svg())
    boxes = [each for each in tree.iter(f"{_SVG}rect") if each.get("fill-opacity")]
    places = [(float(each.attrib["x"]) - LEFT, float(each.attrib["width"]), each.attrib["fill"]) for each in boxes]
    half = COLUMNS / 2
    assert [(x, width) for x, width, _ in places] == [(0, half), (half, half), (half, half)]
    # Two layers, and the bus below them.
    assert len({color for *_, color in places}) == 3
    assert {each.get("fill-opacity") for each in boxes} == {"1.00"}
    assert "network: 1,000 cycles = 0.01 ms at 100 MHz" in "".join(tree.itertext())


def test_many_cores_share_rows() -> None:
    """Those that worked half of the time are half as strong."""
    tree = ElementTree.fromstring(_timeline(721).svg())
    boxes = [each for each in tree.iter(f"{_SVG}rect") if each.get("fill-opacity")]
    rows = {float(each.attrib["y"]) for each in boxes}
    assert len(rows) <= 74
    assert min(float(each.attrib["fill-opacity"]) for each in boxes) < 0.4


def test_traces_have_every_stretch_in_microseconds() -> None:
    trace = json.loads(_timeline().trace_json())
    events = [each for each in trace["traceEvents"] if each["ph"] == "X"]
    assert [(each["name"], each["tid"], each["ts"], each["dur"]) for each in events] == [
        ("a", 0, 0.0, 5.0),
        ("b", 1, 5.0, 5.0),
    ]
    assert trace["otherData"]["nodes"] == {"a": ["conv"], "b": ["pool"]}


@pytest.mark.parametrize("mode", ["blocks", "steps"])
def test_emulators_note_all_time_that_is_not_waited(mode: str) -> None:
    """No core does two things at a time, and the bus one transfer; products take what the target says."""
    from backends.rram.emulator import MulticoreEmulator

    made = ready(residual(14, 4), {**SMALL, "schedule.pipelined": "true"})
    emulator = MulticoreEmulator(made.program, mode)
    emulator.record_activity()
    emulator.run(made.inputs)
    activity = emulator.activity
    assert max(each.end for each in activity) == emulator.timeline.end
    assert sum(each.end - each.begin for each in activity if each.kind == "bus") == emulator.timeline.bus
    occupancy = emulator.occupancy
    assert occupancy.worked == sum(each.end - each.begin for each in activity)
    assert occupancy.used == len({each.core for each in activity})
    assert occupancy.register_bytes == 4 * emulator.registers > 0
    products = sum(each.end - each.begin for each in activity if each.kind == "crossbars")
    counted = sum(counts.events["crossbar.mvm"] for counts in emulator.counters.values())
    assert products >= counted * emulator.machine.crossbar.mvm_cycles // emulator.machine.cores.crossbars
    for key in ("core", "kind"):
        chosen = [each for each in activity if key == "core" or each.kind == "bus"]
        groups = {each.core if key == "core" else 0 for each in chosen}
        for group in groups:
            several = sorted((e.begin, e.end) for e in chosen if key == "kind" or e.core == group)
            assert all(before[1] <= after[0] for before, after in pairwise(several))


def test_the_command_writes_both(cli: Cli, tmp_path: Path) -> None:
    program = tmp_path / "network.cat"
    write_program(ready(residual(15, 4), SMALL).program, program)
    files = [tmp_path / "cores.svg", tmp_path / "cores.json"]
    words = [word for file in files for word in ("--timeline", file)]
    done = cli("run", program, "--random", *words)
    assert done.code == 0, done.err
    assert "of 40 cores had work" in done.out
    assert ElementTree.parse(files[0]).getroot().tag == f"{_SVG}svg"
    assert json.loads(files[1].read_text())["traceEvents"]
    wrong = cli("run", program, "--random", "--timeline", tmp_path / "cores.png")
    assert (wrong.code, "CAT-C001" in wrong.err) == (2, True)


def test_gathered_transfers_shade_by_the_time_that_they_take() -> None:
    """A bus that is taken for 2 cycles in 100 is not drawn as a busy one, though an event of the trace is many."""
    transfers = [Activity(0, "a", "bus", at, at + 2) for at in range(0, 1_000_000, 100)]
    timeline = CoreTimeline("network", 100.0, ["a"], {"a": ("conv",)}, transfers)
    events = [each for each in json.loads(timeline.trace_json())["traceEvents"] if each["ph"] == "X"]
    assert len(events) < len(transfers)
    assert sum(each["args"]["busy_cycles"] for each in events) == 20_000
    read = [
        Activity(0, "a", "bus", each["args"]["begin_cycle"], each["args"]["end_cycle"], each["args"]["busy_cycles"])
        for each in events
    ]
    for activities in (transfers, read):
        assert {each.shade for each in core_rows(activities, ["a"], 480).bus} == {1}


def test_a_mesh_has_no_row_for_one_bus() -> None:
    machines = [select_target(name).machine for name in ("rram", "rram-mesh")]
    assert [carrier(each) for each in machines if isinstance(each, MulticoreMachine)] == ["bus", "all links"]
    drawing = dataclasses.replace(_timeline(), carrier="all links").svg()
    assert ">all links</text>" in drawing
    assert ">bus</text>" not in drawing
