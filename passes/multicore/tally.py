"""Events of a layer as they are added up, and what they take of the bus."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from xdsl.ir import SSAValue

from dialects.element_types import numpy_dtype_of
from dialects.gconv import element_type_of_value
from dialects.multicore import SignalOp, WaitOp
from dialects.multicore_machine import EVENTS, MulticoreMachine
from dialects.spatial import integer
from passes.multicore.accesses import Run
from passes.multicore.course import Course
from passes.multicore.tokens import signalled, waited

Numbers = npt.NDArray[np.int64]


@dataclass
class Tally:
    """Events, and the cycles that the bus is taken."""

    machine: MulticoreMachine
    events: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EVENTS, 0))
    bus_cycles: int = 0

    def add(self, event: str, count: int) -> None:
        """Count an event."""
        self.events[event] += count

    def operate(self, event: str, operations: int) -> None:
        """Count operations of a vector unit."""
        self.add(event, operations)
        self.add("operation.vector", operations)

    def move(self, size: Numbers) -> Numbers:
        """Cycles of transfers of so many bytes, each of which the bus is taken for."""
        bus = self.machine.bus
        cycles = bus.latency + -(-size // bus.width_bytes)
        self.add("bus.bytes", int(size.sum()))
        self.add("bus.transfers", len(size))
        self.bus_cycles += int(cycles.sum())
        return cycles


def token(op: SignalOp | WaitOp, run: Run | None, unit: int, course: Course, tally: Tally) -> None:
    """Count a wait or a signal in every turn of a run, or in one turn, and put it into a course."""
    turns = 1 if run is None else run.turns
    if isinstance(op, WaitOp):
        tally.add("sync.wait", turns)
        course.wait(unit, (course.core, integer(op.register)), waited(op, turns))
        return
    values, sent = signalled(op, run, 0)
    size = tally.machine.bus.signal_bytes
    tally.add("sync.signal", len(values))
    tally.add("bus.signal.bytes", len(values) * size)
    register = integer(op.core), integer(op.register)
    course.signal(unit, register, values, sent, tally.move(np.full(len(values), size)))


def size_of(value: SSAValue) -> int:
    """Bytes of a word of a tensor."""
    return numpy_dtype_of(element_type_of_value(value)).itemsize
