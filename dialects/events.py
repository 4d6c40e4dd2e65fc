"""What is counted: the names of the events that cost energy or time, at every memory level and for every operand.

The cost model predicts these counts from a mapping; an emulator counts them as it executes. All counts are words,
except operations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

EVENTS: dict[str, str] = {
    "dram.input.read": "input words read from DRAM",
    "dram.input.padding": "padding words of input tiles, which are made up and not fetched",
    "dram.kernel.read": "kernel words read from DRAM",
    "dram.kernel.bitmap": "words of bitmaps, and of where they are, read from DRAM, of kernels in blocks",
    "dram.input.lookup": "input words read from DRAM at computed addresses, counted among those read",
    "dram.index.read": "index words read from DRAM to compute addresses",
    "dram.extra.read": "words of post operands (biases, residuals) read from DRAM",
    "dram.output.read": "output words read from DRAM to be combined with updates",
    "dram.output.write": "output words written to DRAM",
    "dram.output.lookup": "output words written to DRAM at computed addresses, counted among those written",
    "dram.input.burst": "words of the bursts that bring input words, on machines with bursts",
    "dram.kernel.burst": "words of the bursts that bring kernel words",
    "dram.extra.burst": "words of the bursts that bring words of post operands",
    "dram.output.burst": "words of the bursts that take output words away",
    "dram.input.compressed": "words on the link that bring inputs, on machines that compress feature maps",
    "dram.extra.compressed": "words on the link that bring post operands, on machines that compress feature maps",
    "dram.output.compressed": "words on the link that take outputs away, on machines that compress feature maps",
    "glb.input.fill": "input words written to the buffer from DRAM",
    "glb.input.read": "input words read from the buffer for the array",
    "glb.output.first": "partial sums that start from nothing in a pass (no word is read)",
    "glb.output.read": "partial sums read from the buffer for the array",
    "glb.output.write": "unfinished sums written to the buffer by the array",
    "glb.output.last": "finished sums written to the buffer by the array",
    "glb.output.drain": "sums read from the buffer on their way to DRAM, or to a hold",
    "glb.output.hold": "results, or sums that a later turn goes on with, written to where a fused group holds them",
    "glb.output.send": "results read from there on their way to DRAM",
    "glb.kernel.fill": "kernel words written to the buffer, where it holds them for a fused group",
    "glb.kernel.read": "kernel words read from there for the array",
    "bitmap.kernel.fill": "words of bitmaps written to their memory, of kernels in blocks",
    "bitmap.kernel.read": "words of bitmaps read from there, once for every row of patches",
    "glb.extra.fill": "words of post operands written to the buffer, where it holds them for a fused group",
    "glb.extra.read": "words of post operands read from there",
    "array.input.deliver": "input words delivered to processing elements, counted per receiver",
    "array.kernel.deliver": "kernel words delivered to processing elements, counted per receiver",
    "array.output.hop": "partial sums handed from one processing element to the next",
    "array.output.in": "partial sums that enter the array",
    "array.output.out": "partial sums that leave the array",
    "spad.input.write": "input words written to scratchpads",
    "spad.input.read": "input words read from scratchpads",
    "spad.kernel.write": "kernel words written to scratchpads",
    "spad.kernel.read": "kernel words read from scratchpads",
    "spad.output.read": "partial sums read from scratchpads",
    "spad.output.write": "partial sums written to scratchpads",
    "operation.mac": "multiply-accumulates",
    "operation.other": "other main operations (comparisons, maxima, plain moves ...)",
    "operation.gated": "main operations on zeros, on machines that save energy in them",
    "operation.skipped": "main operations that are left out, on machines that skip indices of zeros",
    "operation.overflow": "sums that left the range of their accumulators and wrapped around, at the end of a pass",
    "patch.neighbour": "input words that a patch unit gets from its neighbour, on machines with im2col units",
    "patch.reserve": "input words that come from what an im2col unit has kept of the row of patches before",
    "operation.post": "scalar functions applied to outputs",
    "host.read": "words that the host core reads from DRAM",
    "host.write": "words that the host core writes to DRAM",
    "host.simple": "operations of the host core that its arithmetic unit does in one step",
    "host.special": "operations of the host core that take a division, a root or a series",
    "segment.read": "words that go over the link to host segments; what they cost there is not modelled",
    "segment.write": "words that come over the link from host segments",
}
HIERARCHY_EVENTS: dict[str, str] = {
    "input.read": "input words that leave the memory, those for several places once; padding counts as words",
    "input.fill": "input words that come into the memory, or into the operation",
    "kernel.read": "kernel words that leave the memory",
    "kernel.fill": "kernel words that come into the memory, or into the operation",
    "output.update": "sums that come into the memory from further in",
    "output.add": "of those, the ones that are added to what is there: it is read, and written again",
    "output.hop": "sums that are added to others on their way to the memory, along axes that reduce",
}
"""What every memory of a hierarchy counts, as `MEMORY.EVENT` (`passes.mapper.counts`)."""
NEST_EVENTS: dict[str, str] = {
    "extra.read": "words of post operands (biases, residuals), once for each transfer of results that needs them",
    "index.read": "index words, one of each component for every word at a computed address",
    "output.repeat": "further results that parallel kernels only repeat, in layers without a kernel",
    "output.read": "output words that are combined with updates",
}
"""What the outermost memory of a hierarchy counts besides, as `MEMORY.EVENT`."""
HELD_EVENTS: dict[str, str] = {
    "output.hold": "finished results that are put where a fused group holds them",
    "output.send": "results that leave the memory for the outermost one, where a fused group holds them",
    "extra.read": "words of post operands that leave the memory, where a fused group holds them",
    "extra.fill": "words of post operands that come into the memory for a fused group",
}
"""What every memory but the outermost counts besides in layers of fused groups, as `MEMORY.EVENT`; others have none."""
BURSTS: dict[str, str] = {
    "dram.input.read": "dram.input.burst",
    "dram.kernel.read": "dram.kernel.burst",
    "dram.extra.read": "dram.extra.burst",
    "dram.output.write": "dram.output.burst",
}
"""Words on the off-chip link, and the words of the bursts that they come in."""
COMPRESSED: dict[str, str] = {
    "dram.input.read": "dram.input.compressed",
    "dram.extra.read": "dram.extra.compressed",
    "dram.output.write": "dram.output.compressed",
}
"""Words on the off-chip link, and what is left of them on machines that compress feature maps.

