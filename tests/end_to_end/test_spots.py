"""Networks on the SPOTS machine: outputs, counts, listings, mapping files, and dense latencies as they are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from xdsl.context import Context

from backends.container import program_bytes, read_program, write_program
from backends.disassembly import disassemble, image_digest
from backends.listing import assemble_program
from backends.program import Program
from backends.spots.emit import emit
from backends.spots.emulator import SpotsEmulator
from backends.spots.isa import ISA
from compiler.api import explain, quantize, report
from compiler.compilation import CompileOptions, compile_source, write_compiled
from compiler.execution import emulated_report, predicted_report
from compiler.pruning import PruneOptions, Structure, prune_model
from compiler.reports.text import layer_table
from compiler.sources import ImportOptions
from dialects.diagnostics import CatenaError
from dialects.encodings.attributes import encoded_type
from dialects.encodings.spots_blocks import SpotsBlocks
from dialects.events import OF_BITMAPS, Counts
from dialects.weights import ConstantOp
from passes.place_gemm import PlaceGemmPass
from tests.backends.spots.with_zeros import counted
from tests.end_to_end.networks import NETWORKS, inputs_of, reference_outputs
from tests.reference_models import (
    LARGE,
    by_size,
    reference_cases,
    reference_index,
    reference_shapes,
    reference_source,
    reference_tolerance,
    relative_errors,
)

DENSE = {"im2col.skips": "false"}
SMALL = {"array.rows": "8", "sram.input_words": "512", "sram.kernel_words": "256", "sram.output_words": "256"}
"""A machine on which even small networks run in many passes."""
TOLERANCE = 2e-6
"""Relative to the largest value of an output."""
SLOW = {"blazeface_front", "ultraface_rfb320", "dory_penguinet", "super_resolution10", "bodypix_mbv1_050_s16"}
"""Models that take this machine longer than others of their size."""
FLOATS = [name for name, entry in reference_index().items() if entry["tier"] in "ABT"] or ["none"]


def compiled(source: Path, settings: dict[str, str], **importing: Any) -> Program:
    options = CompileOptions(target="spots", settings=settings, importing=ImportOptions(**importing))
    return compile_source(str(source), options).program


def check_counts(program: Program, emulator: SpotsEmulator) -> None:
    """What the last run counted is what was predicted."""
    for layer in program.layers:
        differences = emulator.counters[layer.name].differences(Counts.of(layer.predicted))
        assert not differences, f"{layer.name}: {layer.mapping}: (counted, predicted) {differences}"


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_computes_and_counts_what_it_should(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model, source = NETWORKS[name](), tmp_path / "model.onnx"
    onnx.save(model, source)
    program = compiled(source, {**DENSE, **SMALL})
    emulator = SpotsEmulator(program)
    inputs = inputs_of(model)
    found, expected = emulator.run(inputs), reference_outputs(model, inputs)
    assert found.keys() == expected.keys()
    for tensor, array in expected.items():
        scale = float(np.abs(array.astype(np.float64)).max(initial=0.0))
        np.testing.assert_allclose(
            found[tensor].astype(np.float64), array.astype(np.float64), rtol=0, atol=TOLERANCE * scale, err_msg=tensor
        )
    check_counts(program, emulator)


def test_listings_assemble_to_the_same_bytes_and_reports_are_made(tmp_path: Path) -> None:
    source, path, again = tmp_path / "model.onnx", tmp_path / "model.cat", tmp_path / "again.cat"
    onnx.save(NETWORKS[sorted(NETWORKS)[0]](), source)
    options = CompileOptions(target="spots")
    write_compiled(compile_source(str(source), options), path)
    program = read_program(path)
    images = {image_digest(image.array()): memoryview(image.array()).cast("B") for image in program.constants}
    write_program(assemble_program(disassemble(program, ISA), lambda _: ISA, images.__getitem__, "listing"), again)
    assert path.read_bytes() == again.read_bytes()
    assert report(path).cycles == sum(Counts.of(each.predicted).cycles or 0 for each in program.layers)
    assert len(explain(path).layers) == len(program.layers)


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.skipif(not reference_index(), reason="no reference models")
@pytest.mark.parametrize("name", by_size(FLOATS, LARGE | SLOW))
def test_a_reference_model_computes_and_counts_as_predicted(name: str, tmp_path: Path) -> None:
    source = reference_source(name)
    if isinstance(source, onnx.ModelProto):
        onnx.save(source, tmp_path / "filled.onnx")
        source = tmp_path / "filled.onnx"
    program = compiled(source, DENSE, input_shapes=reference_shapes(name))
    emulator = SpotsEmulator(program)
    for inputs, expected in reference_cases(name):
        errors = relative_errors(emulator.run(inputs), expected)
        assert max(errors.values()) <= (0.05 if reference_index()[name]["tier"] == "B" else reference_tolerance(name))
    check_counts(program, emulator)


@pytest.mark.models
@pytest.mark.exhaustive
@pytest.mark.skipif(not reference_index(), reason="no reference models")
@pytest.mark.parametrize("name", FLOATS)
def test_a_reference_model_counts_as_predicted_with_its_zeros(name: str, tmp_path: Path) -> None:
    """On the machine as it is, layer by layer, with the zeros of the first sample's activations and of all kernels."""
    source = reference_source(name)
    if isinstance(source, onnx.ModelProto):
        onnx.save(source, tmp_path / "filled.onnx")
        source = tmp_path / "filled.onnx"
    program = compiled(source, {}, input_shapes=reference_shapes(name))
    inputs, _ = next(iter(reference_cases(name)))
    for each in counted(program, inputs):
        assert not each.emulated.differences(each.predicted), each.layer.name


