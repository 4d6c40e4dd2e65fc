"""Small searches."""

from __future__ import annotations

from dialects.array_machine import Machine
from dialects.gconv import Dim, GConv, Reduce
from dialects.machine_kinds import parse_machine
from dialects.nest_machine import NestMachine
from dialects.schedule import Objective
from passes.mapping.data_events import Sparsity
from passes.searching.nest import NestTask
from passes.searching.row_stationary import RowStationaryTask
from tests.passes.mapping.machines import TINY


def conv(filters: int) -> GConv:
    """A convolution of 2 channels over 6 x 6 positions."""
    window = {"opc": 4, "ks": 3}
    return GConv((Dim("C", op=filters, ks=2), Dim("H", **window), Dim("W", **window)), "mul", Reduce.ADD)


def row_stationary(
    filters: int = 8, objective: Objective = Objective.EDP, machine: Machine = TINY, data: Sparsity | None = None
) -> RowStationaryTask:
    """A search among row-stationary mappings."""
    return RowStationaryTask(objective, f"conv{filters}", conv(filters), (2, 6, 6), data or Sparsity(), machine)


EVENTS = ("input.read", "kernel.read", "output.update", "output.add")
NEST = parse_machine(
    {
        "name": "nest",
        "clock_mhz": 100,
        "word_bits": 16,
        "levels": {
            "dram": {"kind": "memory", "read": 2},
            "buffer": {"kind": "memory", "words": 12, "operands": ["I", "O"]},
            "x": {"kind": "axis", "size": 3, "multicast": ["I"], "loops": ["op"]},
            "rf": {"kind": "memory", "words": 8, "operands": ["K"]},
        },
        "accesses": {
            "dram": {"energy": 20, "events": dict.fromkeys((f"dram.{event}" for event in EVENTS), 1)},
            "buffer": {"energy": 6, "events": {"buffer.input.read": 1, "buffer.output.update": 1}},
        },
    }
)
assert isinstance(NEST, NestMachine)


def nest(effort: float = 3000, objective: Objective = Objective.ENERGY) -> NestTask:
    """A search among all mappings."""
    assert isinstance(NEST, NestMachine)
    spec = GConv((Dim("K", op=9, ks=7), Dim("N", opc=10)), "mul", Reduce.ADD)
    return NestTask(objective, "product", spec, effort, NEST)