Tensors that are not compressed count as they are. Padding that is fetched is in the words of inputs.
"""
GROUPED = tuple(f"glb.{event}" for event in ("kernel.fill", "kernel.read", *HELD_EVENTS))
"""What the buffer of a spatial machine counts in layers of fused groups; others have none."""
OF_PATCHES = ("operation.skipped", "operation.overflow", "patch.neighbour", "patch.reserve")
"""What machines with im2col units count besides."""
OF_BITMAPS = ("dram.kernel.bitmap", "bitmap.kernel.fill", "bitmap.kernel.read")
"""What layers count besides whose kernels lie in blocks."""
OPTIONAL = frozenset({*COMPRESSED.values(), "operation.gated", *GROUPED, *OF_PATCHES, *OF_BITMAPS})
"""Events that few machines or layers have; where there are none, counts do not mention them."""
LEVELS = ("dram", "glb", "array", "spad")


@dataclass
class Counts:
    """Counts of one link or of several: events, array cycles, processing passes.

    `array_cycles` are cycles in which the array computes or is being filled; `peak_pes` the most processing elements
    active at once. Machines of a hierarchy count events of their own memories, and `cycles` from start to end. On cores
    `cycles` are those by which a link puts off the end, and `peak_pes` the cores with a part of it; `array_cycles` are
    those of main operations, on crossbars or else vector units, of the core that has most of them.
    """

    events: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EVENTS, 0))
    array_cycles: int = 0
    passes: int = 0
    peak_pes: int = 0
    cycles: int | None = None

    @classmethod
    def of(cls, flat: Mapping[str, int]) -> Counts:
        """The counts that `flat` gave. Raises `KeyError` if one is missing, `ValueError` if one is no number."""
        rest = {"array.cycles", "array.passes", "array.peak_pes", "cycles"}
        is_of_hierarchy = any(name not in EVENTS for name in flat.keys() - rest)
        events = [name for name in flat if name not in rest] if is_of_hierarchy else list(EVENTS)
        return cls(
            {name: int(flat.get(name, 0) if name in OPTIONAL else flat[name]) for name in events},
            int(flat["array.cycles"]),
            int(flat["array.passes"]),
            int(flat["array.peak_pes"]),
            int(flat["cycles"]) if "cycles" in flat else None,
        )

    def add(self, other: Counts) -> None:
        """Add the counts of another link."""
        for name, count in other.events.items():
            self.events[name] = self.events.get(name, 0) + count
        self.array_cycles += other.array_cycles
        self.passes += other.passes
        self.peak_pes = max(self.peak_pes, other.peak_pes)
        if other.cycles is not None:
            self.cycles = (self.cycles or 0) + other.cycles

    @property
    def operations(self) -> int:
        """MACs and other main operations."""
        return self.events["operation.mac"] + self.events["operation.other"]

    def charged(self, names: Iterable[str]) -> int:
        """The sum of the named events."""
        return sum(self.events[name] for name in names)

    def differences(self, other: Counts) -> Mapping[str, tuple[int, int]]:
        """Every count that differs, as (this, other)."""
        mine, theirs = self.flat(), other.flat()
        both = ((name, mine.get(name, 0), theirs.get(name, 0)) for name in {**mine, **theirs})
        return {name: (one, another) for name, one, another in both if one != another}

    def flat(self) -> dict[str, int]:
        """All counts by name."""
        elapsed = {} if self.cycles is None else {"cycles": self.cycles}
        is_of_hierarchy = any(name not in EVENTS for name in self.events)
        return {
            **{name: n for name, n in self.events.items() if n or is_of_hierarchy or name not in OPTIONAL},
            "array.cycles": self.array_cycles,
            "array.passes": self.passes,
            "array.peak_pes": self.peak_pes,
            **elapsed,
        }
