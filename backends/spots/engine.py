"""Executes the transfers and passes of one layer: bounded tiles, patches, products, and what zeros leave out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.fields import Array
from backends.generic.offchip import OffChip
from backends.generic.values import as_matrices, as_results, kernel_matrices, reduced, sides, unrolled
from backends.spatial.codes import Fold, Kind, Slot, Tensor
from backends.spatial.layer import FOLDS, Existing, input_tile
from backends.spatial.loops import LoopedLayer
from backends.spatial.memory import Fault, MemoryBank
from backends.spots.accumulators import Accumulators
from backends.spots.counters import GemmCounters
from backends.spots.kernels import BlocksConfig, BlockStreams, KernelWords, dense_words
from backends.spots.ring import PatchUnits
from dialects.gconv.contraction import Factor
from dialects.gemm_machine import GemmMachine

_RELEVANT = {
    Tensor.INPUT: (Kind.G, Kind.OPC, Kind.KS),
    Tensor.KERNEL: (Kind.G, Kind.OP, Kind.KS),
    Tensor.OUTPUT: (Kind.G, Kind.OP, Kind.OPC),
}
_NAMES = {Tensor.INPUT: "input", Tensor.KERNEL: "kernel"}
Live = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class GemmPlace:
    """Words of a tensor's memory that its tile lies in."""

    address: int
    words: int


class GemmLayer(LoopedLayer):
    """A layer's configuration: how the array is divided, what patch units share, and places by tensor."""

    def __init__(self, index: int, main: str | None, fold: Fold, padding: float, acc: np.dtype[Any]):
        super().__init__(index, main, fold, padding, acc)
        self.split = 1
        self.reserved: int | None = None
        self.resumes = self.rewinds = False
        self.tiles: dict[Tensor, GemmPlace] = {}
        self.blocks: BlocksConfig | None = None
        self.accumulators: Accumulators | None = None


@dataclass
class InputTile:
    """The patches of an input tile as matrices, and which blocks of them are not zero."""

    ranges: tuple[tuple[int, ...], ...]
    patches: Factor
    live: Live | None


@dataclass
class KernelTile:
    """A kernel tile as matrices, and what the machine knows of it."""

    ranges: tuple[tuple[int, ...], ...]
    matrices: Factor
    words: KernelWords


@dataclass
class _Results:
    """A tile of results: None until the first pass; `ranges` are those in force when it was opened."""

    ranges: tuple[tuple[int, ...], ...]
    sums: Array | None = None
    whole: bool = False


@dataclass
class PassWork:
    """What the array and the im2col units did in a pass.

    `cycles` of the array; patch words (`columns`) and kernel words that entered; operations that were left out, and
    gated; `rows` that im2col units made; words of bitmaps that were looked up; elements at work at most.
    """

    cycles: int = 0
    columns: int = 0
    kernels: int = 0
    skipped: int = 0
    gated: int = 0
    rows: int = 0
    lookups: int = 0
    peak: int = 0


