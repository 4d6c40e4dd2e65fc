"""Networks on the SPOTS machine: outputs, counts, listings, mapping files, and dense latencies as they are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from backends.container import read_program, write_program
from backends.disassembly import disassemble, image_digest
from backends.listing import assemble_program
from backends.program import LayerEntry, Program, Role
from backends.spots.emulator import SpotsEmulator
from backends.spots.isa import ISA
from compiler.api import explain, report
from compiler.compilation import CompileOptions, compile_source, write_compiled
from compiler.sources import ImportOptions
from dialects.events import Counts
from dialects.gconv import View
from dialects.gconv.scalar import apply
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmAttr
from dialects.unicode_parser import UnicodeParser
from passes.gemm.cost import predict
from passes.gemm.tiles import GemmTiles
from passes.gemm.zeros import measure
from passes.work import ATTRIBUTES, work_from
from tests.end_to_end.networks import NETWORKS, inputs_of, reference_outputs
from tests.filechecking import new_ir_context
from tests.reference_models import (
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
@pytest.mark.parametrize("name", FLOATS)
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


@pytest.mark.parametrize("name", ["residual", "classifier"])
def test_with_the_zeros_that_are_measured_a_network_counts_as_predicted(name: str, tmp_path: Path) -> None:
    """Layer by layer, each on the tensors that the layers before it made."""
    source = tmp_path / "model.onnx"
    model = NETWORKS[name]()
    onnx.save(model, source)
    program = compiled(source, {**SMALL, "im2col.skips": "true"})
    emulator = SpotsEmulator(program)
    tensors: dict[str, np.ndarray] = dict(inputs_of(model))
    tensors |= constants(program)
    skipped = 0
    for layer in program.layers:
        made = [each for each in (*layer.inputs, *layer.outputs) if each in tensors]
        given = {each: tensors[each] for each in made if role_of(program, each) is not Role.CONSTANT}
        tensors |= emulator.run_layer(layer.name, given)
        counted = emulator.counters[layer.name]
        assert not counted.differences(predicted_with(layer, tensors, emulator.machine)), layer.name
        skipped += counted.events["operation.skipped"]
    assert skipped


def role_of(program: Program, name: str) -> Role:
    return next(entry.role for entry in program.tensors if entry.name == name)


def constants(program: Program) -> dict[str, np.ndarray]:
    """The constants of a program as they lie in memory."""
    found: dict[str, np.ndarray] = {}
    for entry in program.tensors:
        if entry.role is Role.CONSTANT:
            image = next(each for each in program.constants if each.base <= entry.address < each.base + each.size)
            words = image.array()[entry.address - image.base :][: entry.words]
            found[entry.name] = words.reshape(entry.shape)
    return found


def predicted_with(layer: LayerEntry, tensors: dict[str, np.ndarray], machine: GemmMachine) -> Counts:
    """What a layer counts, given its tensors."""
    assert layer.work is not None
    context = new_ir_context()
    texts = {name: getattr(layer.work, name) for name in ATTRIBUTES}
    attributes = {name: UnicodeParser(context, text).parse_attribute() for name, text in texts.items() if text}
    work = work_from(attributes, tuple(False for _ in layer.work.tensors))
    mapping = UnicodeParser(context, f"#schedule.gemm<{layer.mapping}>").parse_attribute()
    assert isinstance(mapping, GemmAttr)
    spec, live = work.spec, None
    if spec.is_multiply_accumulate and not spec.mid:
        named = zip(layer.work.tensors[:2], work.views[:2], strict=True)
        source, kernel = (viewed(tensors[each], view) for each, view in named)
        for step in spec.pre:
            source = apply(step.function, source, parameters=step.parameters)
        live = measure(GemmTiles(spec, mapping.data, work.input_shape), machine, source, kernel)
    return predict(spec, mapping.data, machine, work.input_shape, work.extra_shapes, work.lookups, live)


def viewed(words: np.ndarray, view: View) -> np.ndarray:
    flat = np.ascontiguousarray(words).reshape(-1)
    return np.lib.stride_tricks.as_strided(flat[view.offset :], view.shape, [flat.itemsize * n for n in view.strides])