@pytest.mark.parametrize("name", ["residual", "classifier", "dense", "separable"])
@pytest.mark.parametrize("group", [0, 4, 8])
def test_with_the_zeros_that_are_measured_a_network_counts_as_predicted(name: str, group: int, tmp_path: Path) -> None:
    """Calibrated on the inputs that it then runs on; with groups, on kernels in blocks."""
    source, samples = tmp_path / "model.onnx", tmp_path / "samples.npz"
    model = NETWORKS[name]()
    onnx.save(model, source)
    np.savez(samples, **inputs_of(model))
    if group:
        prune_model(source, source, PruneOptions(Structure.GROUP, 0.6, group=group))
    settings = {**SMALL, "encodings.weights": f'["spots<height {group or 8}>"]'}
    options = CompileOptions(target="spots", settings=settings, calibrate=str(samples))
    program = compile_source(str(source), options).program
    assert program is not None
    emulator = SpotsEmulator(program)
    emulator.run(inputs_of(model))
    check_counts(program, emulator)
    total = emulated_report(program, emulator.counters)
    assert total.cycles == predicted_report(program).cycles
    assert total.counts.events["operation.skipped"]
    assert bool(total.counts.events["dram.kernel.bitmap"]) == bool(group)


def test_reports_say_what_is_known_of_zeros(tmp_path: Path) -> None:
    source, samples = tmp_path / "model.onnx", tmp_path / "samples.npz"
    model = NETWORKS["classifier"]()
    onnx.save(model, source)
    np.savez(samples, **inputs_of(model))
    nothing, measured = report(source, target="spots"), report(source, target="spots", calibrate=samples)
    stated = report(source, target="spots", density=0.1)
    assert measured.cycles < nothing.cycles
    assert max(each.utilisation(measured.machine) for each in measured.layers) <= 1
    assert stated.counts.events["operation.skipped"] > 0
    assert "layers taken as none" in str(layer_table(nothing).title)
    assert "layers measured, the mean of all samples" in str(layer_table(measured).title)
    assert "layers estimated from their share" in str(layer_table(stated).title)


@pytest.mark.parametrize("name", ["residual", "classifier"])
def test_a_network_with_blocks_computes_what_its_dense_kernels_do(name: str, tmp_path: Path) -> None:
    """To the bit, in fewer words of kernels; and the same bytes come of a listing."""
    source = tmp_path / "model.onnx"
    model = NETWORKS[name]()
    onnx.save(model, source)
    prune_model(source, source, PruneOptions(Structure.GROUP, 0.6, group=8))
    blocks, dense = compiled(source, SMALL), compiled(source, {**SMALL, "encodings.weights": "[]"})
    machines = SpotsEmulator(blocks), SpotsEmulator(dense)
    found, expected = (machine.run(inputs_of(model)) for machine in machines)
    for tensor, array in expected.items():
        np.testing.assert_array_equal(found[tensor], array)
    words = [
        sum(each.charged(("dram.kernel.read", "dram.kernel.bitmap")) for each in machine.counters.values())
        for machine in machines
    ]
    assert words[0] < 0.55 * words[1]
    listing = disassemble(blocks, ISA)
    assert "blocks height=8, address=" in listing
    images = {image_digest(image.array()): memoryview(image.array()).cast("B") for image in blocks.constants}
    again = assemble_program(listing, lambda _: ISA, images.__getitem__, "listing")
    assert program_bytes(again) == program_bytes(blocks)


