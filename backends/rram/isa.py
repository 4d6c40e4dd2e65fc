"""The instruction set of cores with crossbars: general convolutions in parts, vectors in turn, signals between cores.

Every core has a stream of its own. A layer is configured as on the spatial machine, in every core that has a part of
it. A part of a matrix is programmed into crossbars; then hardware loops (`run`, or `loop` for vector units) go through
turns, and what an instruction moves in a turn follows from its number: addresses are never written out. A layer is thus
tens of words a core.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from backends.instructions import declared
from backends.isa import Block, Instruction, Isa, enumeration, flag, signed, unsigned
from backends.spatial.codes import Kind
from backends.spatial.group_isa import register_holds
from backends.spatial.isa import LayerCore
from backends.spatial.layer_isa import register_layers
from dialects.vector_sets import VectorSet

ISA = Isa(
    name="rram",
    version=3,
    word_bits=128,
    summary="Cores with crossbars: layer configuration, parts of matrices, runs of vectors, signals and waits.",
)

register_layers(ISA)
register_holds(ISA, first=0x38)

Ints = npt.NDArray[np.int64]


class What(IntEnum):
    """What a core loads: EXTRAS are operands of post functions, FIXED those that are the same for all vectors."""

    INPUT = 0
    KERNEL = 1
    EXTRAS = 2
    FIXED = 3


class Made(IntEnum):
    """What a core stores."""

    OUTPUT = 0
    SUMS = 1


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a wait waits for: min(most, base + step * ((turn - after + start) div period)), nothing before `after`."""

    base: int
    step: int
    period: int
    start: int
    most: int
    after: int = 0

    def at(self, turn: int) -> int:
        """The value of a turn."""
        if turn < self.after:
            return 0
        return min(self.most, self.base + self.step * ((turn - self.after + self.start) // self.period))

    def of(self, turns: range) -> Ints:
        """The values of some turns."""
        numbers = np.arange(turns.start, turns.stop) - self.after
        values = np.minimum(self.most, self.base + self.step * ((numbers + self.start) // self.period))
        return np.where(numbers >= 0, values, 0)


class StreamCore(LayerCore, Protocol):
    """What executes instructions: the operations that their semantics are made of."""

    @abstractmethod
    def set_part(self, groups: range, rows: range, columns: range) -> None: ...
    @abstractmethod
    def program(self, crossbars: range, shift: int, *, resident: bool) -> None: ...
    @abstractmethod
    def set_vectors(self, vectors: VectorSet) -> None: ...
    @abstractmethod
    def set_writer(self, register: int, core: int) -> None: ...
    @abstractmethod
    def set_sums(self, address: int, stride: int) -> None: ...
    @abstractmethod
    def begin_run(self, start: int, turns: int) -> None: ...
    @abstractmethod
    def set_range(self, dim: int, kind: Kind, indices: range) -> None: ...
    @abstractmethod
    def load(self, what: What) -> None: ...
    @abstractmethod
    def multiply(self) -> None: ...
    @abstractmethod
    def fetch(self) -> None: ...
    @abstractmethod
    def compute(self) -> None: ...
    @abstractmethod
    def activate(self) -> None: ...
    @abstractmethod
    def store(self, made: Made) -> None: ...
    @abstractmethod
    def wait(self, register: int, threshold: Threshold) -> None: ...
    @abstractmethod
    def signal(self, core: int, register: int, base: int, every: int) -> None: ...


class StreamInstruction(Instruction):
    """An instruction of these cores alone."""

    __slots__ = ()

    @abstractmethod
    def execute(self, core: StreamCore) -> None:
        """Do on a core what the instruction means."""


def _range(first: int, count: int) -> range:
    return range(first, first + count)


@ISA.instruction(opcode=0x30)
@declared
class Part(StreamInstruction):
    """The part of the layer's matrix that this core holds; rows are kernel positions, columns parallel kernels."""

    group: int = unsigned(20, "first group")
    groups: int = unsigned(20, "groups", minimum=1)
    row: int = unsigned(20, "first row")
    rows: int = unsigned(20, "rows", minimum=1)
    column: int = unsigned(20, "first column of every group")
    columns: int = unsigned(20, "columns", minimum=1)

    def execute(self, core: StreamCore) -> None:
        core.set_part(_range(self.group, self.groups), _range(self.row, self.rows), _range(self.column, self.columns))


@ISA.instruction(opcode=0x31)
@declared
class Program(StreamInstruction):
    """Write the part of the kernel into crossbars of this core, tile by tile, in the machine's encoding of weights.

    Cells hold weights less `shift`; its product with the sum of the inputs is added to what crossbars give. Resident
    weights are written before the program starts, which takes none of its time.
    """

    first: int = unsigned(12, "first crossbar")
    count: int = unsigned(13, "crossbars", minimum=1)
    shift: int = signed(17, "what is taken off all weights", default=0)
    resident: bool = flag("written before the program starts", default=False)

    def execute(self, core: StreamCore) -> None:
        core.program(_range(self.first, self.count), self.shift, resident=self.resident)


@ISA.instruction(opcode=0x32)
@declared
class Vectors(StreamInstruction):
    """The output positions that this core works on, numbered in row-major order: `stretch` of them every `step`.

    With several `abreast`, a turn is about as many of them, and crossbars hold as many copies of the part.
    """

    first: int = unsigned(28, "first vector")
    count: int = unsigned(28, "vectors", minimum=1)
    stretch: int = unsigned(28, "vectors after one another", minimum=1)
    step: int = unsigned(28, "vectors from the beginning of a stretch to that of the next", minimum=1)
    abreast: int = unsigned(8, "vectors of a turn", default=1, minimum=1)

    def execute(self, core: StreamCore) -> None:
        core.set_vectors(VectorSet(self.first, self.count, self.stretch, self.step, self.abreast))


@ISA.instruction(opcode=0x33)
@declared
class Sums(StreamInstruction):
    """Where in the memory for partial sums those of vector 0 lie, and how far behind those of the next one."""

    address: int = unsigned(40, "first word")
    stride: int = unsigned(32, "words from vector to vector", minimum=1)

    def execute(self, core: StreamCore) -> None:
        core.set_sums(self.address, self.stride)


@ISA.instruction(opcode=0x2B)
@declared
class Writer(StreamInstruction):
    """The one core that writes a sequence register of this core; signals of others to it are faults."""

    register: int = unsigned(12, "register of this core")
    core: int = unsigned(12, "core that signals to it")

    def execute(self, core: StreamCore) -> None:
        core.set_writer(self.register, self.core)


@ISA.instruction(opcode=0x34, block=Block.OPEN)
@declared
class Run(StreamInstruction):
    """Run the instructions up to the matching `end` in turn after turn, around at the last that the vectors take.

    Turn t is about the vectors of turn (start + t) mod turns.
    """

    start: int = unsigned(32, "turn of the vectors to start with")
    turns: int = unsigned(32, "turns", minimum=1)

    def execute(self, core: StreamCore) -> None:
        core.begin_run(self.start, self.turns)


@ISA.instruction(opcode=0x35)
@declared
class Range(StreamInstruction):
    """The part of a loop that this core works on; all of it, if nothing is said."""

    dim: int = unsigned(4, "dimension")
    kind: Kind = enumeration(Kind, 2, "loop")
    first: int = unsigned(24, "first index")
    count: int = unsigned(24, "indices", minimum=1)

    def execute(self, core: StreamCore) -> None:
        core.set_range(self.dim, self.kind, _range(self.first, self.count))


@ISA.instruction(opcode=0x20)
@declared
class Load(StreamInstruction):
    """Bring what the turn needs of a tensor from the shared memory; inputs go through `pre`."""

    what: What = enumeration(What, 2, "tensor")

    def execute(self, core: StreamCore) -> None:
        core.load(self.what)


@ISA.instruction(opcode=0x21)
@declared
class Mvm(StreamInstruction):
    """All crossbars of the part multiply the input that was loaded; sums of tiles below one another are added up."""

    def execute(self, core: StreamCore) -> None:
        core.multiply()


@ISA.instruction(opcode=0x22)
@declared
class Fetch(StreamInstruction):
    """Bring the partial sums of the vector and add them to what the crossbars gave."""

    def execute(self, core: StreamCore) -> None:
        core.fetch()


@ISA.instruction(opcode=0x23)
@declared
class Compute(StreamInstruction):
    """The vector unit works on the current ranges of the general convolution."""

    def execute(self, core: StreamCore) -> None:
        core.compute()


@ISA.instruction(opcode=0x24)
@declared
class Activate(StreamInstruction):
    """The vector unit applies `post` to the sums."""

    def execute(self, core: StreamCore) -> None:
        core.activate()


@ISA.instruction(opcode=0x25)
@declared
class Store(StreamInstruction):
    """Write results or partial sums to the shared memory, where others see them when the instruction ends."""

    made: Made = enumeration(Made, 1, "what is stored")

    def execute(self, core: StreamCore) -> None:
        core.store(self.made)


@ISA.instruction(opcode=0x28)
@declared
class Wait(StreamInstruction):
    """Wait until a sequence register holds at least min(most, base + step * ((turn + start) div period)).

    The turn is that of the run or the loops around; outside of them it is 0. Registers begin at 0.
    """

    register: int = unsigned(12, "register of this core")
    base: int = unsigned(30, "value in the first turn")
    step: int = unsigned(16, "growth from period to period")
    period: int = unsigned(16, "turns of a period", minimum=1)
    start: int = unsigned(16, "turns of the first period that are over")
    most: int = unsigned(30, "value that is enough")

    def execute(self, core: StreamCore) -> None:
        core.wait(self.register, Threshold(self.base, self.step, self.period, self.start, self.most))


@ISA.instruction(opcode=0x2A)
@declared
class Reuse(StreamInstruction):
    """Wait as `wait` does, but from turn `after` on: those before write words that nothing is in yet.

    The register has to hold at least min(most, base + step * ((turn - after) div period)).
    """

    register: int = unsigned(12, "register of this core")
    base: int = unsigned(30, "value in the first turn that waits")
    step: int = unsigned(16, "growth from period to period")
    period: int = unsigned(16, "turns of a period", minimum=1)
    after: int = unsigned(16, "turns that do not wait", minimum=1)
    most: int = unsigned(30, "value that is enough")

    def execute(self, core: StreamCore) -> None:
        core.wait(self.register, Threshold(self.base, self.step, self.period, 0, self.most, self.after))


@ISA.instruction(opcode=0x29)
@declared
class Signal(StreamInstruction):
    """Write base + turn + 1 to a sequence register of another core, over the bus.

    Only in turns whose number, from 1, `every` divides, and in the last one.
    """

    core: int = unsigned(12, "core")
    register: int = unsigned(12, "register of that core")
    base: int = unsigned(30, "value before the first turn")
    every: int = unsigned(30, "turns to a signal", default=1, minimum=1)

    def execute(self, core: StreamCore) -> None:
        core.signal(self.core, self.register, self.base, self.every)
