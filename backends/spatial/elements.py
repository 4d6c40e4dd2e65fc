"""Element-by-element execution of processing passes: every word through every scratchpad.

Slow on purpose. Transfers between DRAM and buffer are those of the block engine; a pass, however, is executed by single
processing elements with scratchpads of real size: kernel words are delivered and kept, input words arrive as the window
slides and leave when it has passed, partial sums travel up the chain of elements. All pass counts are taken word by
word, and must equal those of the block engine.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from backends.spatial.array import Layout, Piece, pass_cycles
from backends.spatial.blocks import BlockEngine, PassShape, output_traffic
from backends.spatial.codes import Fold, Kind, Slot, Tensor
from backends.spatial.layer import input_tile, run_steps
from backends.spatial.memory import Fault
from dialects.encodings.run_length import through_pairs
from dialects.gconv.scalar import Array, apply

Index = tuple[int, ...]
_FOLD_FUNCTION = {Fold.ADD: "add", Fold.MAX: "max", Fold.MIN: "min", Fold.MUL: "mul"}


@dataclass
class _Element:
    """A processing element: which indices it works on, and its scratchpads."""

    ranges: tuple[tuple[Piece, ...], ...]
    kernels: dict[Index, Array] = field(default_factory=dict[Index, Array])
    inputs: dict[Index, Array] = field(default_factory=dict[Index, Array])

    def indices(self, *kinds: Kind) -> Iterator[tuple[Index, ...]]:
        """All combinations of indices of some kinds, dimension by dimension, the last fastest."""
        spans = [range(of_dim[k][0], of_dim[k][0] + of_dim[k][1]) for of_dim in self.ranges for k in kinds]
        for flat in itertools.product(*spans):
            yield tuple(flat[d * len(kinds) : (d + 1) * len(kinds)] for d in range(len(self.ranges)))


class ElementEngine(BlockEngine):
    """Executes passes one processing element, one word at a time."""

    _kernels: dict[tuple[Index, ...], dict[Index, Array]]
    _windows: set[Index]
    """Positions, relative to the pass, that some element's window has had in it."""

    def load_kernel(self) -> None:
        super().load_kernel()
        self._kernels = {}

    def through_link(self, tensor: Tensor, event: str, stream: Array) -> Array:
        """Compressed transfers arrive encoded and decoded."""
        arrived = super().through_link(tensor, event, stream)
        if self.code is not None and tensor in self.layer.compressed:
            return through_pairs(self.code, arrived)
        return arrived

    def process(self) -> None:
        """One pass, element by element."""
        shape = self.pass_shape()
        first = self.layer.is_first_pass()
        inputs, output = self.input_block(shape), self.output_block(shape, first)
        kernel = self._kernel_words(shape)
        chains: dict[Index, list[tuple[Index, Array]]] = {}
        self._windows = set()
        elements = list(_elements(shape.layout))
        busiest = 0
        begins: set[Index] = set()
        for ranges in elements:
            element = _Element(ranges)
            if kernel is not None:
                self._deliver_kernels(element, kernel)
            busiest = max(busiest, self._run(element, shape, inputs, chains, begins))
        self._collect(chains, output, first)
        self._finish_pass(shape, busiest, len(begins), max(map(len, chains.values())), len(elements))

    def _kernel_words(self, shape: PassShape) -> Array | None:
        """The kernel block as (g..., op..., ks...), or None without a kernel."""
        if self.layer.main is None:
            return None
        sizes = self.layer.sizes
        return self._kernel_block().words.reshape([size[kind] for kind in (Kind.G, Kind.OP, Kind.KS) for size in sizes])

    def _deliver_kernels(self, element: _Element, kernel: Array) -> None:
        """Fill the kernel scratchpad after a load; later passes find the words there."""
        if self.kernel_is_fresh:
            for index in element.indices(Kind.G, Kind.OP, Kind.KS):
                word = tuple(i[k] for k in range(3) for i in index)
                element.kernels[word] = kernel[word]
                self.counters.add("array.kernel.deliver", 1)
                self.counters.add("spad.kernel.write", 1)
            self._kernels[_position(element.ranges)] = element.kernels
        elif _position(element.ranges) in self._kernels:
            element.kernels = self._kernels[_position(element.ranges)]
        else:
            raise Fault("CAT-E002", "an element works on kernel words that were not delivered to it")
        if len(element.kernels) > self.machine.pe.kernel_words:
            raise Fault("CAT-E001", "a kernel scratchpad overruns", str(self.machine.pe.kernel_words))

    def _run(
        self,
        element: _Element,
        shape: PassShape,
        inputs: Array,
        chains: dict[Index, list[tuple[Index, Array]]],
        begins: set[Index],
    ) -> int:
        """All operations of one element; its sums join the chains of their output words. Returns the operations.

        The input words of its first window join `begins`.
        """
        operations = 0
        taps = [tuple(i[0] for i in index) for index in element.indices(Kind.KS)]
        place = tuple(of_dim[Kind.KS][0] for of_dim in element.ranges)
        for stream in element.indices(Kind.G, Kind.OPC):
            groups, outputs = tuple(i[0] for i in stream), tuple(i[1] for i in stream)
            self._slide(element, shape.layout.sliding, groups, outputs, taps, inputs)
            if not operations:
                begins.update(element.inputs)
            for parallel in element.indices(Kind.OP):
                kernels = tuple(i[0] for i in parallel)
                total: Array | None = None
                for tap in taps:
                    value = element.inputs[self._position(groups, outputs, tap)]
                    self.counters.add("spad.input.read", 1)
                    if self.gates and value == 0:
                        self.counters.add("operation.gated", 1)
                    total = self._accumulate(total, self._operate(element, value, groups, kernels, tap))
                    operations += 1
                assert total is not None
                chains.setdefault((*groups, *kernels, *outputs), []).append((place, total))
        return operations

    def _operate(self, element: _Element, value: Array, groups: Index, kernels: Index, tap: Index) -> Array:
        if self.layer.main is not None:
            self.counters.add("spad.kernel.read", 1)
            value = apply(self.layer.main, value, element.kernels[(*groups, *kernels, *tap)])
        self.counters.add("operation.mac" if self.layer.is_multiply_accumulate else "operation.other", 1)
        return run_steps(self.layer.steps[Slot.MID], value)

    def _accumulate(self, total: Array | None, value: Array) -> Array:
        """Add to the partial sum in the scratchpad; the sum is read once more when it leaves, so reads equal writes."""
        self.counters.add("spad.output.write", 1)
        self.counters.add("spad.output.read", 1)
        return value if total is None else apply(_FOLD_FUNCTION[self.layer.fold], total, value)

    def _position(self, groups: Index, outputs: Index, tap: Index) -> Index:
        """The input word of an operation: per dimension group and position relative to the pass."""
        dims = self.layer.dims
        return tuple(
            n for g, o, k, dim in zip(groups, outputs, tap, dims, strict=True)
            for n in (g, o * dim.stride + k * dim.dilation)
        )  # fmt: skip

    def _slide(
        self,
        element: _Element,
        sliding: int | None,
        groups: Index,
        outputs: Index,
        taps: list[Index],
        inputs: Array,
    ) -> None:
        """Bring in the words of this window that are not there; drop those that the window has passed."""
        needed = {self._position(groups, outputs, tap): (groups, tap, outputs) for tap in taps}
        self._windows.update(word[1::2] for word in needed)
        if sliding is None or outputs[sliding] == element.ranges[sliding][Kind.OPC][0]:
            element.inputs.clear()
        else:
            low = min(word[2 * sliding + 1] for word in needed)
            element.inputs = {w: v for w, v in element.inputs.items() if w[2 * sliding + 1] >= low}
        for word, (g, k, o) in needed.items():
            if word not in element.inputs:
                element.inputs[word] = inputs[(*g, *k, *o)].astype(self.partial)
                self.counters.add("array.input.deliver", 1)
                self.counters.add("spad.input.write", 1)
        if len(element.inputs) > self.machine.pe.input_words:
            raise Fault("CAT-E001", "an input scratchpad overruns", str(self.machine.pe.input_words))

    def _collect(self, chains: dict[Index, list[tuple[Index, Array]]], output: Array, first: bool) -> None:
        """Send every output word's partial sums up its chain and into the buffer."""
        traffic = output_traffic(first, self.layer.is_last_pass())
        for word, parts in chains.items():
            total = None if first else output[word]
            for name in traffic:
                self.counters.add(name, 1)
            for position, (_, part) in enumerate(sorted(parts, key=lambda entry: entry[0])):
                if position:
                    self.counters.add("array.output.hop", 1)
                total = part if total is None else apply(_FOLD_FUNCTION[self.layer.fold], total, part)
            assert total is not None
            output[word] = total
            self.counters.add("array.output.out", 1)

    def _finish_pass(self, shape: PassShape, busiest: int, begins: int, chain: int, active: int) -> None:
        """Count what the pass took from the buffer, word by word of its input tile, and its cycles."""
        counters = self.counters
        tile = input_tile(self.layer)
        spans = [range(low, low + length) for low, length in tile.positions]
        groups = math.prod(n for _, n in tile.groups)
        for position in itertools.product(*spans):
            if self._is_read(position, tile.positions):
                counters.add("glb.input.read", groups)
        outputs = shape.groups * shape.kernels * shape.outputs
        counters.array_cycles += pass_cycles(self.machine, busiest, begins, tile.words, outputs, chain)
        counters.passes += 1
        counters.peak_pes = max(counters.peak_pes, active)
        self.kernel_is_fresh = False

    def _is_read(self, position: Index, spans: tuple[tuple[int, int], ...]) -> bool:
        """Whether a pass reads the word at a position from the buffer: holds have only those of windows, no padding."""
        if Tensor.INPUT not in self.layer.keeps:
            return self.machine.counting.padding_in_buffer or self._exists(position)
        inside = tuple(each - low for each, (low, _) in zip(position, spans, strict=True))
        return inside in self._windows and self._exists(position)

    def _exists(self, position: Index) -> bool:
        """Whether an input position of the dilated, padded coordinates is a word in DRAM."""
        return all(
            p % dim.up == 0 and 0 <= p // dim.up < dim.extent for p, dim in zip(position, self.layer.dims, strict=True)
        )


def _elements(found: Layout) -> Iterator[tuple[tuple[Piece, ...], ...]]:
    """The ranges of every active element: one piece of each loop."""
    pieces = [of_kind for of_dim in found.pieces for of_kind in of_dim]
    kinds = len(Kind)
    for flat in itertools.product(*pieces):
        yield tuple(tuple(flat[d * kinds : (d + 1) * kinds]) for d in range(len(found.pieces)))


def _position(ranges: tuple[tuple[Piece, ...], ...]) -> tuple[Index, ...]:
    """Which element this is: where each of its pieces starts."""
    return tuple(tuple(start for start, _ in of_dim) for of_dim in ranges)
