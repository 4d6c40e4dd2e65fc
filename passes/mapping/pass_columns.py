"""Cycles of the array for columns of candidates: the time of every pass and of every load of kernels, summed.

Passes are of few shapes. A loop is cut into whole tiles and perhaps a smaller last one; a shape is one or the other for
every loop, and takes as long as the longest of its parts. Shapes lie along axes before that of the candidates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dialects.array_machine import Machine
from dialects.gconv import Dim, GConv, LoopKind
from dialects.schedule import Loop
from passes.mapping.columns import Column, Costs, Tiles, filter_passes

_ONE = np.ones(1, np.int64)


@dataclass(frozen=True)
class _Pieces:
    """What passes have of a loop: sizes, how often there is each, and indices in an element at most."""

    sizes: Column
    times: Column
    inner: Column

    @property
    def elements(self) -> Column:
        """Elements that each piece lies on."""
        return -(-self.sizes // self.inner)


_NONE = _Pieces(_ONE, _ONE, _ONE)
"""A loop of one index."""


class PassColumns:
    """Counts cycles of a link's candidates on a machine; `rest` is how often loops without a part run, by kind."""

    def __init__(self, spec: GConv, machine: Machine, rest: Mapping[LoopKind, int]):
        self.spec, self.machine, self.rest = spec, machine, rest
        self.extents = {Loop(dim.name, kind): spec.worked(dim, kind) for dim in spec.dims for kind in LoopKind}

    def cycles(self, tiles: Tiles, loads: Column | None, buffered: tuple[Loop | None, Column] | None = None) -> Costs:
        """Cycles of all passes and loads of candidates with these tiles, all of one row; `loads` if there are kernels.

        `loads` is how often all kernels are loaded; `buffered` the loop of filters and how many of these are in the
        buffer, where they are not whole passes.
        """
        pieces = self._pieces(tiles, buffered or (None, _ONE))
        times = math.prod((each.times for each in pieces.values()), start=np.asarray(math.prod(self.rest.values())))
        total = _summed(times * self._of_passes(pieces))
        return total if loads is None else total + loads * self._of_kernels(pieces)

    def _pieces(self, tiles: Tiles, buffered: tuple[Loop | None, Column]) -> dict[Loop, _Pieces]:
        """The pieces of every loop with several indices; those with a smaller last one have an axis of their own."""
        found: dict[Loop, _Pieces] = {}
        axes = 0
        for loop, (tile, inner) in tiles.items():
            if self.extents[loop] == 1:
                continue
            tile = np.atleast_1d(tile)
            if loop == buffered[0]:
                sizes, times = filter_passes(self.extents[loop], buffered[1], tile)
                shape = (3, *(1,) * axes, sizes.shape[1])
                found[loop] = _Pieces(sizes.reshape(shape), times.reshape(shape), inner)
                axes += 1
                continue
            whole, last = np.divmod(self.extents[loop], tile)
            if not last.any():
                found[loop] = _Pieces(tile, whole, inner)
                continue
            shape = (2, *(1,) * axes, len(tile))
            sizes, times = np.stack((tile, last)), np.stack((whole, np.minimum(last, 1)))
            found[loop] = _Pieces(sizes.reshape(shape), times.reshape(shape), inner)
            axes += 1
        return found

    def _of_passes(self, pieces: Mapping[Loop, _Pieces]) -> Costs:
        """Cycles of a pass of every shape."""
        links, pipeline = self.machine.links, self.machine.pipeline
        compute = outputs = words = begin = chain = _ONE
        for dim in self.spec.dims:
            g, op, opc, ks = (pieces.get(Loop(dim.name, kind), _NONE) for kind in LoopKind)
            words = words * (g.sizes * ((opc.sizes - 1) * dim.stride + (ks.sizes - 1) * dim.dilation + 1))
            outputs = outputs * (g.sizes * op.sizes * opc.sizes)
            compute = math.prod((np.minimum(each.sizes, each.inner) for each in (g, op, opc, ks)), start=compute)
            if pipeline is not None:
                begin = begin * (g.elements * _first_positions(dim, opc, ks.sizes))
                chain = chain * ks.elements
        moving = np.maximum(_cycles(words, links.input_bus), _cycles(outputs, links.output_bus))
        if pipeline is None:
            return np.maximum(compute, moving)
        longest: Costs = np.maximum(compute + _cycles(begin, links.input_bus), moving)
        return longest + (pipeline.stages + chain - 1)

    def _of_kernels(self, pieces: Mapping[Loop, _Pieces]) -> Costs:
        """Cycles in which all kernels come to the array once."""
        loaded = [each for loop, each in pieces.items() if loop.kind is not LoopKind.OPC]
        words = math.prod((each.sizes for each in loaded), start=_ONE)
        times = math.prod((each.times for each in loaded), start=_ONE)
        rest = math.prod(count for kind, count in self.rest.items() if kind is not LoopKind.OPC)
        return _summed(times * _cycles(words, self.machine.links.kernel_bus)) * rest


def _first_positions(dim: Dim, outputs: _Pieces, taps: Column) -> Column:
    """Positions of one dimension that the elements of a pass begin with: all taps of the first output of each."""
    step = outputs.inner * dim.stride
    common = np.gcd(step, dim.dilation)
    across, along = dim.dilation // common, step // common
    firsts = outputs.elements
    return firsts * taps - np.maximum(firsts - across, 0) * np.maximum(taps - along, 0)


def _cycles(words: Column, rate: float) -> Costs:
    """Whole cycles that words take on a bus."""
    return np.ceil(words / rate)


def _summed(cycles: Costs) -> Costs:
    """The sum over all axes but that of the candidates."""
    return cycles.sum(axis=tuple(range(cycles.ndim - 1)))
