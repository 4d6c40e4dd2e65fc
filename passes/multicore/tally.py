"""Events of a layer as they are added up, and what they take of the bus or mesh."""

from __future__ import annotations

from dataclasses import dataclass, field

from xdsl.ir import SSAValue

from dialects.element_types import numpy_dtype_of
from dialects.gconv import element_type_of_value
from dialects.multicore import SignalOp, WaitOp
from dialects.multicore_machine import EVENTS, MulticoreMachine
from dialects.spatial import integer
from passes.multicore.accesses import Run
from passes.multicore.course import Course
from passes.multicore.tokens import signalled, waited
from passes.multicore.traffic import Moved, Numbers, Traffic


@dataclass
class Tally:
    """Events, and what the transfers of `core`, the one whose stream is read, take of the bus or mesh."""

    machine: MulticoreMachine
    events: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EVENTS, 0))
    core: int = 0
    computing: dict[int, int] = field(default_factory=dict[int, int])
    """By core, cycles of main operations."""

    def __post_init__(self) -> None:
        self._traffic = Traffic(self.machine)

    @property
    def taken(self) -> Numbers:
        """Cycles for which the bus, or every link of a mesh, is taken."""
        return self._traffic.taken

    def add(self, event: str, count: int) -> None:
        """Count an event."""
        self.events[event] += count

    def operate(self, event: str, operations: int) -> None:
        """Count operations of a vector unit."""
        self.add(event, operations)
        self.add("operation.vector", operations)

    def compute(self, cycles: int) -> None:
        """Count cycles in which the core does main operations."""
        self.computing[self.core] = self.computing.get(self.core, 0) + cycles

    def hold(self, size: int) -> None:
        """Count what a stream needs of the core's buffer."""
        self.add("buffer.bytes", size)
        self.events["buffer.most"] = max(self.events["buffer.most"], size)

    def load(self, sizes: Numbers, starts: Numbers | None = None) -> Moved:
        """Transfers of so many bytes from the shared memory; those from each start on belong together."""
        return self._counted(self._traffic.load(self.core, sizes, starts))

    def store(self, sizes: Numbers, starts: Numbers | None = None) -> Moved:
        """Transfers of so many bytes to the shared memory."""
        return self._counted(self._traffic.store(self.core, sizes, starts))

    def signal(self, other: int, count: int) -> Moved:
        """Signals to another core."""
        self.add("sync.signal", count)
        self.add("bus.signal.bytes", count * self.machine.bus.signal_bytes)
        return self._counted(self._traffic.signal(self.core, other, count))

    def _counted(self, moved: Moved) -> Moved:
        traffic = self._traffic
        self.events |= {"bus.bytes": traffic.bytes, "bus.transfers": traffic.transfers}
        self.events |= {"mesh.byte_hops": traffic.byte_hops, "mesh.link_cycles": traffic.link_cycles}
        return moved


def token(op: SignalOp | WaitOp, run: Run | None, unit: int, course: Course, tally: Tally) -> None:
    """Count a wait or a signal in every turn of a run, or in one turn, and put it into a course."""
    turns = 1 if run is None else run.turns
    if isinstance(op, WaitOp):
        tally.add("sync.wait", turns)
        course.wait(unit, (course.core, integer(op.register)), waited(op, turns))
        return
    values, sent = signalled(op, run, 0)
    register = integer(op.core), integer(op.register)
    course.signal(unit, register, values, sent, tally.signal(register[0], len(values)))


def size_of(value: SSAValue) -> int:
    """Bytes of a word of a tensor."""
    return numpy_dtype_of(element_type_of_value(value)).itemsize
