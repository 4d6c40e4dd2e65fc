"""Computed addresses: the words of a tensor that its index tensor names, for one tile of a transfer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.fields import Array
from backends.spatial.codes import Fold, Tensor
from backends.spatial.layer import FOLDS, LayerState, TermConfig
from backends.spatial.memory import Addresses, Fault, MemoryBank
from dialects.gconv.indexed import IndexProblem

UPDATES: dict[Fold, np.ufunc | None] = {
    Fold.NONE: None,
    **FOLDS,
}
"""What a store does with words at computed addresses, None for replacing them."""


@dataclass(frozen=True)
class Walk:
    """Words of a tensor in the order in which a transfer goes through them."""

    address: int
    strides: Sequence[int]
    dtype: np.dtype[Any]


def input_walk(layer: LayerState, tensor: Tensor, groups: Sequence[int], positions: Sequence[int]) -> Walk:
    """Through a tensor laid out like the input, from the given group and position of every dimension on."""
    source = layer.address(tensor)
    address, strides = source.address, list[int]()
    for dim, stride, group, position in zip(layer.dims, layer.strides(tensor), groups, positions, strict=True):
        address += stride * (group * dim.extent + position)
        strides += [stride * dim.extent, stride]
    return Walk(address, strides, source.dtype)


def computed_addresses(
    dram: MemoryBank, shape: Sequence[int], words: Walk, index: Walk, terms: Sequence[TermConfig]
) -> tuple[Addresses, int]:
    """The address of every word of a tile, and how many index words were read for them.

    An index word that repeats along a dimension is read once. Raises `Fault` CAT-E001 for an index out of range, and
    what reading the index raises.
    """
    result = np.full(shape, words.address, np.int64)
    for axis, (size, stride) in enumerate(zip(shape, words.strides, strict=True)):
        result += (np.arange(size) * stride).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    read = [1 if stride == 0 else size for size, stride in zip(shape, index.strides, strict=True)]
    for term in terms:
        found = dram.read(index.address + term.place, read, index.strides, index.dtype)
        result += term.step * counted(found, term.extent)
    return result, math.prod(read) * len(terms)


def counted(index: Array, extent: int) -> Addresses:
    """Indices counted from the beginning; negative ones count from the end."""
    if index.dtype.kind not in "iu":
        raise Fault("CAT-E003", "an index is no integer", found=index.dtype.name)
    outside = (index < -extent) | (index >= extent)
    if outside.any():
        problem = IndexProblem.of(extent, int(index[outside].flat[0]))
        raise Fault("CAT-E001", problem.message, problem.expected, problem.found, problem.hint)
    whole = index.astype(np.int64)
    return np.where(whole < 0, whole + extent, whole)
