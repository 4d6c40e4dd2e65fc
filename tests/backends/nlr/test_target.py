"""The array without local reuse: the paper's figures, and the paper's own access counts on its own layer."""

from __future__ import annotations

import tomllib

import pytest

from backends.nlr import BACKEND
from backends.registry import find_backend
from dialects.array_machine import Machine
from dialects.gconv import Dim, GConv, LoopKind, Reduce
from dialects.machine_kinds import parse_machine
from passes.mapping.cost import predict
from passes.mapping.search import best_mapping
from passes.mapping.tiling import Tiling


@pytest.fixture(scope="module")
def machine() -> Machine:
    return parse_machine(tomllib.loads(BACKEND.description().read_text()))


def test_it_is_found_by_its_entry_point() -> None:
    assert find_backend("nlr") is BACKEND


def test_the_figures_of_the_comparison(machine: Machine) -> None:
    assert machine.array.rows * machine.array.cols == 256
    assert (machine.pe.input_words, machine.pe.kernel_words, machine.pe.output_words) == (1, 1, 1)
    # 338.3 kB, less what does not fill a bank.
    assert 338.3 - 4.1 < machine.glb.words * 2 / 1024 <= 338.3
    assert machine.counting.spad == ()


def test_its_traffic_is_that_of_the_dataflow(machine: Machine) -> None:
    """ISCA 2016, NLR: every MAC reads its kernel word from the buffer; sums go back once a kernel position."""
    spec = GConv((Dim("C", op=384, ks=256), Dim("H", opc=13, ks=3), Dim("W", opc=13, ks=3)), "mul", Reduce.ADD)
    mapping = best_mapping(spec, (256, 15, 15), machine)
    events = predict(spec, (256, 15, 15), mapping, machine).events
    outputs, macs = 384 * 13 * 13, 384 * 256 * 9 * 13 * 13
    sizes = Tiling(spec, mapping).in_pass.largest
    channels = next(n for loop, n in sizes.items() if loop.dim == "C" and loop.kind is LoopKind.KS)
    assert channels == 16
    assert events["spad.kernel.read"] == macs
    assert events["glb.output.read"] + events["glb.output.write"] == 2 * outputs * (9 * 256 // 16 - 1)
    assert events["array.output.hop"] == outputs * (256 * 9 - 9 * 256 // 16)
    # No word of a window is shared: each goes to every filter, for every kernel position.
    assert events["array.input.deliver"] == macs
