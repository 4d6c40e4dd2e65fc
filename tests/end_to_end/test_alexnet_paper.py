"""AlexNet's convolutions, batch 4, with the mappings of the Eyeriss chip, beside what was measured on the chip.

Chip figures: Chen et al., JSSC 2017, tables III and V.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from compiler.compilation import CompileOptions, compile_source, write_compiled
from compiler.execution import load_program, predicted_report, random_inputs, run_loaded
from compiler.reports import LayerReport, Report
from tests.benchmarks.scripts import FOLDER, generate

WORD_BYTES = 2


@dataclass(frozen=True)
class Chip:
    """What the chip did: million MACs, active processing elements, MB through the buffer."""

    mega_macs: float
    active: int
    buffer_mb: float


CHIP = {
    "CONV1": Chip(421.6, 154, 18.5),
    "CONV2": Chip(895.7, 135, 77.6),
    "CONV3": Chip(598.1, 156, 50.2),
    "CONV4": Chip(448.6, 156, 37.4),
    "CONV5": Chip(299.0, 156, 24.9),
}
MACS = {"CONV1": 421_660_800, "CONV2": 895_795_200, "CONV3": 598_081_536, "CONV4": 448_561_152, "CONV5": 299_040_768}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated model."""
    return generate("alexnet_paper", tmp_path_factory.mktemp("alexnet") / "alexnet_paper.onnx")


def compiled_program(model: Path, mapping: str) -> Path:
    path = model.with_name(f"{mapping}.cat")
    if not path.exists():
        options = CompileOptions(mapping=str(FOLDER / "models" / f"alexnet_paper_{mapping}.toml"))
        write_compiled(compile_source(str(model), options), path)
    return path


def convolutions(report: Report) -> dict[str, LayerReport]:
    return {each.layer.nodes[0]: each for each in report.layers if each.layer.nodes[0] in CHIP}


def buffer_mb(layer: LayerReport, report: Report) -> float:
    return layer.counts.charged(report.machine.counting.glb) * WORD_BYTES / 1e6


@pytest.mark.slow
@pytest.mark.parametrize("mapping", ["table3", "conv3"])
def test_macs_and_active_elements_are_those_of_the_chip(model: Path, mapping: str) -> None:
    report = predicted_report(load_program(compiled_program(model, mapping))[0])
    layers = convolutions(report)
    assert set(layers) == set(CHIP)
    for name, chip in CHIP.items():
        assert layers[name].counts.events["operation.mac"] == MACS[name]
        assert round(MACS[name] / 1e6, 1) == pytest.approx(chip.mega_macs, abs=0.11)
        assert layers[name].counts.peak_pes == chip.active


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CONV1", "CONV2", "CONV4", "CONV5"])
def test_buffer_traffic_is_within_one_percent_of_the_chip(model: Path, name: str) -> None:
    report = predicted_report(load_program(compiled_program(model, "table3"))[0])
    assert buffer_mb(convolutions(report)[name], report) == pytest.approx(CHIP[name].buffer_mb, rel=0.01)


@pytest.mark.slow
def test_the_printed_mapping_of_conv3_cannot_be_what_the_chip_ran(model: Path) -> None:
    printed = predicted_report(load_program(compiled_program(model, "table3"))[0])
    other = predicted_report(load_program(compiled_program(model, "conv3"))[0])
    assert buffer_mb(convolutions(printed)["CONV3"], printed) == pytest.approx(69.22, rel=0.001)
    assert buffer_mb(convolutions(other)["CONV3"], other) == pytest.approx(CHIP["CONV3"].buffer_mb, rel=0.01)


@pytest.mark.slow
def test_the_emulator_counts_what_was_predicted(model: Path) -> None:
    program, emulator = load_program(compiled_program(model, "table3"))
    emulated = run_loaded(program, emulator, random_inputs(program, 0)).report
    for mine, theirs in zip(predicted_report(program).layers, emulated.layers, strict=True):
        assert mine.counts.differences(theirs.counts) == {}, mine.layer.name
