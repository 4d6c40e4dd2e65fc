"""Reports: sums, units, statistics files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from compiler.execution import load_program, predicted_report, random_inputs, run_loaded
from compiler.reports import Report, access_table, layer_table, read_statistics, statistics_json
from compiler.reports.layers import Layer, Provenance, build_report
from compiler.targets import select_target
from dialects.diagnostics import CatenaError
from dialects.events import EVENTS, LEVELS, Counts
from passes.off_chip import off_chip_words


@pytest.fixture(scope="module")
def emulated(program: Path) -> Report:
    loaded, emulator = load_program(program)
    return run_loaded(loaded, emulator, random_inputs(loaded, 0)).report


def test_predicted_counts_equal_emulated_counts(program: Path, emulated: Report) -> None:
    predicted = predicted_report(load_program(program)[0])
    assert [each.layer for each in predicted.layers] == [each.layer for each in emulated.layers]
    for mine, theirs in zip(predicted.layers, emulated.layers, strict=True):
        assert mine.counts.differences(theirs.counts) == {}


@pytest.mark.parametrize("change", [{"dram.input.read": "many"}, None])
def test_predictions_of_another_version_are_refused(program: Path, change: dict[str, object] | None) -> None:
    loaded = load_program(program)[0]
    noted = {} if change is None else {**loaded.layers[0].predicted, **change}
    layers = (replace(loaded.layers[0], predicted=noted or {"x": 1}), *loaded.layers[1:])
    with pytest.raises(CatenaError, match="counted other events"):
        predicted_report(replace(loaded, layers=layers))


def test_words_that_are_not_priced_are_said_beside_those_that_are() -> None:
    machine = select_target("isca16-rs").machine
    moved = {"dram.input.read": 972, "dram.kernel.read": 216, "dram.extra.read": 8, "dram.output.update": 2048}
    counts = Counts({**dict.fromkeys(EVENTS, 0), **moved}, 100, 1, 1, 100)
    layer = Layer("conv1", "conv", ("conv1",))
    shown = layer_table(build_report("m", machine, Provenance.PREDICTED, [layer], {"conv1": counts}))
    column = [each.title for each in shown.columns].index("DRAM words")
    assert shown.rows[0][column] == f"{off_chip_words(counts, machine) - 8:,}"
    assert "; DRAM words are those that the target prices, without 8 of biases and residuals" in shown.title


def test_totals_are_sums_over_layers(emulated: Report) -> None:
    assert emulated.counts.events["operation.mac"] == 2700
    for name in EVENTS:
        assert emulated.counts.events[name] == sum(each.counts.events[name] for each in emulated.layers)
    assert emulated.cycles == sum(each.price.cycles for each in emulated.layers)
    assert emulated.energy == pytest.approx(sum(sum(each.price.energy.values()) for each in emulated.layers))
    assert emulated.milliseconds == emulated.cycles / 200_000


def test_energy_is_accesses_times_cost(emulated: Report) -> None:
    machine = emulated.machine
    layer = emulated.layers[0]
    for level in LEVELS:
        words = sum(layer.counts.events[name] for name in getattr(machine.counting, level))
        cost = getattr(machine.energy, level)
        assert layer.price.energy[level] == pytest.approx(words * cost * machine.energy.picojoules)


def test_utilisation_is_operations_per_element_and_cycle(emulated: Report) -> None:
    layer = emulated.layers[0]
    share = layer.counts.operations / (layer.counts.array_cycles * 168)
    assert layer.utilisation(emulated.machine) == pytest.approx(share)
    assert 0 < share <= 1


def test_statistics_round_trip(emulated: Report, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps(statistics_json(emulated)))
    assert read_statistics(str(path)) == emulated


def test_tables_have_a_row_a_layer_and_units(emulated: Report) -> None:
    table = layer_table(emulated)
    assert "emulated" in table.title
    assert "ms at 200 MHz" in table.title
    assert len(table.rows) == len(emulated.layers)
    assert table.footer[2] == "2,700"
    events = access_table(emulated)
    assert len(events.rows) == len(emulated.layers)
    assert "operation.mac" in [column.title for column in events.columns]
