"""The systolic array: the figures of the first TPU, and that its dataflow is weight-stationary."""

from __future__ import annotations

import tomllib

import pytest

from backends.registry import find_backend
from backends.systolic import BACKEND
from dialects.array_machine import Machine
from dialects.gconv import Dim, GConv, LoopKind, Reduce
from dialects.machine_kinds import parse_machine
from dialects.schedule import Axis
from passes.mapping.cost import predict
from passes.mapping.search import best_mapping


@pytest.fixture(scope="module")
def machine() -> Machine:
    return parse_machine(tomllib.loads(BACKEND.description().read_text()))


def test_it_is_found_by_its_entry_point() -> None:
    assert find_backend("systolic") is BACKEND


def test_the_figures_of_the_tpu(machine: Machine) -> None:
    # ISCA 2017: 256 x 256 MACs at 700 MHz, 92 TOPS; 24 MiB; 34 GB/s.
    operations = 2 * machine.array.rows * machine.array.cols * machine.clock_mhz * 1e6
    assert operations == pytest.approx(92e12, rel=0.01)
    assert machine.glb.words == 24 << 20
    assert machine.links.dram * machine.clock_mhz * 1e6 == pytest.approx(34e9, rel=0.001)
    assert machine.host is not None
    # 18 cores are 2.6e12 operations per second, and 104 W more than idle.
    assert machine.host.simple_gops * 18 == pytest.approx(2600, rel=0.01)
    assert machine.host.simple_pj == pytest.approx((145 - 41) / 2.6, rel=0.01)


def test_a_matrix_product_keeps_its_weights_in_the_array(machine: Machine) -> None:
    spec = GConv((Dim("M", opc=1000), Dim("N", op=256), Dim("K", ks=256)), "mul", Reduce.ADD)
    shape = (1000, 1, 256)
    mapping = best_mapping(spec, shape, machine)
    assert {(node.loop.kind, node.axis) for node in mapping.spatial} == {
        (LoopKind.KS, Axis.ROW),
        (LoopKind.OP, Axis.COL),
    }
    counts = predict(spec, shape, mapping, machine)
    assert (counts.passes, counts.peak_pes) == (1, 65536)
    assert counts.events["array.kernel.deliver"] == 256 * 256
    # A row of kernel words a cycle, then an output position a cycle.
    assert counts.array_cycles == 256 + 1000


def test_kernels_are_never_multicast_and_columns_hold_one_chain(machine: Machine) -> None:
    spec = GConv((Dim("C", op=64, ks=8), Dim("H", opc=56, ks=3), Dim("W", opc=56, ks=3)), "mul", Reduce.ADD)
    mapping = best_mapping(spec, (8, 58, 58), machine)
    assert not any(node.loop.kind is LoopKind.OPC for node in mapping.spatial)
    assert all(node.loop.kind is LoopKind.KS for node in mapping.spatial if node.axis is Axis.ROW)
    counts = predict(spec, (8, 58, 58), mapping, machine)
    assert counts.events["array.kernel.deliver"] == counts.events["dram.kernel.read"] == 64 * 8 * 9
