"""The input of a layer of a fused group as its hold has it: only words that a window touches, no padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from backends.fields import Array
from backends.spatial.addresses import input_walk
from backends.spatial.codes import Kind, Tensor
from backends.spatial.layer import Dimension, Existing, LayerState

Positions = npt.NDArray[np.int64]


def touched(dim: Dimension, start: Sequence[int], size: Sequence[int]) -> Positions:
    """The positions of a group that windows touch in ranges of (g, op, opc, ks), and that the tensor has, in order."""
    outputs = (start[Kind.OPC] + np.arange(size[Kind.OPC])) * dim.stride
    taps = (start[Kind.KS] + np.arange(size[Kind.KS])) * dim.dilation
    places = np.unique(np.add.outer(outputs, taps)) - dim.pad
    places = places[places % dim.up == 0] // dim.up
    return places[(places >= 0) & (places < dim.extent)]


def held_input(layer: LayerState, there: Existing, groups: Sequence[int]) -> Array:
    """The words of the part of a tile that exists, from the layer's hold; 0 stands for those that no window touches.

    Raises `Fault` for elements that are not there.
    """
    words = input_walk(layer, Tensor.INPUT, groups, there.firsts)
    inside: list[Positions] = []
    for index, dim in enumerate(layer.dims):
        positions = touched(dim, layer.starts[index], layer.sizes[index])
        inside += [np.arange(there.shape[2 * index]), positions - there.firsts[index]]
    addresses: Positions = np.array(words.address, np.int64)
    for indices, stride in zip(inside, words.strides, strict=True):
        addresses = addresses[..., np.newaxis] + indices * stride
    found = np.zeros(there.shape, words.dtype)
    found[np.ix_(*inside)] = layer.keeps[Tensor.INPUT].gather(addresses, words.dtype)
    return found
