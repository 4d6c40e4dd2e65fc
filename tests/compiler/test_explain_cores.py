"""Explanations of layers on several cores: partition, ring, turns and what limits them, against an emulation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backends.container import write_program
from compiler.explanation.explaining import explain_program
from tests.backends.rram.quantized import SMALL, one_layer, ready, residual
from tests.compiler.conftest import Cli
from tests.compiler.report_page.test_report_page import data_of

CHIP = {**SMALL, "bus.width_bytes": "64"}


@pytest.mark.parametrize("overlap", ["false", "true"])
def test_speed_up_is_that_over_the_emulated_sequence(overlap: str) -> None:
    """40 rows are a ring of 3 cores; the closed form of one after another is what is emulated, within 2 %."""
    model, chip = one_layer(20, 40, 4, 1, 8), {**CHIP, "cores.overlap": overlap}
    emulator = ready(model, {**chip, "schedule.scheme": "sequential"}).emulate()
    made = ready(model, chip)
    (found,) = explain_program(made.program).layers
    facts = found.cores
    assert facts is not None
    assert (facts.ring, facts.beside, facts.copies, facts.crossbars, facts.vectors) == (3, 1, 1, 3, 64)
    assert facts.sequential == pytest.approx(emulator.timeline.end, rel=0.02)
    assert facts.alone == pytest.approx(made.emulate().timeline.end, rel=0.05)
    assert 0.9 * facts.ring < facts.speed_up < facts.ring
    assert facts.binds == "crossbars"
    buffers = made.emulate().buffers
    assert facts.part_bytes == pytest.approx(sum(buffers.values()) / 3, abs=1)
    assert facts.buffer_bytes == max(buffers.values()) > facts.part_bytes


def test_what_limits_a_layer_follows_the_chip() -> None:
    model = one_layer(21, 40, 12, 1, 8)

    def binds(**chip: str) -> str:
        (found,) = explain_program(ready(model, {**CHIP, **chip}).program).layers
        assert found.cores is not None
        return found.cores.binds

    assert binds(**{"schedule.scheme": "sequential"}) == "waiting in the ring"
    assert binds(**{"crossbar.mvm_cycles": "1", "bus.width_bytes": "1"}) == "bus"


def test_the_command_shows_cores(cli: Cli, tmp_path: Path) -> None:
    program = tmp_path / "layer.cat"
    write_program(ready(one_layer(22, 40, 4, 3, 6, pads=[1, 1, 1, 1]), CHIP).program, program)
    every, one = cli("explain", program), cli("explain", program, "1", "--no-search")
    assert (every.code, one.code) == (0, 0)
    assert "% of P_V" in every.out
    reported = cli("report", program)
    assert "% of P_V" in reported.out
    assert json.loads(cli("report", program, "--json").out)["result"]["cores"][0]["cores"]["ring"] == 23
    for shown in ("times as fast as one core after another", "limited by", "fetching sums", "buffer of a core"):
        assert shown in one.out
    (layer,) = json.loads(cli("explain", program, "--json").out)["result"]["layers"]
    assert layer["cores"]["ring"] == 23
    assert layer["cores"]["signal_share"] > 0


def test_what_predicted_cycles_are_is_said(cli: Cli, tmp_path: Path) -> None:
    """Cycles of layers that overlap add up to those of a run."""
    program = tmp_path / "network.cat"
    write_program(ready(residual(23, 6), {**CHIP, "schedule.pipelined": "true"}).program, program)
    assert cli("run", program, "--random", "-o", tmp_path / "y.npz", "--stats", tmp_path / "s.json").code == 0
    note = "each layer puts off the end, with those in which cores wait, as in a run"
    predicted, emulated = cli("report", program).out, cli("report", program, "--stats", tmp_path / "s.json").out
    assert (note in predicted.splitlines()[0], note in emulated) == (True, False)
    for stats, has_note in ((None, True), (tmp_path / "s.json", False)):
        given = () if stats is None else ("--stats", stats)
        totals = json.loads(cli("report", program, *given, "--json").out)["result"]["totals"]
        assert (note in totals["cycles_note"]) == has_note
        assert cli("report", program, *given, "-o", tmp_path / "page.html").code == 0
        assert (note in data_of((tmp_path / "page.html").read_text())["cycles_note"]) == has_note
