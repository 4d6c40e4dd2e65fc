"""Array use on several cores: cycles in which crossbars or vector units compute, equal in prediction and emulation."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from compiler.execution import emulated_report, predicted_report
from compiler.reports import LayerReport
from tests.backends.rram.quantized import SMALL, one_layer, ready, residual

CHIP = {**SMALL, "cores.crossbars": "2"}


def _layers(chip: Mapping[str, str], seed: int, *, alone: bool = False) -> list[tuple[LayerReport, float]]:
    """Layers with their array use, which is the same whether predicted or emulated, and below 1 in all together."""
    made = ready(one_layer(seed, 16, 16, 1, 4) if alone else residual(seed, 5), chip)
    emulator = made.emulate()
    assert made.differences(emulator) == {}
    predicted, emulated = predicted_report(made.program), emulated_report(made.program, emulator.counters)
    used = [each.utilisation(predicted.machine) for each in predicted.layers]
    assert used == [each.utilisation(emulated.machine) for each in emulated.layers]
    assert 0 < min(used) <= predicted.utilisation == emulated.utilisation <= max(used) <= 1
    return list(zip(predicted.layers, used, strict=True))


def test_crossbars_that_are_full_are_used_whenever_they_work() -> None:
    """A matrix of 16 x 16 in a crossbar of 16 x 64 cells, 4 of which hold a weight: 16 vectors, 77 cycles each."""
    chip = {**SMALL, "crossbar.columns": "64", "crossbar.mvm_cycles": "77"}
    ((layer, used),) = _layers(chip, 1, alone=True)
    assert (layer.counts.array_cycles, used) == (16 * 77, 1.0)
    ((_, half),) = _layers({**chip, "crossbar.rows": "32"}, 1, alone=True)
    assert half == 0.5


@pytest.mark.parametrize("rows", ["9", "32"])
@pytest.mark.parametrize("more", [{}, {"schedule.pipelined": "true", "schedule.duplicate": "true"}])
def test_vector_units_are_measured_by_what_they_can_do(rows: str, more: Mapping[str, str]) -> None:
    """However few products crossbars make in a cycle, no layer does more than its units can."""
    chip = {**CHIP, "crossbar.rows": rows, "crossbar.mvm_cycles": "5000", "bus.width_bytes": "4", "cores.lanes": "4"}
    pool, used = next((each, used) for each, used in _layers({**chip, **more}, 3) if each.layer.kind == "pool")
    assert used == pool.counts.operations / (pool.counts.array_cycles * pool.counts.peak_pes * 4) > 0.5


def test_products_that_take_no_time_use_nothing() -> None:
    found = predicted_report(ready(residual(4, 4), {**CHIP, "crossbar.mvm_cycles": "0"}).program)
    used = [each.utilisation(found.machine) for each in found.layers]
    assert used[0] == 0
    assert 0 < found.utilisation <= max(used) <= 1
