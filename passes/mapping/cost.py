"""The cost model: what a mapped link will count, in closed form over its mapping.

Nothing here executes anything. Every count is a product over dimensions of sums over the pieces that the mapping cuts
the loops into (`passes.mapping.tiling`); an emulator counts the same events independently while it runs the program.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from dialects.array_machine import Machine
from dialects.events import LEVELS, Counts
from dialects.gconv import PASS, Dim, GConv, LoopKind
from dialects.schedule import Loop, Mapping, Operand, Temporal
from passes.mapping.fit import RELEVANT
from passes.mapping.host_cost import host_energy, host_seconds
from passes.mapping.lookups import Lookups
from passes.mapping.tiling import (
    Depth,
    Tiling,
    distinct_positions,
    number,
    padded_words,
    real_positions,
    span,
    touching,
)

FEATURES = ("dram.input.read", "dram.index.read", "dram.extra.read", "dram.output.read", "dram.output.write")
"""The events of words on the off-chip link that no kernel has."""


def predict(
    spec: GConv,
    input_shape: tuple[int, ...],
    mapping: Mapping,
    machine: Machine,
    extras: tuple[tuple[int, ...], ...] = (),
    lookups: Lookups | None = None,
) -> Counts:
    """Counts of one link under a legal mapping; `extras` are the shapes of the post operands."""
    return _Prediction(spec, input_shape, mapping, machine, extras, lookups or Lookups()).counts()


def extra_words(spec: GConv, mapping: Mapping, shape: tuple[int, ...]) -> int:
    """Words of a tensor that broadcasts to the output, read once for every output tile."""
    position = mapping.position(Operand.OUTPUT)
    assert position is not None, "mapping without storage of O"
    depth, words = Tiling(spec, mapping).at(position), 1
    for dim, extent in zip(spec.dims, shape, strict=True):
        repeats = depth.count(dim, LoopKind.G, LoopKind.OP, LoopKind.OPC)
        words *= repeats if extent == 1 else dim.output_extent
    return words


class _Prediction:
    def __init__(
        self,
        spec: GConv,
        input_shape: tuple[int, ...],
        mapping: Mapping,
        machine: Machine,
        extras: tuple[tuple[int, ...], ...],
        lookups: Lookups,
    ):
        self.spec, self.mapping, self.machine = spec, mapping, machine
        self.input_shape, self.extras, self.lookups = input_shape, extras, lookups
        self.tiling = Tiling(spec, mapping)

    def counts(self) -> Counts:
        counts = Counts()
        events = counts.events
        input_position = self._position(Operand.INPUT)
        outputs = math.prod(self.spec.output_shape)
        sums = math.prod(self.spec.worked(dim, kind) for dim in self.spec.dims for kind in RELEVANT[Operand.OUTPUT])
        in_pass, in_element = self.tiling.in_pass, self.tiling.in_element
        trips = self.spec.trips

        real = self._real_input_words(input_position)
        filled = padded_words(self.spec.dims, self.tiling.at(input_position))
        padded = self.machine.counting.padding_in_buffer
        events["dram.input.read"] = real
        events["dram.input.padding"] = filled - real
        events["glb.input.fill"] = filled if padded else real
        events["glb.input.read"] = padded_words(self.spec.dims, in_pass) if padded else self._real_pass_words()
        events["array.input.deliver"] = events["spad.input.write"] = self._input_deliveries(in_element)
        events["spad.input.read"] = trips

        if self.spec.main != PASS:
            kernel_position = self._position(Operand.KERNEL)
            events["dram.kernel.read"] = self._kernel_words(self.tiling.at(kernel_position))
            events["array.kernel.deliver"] = events["spad.kernel.write"] = self._kernel_deliveries(kernel_position)
            events["spad.kernel.read"] = trips

        folds = math.prod(in_pass.count(dim, LoopKind.KS) for dim in self.spec.dims)
        events["glb.output.first"] = sums
        events["glb.output.read"] = events["array.output.in"] = sums * (folds - 1)
        events["glb.output.write"] = sums * (folds - 1)
        events["glb.output.last"] = sums
        events["array.output.out"] = sums * folds
        events["glb.output.drain"] = events["dram.output.write"] = outputs
        chains = math.prod(
            sum(n * self.tiling.elements(Loop(dim.name, LoopKind.KS), size) for size, n in pieces.items())
            for dim, pieces in ((dim, in_pass.of(dim, LoopKind.KS)) for dim in self.spec.dims)
        )
        events["array.output.hop"] = sums * (chains - folds)
        events["spad.output.read"] = events["spad.output.write"] = trips

        events["dram.extra.read"] = sum(extra_words(self.spec, self.mapping, shape) for shape in self.extras)
        events["dram.index.read"] = self._index_words(input_position)
        events["dram.input.lookup"] = 0 if self.lookups.read is None else real
        events["dram.output.lookup"] = 0 if self.lookups.written is None else outputs
        events["dram.output.read"] = outputs if self.lookups.combines else 0
        events["operation.mac" if self.spec.is_multiply_accumulate else "operation.other"] = trips
        events["operation.post"] = outputs * len(self.spec.post)
        counts.passes = math.prod(in_pass.count(dim, *LoopKind) for dim in self.spec.dims)
        counts.peak_pes = math.prod(self.tiling.elements(loop, size) for loop, size in in_pass.largest.items())
        counts.array_cycles = self._array_cycles()
        return counts

    def _position(self, operand: Operand) -> int:
        position = self.mapping.position(operand)
        assert position is not None, f"mapping without storage of {operand}"
        return position

    def _real_input_words(self, position: int) -> int:
        """Words of all input tiles that exist in DRAM: padding and positions between dilated words excluded."""
        depth = self.tiling.at(position)
        total = 1
        for dim, extent in zip(self.spec.dims, self.input_shape, strict=True):
            outputs = self._starts(dim, LoopKind.OPC, position)
            kernels = self._starts(dim, LoopKind.KS, position)
            windows = real_positions(dim, extent // dim.g, outputs, kernels)
            total *= dim.g * number(depth.of(dim, LoopKind.OP)) * windows
        return total

    def _real_pass_words(self) -> int:
        return self._real_input_words(len(self.mapping.nodes) - len(self.mapping.spatial))

    def _starts(self, dim: Dim, kind: LoopKind, position: int) -> list[tuple[int, int]]:
        """(first index, size) of every piece of a loop above `position`."""
        pieces = [(0, dim.count(kind))]
        for node in self.mapping.nodes[:position]:
            if isinstance(node, Temporal) and node.loop == Loop(dim.name, kind):
                pieces = [
                    (start + begin, min(node.tile, size - begin))
                    for start, size in pieces
                    for begin in range(0, size, node.tile)
                ]
        return pieces

    def _input_deliveries(self, depth: Depth) -> int:
        total = 1
        for dim in self.spec.dims:
            outputs, kernels = depth.of(dim, LoopKind.OPC), depth.of(dim, LoopKind.KS)
            if dim is self.tiling.sliding:
                words = sum(
                    n * m * distinct_positions(a, b, dim.stride, dim.dilation)
                    for a, n in outputs.items()
                    for b, m in kernels.items()
                )
            else:
                words = dim.opc * dim.ks
            total *= dim.g * number(depth.of(dim, LoopKind.OP)) * words
        return total

    def _kernel_words(self, depth: Depth) -> int:
        return math.prod(d.g * d.op * d.ks * number(depth.of(d, LoopKind.OPC)) for d in self.spec.dims)

    def _kernel_deliveries(self, position: int) -> int:
        """Kernels go to every element of the first pass after they are loaded."""
        depth = self.tiling.at(position)
        total = 1
        for dim in self.spec.dims:
            loop = Loop(dim.name, LoopKind.OPC)
            copies = sum(
                n * self.tiling.elements(loop, self.tiling.first_below(loop, size, position))
                for size, n in depth.of(dim, LoopKind.OPC).items()
            )
            total *= dim.g * dim.op * dim.ks * copies
        return total

    def _index_words(self, input_position: int) -> int:
        """Every tile of input or output reads the part of its index tensor that it needs, all components."""
        words = 0
        if self.lookups.read is not None:
            *shape, components = self.lookups.read
            words += components * self._input_index_words(tuple(shape), input_position)
        if self.lookups.written is not None:
            *shape, components = self.lookups.written
            words += components * extra_words(self.spec, self.mapping, tuple(shape))
        return words

    def _input_index_words(self, shape: tuple[int, ...], position: int) -> int:
        """Positions of the index of all input tiles; a tile that lies in the padding needs none."""
        depth, total = self.tiling.at(position), 1
        for dim, extent, varies in zip(self.spec.dims, self.input_shape, shape, strict=True):
            outputs, kernels = (self._starts(dim, kind, position) for kind in (LoopKind.OPC, LoopKind.KS))
            if varies > 1:
                windows = dim.g * real_positions(dim, extent // dim.g, outputs, kernels)
            else:
                windows = depth.count(dim, LoopKind.G) * touching(dim, extent // dim.g, outputs, kernels)
            total *= number(depth.of(dim, LoopKind.OP)) * windows
        return total

    def _array_cycles(self) -> int:
        """Cycles of every pass and every kernel load; passes of equal shape are counted once and multiplied."""
        loops = [loop for loop, pieces in self.tiling.in_pass.pieces.items() if pieces != {1: 1}]
        choices = [list(self.tiling.in_pass.pieces[loop].items()) for loop in loops]
        total = 0
        for combination in itertools.product(*choices):
            sizes = dict.fromkeys(self.tiling.in_pass.pieces, 1)
            sizes.update({loop: size for loop, (size, _) in zip(loops, combination, strict=True)})
            total += math.prod(n for _, n in combination) * self._pass_cycles(sizes)
        if self.spec.main != PASS:
            total += self._kernel_load_cycles(self.machine.links.kernel_bus)
        return total

    def _pass_cycles(self, sizes: dict[Loop, int]) -> int:
        """The longest of computing, feeding the inputs, and sending partial sums either way on their own bus.

        With a pipeline, elements wait for their first windows before they compute, and then for the last sums.
        """
        links, pipeline = self.machine.links, self.machine.pipeline
        compute = outputs = words = chain = 1
        for dim in self.spec.dims:
            g, op, opc, ks = (sizes[Loop(dim.name, kind)] for kind in LoopKind)
            words *= g * span(opc, ks, dim)
            outputs *= g * op * opc
            chain *= self.tiling.elements(Loop(dim.name, LoopKind.KS), ks)
            for kind, size in zip(LoopKind, (g, op, opc, ks), strict=True):
                loop = Loop(dim.name, kind)
                tiles = [node.tile for node in self.mapping.spatial if node.loop == loop]
                compute *= min([size, *tiles])
        begin, end = (0, 0) if pipeline is None else (self._first_windows(sizes), pipeline.stages + chain - 1)
        compute += math.ceil(begin / links.input_bus)
        return max(compute, math.ceil(words / links.input_bus), math.ceil(outputs / links.output_bus)) + end

    def _first_windows(self, sizes: dict[Loop, int]) -> int:
        """Distinct input words that the elements of a pass begin with: all taps of the first output of each."""
        words = 1
        for dim in self.spec.dims:
            g, outputs, taps = (Loop(dim.name, kind) for kind in (LoopKind.G, LoopKind.OPC, LoopKind.KS))
            firsts = self.tiling.first_indices(outputs, sizes[outputs])
            positions = {first * dim.stride + tap * dim.dilation for first in firsts for tap in range(sizes[taps])}
            words *= self.tiling.elements(g, sizes[g]) * len(positions)
        return words

    def _kernel_load_cycles(self, bandwidth: float) -> int:
        depth = self.tiling.at(self._position(Operand.KERNEL))
        choices = [list(pieces.items()) for loop, pieces in depth.pieces.items() if loop.kind is not LoopKind.OPC]
        loads = math.prod(number(p) for loop, p in depth.pieces.items() if loop.kind is LoopKind.OPC)
        return loads * sum(
            math.prod(n for _, n in combination) * math.ceil(math.prod(size for size, _ in combination) / bandwidth)
            for combination in itertools.product(*choices)
        )


@dataclass(frozen=True)
class Price:
    """What counts cost on a machine: energy per level in pJ, words on the off-chip link, cycles.

    `host_cycles`, which are part of `cycles`, are those that the accelerator waits for the host core.
    """

    energy: dict[str, float]
    link_cycles: int
    cycles: int
    host_cycles: int = 0

    @property
    def total_energy(self) -> float:
        """Energy in pJ."""
        return sum(self.energy.values())


def price(counts: Counts, machine: Machine) -> Price:
    """Energy and latency of one link's counts.

    Energy: accesses that the machine charges (its `counting` table) times energy per access. Latency: kernels are
    prefetched while the array works, inputs and outputs are not: max(array, kernel words on the link) + other words
    on the link. This matches the chip's published latency = processing + feature-map transfers (JSSC 2017).
    Words on the link are those of bursts, or compressed ones, on machines that charge these. Operations on an input of
    zero cost less where the machine gates them; static power is energy over the latency.
    What the host core does (`passes.mapping.host_cost`) comes on top: accelerator and host wait for each other.
    """
    costs = machine.energy
    energy = {
        level: counts.charged(machine.charged(level)) * getattr(costs, level) * costs.picojoules for level in LEVELS
    }
    energy["operation"] = counts.operations * costs.operation * costs.picojoules
    if costs.gating is not None and counts.operations:
        spent = 1 - costs.gating * counts.events["operation.gated"] / counts.operations
        energy["spad"], energy["operation"] = energy["spad"] * spent, energy["operation"] * spent
    kernels = math.ceil(counts.charged(machine.on_link(("dram.kernel.read",))) / machine.links.dram)
    others = [*FEATURES]
    if machine.counting.padding_in_dram:
        others.append("dram.input.padding")
    others = math.ceil(counts.charged(machine.on_link(others)) / machine.links.dram)
    host = machine.host
    energy["host"] = 0.0 if host is None else host_energy(counts, host)
    waiting = 0 if host is None else math.ceil(host_seconds(counts, host, machine.word_bits) * machine.clock_mhz * 1e6)
    cycles = max(counts.array_cycles, kernels) + others + waiting
    if costs.static_mw is not None:
        energy["static"] = costs.static_mw * cycles / machine.clock_mhz * 1e3
    return Price(energy, kernels + others, cycles, waiting)