class GemmEngine:
    """Runs one layer on the machine's memories."""

    def __init__(self, layer: GemmLayer, machine: GemmMachine, dram: MemoryBank, counters: GemmCounters):
        self.layer, self.machine, self.counters = layer, machine, counters
        self._memory, self._dram = OffChip(layer, dram), dram
        self._input: InputTile | None = None
        self._kernel: KernelTile | None = None
        self._results: _Results | None = None
        self._units = PatchUnits(layer, machine.im2col, layer.reserved, resumes=layer.resumes, rewinds=layer.rewinds)
        self._skips = machine.im2col.skips and layer.is_multiply_accumulate and not layer.steps[Slot.MID]
        if layer.fold is Fold.NONE and any(dim.counts[Kind.KS] > 1 for dim in layer.dims):
            raise Fault("CAT-E003", "kernel loops need a reduction")

    # Transfers --------------------------------------------------------------------------------------------------------

    def load_input(self) -> None:
        """Bring the input tile of the current ranges; only words that exist take room."""
        layer = self.layer
        if Tensor.INPUT in layer.keeps:
            raise Fault("CAT-E003", "an input is loaded that lies in a hold")
        words = math.prod(Existing.of(layer, input_tile(layer)).shape)
        self._require_room(Tensor.INPUT, words)
        self._input = self._patches_there()
        terms = len(layer.terms[Tensor.INPUT])
        self._count_fetch(Tensor.INPUT, words)
        self.counters.add("dram.input.lookup", words if terms else 0)
        self.counters.add("dram.index.read", words * terms)

    def _patches_there(self) -> InputTile:
        """The patches of the current ranges, of input words off-chip or in a hold."""
        values = Factor(unrolled(self.layer, self._memory.input()), self.layer.partial)
        return InputTile(self._ranges(Tensor.INPUT), values, self._live_blocks(values) if self._skips else None)

    def load_kernel(self, number: int) -> None:
        """Bring the kernel tile of the current ranges, which loops have made so many tiles before."""
        layer = self.layer
        if layer.main is None:
            raise Fault("CAT-E003", "a kernel is loaded in a layer without one")
        if Tensor.KERNEL in layer.keeps:
            raise Fault("CAT-E003", "a kernel is loaded that lies in a hold")
        found = self._kernels(number)
        self._require_room(Tensor.KERNEL, found.values)
        self._kernel = self._kernel_tile(found)
        self.counters.add("dram.kernel.bitmap", found.bitmaps + found.places)
        self.counters.add("bitmap.kernel.fill", found.bitmaps)
        self._count_fetch(Tensor.KERNEL, found.values, found.bitmaps + found.places)

    def _kernels(self, number: int) -> KernelWords:
        """The kernels of the current ranges, off-chip or in a hold, which loops have made so many tiles before."""
        layer = self.layer
        groups, kernels, terms, _ = sides(layer)
        if layer.blocks is None:
            return dense_words(self._memory.kernel().reshape(groups, kernels, terms))
        values, bitmaps = (layer.keeps.get(each, self._dram) for each in (Tensor.KERNEL, Tensor.BITMAPS))
        streams = BlockStreams(layer, layer.blocks, values, bitmaps, self.machine.word_bits)
        found = streams.tile(number, groups, kernels, terms)
        if found.bitmaps > layer.blocks.words:
            most = f"{layer.blocks.words} words"
            raise Fault("CAT-E001", "bitmaps of a tile are larger than their place", most, str(found.bitmaps))
        return found

    def _kernel_tile(self, words: KernelWords) -> KernelTile:
        return KernelTile(self._ranges(Tensor.KERNEL), kernel_matrices(self.layer, words.matrices), words)

    def _count_fetch(self, tensor: Tensor, words: int, others: int = 0) -> None:
        """Count a tile that comes, with other words that come with it."""
        name = _NAMES[tensor]
        self.counters.add(f"dram.{name}.read", words)
        self.counters.add(f"glb.{name}.fill", words)
        self.counters.fetched(name, words + others)

    def open_output(self) -> None:
        """Begin a tile of results; sums that go on from an earlier turn come from their hold."""
        if self._results is not None and self._results.sums is not None:
            raise Fault("CAT-E003", "results are begun anew that were not stored")
        groups, kernels, _, patches = sides(self.layer)
        self._require_room(Tensor.OUTPUT, groups * kernels * patches)
        self._results = _Results(self._ranges(Tensor.OUTPUT))
        if not self.layer.begins_sums:
            self._results.sums = as_matrices(self.layer, self._memory.held_sums())

    def store(self) -> None:
        """Send the results through `post`; sums that go on in a later turn stay in a hold as they are."""
        layer, found = self.layer, self._results
        if found is None or found.sums is None or found.ranges != self._ranges(Tensor.OUTPUT):
            raise Fault("CAT-E002", "results are stored that no pass has made")
        if not found.whole:
            raise Fault("CAT-E003", "results are stored before their sums are finished")
        self.counters.add("glb.output.drain", found.sums.size)
        if not layer.finishes_sums:
            self._memory.hold_sums(as_results(layer, found.sums))
            self.counters.add("glb.output.hold", found.sums.size)
            self.counters.last, self._results = 0, None
            return
        sums = found.sums if layer.accumulators is None else layer.accumulators.restored(found.sums)
        self._memory.write(as_results(layer, sums))
        outputs = math.prod(layer.drained(layer.sizes))
        self.counters.add("glb.output.hold" if Tensor.OUTPUT in layer.keeps else "dram.output.write", outputs)
        self.counters.add("operation.post", outputs * len(layer.steps[Slot.POST]))
        for step in layer.steps[Slot.POST]:
            if step.operand is not None:
                event = "glb.extra.read" if step.operand in layer.keeps else "dram.extra.read"
                self.counters.add(event, self._distinct(layer.strides(step.operand)))
        if terms := len(layer.terms[Tensor.OUTPUT]):
            self.counters.add("dram.output.lookup", outputs)
            self.counters.add("dram.index.read", outputs * terms)
        if layer.update is not Fold.NONE:
            self.counters.add("dram.output.read", outputs)
        self.counters.last = 0 if Tensor.OUTPUT in layer.keeps else outputs
        self._results = None

    def _distinct(self, strides: Sequence[int]) -> int:
        """Words of a tensor under the current results; those that a stride of 0 repeats are read once."""
        drained = self.layer.drained(self.layer.sizes)
        sizes = [drained[3 * dim : 3 * dim + 3] for dim in range(len(strides))]
        return math.prod(math.prod(of_dim) for of_dim, stride in zip(sizes, strides, strict=True) if stride)

    def memories(self) -> dict[str, Array]:
        """Copies of the tiles on chip, by name: patches and kernels as they were brought, and results so far."""
        tiles = {
            "patches": None if self._input is None else self._input.patches.words,
            "kernels": None if self._kernel is None else self._kernel.matrices.words,
            "sums": None if self._results is None else self._results.sums,
        }
        return {name: np.array(words) for name, words in tiles.items() if words is not None}

    # Passes -----------------------------------------------------------------------------------------------------------

    def multiply(self, number: int) -> None:
        """Make patches and fold them with the kernels into the results: with tile `number` of those that are held."""
        layer, results = self.layer, self._results
        if Tensor.INPUT in layer.keeps:
            self._input = self._patches_there()
        if Tensor.KERNEL in layer.keeps and layer.main is not None:
            self._kernel = self._kernel_tile(self._kernels(number))
            self.counters.add("bitmap.kernel.read", self._kernel.words.places)
        values = self._there(self._input, Tensor.INPUT)
        kernel = self._there(self._kernel, Tensor.KERNEL) if layer.main is not None else None
        if results is None or results.ranges != self._ranges(Tensor.OUTPUT):
            raise Fault("CAT-E002", "a pass has no results that it adds to")
        self._require_registers()
        sums, work = self._work(values, kernel)
        is_first, is_last = layer.is_first_pass(), layer.is_last_pass()
        if is_first:
            self.counters.add("glb.output.first", sums.size)
        else:
            if results.sums is None:
                raise Fault("CAT-E002", "sums go on that were never begun")
            with np.errstate(all="ignore"):
                sums = FOLDS[layer.fold](results.sums, sums)
            self.counters.add("glb.output.read", sums.size)
        if layer.accumulators is not None:
            sums, lost = layer.accumulators.wrapped(sums)
            self.counters.add("operation.overflow", lost)
        results.sums, results.whole = sums, layer.is_last_of_turn()
        self.counters.add("glb.output.last" if is_last else "glb.output.write", sums.size)
        self._count(work, has_kernel=kernel is not None)

    def _summed(self, patches: Factor, kernel: Factor | None) -> Array:
        """Results of a pass, before they are added to others."""
        if self.layer.accumulators is None or kernel is None:
            return reduced(self.layer, patches, kernel)
        return self.layer.accumulators.summed(kernel, patches)

    def _require_registers(self) -> None:
        array, kernels = self.machine.array, sides(self.layer)[1]
        most = array.rows // self.layer.split * array.accumulators
        if kernels > most:
            message = "a pass has more kernels than elements keep results of"
            raise Fault("CAT-E003", message, f"{most} kernels", str(kernels))

    def _work(self, values: InputTile, kernel: KernelTile | None) -> tuple[Array, PassWork]:
        """Results of a pass before they are added to others, and what was done for them: all words at a time."""
        layer, array = self.layer, self.machine.array
        groups, kernels, terms, patches = sides(layer)
        rows = array.rows // layer.split
        columns = self._columns(patches)
        live = np.full(len(columns), groups * terms, np.int64)
        stored = live * kernels
        if values.live is not None and kernel is not None:
            there = values.live.reshape(groups * terms, -1).astype(np.float64)
            live, stored = (
                (each.reshape(-1).astype(np.float64) @ there).astype(np.int64)
                for each in (kernel.words.columns, kernel.words.stored)
            )
        worked, carried_out = int(live @ columns), int(stored @ columns)
        return self._summed(values.patches, None if kernel is None else kernel.matrices), PassWork(
            cycles=int(live.sum()) * -(-kernels // rows),
            columns=worked,
            kernels=0 if kernel is None else int(stored.sum()),
            skipped=groups * kernels * terms * patches - worked * kernels,
            gated=worked * kernels - carried_out,
            rows=groups * len(columns) * -(-terms // self.machine.im2col.rows_per_cycle),
            lookups=0 if kernel is None else kernel.words.bitmaps * len(columns),
            peak=min(kernels, rows) * int(columns.max()),
        )

    def _count(self, work: PassWork, *, has_kernel: bool) -> None:
        """Count what the array and the im2col units did in a pass."""
        layer, array, counters = self.layer, self.machine.array, self.counters
        groups, kernels, terms, patches = sides(layer)
        counters.array += work.cycles
        counters.patches += work.rows
        counters.filling += array.rows // layer.split + array.cols - 2 if array.fills else 0
        counters.passes += 1
        counters.peak = max(counters.peak, work.peak)
        trips = groups * kernels * terms * patches
        counters.add("operation.mac" if layer.is_multiply_accumulate else "operation.other", trips)
        counters.add("operation.skipped", work.skipped)
        counters.add("operation.gated", work.gated)
        counters.add("array.input.deliver", work.columns)
        if has_kernel:
            counters.add("bitmap.kernel.read", work.lookups)
            counters.add("glb.kernel.read", work.kernels)
            counters.add("array.kernel.deliver", work.kernels * layer.split)
        self._count_patches(groups)

    def _columns(self, patches: int) -> npt.NDArray[np.int64]:
        """How many patches all arrays together take at a time, one time after another."""
        columns = self.layer.split * self.machine.array.cols
        return np.minimum(patches - np.arange(0, patches, columns), columns)

    def _live_blocks(self, values: Factor) -> Live:
        """Which indices have a word other than zero among the patches that all arrays take at a time.

        Indices that share a bit are live together. The result is (groups, terms, times).
        """
        words = values.words != 0
        groups, terms, patches = words.shape
        columns = self.layer.split * self.machine.array.cols
        whole = patches // columns
        found = np.zeros((groups, terms, -(-patches // columns)), np.bool_)
        found[:, :, :whole] = words[:, :, : whole * columns].reshape(groups, terms, whole, columns).any(axis=3)
        if patches % columns:
            found[:, :, whole] = words[:, :, whole * columns :].any(axis=2)
        rows = self.machine.im2col.block_rows
        if rows > 1:
            starts: list[int] = list(range(0, terms, rows))
            found = np.repeat(np.logical_or.reduceat(found, starts, axis=1), rows, axis=1)[:, :terms]
        return found

    def _count_patches(self, groups: int) -> None:
        found = self._units.make(groups)
        self.counters.add("glb.input.read", groups * found.memory)
        self.counters.add("patch.neighbour", groups * found.neighbour)
        self.counters.add("patch.reserve", groups * found.reserve)

    # Tiles ------------------------------------------------------------------------------------------------------------

    def _ranges(self, tensor: Tensor) -> tuple[tuple[int, ...], ...]:
        """The current ranges of the loops that a tensor depends on."""
        kinds = _RELEVANT[tensor]
        return tuple(
            tuple(dim[kind] for kind in kinds) for dims in (self.layer.starts, self.layer.sizes) for dim in dims
        )

    def _there(self, tile: Any, tensor: Tensor) -> Any:
        if tile is None or tile.ranges != self._ranges(tensor):
            raise Fault("CAT-E002", f"a pass needs a tile of {tensor.name} that was not loaded")
        return tile

    def _require_room(self, tensor: Tensor, words: int) -> None:
        place = self.layer.tiles.get(tensor)
        if place is None:
            raise Fault("CAT-E003", f"{tensor.name} has no place")
        if words > place.words:
            raise Fault(
                "CAT-E001", f"a tile of {tensor.name} is larger than its place", f"{place.words} words", str(words)
            )
