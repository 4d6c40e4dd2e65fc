"""The counts of a mapped link by walking its loop nest word by word, with Python sets of word addresses.

Nothing of the cost model is used: tiles, passes and elements are enumerated, and what a memory holds is a set. It also
checks, while it walks, that every pass finds its words in the buffer and in the scratchpads.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from dialects.array_machine import Machine
from dialects.events import Counts
from dialects.gconv import PASS, GConv, LoopKind
from dialects.schedule import Loop, Mapping, Node, Operand, Spatial, Storage, Temporal

Ranges = dict[Loop, range]
Word = tuple[tuple[int, ...], ...]
Place = tuple[int, ...]
_OUTPUT_KINDS = (LoopKind.G, LoopKind.OP, LoopKind.OPC)


@dataclass
class Peaks:
    """The most words at any time: in the buffer per tensor, in one element per scratchpad."""

    buffer: dict[Operand, int] = field(default_factory=lambda: {Operand.INPUT: 0, Operand.OUTPUT: 0})
    element: dict[str, int] = field(default_factory=lambda: {"input": 0, "kernel": 0, "output": 0})


class Walk:
    """One run through the loop nest of a link under a mapping; `extras` are the shapes of its post operands."""

    def __init__(
        self,
        spec: GConv,
        input_shape: tuple[int, ...],
        mapping: Mapping,
        machine: Machine,
        extras: tuple[tuple[int, ...], ...] = (),
    ):
        self.spec, self.mapping, self.machine, self.extras = spec, mapping, machine, extras
        self.extents = [extent // dim.g for dim, extent in zip(spec.dims, input_shape, strict=True)]
        self.counts, self.peaks = Counts(), Peaks()
        self.compute_cycles = 0
        self.first_words = self.end_cycles = 0
        self._buffered: dict[Operand, set[Word]] = {}
        self._kernels: set[Word] = set()
        self._held: dict[Place, set[Word]] = {}
        self._kernels_are_fresh = False
        self._folded: dict[Word, int] = {}
        self._innermost: tuple[int, LoopKind] | None = None
        ranges = {Loop(dim.name, kind): range(spec.worked(dim, kind)) for dim in spec.dims for kind in LoopKind}
        self._visit(mapping.nodes, ranges)

    def _count(self, words: int, *events: str) -> None:
        for event in events:
            self.counts.events[event] += words

    def _visit(self, nodes: tuple[Node, ...], ranges: Ranges) -> None:
        if not nodes or isinstance(nodes[0], Spatial):
            self._pass(nodes, ranges)
        elif isinstance(nodes[0], Temporal):
            for tile in _tiles(ranges[nodes[0].loop], nodes[0].tile):
                self._visit(nodes[1:], {**ranges, nodes[0].loop: tile})
        else:
            assert isinstance(nodes[0], Storage)
            for operand in nodes[0].operands:
                self._bring(operand, ranges)
            self._visit(nodes[1:], ranges)
            if Operand.OUTPUT in nodes[0].operands:
                self._drain(ranges)

    # Words ------------------------------------------------------------------------------------------------------------

    def _words(self, ranges: Ranges, *kinds: LoopKind) -> set[Word]:
        """All combinations of indices of some kinds, dimension by dimension."""
        per_dim = [list(itertools.product(*(ranges[Loop(d.name, kind)] for kind in kinds))) for d in self.spec.dims]
        return set(itertools.product(*per_dim))

    def _box(self, ranges: Ranges) -> set[Word]:
        """The input words between the first and the last that the ranges touch; a word is (group, position) a dim."""
        per_dim: list[list[tuple[int, int]]] = []
        for dim in self.spec.dims:
            outputs, kernels = ranges[Loop(dim.name, LoopKind.OPC)], ranges[Loop(dim.name, LoopKind.KS)]
            touched = [o * dim.stride + k * dim.dilation - dim.pad for o in outputs for k in kernels]
            groups = ranges[Loop(dim.name, LoopKind.G)]
            per_dim.append([(g, x) for g in groups for x in range(min(touched), max(touched) + 1)])
        return set(itertools.product(*per_dim))

    def _exists(self, word: Word) -> bool:
        """Whether an input word is in DRAM: neither padding nor between dilated words."""
        return all(
            x % dim.up == 0 and 0 <= x // dim.up < extent
            for dim, extent, (_, x) in zip(self.spec.dims, self.extents, word, strict=True)
        )

    # Storage ----------------------------------------------------------------------------------------------------------

    def _bring(self, operand: Operand, ranges: Ranges) -> None:
        match operand:
            case Operand.INPUT:
                words = self._box(ranges)
                real = sum(map(self._exists, words))
                self._count(real, "dram.input.read")
                self._count(len(words) - real, "dram.input.padding")
                self._count(len(words) if self.machine.counting.padding_in_buffer else real, "glb.input.fill")
                self._buffered[operand] = words
            case Operand.OUTPUT:
                self._buffered[operand] = self._words(ranges, *_OUTPUT_KINDS)
                self._folded = {}
            case Operand.KERNEL:
                self._kernels = self._words(ranges, LoopKind.G, LoopKind.OP, LoopKind.KS)
                self._count(len(self._kernels), "dram.kernel.read")
                self.counts.array_cycles += math.ceil(len(self._kernels) / self.machine.links.kernel_bus)
                self._kernels_are_fresh, self._held = True, {}
        if operand in self._buffered:
            self.peaks.buffer[operand] = max(self.peaks.buffer[operand], len(self._buffered[operand]))

    def _drain(self, ranges: Ranges) -> None:
        tile = self._words(ranges, *_OUTPUT_KINDS)
        folds = math.prod(dim.ks for dim in self.spec.dims)
        assert tile == self._buffered[Operand.OUTPUT]
        assert self._folded == dict.fromkeys(tile, folds)
        repeated = {Loop(dim.name, LoopKind.OP): range(dim.op) for dim in self.spec.dims}
        sent = self._words({**ranges, **repeated} if self.spec.main == PASS else ranges, *_OUTPUT_KINDS)
        self._count(len(sent), "glb.output.drain", "dram.output.write")
        self._count(len(sent) * len(self.spec.post), "operation.post")
        for extra in self.extras:
            read = {tuple(self._extra_index(word, extra)) for word in sent}
            self._count(len(read), "dram.extra.read")

    def _extra_index(self, word: Word, extra: tuple[int, ...]) -> Iterator[int]:
        for dim, extent, (g, op, opc) in zip(self.spec.dims, extra, word, strict=True):
            yield 0 if extent == 1 else (g * dim.op + op) * dim.opc + opc

    # Passes -----------------------------------------------------------------------------------------------------------

    def _pass(self, nodes: tuple[Node, ...], ranges: Ranges) -> None:
        elements = list(_elements(nodes, ranges))
        if self._innermost is None:
            self._innermost = self._innermost_stream([work for _, work in elements])
        inputs, outputs = self._box(ranges), self._words(ranges, *_OUTPUT_KINDS)
        assert inputs <= self._buffered[Operand.INPUT]
        assert outputs <= self._buffered[Operand.OUTPUT]
        in_buffer = inputs if self.machine.counting.padding_in_buffer else set(filter(self._exists, inputs))
        self._count(len(in_buffer), "glb.input.read")
        self._sums(outputs, math.prod(len(ranges[Loop(dim.name, LoopKind.KS)]) for dim in self.spec.dims))
        chains = dict.fromkeys(outputs, 0)
        busiest = 0
        begins: set[Word] = set()
        for place, work in elements:
            self._fetch_kernels(place, work)
            begins |= self._stream(work, inputs)
            for word in self._words(work, *_OUTPUT_KINDS):
                chains[word] += 1
            operations = math.prod(len(indices) for indices in work.values())
            self._count(operations, "spad.input.read", "spad.output.read", "spad.output.write")
            self._count(operations if self.spec.main != PASS else 0, "spad.kernel.read")
            self._count(operations, "operation.mac" if self.spec.is_multiply_accumulate else "operation.other")
            busiest = max(busiest, operations)
        self._kernels_are_fresh = False
        self._count(sum(length - 1 for length in chains.values()), "array.output.hop")
        links = self.machine.links
        feed, drain = math.ceil(len(inputs) / links.input_bus), math.ceil(len(outputs) / links.output_bus)
        self.compute_cycles += busiest
        end = 0
        if self.machine.pipeline is not None:
            busiest += math.ceil(len(begins) / links.input_bus)
            end = self.machine.pipeline.stages + max(chains.values()) - 1
        self.first_words += len(begins)
        self.end_cycles += end
        self.counts.array_cycles += max(busiest, feed, drain) + end
        self.counts.passes += 1
        self.counts.peak_pes = max(self.counts.peak_pes, len(elements))

    def _sums(self, outputs: set[Word], folds: int) -> None:
        """Partial sums into the array and out of it; `folds` words of the reduction join each in this pass."""
        complete = math.prod(dim.ks for dim in self.spec.dims)
        for word in outputs:
            before = self._folded.get(word, 0)
            if before:
                self._count(1, "glb.output.read", "array.output.in")
            else:
                self._count(1, "glb.output.first")
            self._folded[word] = before + folds
            self._count(1, "array.output.out", "glb.output.last" if before + folds == complete else "glb.output.write")

    def _innermost_stream(self, works: list[Ranges]) -> tuple[int, LoopKind]:
        """The innermost loop over outputs or groups in which an element of the first pass has several indices."""
        for index in reversed(range(len(self.spec.dims))):
            for kind in (LoopKind.OPC, LoopKind.G):
                if any(len(work[Loop(self.spec.dims[index].name, kind)]) > 1 for work in works):
                    return index, kind
        return 0, LoopKind.G

    def _fetch_kernels(self, place: Place, work: Ranges) -> None:
        if self.spec.main == PASS:
            return
        needed = self._words(work, LoopKind.G, LoopKind.OP, LoopKind.KS)
        assert needed <= self._kernels
        if self._kernels_are_fresh:
            self._held[place] = needed
            self._count(len(needed), "array.kernel.deliver", "spad.kernel.write")
        assert needed <= self._held[place]
        self.peaks.element["kernel"] = max(self.peaks.element["kernel"], len(self._held[place]))

    def _stream(self, work: Ranges, inputs: set[Word]) -> set[Word]:
        """The windows of one element, one after another; shared words stay only while the innermost loop runs.

        Returns the first window.
        """
        dims = self.spec.dims
        order = [(index, kind) for index in range(len(dims)) for kind in (LoopKind.G, LoopKind.OPC)]
        innermost = order.index(self._innermost) if self._innermost in order else -1
        scratchpad: set[Word] = set()
        first: set[Word] = set()
        before: tuple[int, ...] | None = None
        sums = math.prod(len(work[Loop(dim.name, LoopKind.OP)]) for dim in dims)
        self.peaks.element["output"] = max(self.peaks.element["output"], sums)
        for now in itertools.product(*(work[Loop(dims[index].name, kind)] for index, kind in order)):
            window = self._window(work, now)
            first = window if before is None else first
            assert window <= inputs
            slides = before is not None and order[innermost][1] is LoopKind.OPC
            if slides and all(a == b for i, (a, b) in enumerate(zip(now, before or (), strict=True)) if i != innermost):
                axis = order[innermost][0]
                passed = min(word[axis][1] for word in window)
                scratchpad = {word for word in scratchpad if word[axis][1] >= passed}
            else:
                scratchpad = set()
            self._count(len(window - scratchpad), "array.input.deliver", "spad.input.write")
            scratchpad |= window
            self.peaks.element["input"] = max(self.peaks.element["input"], len(scratchpad))
            before = now
        return first

    def _window(self, work: Ranges, now: tuple[int, ...]) -> set[Word]:
        """The input words of one output position (or several, along parallel kernels) of one element."""
        per_dim: list[list[tuple[int, int]]] = []
        for index, dim in enumerate(self.spec.dims):
            group, output = now[2 * index : 2 * index + 2]
            taps = work[Loop(dim.name, LoopKind.KS)]
            per_dim.append([(group, output * dim.stride + k * dim.dilation - dim.pad) for k in taps])
        return set(itertools.product(*per_dim))


def _tiles(indices: range, tile: int) -> list[range]:
    return [indices[start : start + tile] for start in range(0, len(indices), tile)]


def _elements(nodes: tuple[Node, ...], ranges: Ranges, place: Place = ()) -> Iterator[tuple[Place, Ranges]]:
    """Every processing element that has work: where it is along the spatial nodes, and its ranges."""
    if not nodes:
        yield place, ranges
        return
    node = nodes[0]
    assert isinstance(node, Spatial)
    for number, tile in enumerate(_tiles(ranges[node.loop], node.tile)):
        yield from _elements(nodes[1:], {**ranges, node.loop: tile}, (*place, number))
