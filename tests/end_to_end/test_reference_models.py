"""Trained networks and the usual topologies, from ONNX to a binary to the emulator, against stored outputs."""

from __future__ import annotations

import filecmp
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import pytest

from backends.container import read_program, write_program
from backends.disassembly import disassemble, image_digest
from backends.listing import assemble_program
from backends.program import Program
from backends.spatial.emulator import SpatialEmulator
from backends.spatial.isa import ISA
from compiler.compilation import CompileOptions, compile_source, write_compiled
from compiler.sources import ImportOptions
from compiler.verification.comparison import Unit
from compiler.verification.layers import verify_program
from dialects.diagnostics import CatenaError, ExitCode
from dialects.events import Counts
from tests.reference_models import (
    Feeds,
    by_size,
    reference_cases,
    reference_index,
    reference_shapes,
    reference_source,
    reference_tolerance,
    relative_errors,
)

QUANTIZED = ("of_kws", "qat_mnv4s", "ort_qdq_multi", "mnist_quantized")
"""Models that compute in integers: ONNX Runtime itself computes them in more than one way."""

pytestmark = [
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.skipif(not reference_index(), reason="no reference models"),
]


def of_tier(*tiers: str) -> list[str]:
    """The models of some tiers; one stand-in where the folder is missing."""
    return [name for name, entry in reference_index().items() if entry["tier"] in tiers] or ["none"]


@contextmanager
def program_of(name: str) -> Iterator[tuple[Program, Path]]:
    """The program of a model as read from its file, in a folder that is gone afterwards: some have half a gigabyte."""
    with TemporaryDirectory() as folder:
        source, output = reference_source(name), Path(folder) / "model.cat"
        if isinstance(source, onnx.ModelProto):
            filled = Path(folder) / "filled.onnx"
            onnx.save(source, filled)
            source = filled
        options = CompileOptions(importing=ImportOptions(reference_shapes(name)))
        write_compiled(compile_source(str(source), options), output)
        if source.parent == output.parent:
            source.unlink()
        yield read_program(output), output


@pytest.mark.parametrize("name", by_size(name for name in of_tier("A", "B", "C", "T") if name not in QUANTIZED))
def test_a_model_computes_counts_and_disassembles(name: str) -> None:
    with program_of(name) as (program, path):
        emulator = SpatialEmulator(program)
        for inputs, expected in reference_cases(name):
            check_outputs(emulator.run(inputs), expected, reference_tolerance(name))
        check_counts(program, emulator)
        check_round_trip(program, path)


@pytest.mark.parametrize("name", [name for name in QUANTIZED if name in reference_index()])
def test_a_quantized_model_is_within_a_last_place_in_every_layer(name: str) -> None:
    pytest.importorskip("onnxruntime")
    source = reference_source(name)
    assert isinstance(source, Path)
    with program_of(name) as (program, path):
        emulator = SpatialEmulator(program)
        for inputs, expected in reference_cases(name):
            found = verify_program(program, emulator, source, inputs)
            assert found.is_equal, found.diagnostics()
            layers = [each for each in found.layers if each.unit is Unit.LSB and each.error is not None]
            assert layers
            assert all(each.error <= 1 for each in layers if each.error is not None)
            # The stored outputs are of another version of ONNX Runtime, and as far away as its optimizations.
            check_outputs(emulator.run(inputs), expected, 0.05)
        check_counts(program, emulator)
        check_round_trip(program, path)


def check_counts(program: Program, emulator: SpatialEmulator) -> None:
    """What the last run counted is what was predicted."""
    for layer in program.layers:
        differences = emulator.counters[layer.name].differences(Counts.of(layer.predicted))
        assert not differences, f"{layer.name}: {layer.mapping}: (counted, predicted) {differences}"


def check_outputs(found: Feeds, expected: Feeds, allowed: float) -> None:
    """The same tensors, of the same types and shapes, within a tolerance."""
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
    for name, error in relative_errors(found, expected).items():
        assert error <= allowed, f"{name}: relative error {error:.2g}, allowed {allowed:.2g}"


def check_round_trip(program: Program, path: Path) -> None:
    """The listing assembles to the same file."""
    images = {image_digest(image.array()): memoryview(image.array()).cast("B") for image in program.constants}
    again = assemble_program(disassemble(program, ISA), lambda metadata: ISA, images.__getitem__, "listing")
    second = path.with_suffix(".again")
    write_program(again, second)
    assert filecmp.cmp(path, second, shallow=False)


@pytest.mark.parametrize("name", of_tier("X"))
def test_a_model_that_is_not_supported_is_refused_with_every_reason(name: str) -> None:
    source = reference_source(name)
    with pytest.raises(CatenaError) as caught:
        compile_source(str(source), CompileOptions(importing=ImportOptions(batch=1)))
    check_refusal(caught.value)


def check_refusal(error: CatenaError) -> None:
    """The exit code for models that are not supported, and all nodes that are the reason."""
    assert error.exit_code is ExitCode.UNSUPPORTED
    assert len(error.diagnostics) > 1
    for each in error.diagnostics:
        assert each.code.startswith("CAT-U")
        assert each.node
