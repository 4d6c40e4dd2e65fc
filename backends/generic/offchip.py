"""The outermost memory as a layer sees it: where its words are, `pre` on the way in, `post` on the way out.

Words are asked for by the current ranges of the layer, a block at a time, or one by one by their indices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from backends.effects import by_kind
from backends.fields import Array
from backends.spatial.addresses import UPDATES, Walk, computed_addresses, counted, input_walk
from backends.spatial.codes import INDICES, Fold, Kind, Slot, Tensor
from backends.spatial.held import held_input
from backends.spatial.holds import HoldState, grid
from backends.spatial.layer import Existing, LayerState, input_tile, run_steps
from backends.spatial.memory import Fault, MemoryBank
from dialects.gconv.scalar import scalar_of

Indices = npt.NDArray[np.int64]
"""Words by their indices, one row each: per dimension those that the tensor is indexed by."""


class OffChip:
    """The words of one layer in the outermost memory."""

    def __init__(self, layer: LayerState, dram: MemoryBank):
        self._layer, self._dram = layer, dram

    def _where(self, tensor: Tensor) -> MemoryBank | HoldState:
        """What has a tensor's words: the outermost memory, or the hold that keeps it."""
        return self._layer.keeps.get(tensor, self._dram)

    # Blocks -----------------------------------------------------------------------------------------------------------

    def input(self) -> Array:
        """The input of the current ranges after `pre`, as (groups, positions) per dimension, padding filled in."""
        layer, tile = self._layer, input_tile(self._layer)
        there = Existing.of(layer, tile)
        dtype = layer.address(Tensor.INPUT).dtype
        words = np.zeros(there.shape, dtype)
        if words.size:
            groups = [g for g, _ in tile.groups]
            if Tensor.INPUT in layer.keeps:
                words = held_input(layer, there, groups)
            else:
                words = self._input(there.shape, groups, there.firsts)
            words = run_steps(layer.steps[Slot.PRE], words)
        if words.shape == tile.shape and words.flags.c_contiguous:
            return words
        padded = np.full(tile.shape, scalar_of(layer.padding, words.dtype), words.dtype)
        padded[there.inside] = words
        return padded

    def _input(self, shape: Sequence[int], groups: Sequence[int], firsts: Sequence[int]) -> Array:
        words = input_walk(self._layer, Tensor.INPUT, groups, firsts)
        terms = self._layer.terms[Tensor.INPUT]
        if not terms:
            return self._dram.read(words.address, shape, words.strides, words.dtype)
        index = input_walk(self._layer, INDICES[Tensor.INPUT], groups, firsts)
        addresses, _ = computed_addresses(self._dram, shape, words, index, terms)
        return self._dram.gather(addresses, words.dtype)

    def kernel(self) -> Array:
        """The kernel of the current ranges, as (g..., op..., ks...)."""
        layer = self._layer
        source = layer.address(Tensor.KERNEL)
        address = source.address
        axes: list[list[tuple[int, int]]] = [[], [], []]
        for dim, stride, start, size in zip(
            layer.dims, layer.strides(Tensor.KERNEL), layer.starts, layer.sizes, strict=True
        ):
            _, parallel, _, taps = dim.counts
            address += stride * ((start[Kind.G] * parallel + start[Kind.OP]) * taps + start[Kind.KS])
            for axis, kind, step in zip(axes, (Kind.G, Kind.OP, Kind.KS), (parallel * taps, taps, 1), strict=True):
                axis.append((size[kind], stride * step))
        shape, strides = ([part[side] for axis in axes for part in axis] for side in (0, 1))
        return self._where(Tensor.KERNEL).read(address, shape, strides, source.dtype)

    def write(self, sums: Array) -> None:
        """Send finished sums of the current ranges, (g, op, opc) of every dimension in turn, through `post`."""
        layer = self._layer
        shape = layer.drained(layer.sizes)
        flowing = np.broadcast_to(sums.astype(layer.acc, copy=False), shape)
        values = run_steps(layer.steps[Slot.POST], flowing, self._extra)
        with np.errstate(invalid="ignore"):
            values = values.astype(layer.address(Tensor.OUTPUT).dtype, copy=False)
        words = self._output_walk(Tensor.OUTPUT)
        terms = layer.terms[Tensor.OUTPUT]
        if not terms:
            self._require_no_update()
            if Tensor.OUTPUT in layer.keeps:
                layer.keeps[Tensor.OUTPUT].scatter(grid(words.address, shape, words.strides), values.reshape(shape))
            else:
                self._dram.window(words.address, shape, words.strides, words.dtype)[...] = values
            return
        index = self._output_walk(INDICES[Tensor.OUTPUT])
        addresses, _ = computed_addresses(self._dram, shape, words, index, terms)
        self._dram.scatter(addresses, np.broadcast_to(values, shape), UPDATES[layer.update])

    def held_sums(self) -> Array:
        """The sums that an earlier turn left unfinished, of the current ranges as `write` takes them."""
        return self._layer.keeps[Tensor.OUTPUT].sums(self._sums_addresses())

    def hold_sums(self, sums: Array) -> None:
        """Leave sums of the current ranges for a later turn."""
        self._layer.keeps[Tensor.OUTPUT].put_sums(self._sums_addresses(), sums)

    def held_results(self) -> Array:
        """What a hold has of the results of the current ranges, as (groups, kernels, outputs)."""
        walk, shape = self._output_walk(Tensor.OUTPUT), self._layer.drained(self._layer.sizes)
        words = self._layer.keeps[Tensor.OUTPUT].read(walk.address, shape, walk.strides, walk.dtype)
        return by_kind(words, len(self._layer.dims))

    def _sums_addresses(self) -> Indices:
        """Where unfinished sums of the current ranges lie: where the first of their results will."""
        words = self._output_walk(Tensor.OUTPUT)
        shape = [size[kind] for size in self._layer.sizes for kind in (Kind.G, Kind.OP, Kind.OPC)]
        return grid(words.address, shape, words.strides)

    def _require_no_update(self) -> None:
        if self._layer.update is not Fold.NONE:
            raise Fault("CAT-E003", "an output is updated that has no computed addresses")

    def _output_walk(self, tensor: Tensor) -> Walk:
        target = self._layer.address(tensor)
        address, strides = target.address, list[int]()
        for dim, stride, start in zip(self._layer.dims, self._layer.strides(tensor), self._layer.starts, strict=True):
            _, parallel, positions, _ = dim.counts
            address += stride * ((start[Kind.G] * parallel + start[Kind.OP]) * positions + start[Kind.OPC])
            strides += [stride * parallel * positions, stride * positions, stride]
        return Walk(address, strides, target.dtype)

    def _extra(self, tensor: Tensor) -> Array:
        walk = self._output_walk(tensor)
        sizes = self._layer.drained(self._layer.sizes)
        shape = [1 if stride == 0 else size for size, stride in zip(sizes, walk.strides, strict=True)]
        return self._where(tensor).read(walk.address, shape, walk.strides, walk.dtype)

    # Single words -----------------------------------------------------------------------------------------------------

    def input_words(self, words: Indices) -> Array:
        """Input words after `pre`, by group and padded position of every dimension."""
        layer = self._layer
        positions = np.zeros((len(words), len(layer.dims)), np.int64)
        exist = np.ones(len(words), np.bool_)
        for number, dim in enumerate(layer.dims):
            group, position = words[:, 2 * number], words[:, 2 * number + 1]
            exist &= (position % dim.up == 0) & (position >= 0) & (position < dim.extent * dim.up)
            positions[:, number] = group * dim.extent + position // dim.up
        source = layer.address(Tensor.INPUT)
        result = np.full(len(words), scalar_of(layer.padding, source.dtype), source.dtype)
        if exist.any():
            addresses = self._addresses(Tensor.INPUT, positions[exist])
            found = self._where(Tensor.INPUT).gather(addresses, source.dtype)
            found = run_steps(layer.steps[Slot.PRE], found)
            if found.dtype != result.dtype:
                result = np.full(len(words), scalar_of(layer.padding, found.dtype), found.dtype)
            result[exist] = found
        return result

    def kernel_words(self, words: Indices) -> Array:
        """Kernel words, by g, op and ks of every dimension."""
        positions = np.stack(
            [
                (words[:, 3 * d] * dim.counts[Kind.OP] + words[:, 3 * d + 1]) * dim.counts[Kind.KS]
                + words[:, 3 * d + 2]
                for d, dim in enumerate(self._layer.dims)
            ],
            axis=1,
        )
        source = self._layer.address(Tensor.KERNEL)
        return self._where(Tensor.KERNEL).gather(self._addresses(Tensor.KERNEL, positions), source.dtype)

    def write_words(self, words: Indices, sums: Array) -> dict[Tensor, int]:
        """Send finished sums, by g, op and opc of every dimension, through `post`; the words of each extra tensor read.

        A word of a further tensor is read once for all of these sums that it is repeated for.
        """
        layer = self._layer
        words, sums = self._repeated(words, sums)
        positions = self._output_positions(words)
        read: dict[Tensor, int] = {}

        def extra(tensor: Tensor) -> Array:
            strides = layer.strides(tensor)
            kept = positions * np.array([stride != 0 for stride in strides])
            read[tensor] = read.get(tensor, 0) + len(np.unique(kept, axis=0))
            return self._where(tensor).gather(self._addresses(tensor, positions), layer.address(tensor).dtype)

        values = run_steps(layer.steps[Slot.POST], sums.astype(layer.acc, copy=False), extra)
        target = layer.address(Tensor.OUTPUT)
        with np.errstate(invalid="ignore"):
            values = values.astype(target.dtype, copy=False)
        combine = UPDATES[layer.update]
        if not layer.terms[Tensor.OUTPUT]:
            self._require_no_update()
            combine = None
        self._where(Tensor.OUTPUT).scatter(self._addresses(Tensor.OUTPUT, positions), values, combine)
        return read

    def held_words(self, words: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], Array]:
        """Unfinished sums that lie in the hold of the result, by g, op and opc of every dimension."""
        addresses = self._addresses(Tensor.OUTPUT, self._output_positions(np.array(words, np.int64)))
        return dict(zip(words, self._layer.keeps[Tensor.OUTPUT].sums(addresses), strict=True))

    def hold_words(self, words: Indices, sums: Array) -> None:
        """Leave sums in the hold of the result for a later turn."""
        addresses = self._addresses(Tensor.OUTPUT, self._output_positions(words))
        self._layer.keeps[Tensor.OUTPUT].put_sums(addresses, sums)

    def _repeated(self, words: Indices, sums: Array) -> tuple[Indices, Array]:
        """In a layer without a kernel every sum is a result of all parallel kernels."""
        if self._layer.main is not None:
            return words, sums
        for number in range(len(self._layer.dims)):
            wanted = self._layer.repeated(number)
            if len(wanted) > 1:
                repeated = np.tile(np.array(wanted), len(words))
                words, sums = np.repeat(words, len(wanted), axis=0), np.repeat(sums, len(wanted))
                words[:, 3 * number + 1] = repeated
        return words, sums

    def _output_positions(self, words: Indices) -> Indices:
        return np.stack(
            [
                (words[:, 3 * d] * dim.counts[Kind.OP] + words[:, 3 * d + 1]) * dim.counts[Kind.OPC]
                + words[:, 3 * d + 2]
                for d, dim in enumerate(self._layer.dims)
            ],
            axis=1,
        )

    def _addresses(self, tensor: Tensor, positions: Indices) -> Indices:
        """Where words are, by their position in every dimension, computed by an index if the tensor has one."""
        layer = self._layer
        addresses = self._plain(tensor, positions)
        for term in layer.terms.get(tensor, ()):
            index = INDICES[tensor]
            found = self._dram.gather(self._plain(index, positions) + term.place, layer.address(index).dtype)
            addresses = addresses + term.step * counted(found, term.extent)
        return addresses

    def _plain(self, tensor: Tensor, positions: Indices) -> Indices:
        strides: Sequence[int] = self._layer.strides(tensor)
        return self._layer.address(tensor).address + positions @ np.array(strides, np.int64)
