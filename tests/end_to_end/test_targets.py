"""Small networks on every built-in target, in both modes: outputs as ONNX Runtime's, counts as predicted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from backends.container import read_program
from backends.spatial.emulator import MODES, SpatialEmulator
from compiler.compilation import CompileOptions, compile_source, write_compiled
from compiler.modes import Mode
from compiler.verification.programs import verify_source
from tests.end_to_end.networks import NETWORKS, inputs_of, reference_outputs
from tests.end_to_end.test_networks import check_counts, check_outputs

pytest.importorskip("onnxruntime")

TARGETS = ("nlr", "systolic")
NAMES = [name for name in ("classifier", "residual", "separable", "attention", "joins") if name in NETWORKS]


def networks_on_targets() -> Iterator[object]:
    """Every network on every target in every mode; in turn one mode on either target, and the other exhaustively."""
    for number, name in enumerate(NAMES):
        for index, target in enumerate(TARGETS):
            for place, mode in enumerate(Mode):
                is_usual = (number + index + place) % len(Mode) == 0
                yield pytest.param(name, target, mode, marks=[pytest.mark.exhaustive] * (not is_usual))


@pytest.mark.parametrize(("name", "target", "mode"), list(networks_on_targets()))
def test_a_network_computes_and_counts_what_it_should(name: str, target: str, mode: Mode, tmp_path: Path) -> None:
    model = NETWORKS[name]()
    source, output = tmp_path / f"{name}.onnx", tmp_path / f"{name}.cat"
    onnx.save(model, source)
    write_compiled(compile_source(str(source), CompileOptions(target=target, mode=mode)), output)
    program = read_program(output)
    inputs = inputs_of(model)
    expected = reference_outputs(model, inputs)
    for engine in MODES:
        emulator = SpatialEmulator(program, engine)
        check_outputs(emulator.run(inputs), expected)
        check_counts(program, emulator)


@pytest.mark.parametrize("target", TARGETS)
def test_every_layer_is_verified(target: str, tmp_path: Path) -> None:
    source = tmp_path / "residual.onnx"
    onnx.save(NETWORKS["residual"](), source)
    assert verify_source(str(source), options=CompileOptions(target=target)).is_equal
