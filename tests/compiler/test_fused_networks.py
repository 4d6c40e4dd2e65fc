"""Published networks, fused: the results of the unfused programs, and every count as predicted.

Small versions of them; whole ones in the exhaustive run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.utils
import pytest

from backends.generic.emulator import NestEmulator
from backends.spatial.emulator import SpatialEmulator
from compiler.compilation import CompileOptions, compile_source
from dialects.events import Counts
from dialects.schedule import Objective
from passes.searching.options import SearchOptions
from tests.benchmarks.scripts import generate
from tests.reference_models import Feeds, reference_cases, reference_index, reference_source

READ = [f"dram.{event}" for event in ("input.read", "kernel.read", "extra.read")]
GENERIC, EYERISS = (NestEmulator, "dram.output.update"), (SpatialEmulator, "dram.output.write")
"""By target: its emulator, and what it counts of results that leave the chip."""
FIFTH = "conv3_1.relu"
"""What the fifth convolution of VGG-16 makes."""


def _generated(folder: Path, script: str, *options: object) -> Path:
    return generate(script, folder / "model.onnx", *options)


def _first_five(folder: Path, *options: object) -> Path:
    """The first five convolutions of VGG-16, with the pools between."""
    whole, path = _generated(folder, "vgg", *options), folder / "first.onnx"
    onnx.utils.extract_model(str(whole), str(path), ["input"], [FIFTH])
    return path


def _super_resolution(folder: Path) -> Path:
    if "super_resolution10" not in reference_index():
        pytest.skip("no reference models")
    source = reference_source("super_resolution10")
    assert isinstance(source, Path)
    return source


Made = Callable[[Path], Path]
SMALL: dict[str, tuple[Made, int]] = {
    "first five of VGG-16": (lambda folder: _first_five(folder, "--size", 32, "--width", 8), 4096),
    "VGG-16": (lambda folder: _generated(folder, "vgg", "--size", 32, "--width", 16), 2048),
    "MobileNet-v2": (lambda folder: _generated(folder, "mobilenet_v2", "--size", 32), 16384),
}
WHOLE: dict[str, tuple[Made, int]] = {
    "first five of VGG-16": (lambda folder: _first_five(folder), 65536),
    "VGG-16": (lambda folder: _generated(folder, "vgg"), 65536),
    "MobileNet-v2": (lambda folder: _generated(folder, "mobilenet_v2"), 65536),
    "ResNet-18": (lambda folder: _generated(folder, "resnet", "--depth", 18), 65536),
    "super-resolution": (_super_resolution, 65536),
}
"""Networks and words of the buffer."""


def _check(source: Path, words: int | None, objective: Objective | None = None) -> None:
    """A network on `generic` with so many words of buffer, or on `eyeriss` as it is: with inputs at random."""
    shape = [each.dim_value or 1 for each in onnx.load(source).graph.input[0].type.tensor_type.shape.dim]
    name = onnx.load(source).graph.input[0].name
    inputs = {name: np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    for output, (values, fused) in _compared(source, inputs, words, objective).items():
        np.testing.assert_allclose(fused, values, rtol=0, atol=1e-5 * np.abs(values).max(), err_msg=output)


def _compared(
    source: Path, inputs: Feeds, words: int | None, objective: Objective | None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What a network computes unfused and fused, by output; all is counted as predicted, and fused it moves less."""
    target, (emulated, left) = ("eyeriss", EYERISS) if words is None else ("generic", GENERIC)
    settings = {} if words is None else {"levels.glb.words": str(words)}
    results: list[Feeds] = []
    moved: list[int] = []
    for fuse in (False, True):
        options = CompileOptions(target=target, settings=settings, search=SearchOptions(objective), fuse=fuse)
        program = compile_source(str(source), options).program
        assert program is not None
        assert bool(program.groups) == fuse
        emulator = emulated(program)
        results.append(emulator.run(inputs))
        for layer in program.layers:
            assert not emulator.counters[layer.name].differences(Counts.of(layer.predicted)), layer.name
        for group in program.groups:
            assert emulator.held[group.name] == group.held, group.name
        moved.append(sum(counts.charged([*READ, left]) for counts in emulator.counters.values()))
    assert moved[1] < moved[0]
    return {output: (values, results[1][output]) for output, values in results[0].items()}


@pytest.mark.exhaustive
@pytest.mark.parametrize("on_array", [False, True])
@pytest.mark.parametrize(
    ("name", "room"), [("mnist_quantized", 2048), ("dory_penguinet", 4096), ("dory_dronet2", 4096)]
)
def test_integer_networks_compute_the_same_bits_and_move_less(name: str, room: int, on_array: bool) -> None:
    if name not in reference_index():
        pytest.skip("no reference models")
    source = reference_source(name)
    assert isinstance(source, Path)
    inputs, _ = next(reference_cases(name))
    words, objective = (None, Objective.TRAFFIC) if on_array else (room, None)
    for output, (values, fused) in _compared(source, inputs, words, objective).items():
        np.testing.assert_array_equal(fused, values, err_msg=output)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.exhaustive] * (name != next(iter(SMALL)))) for name in SMALL]
)
def test_small_networks_compute_the_same_and_move_less(name: str, tmp_path: Path) -> None:
    made, words = SMALL[name]
    _check(made(tmp_path), words)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", WHOLE)
def test_whole_networks_compute_the_same_and_move_less(name: str, tmp_path: Path) -> None:
    made, words = WHOLE[name]
    _check(made(tmp_path), words)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("name", "objective"),
    [
        (
            "first five of VGG-16",
            Objective.TRAFFIC,
        ),  # that group takes more time than the energy that it saves is worth
        ("ResNet-18", None),
        ("MobileNet-v2", None),
        ("super-resolution", Objective.TRAFFIC),
    ],
)
def test_whole_networks_on_an_array_compute_the_same_and_move_less(
    name: str, objective: Objective | None, tmp_path: Path
) -> None:
    made, _ = WHOLE[name]
    _check(made(tmp_path), None, objective)
