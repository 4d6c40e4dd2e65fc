"""What a layer computes, a block at a time: as many words as fit a moderate amount of the emulator's own memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from backends.fields import Array
from backends.generic.nest import NestLayer
from backends.generic.offchip import OffChip
from backends.spatial.codes import Fold, Kind, Slot, Tensor
from backends.spatial.layer import FOLDS, LayerState, input_tile, row_major, run_steps
from dialects.dtypes import as_storage
from dialects.gconv.contraction import Factor, product
from dialects.gconv.scalar import apply

BLOCK = 1 << 24
"""Words of a block of intermediate values, about."""


def compute_layer(layer: NestLayer, memory: OffChip) -> None:
    """Compute all outputs of a layer and write them to memory; in a group, sums may go on from turn to turn."""
    for _ in _blocks(layer, _parallel(layer)):
        sums = sums_of(layer, memory)
        if not layer.begins_sums:
            sums = FOLDS[layer.fold](memory.held_sums(), sums)
        if layer.finishes_sums:
            memory.write(sums)
        else:
            memory.hold_sums(sums)


def _parallel(layer: NestLayer) -> list[tuple[int, Kind]]:
    """Loops along which a layer may be computed block by block; updates stay in their order, in one block."""
    if layer.terms[Tensor.OUTPUT]:
        return []
    kinds = [Kind.G, Kind.OPC, *([Kind.OP] if layer.main is not None else [])]
    return [(dim, kind) for dim in range(len(layer.dims)) for kind in kinds]


def _blocks(layer: NestLayer, loops: Sequence[tuple[int, Kind]]) -> Iterator[None]:
    """Put the layer's ranges on one block after another."""
    longest = max(loops, key=lambda loop: layer.sizes[loop[0]][loop[1]], default=None)
    if longest is None or _words(layer) <= BLOCK or layer.sizes[longest[0]][longest[1]] == 1:
        yield
        return
    dim, kind = longest
    start, size = layer.starts[dim][kind], layer.sizes[dim][kind]
    half = size // 2
    for begin, length in ((start, half), (start + half, size - half)):
        layer.starts[dim][kind], layer.sizes[dim][kind] = begin, length
        yield from _blocks(layer, loops)
    layer.starts[dim][kind], layer.sizes[dim][kind] = start, size


def _total(layer: LayerState, *kinds: Kind) -> int:
    return math.prod(size[kind] for size in layer.sizes for kind in kinds)


def _words(layer: NestLayer) -> int:
    """Words of the largest intermediate block of the current ranges."""
    words = _total(layer, Kind.G, Kind.KS, Kind.OPC)
    is_product = layer.is_multiply_accumulate and not layer.steps[Slot.MID]
    return max(words if is_product else words * _total(layer, Kind.OP), _total(layer, Kind.G, Kind.OP, Kind.OPC))


def sums_of(layer: NestLayer, memory: OffChip) -> Array:
    """The results of the current ranges before `post`, as (g, op, opc) of every dimension in turn."""
    values = Factor(unrolled(layer, memory.input()), layer.partial)
    kernel = None if layer.main is None else kernel_matrices(layer, memory.kernel())
    return as_results(layer, reduced(layer, values, kernel))


def sides(layer: LayerState) -> tuple[int, int, int, int]:
    """Groups, kernels, reduced indices and patches of the current ranges."""
    groups, kernels, terms, outputs = (_total(layer, kind) for kind in (Kind.G, Kind.OP, Kind.KS, Kind.OPC))
    return groups, kernels, terms, outputs


def kernel_matrices(layer: LayerState, kernel: Array) -> Factor:
    """The kernel of the current ranges, given as (g..., op..., ks...), as one matrix (kernels, terms) a group."""
    groups, kernels, terms, _ = sides(layer)
    return Factor(kernel.reshape(groups, kernels, terms), layer.partial)


def reduced(layer: LayerState, values: Factor, kernel: Factor | None) -> Array:
    """Main, mid and reduction on matrices (groups, terms, patches) of inputs, as (groups, kernels, patches)."""
    groups, kernels, terms, outputs = sides(layer)
    if kernel is not None and layer.is_multiply_accumulate and not layer.steps[Slot.MID]:
        return product(kernel, values, terms)
    block = values.words[:, None]
    if kernel is not None:
        assert layer.main is not None
        wide = np.broadcast_to(block, (groups, kernels, terms, outputs))
        block = apply(layer.main, wide, kernel.words[..., None])
    block = run_steps(layer.steps[Slot.MID], block)
    return block[:, :, 0] if layer.fold is Fold.NONE else FOLDS[layer.fold].reduce(block, axis=2)


def as_results(layer: LayerState, sums: Array) -> Array:
    """Sums (groups, kernels, patches) of the current ranges as (g, op, opc) of every dimension in turn."""
    kinds = (Kind.G, Kind.OP, Kind.OPC)
    sums = sums.reshape([size[kind] for kind in kinds for size in layer.sizes])
    rank = len(layer.sizes)
    return sums.transpose([part * rank + dim for dim in range(rank) for part in range(len(kinds))])


def as_matrices(layer: LayerState, results: Array) -> Array:
    """The inverse of `as_results`."""
    rank = len(layer.sizes)
    parts = results.transpose([3 * dim + part for part in range(3) for dim in range(rank)])
    groups, kernels, _, outputs = sides(layer)
    return np.ascontiguousarray(parts).reshape(groups, kernels, outputs)


def unrolled(layer: LayerState, padded: Array) -> Array:
    """The input words of the current ranges, given with padding, as one matrix (terms, patches) a group."""
    assert padded.shape == input_tile(layer).shape
    groups, _, terms, outputs = sides(layer)
    strides = row_major(padded.shape)
    axes = [(size[Kind.G], strides[2 * d]) for d, size in enumerate(layer.sizes)]
    axes += [(s[Kind.KS], strides[2 * d + 1] * layer.dims[d].dilation) for d, s in enumerate(layer.sizes)]
    axes += [(s[Kind.OPC], strides[2 * d + 1] * layer.dims[d].stride) for d, s in enumerate(layer.sizes)]
    shape, steps = [n for n, _ in axes], [s * padded.itemsize for _, s in axes]
    stored = as_storage(padded)
    windows = np.lib.stride_tricks.as_strided(stored, shape, steps, writeable=False)
    return np.ascontiguousarray(windows).view(padded.dtype).reshape(groups, terms, outputs)