@pytest.mark.parametrize("format", ["qdq", "fixed16"])
def test_integer_kernels_lie_in_blocks_too(format: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    whole, source = tmp_path / "whole.onnx", tmp_path / "model.onnx"
    onnx.save(NETWORKS["residual"](), whole)
    prune_model(whole, whole, PruneOptions(Structure.GROUP, 0.6, group=8))
    quantize(whole, source, ["random:1"], format=format, symmetric=format == "qdq")
    blocks, dense = compiled(source, {}), compiled(source, {"encodings.weights": "[]"})
    inputs = inputs_of(NETWORKS["residual"]())
    found, expected = SpotsEmulator(blocks).run(inputs), SpotsEmulator(dense).run(inputs)
    for tensor, array in expected.items():
        np.testing.assert_array_equal(found[tensor], array)
    total = Counts()
    for each in counted(blocks, inputs):
        assert not each.emulated.differences(each.predicted), each.layer.name
        total.add(each.emulated)
    assert total.events["dram.kernel.bitmap"]
    assert total.events["operation.gated"]


def test_without_zeros_blocks_cost_their_bitmaps_and_nothing_else(tmp_path: Path) -> None:
    """Kernels without zeros stay dense; in blocks all the same, they take their bitmaps on the link and no more."""
    source = tmp_path / "model.onnx"
    model = NETWORKS["residual"]()
    onnx.save(model, source)
    chosen, never = compiled(source, {}), compiled(source, {"encodings.weights": "[]"})
    assert [each.predicted for each in chosen.layers] == [each.predicted for each in never.layers]
    forced = in_blocks(source)
    inputs = inputs_of(model)
    both = {}
    for program in (forced, never):
        emulator = SpotsEmulator(program)
        emulator.run(inputs)
        both[program] = emulator.counters
    assert any(each.events["dram.kernel.bitmap"] for each in both[forced].values())
    for name, counts in both[never].items():
        differences = both[forced][name].differences(counts)
        bitmaps = both[forced][name].events["dram.kernel.bitmap"]
        assert differences.keys() <= {*OF_BITMAPS, "cycles"}
        assert (both[forced][name].cycles or 0) - (counts.cycles or 0) <= 2 + bitmaps / 12.8
        # A bit for eight kernels and one for every column, of eight kernels at least; and the place of a tile.
        assert bitmaps <= counts.events["dram.kernel.read"] / 64 + 8


def in_blocks(source: Path) -> Program:
    """A program all of whose kernels lie in blocks, on mappings for dense ones: types in the IR are changed by hand."""
    module = compile_source(str(source), CompileOptions(target="spots", stop="mapped")).module
    for op in module.walk():
        if isinstance(op, ConstantOp):
            op.result._type = encoded_type(op.result.type, SpotsBlocks(8, 1))  # pyright: ignore[reportPrivateUsage]
    PlaceGemmPass().apply(Context(), module)
    module.verify()
    return emit(module, "spots")


def test_a_stream_that_is_none_is_an_error_that_says_where(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    model = NETWORKS["residual"]()
    onnx.save(model, source)
    prune_model(source, source, PruneOptions(Structure.GROUP, 0.6, group=8))
    program = compiled(source, {})
    images = list(program.constants)
    place = next(number for number, image in enumerate(images) if image.word == "uint16")
    broken = images[place].array().copy()
    broken[4] ^= 1
    pieces = ((images[place].base, broken),)
    images[place] = replace(images[place], pieces=pieces)
    with pytest.raises(CatenaError) as caught:
        SpotsEmulator(replace(program, constants=tuple(images))).run(inputs_of(model))
    (found,) = caught.value.diagnostics
    assert found.code == "CAT-P005"
    assert found.node == " + ".join(program.layers[0].nodes)
    assert found.message.startswith("tile 0 of the kernel, ")
    assert "instruction" in found.where
