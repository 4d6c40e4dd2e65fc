"""Layers whose weights cells do not hold: vector units multiply, as `compile`, `report` and `explain` say."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tests.backends.rram.quantized import SMALL, ready, residual
from tests.compiler.conftest import Cli

NOTE = "weights that cells do not hold (-8 to 7, however they are shifted): vector units multiply"


@pytest.mark.parametrize(("slices", "shown"), [("[2, 2]", "4 layers have " + NOTE), ("[4, 4]", "")])
def test_commands_say_that_cells_do_not_hold_weights(cli: Cli, tmp_path: Path, slices: str, shown: str) -> None:
    model, program = tmp_path / "model.onnx", tmp_path / "model.cat"
    onnx.save(residual(1, 4), model)
    settings = [f"{key}={value}" for key, value in {**SMALL, "crossbar.weights.slices": slices}.items()]
    given = ["compile", model, "-t", "rram", *(word for each in settings for word in ("--set", each)), "-o", program]
    first, again = cli(*given), cli(*given)
    assert (first.code, NOTE in first.out, shown in first.out) == (0, bool(shown), True)
    assert NOTE not in first.out or NOTE in again.out
    assert (NOTE in cli("report", program).out) == (NOTE in cli("explain", program).out) == bool(shown)
    assert ("their cells do not hold the weights" in cli("explain", program, "1").out) == bool(shown)


def test_results_and_counts_are_those_of_any_layer_of_vector_units() -> None:
    made = ready(residual(2, 3), {**SMALL, "crossbar.weights.slices": "[2, 2]"})
    assert made.differences(made.emulate()) == {}
    mappings = [layer.mapping for layer in made.program.layers]
    assert not any("multicore.crossbars" in each for each in mappings)
    assert [each.endswith(", wide>") for each in mappings].count(True) == 4
