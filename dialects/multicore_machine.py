"""A machine of cores with crossbars of resistive cells, a vector unit each, a shared memory and a bus or mesh.

Weights stay in the cells. A core brings an input vector over the bus, all its crossbars multiply it at once, digital
logic adds what they give, and partial sums go through the shared memory from core to core. Cores tell each other how
far they are: each has sequence registers of its own, which other cores write over the bus and it waits for.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from dialects.accelerator import Accelerator, StepLimits
from dialects.encodings.cells import WeightFormat, too_narrow
from dialects.host import Cost
from dialects.mesh import Mesh
from dialects.value_kinds import Text

Count = Annotated[int, Field(ge=1, le=1 << 12)]
Cycles = Annotated[int, Field(ge=0, le=1 << 24)]
Bytes = Annotated[int, Field(ge=1, le=1 << 40)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class Cores(_Model):
    """The cores."""

    count: Annotated[Count, Field(description="cores of the chip")]
    crossbars: Annotated[Count, Field(description="crossbars of a core")]
    buffer_bytes: Annotated[Bytes, Field(description="buffer of a core, for inputs, sums and tiles of the vector unit")]
    lanes: Annotated[Count, Field(description="elements that the vector unit works on in a cycle")]
    registers: Annotated[Count, Field(description="sequence registers of a core, 4 bytes each")] = 1 << 12
    overlap: Annotated[
        bool,
        Field(
            description="a core brings the next input and adds up the last sums while its crossbars multiply; "
            "it has two buffers of both"
        ),
    ] = False


class Crossbar(_Model):
    """One crossbar, with the converters around it."""

    rows: Annotated[Count, Field(description="rows: inputs of a product")]
    columns: Annotated[Count, Field(description="columns of cells")]
    weights: Annotated[WeightFormat, Field(description="how a weight is held in cells", strict=False)]
    dac_bits: Annotated[int, Field(ge=1, le=16, description="bits of a pulse on a row")]
    adc_bits: Annotated[
        int,
        Field(
            ge=0,
            le=32,
            description="bits of a converter, with physics that give none; 0: as many as it takes. "
            "Without physics products are exact",
        ),
    ]
    mvm_cycles: Annotated[Cycles, Field(description="cycles of a product, all pulses and columns")]
    write_cycles: Annotated[Cycles, Field(description="cycles to program one row of cells")]


class Bus(_Model):
    """What connects cores with the shared memory and each other.

    One bus has one transfer at a time, in the order of asking; of a mesh every link has.
    """

    width_bytes: Annotated[int, Field(ge=1, le=1 << 12, description="bytes a cycle; of a mesh, over each link")]
    latency: Annotated[
        Cycles, Field(description="cycles of a transfer besides those of its bytes; of a mesh, of every link")
    ]
    signal_bytes: Annotated[int, Field(ge=1, le=64, description="bytes of a write to a sequence register")] = 4
    mesh: Annotated[Mesh | None, Field(description="routers and links, in the place of one bus")] = None


class SharedMemory(_Model):
    """The memory that all cores see."""

    words: Annotated[int, Field(ge=1, le=1 << 40, description="capacity for tensors in words")]
    sum_words: Annotated[int, Field(ge=1, le=1 << 40, description="capacity for partial sums, 32 bits each")]
    sum_bytes: Annotated[
        int,
        Field(
            ge=1, le=4, description="bytes of a partial sum on the bus; fewer than 4 only to time what others assume"
        ),
    ] = 4


class Scheduling(_Model):
    """How layers are laid over the cores, unless a mapping says otherwise."""

    scheme: Annotated[
        Literal["sequential", "linear", "cyclic"],
        Field(description="in which order the cores that share sums visit output vectors"),
    ] = "linear"
    pipelined: Annotated[
        bool, Field(description="a layer begins when what its first outputs need is there, not when all is")
    ] = False
    duplicate: Annotated[bool, Field(description="crossbars that are left hold further copies of weights")] = False
    signal_every: Annotated[
        int, Field(ge=1, le=1 << 15, description="output vectors for which one signal is sent to the next core")
    ] = 1


class Energies(_Model):
    """Energy in pJ."""

    mvm: Annotated[Cost, Field(description="a product of one crossbar, with its converters")]
    bus_byte: Annotated[Cost, Field(description="a byte over the bus, and in or out of the shared memory")]
    hop_byte: Annotated[Cost, Field(description="a byte over a link of a mesh, with the router before it")] = 0.0
    operation: Annotated[Cost, Field(description="an operation of a vector unit")]
    cell_write: Annotated[Cost, Field(description="programming one cell")]
    static_mw: Annotated[Cost, Field(description="power of the chip whatever it does, in mW")] = 0.0


EVENTS: dict[str, str] = {
    "memory.input.read": "input words read from the shared memory",
    "memory.kernel.read": "kernel words read from the shared memory by vector units",
    "memory.extra.read": "words of post operands (biases, residuals) read from the shared memory",
    "memory.index.read": "index words read from the shared memory to compute addresses",
    "memory.output.read": "output words that are combined with updates",
    "memory.output.write": "output words written to the shared memory",
    "memory.sums.read": "partial sums read from the shared memory",
    "memory.sums.write": "partial sums written to the shared memory",
    "bus.bytes": "bytes over the bus or mesh, each once, those of signals among them",
    "bus.signal.bytes": "bytes of writes to sequence registers",
    "bus.transfers": "transfers over the bus or mesh",
    "mesh.byte_hops": "bytes over the links of a mesh, counted on every link",
    "mesh.link_cycles": "cycles for which the busiest link of a mesh is taken, in each layer by itself",
    "buffer.bytes": "bytes of the buffers of cores that turns of a layer take at most, of all its parts together",
    "buffer.most": "of those, the bytes of the part that takes most, in each layer by itself",
    "sync.signal": "writes to sequence registers",
    "sync.wait": "tests of sequence registers",
    "crossbar.mvm": "products of crossbars",
    "crossbar.cells": "cells that hold weights",
    "crossbar.rewrite": "of those, the ones that are programmed while the program runs",
    "operation.mac": "multiply-accumulates",
    "operation.other": "other main operations (comparisons, maxima, plain moves ...)",
    "operation.add": "partial sums added up by vector units",
    "operation.post": "scalar functions applied to outputs",
    "operation.vector": "all operations of vector units: those above, and main operations that crossbars do not do",
}
"""What layers count on such a machine."""


class MulticoreMachine(Accelerator, frozen=True):
    """Cores with crossbars, as a description gives them."""

    model_config = ConfigDict(strict=True)

    runs_on_cores: ClassVar[bool] = True

    cores: Annotated[Cores, Field(description="cores and what each has")]
    crossbar: Annotated[Crossbar, Field(description="the crossbars of all cores")]
    bus: Annotated[Bus, Field(description="what cores communicate over")]
    shared: Annotated[SharedMemory, Field(description="the shared memory")]
    schedule: Annotated[Scheduling, Field(description="how layers are laid over cores")] = Scheduling.model_construct()
    energies: Annotated[Energies, Field(description="energy of what is done")]
    limits: Annotated[StepLimits, Field(description="what a link may have")] = StepLimits(
        post_steps=16, post_operands=12
    )
    sources: Annotated[dict[Text, Text], Field(description="where each constant comes from")]

    @model_validator(mode="after")
    def _check_columns(self) -> MulticoreMachine:
        wide = self.crossbar.weights.columns
        if wide > self.crossbar.columns:
            raise too_narrow("crossbar.columns", "columns", wide)
        if self.crossbar.weights.crossbars > self.cores.crossbars:
            raise too_narrow("cores.crossbars", "crossbars", self.crossbar.weights.crossbars)
        mesh = self.bus.mesh
        if mesh is not None and mesh.rows * mesh.columns < self.cores.count:
            routers = mesh.rows * mesh.columns
            context = {"key": "cores.count", "routers": routers, "expected": f"at most {routers}"}
            raise PydanticCustomError("few_routers", "the mesh has routers for {routers} cores", context)
        if mesh is None and self.energies.hop_byte:
            context = {"key": "energies.hop_byte", "expected": "bus.mesh, or nothing"}
            raise PydanticCustomError("no_mesh", "there is no mesh with links", context)
        return self

    @property
    def pipelines_layers(self) -> bool:
        """Whether a layer begins before those that it reads from are over."""
        return self.schedule.pipelined

    @property
    def units(self) -> int:
        """Units of a core that are at turns of their own: what brings inputs, crossbars, and what finishes sums."""
        return 3 if self.cores.overlap else 1

    @property
    def link_words(self) -> float:
        """Words that come from the shared memory, or go there, in a cycle."""
        return max(1e-9, self.memory_bytes * 8 / self.word_bits)

    @property
    def memory_bytes(self) -> int:
        """Bytes that come from the shared memory in a cycle, over all of its ports."""
        return self.bus.width_bytes * (1 if self.bus.mesh is None else len(self.bus.mesh.ports))

    @property
    def weight_columns(self) -> int:
        """Weights side by side in a crossbar."""
        return self.crossbar.columns // self.crossbar.weights.columns

    @property
    def core_weights(self) -> int:
        """Weights that the crossbars of a core hold, all of which it multiplies at once."""
        together = self.cores.crossbars // self.crossbar.weights.crossbars
        return together * self.crossbar.rows * self.weight_columns

    def transfer_cycles(self, size: int, core: int | None = None) -> int:
        """Cycles of a transfer of so many bytes between a core and the shared memory, if nobody else has the way.

        Over a mesh, a core asks for what it loads, and is told that what it stored is there; without a core, it is one
        at the mean distance.
        """
        mesh = self.bus.mesh
        passes = 1 if mesh is None else 2 * (mesh.links_on_average if core is None else mesh.links_to_memory(core))
        return passes * self.bus.latency + -(-size // self.bus.width_bytes)

    def signal_cycles(self, core: int, other: int) -> int:
        """Cycles of a signal from a core to another one, if nobody else has the way."""
        mesh = self.bus.mesh
        passes = 1 if mesh is None else mesh.links_between(core, other)
        return passes * self.bus.latency + -(-self.bus.signal_bytes // self.bus.width_bytes)

    def vector_cycles(self, operations: int) -> int:
        """Cycles of so many operations on a vector unit."""
        return -(-operations // self.cores.lanes)
