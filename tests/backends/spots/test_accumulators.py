"""Sums in narrow accumulators: word by word, how many bits products lose, and what becomes of a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from backends.program import Program
from backends.spots.accumulators import Accumulators
from backends.spots.emulator import SpotsEmulator
from backends.spots.isa import ISA, Accumulate
from compiler.api import quantize
from compiler.compilation import CompileOptions, compile_source
from compiler.execution import emulated_report
from compiler.reports.text import overflow_note
from dialects.diagnostics import CatenaError
from dialects.events import Counts
from dialects.gconv import LinkOp
from dialects.gconv.contraction import Factor
from dialects.gconv.interpreter import Interpreter
from dialects.gemm_mapping import GemmAttr
from passes.gemm.fixed_point import least_shift
from tests.end_to_end.networks import NETWORKS, inputs_of


@pytest.mark.parametrize(("bits", "shift"), [(24, 9), (12, 0), (16, 3), (9, 14)])
def test_products_are_rounded_one_by_one_and_sums_wrap(bits: int, shift: int) -> None:
    draw = np.random.default_rng(bits)
    kernel = draw.integers(-(1 << 15), 1 << 15, (2, 3, 7)).astype(np.int16)
    patches = draw.integers(-(1 << 15), 1 << 15, (2, 7, 4)).astype(np.int16)
    found = Accumulators(bits, shift).summed(Factor(kernel, np.int64), Factor(patches, np.int64))
    kept, lost = Accumulators(bits, shift).wrapped(found)
    wrapped = 0
    for g, m, n in np.ndindex(found.shape):
        total = 0
        for k in range(7):
            product = int(kernel[g, m, k]) * int(patches[g, k, n])
            total += (product + (1 << shift) // 2) // (1 << shift)
        assert found[g, m, n] == total
        low = (total + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
        assert kept[g, m, n] == low
        wrapped += low != total
    assert lost == wrapped


@pytest.mark.parametrize("terms", [1, 3, 40])
def test_products_lose_no_more_bits_than_the_largest_sum_needs(terms: int) -> None:
    for bits in (6, 9):
        top = (1 << (bits - 1)) - 1
        for each in (1, 5, 31, 32, 127, 128, 1000):
            shift = least_shift(each * terms, terms, bits)
            rounded = ((each << 1 >> 1) + ((1 << shift) >> 1)) >> shift
            assert rounded * terms <= top
            # One bit less, and the magnitudes alone may fill the accumulator but for what rounding takes.
            if shift:
                assert (each * terms >> (shift - 1)) + 1 + terms // 2 > top


def fixed(source: Path, **settings: str) -> Program:
    program = compile_source(str(source), CompileOptions(target="spots", settings=settings)).program
    assert program is not None
    return program


def test_a_network_in_fixed_point_is_near_the_exact_one_and_overflows_are_reported(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model, whole, source = NETWORKS["dense"](), tmp_path / "whole.onnx", tmp_path / "model.onnx"
    onnx.save(model, whole)
    quantize(whole, source, ["random:1"], format="fixed16")
    exact, program = fixed(source), fixed(source, fixed_point="true")
    inputs = inputs_of(model)
    machine = SpotsEmulator(program)
    expected, found = SpotsEmulator(exact).run(inputs), machine.run(inputs)
    for name, array in expected.items():
        error = np.abs(found[name] - array).max()
        assert 0 < error <= 1e-4 * np.abs(array).max()
    narrow_layers = {layer.kind for layer in program.layers if "sums 24 shift" in layer.mapping}
    assert narrow_layers <= {"conv", "matmul"}
    assert "conv" in narrow_layers
    for layer in program.layers:
        assert not machine.counters[layer.name].events["operation.overflow"]
        assert Counts.of(layer.predicted) == Counts.of(next(e for e in exact.layers if e.name == layer.name).predicted)
    narrow = SpotsEmulator(changed(program, shift=0))
    narrow.run(inputs)
    lost = sum(counts.events["operation.overflow"] for counts in narrow.counters.values())
    assert lost
    assert overflow_note(emulated_report(program, narrow.counters)).startswith(f"; {lost:,} sums left the range")


def changed(program: Program, **fields: int) -> Program:
    """A program whose accumulators are others."""
    code = [
        replace(each, **fields) if isinstance(each, Accumulate) else each for each in ISA.decode(program.code[0], "")
    ]
    return replace(program, code=(ISA.encode(code),))


def test_sums_that_the_machine_cannot_keep_are_a_fault(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model, whole, source = NETWORKS["odd-names"](), tmp_path / "whole.onnx", tmp_path / "model.onnx"
    onnx.save(model, whole)
    quantize(whole, source, ["random:1"], format="fixed16")
    program = fixed(source, fixed_point="true")
    with pytest.raises(CatenaError) as caught:
        SpotsEmulator(changed(program, bits=25)).run(inputs_of(model))
    (found,) = caught.value.diagnostics
    assert (found.code, found.message, found.expected) == ("CAT-E003", "sums are wider than accumulators", "24 bits")


@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("shift", [None, 0])
def test_the_interpreter_means_the_same_by_narrow_sums(tmp_path: Path, shift: int | None, *, fuse: bool) -> None:
    """To the bit, also of sums that leave their range; and as much is lost in groups as out of them."""
    pytest.importorskip("onnxruntime")
    model, whole, source = NETWORKS["dense"](), tmp_path / "whole.onnx", tmp_path / "model.onnx"
    onnx.save(model, whole)
    quantize(whole, source, ["random:1"], format="fixed16")
    inputs = inputs_of(model)
    settings = {"fixed_point": "true"}
    options = CompileOptions(target="spots", settings=settings, fuse=fuse)
    module = compile_source(str(source), replace(options, stop="mapped", fuse=fuse and shift is None)).module
    assert module is not None
    program = compile_source(str(source), options).program
    assert program is not None
    if shift is not None:
        program = changed(program, shift=shift)
        for op in module.walk():
            if isinstance(op, LinkOp) and isinstance(op.mapping, GemmAttr) and op.mapping.data.sums is not None:
                sums = replace(op.mapping.data.sums, shift=shift)
                op.properties["mapping"] = GemmAttr(replace(op.mapping.data, sums=sums))
    expected, emulator = Interpreter(module).run(inputs), SpotsEmulator(program)
    found = emulator.run(inputs)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    overflown = sum(counts.events["operation.overflow"] for counts in emulator.counters.values())
    assert bool(overflown) == (shift is not None)
