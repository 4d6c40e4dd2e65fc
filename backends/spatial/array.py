"""How a processing pass lies on the array: which element works on which indices, and what that moves.

Counts are taken over the actual pieces and positions of the pass; nothing here knows about mappings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from backends.spatial.codes import Axis, Kind
from backends.spatial.layer import LayerState, SpreadConfig
from backends.spatial.memory import Fault
from dialects.array_machine import Machine

Piece = tuple[int, int]
"""(start, size) of a range of indices, relative to the pass."""


def pieces_of(size: int, spreads: list[SpreadConfig]) -> list[list[Piece]]:
    """The pieces of a range per spread level and, last, per element: `result[-1]` is what each element gets."""
    levels: list[list[Piece]] = [[(0, size)]]
    for spread in spreads:
        levels.append(
            [
                (start + begin, min(spread.tile, length - begin))
                for start, length in levels[-1]
                for begin in range(0, length, spread.tile)
            ]
        )
    return levels


@dataclass(frozen=True)
class Layout:
    """A pass on the array: per dimension and kind the pieces that elements get.

    `sliding` is the dimension along which an element slides its window and keeps the words that neighbours share.
    """

    pieces: tuple[tuple[tuple[Piece, ...], ...], ...]
    sliding: int | None
    active: int
    rows: int
    cols: int

    def sizes(self, dim: int, kind: Kind) -> list[int]:
        """The sizes of the pieces of one loop."""
        return [size for _, size in self.pieces[dim][kind]]

    def largest(self, dim: int, kind: Kind) -> int:
        """The largest piece of one loop: what the busiest element works through."""
        return max(self.sizes(dim, kind))


def layout(layer: LayerState, machine: Machine, first: Layout | None = None) -> Layout:
    """Lay the current ranges over the array.

    `first` is the layout of the layer's first pass, which sets the sliding dimension for all: a short last tile does
    not turn the windows around.

    Raises `Fault` CAT-E001 if the ranges need more rows, columns or scratchpad words than there are.
    """
    used = {Axis.ROW: 1, Axis.COL: 1}
    copies = chains = 1
    pieces: list[tuple[tuple[Piece, ...], ...]] = []
    for index, sizes in enumerate(layer.sizes):
        of_dim: list[tuple[Piece, ...]] = []
        for kind in Kind:
            spreads = [s for s in layer.spreads if s.dim == index and s.kind is kind]
            levels = pieces_of(sizes[kind], spreads)
            for spread, before in zip(spreads, levels, strict=False):
                side_by_side = max(-(-length // spread.tile) for _, length in before)
                used[spread.axis] *= side_by_side
                copies *= side_by_side if kind is Kind.OPC else 1
                chains *= side_by_side if spread.axis is Axis.ROW and kind is not Kind.KS else 1
            of_dim.append(tuple(levels[-1]))
        pieces.append(tuple(of_dim))
    active = math.prod(len(p) for of_dim in pieces for p in of_dim)
    sliding = _sliding(pieces) if first is None else first.sliding
    found = Layout(tuple(pieces), sliding, active, used[Axis.ROW], used[Axis.COL])
    _require("rows of the array", machine.array.rows, found.rows)
    _require("columns of the array", machine.array.cols, found.cols)
    _require("chains of sums in a column", machine.limits.chains_per_column, chains)
    if layer.main is not None:
        _require("elements with the same kernel word", machine.limits.kernel_copies, copies)
    _check_scratchpads(layer, found, machine)
    return found


def _sliding(pieces: list[tuple[tuple[Piece, ...], ...]]) -> int | None:
    """The dimension of an element's innermost stream, if that is one of output positions."""
    for dim in range(len(pieces) - 1, -1, -1):
        if max(size for _, size in pieces[dim][Kind.OPC]) > 1:
            return dim
        if max(size for _, size in pieces[dim][Kind.G]) > 1:
            return None
    return None


def _check_scratchpads(layer: LayerState, found: Layout, machine: Machine) -> None:
    inputs = outputs = kernels = 1
    for index, dim in enumerate(layer.dims):
        taps = found.largest(index, Kind.KS)
        inputs *= (taps - 1) * dim.dilation + 1 if index == found.sliding else taps
        outputs *= found.largest(index, Kind.OP)
        kernels *= found.largest(index, Kind.G) * found.largest(index, Kind.OP) * taps
    _require("words of the input scratchpad", machine.pe.input_words, inputs)
    _require("words of the output scratchpad", machine.pe.output_words, outputs)
    if layer.main is not None:
        _require("words of the kernel scratchpad", machine.pe.kernel_words, kernels)


def _require(what: str, limit: int, value: int) -> None:
    if value > limit:
        raise Fault("CAT-E001", f"a pass needs more {what} than there are", f"at most {limit}", str(value))


def delivered_inputs(layer: LayerState, found: Layout) -> int:
    """Input words sent to elements in a pass, counted per receiver; an element keeps the words its window shares."""
    total = 1
    for index, dim in enumerate(layer.dims):
        words = 0
        for outputs in found.sizes(index, Kind.OPC):
            for taps in found.sizes(index, Kind.KS):
                if index == found.sliding:
                    positions = np.add.outer(np.arange(outputs) * dim.stride, np.arange(taps) * dim.dilation)
                    words += int(np.unique(positions).size)
                else:
                    words += outputs * taps
        total *= words * sum(found.sizes(index, Kind.G)) * len(found.sizes(index, Kind.OP))
    return total


def delivered_kernels(layer: LayerState, found: Layout) -> int:
    """Kernel words sent to elements, counted per receiver."""
    total = 1
    for index in range(len(layer.dims)):
        total *= math.prod(sum(found.sizes(index, kind)) for kind in (Kind.G, Kind.OP, Kind.KS))
        total *= len(found.sizes(index, Kind.OPC))
    return total


def busiest_cycles(layer: LayerState, found: Layout) -> int:
    """Operations of the element with most work: the compute cycles of the pass."""
    return math.prod(found.largest(index, kind) for index in range(len(layer.dims)) for kind in Kind)


def first_windows(layer: LayerState, found: Layout) -> int:
    """Distinct input words that the elements need before all of them can begin: the taps of their first outputs."""
    total = 1
    for index, dim in enumerate(layer.dims):
        outputs = np.array([start for start, _ in found.pieces[index][Kind.OPC]])
        taps = np.arange(sum(found.sizes(index, Kind.KS)))
        positions = np.add.outer(outputs * dim.stride, taps * dim.dilation)
        total *= len(found.sizes(index, Kind.G)) * int(np.unique(positions).size)
    return total


def pass_cycles(machine: Machine, busiest: int, first: int, words: int, outputs: int, chain: int) -> int:
    """The longest of computing, feeding inputs and moving sums either way.

    `busiest` are the operations of the element with most work, `words` and `outputs` what the buses move, `first` the
    words of all first windows, `chain` the elements that a sum passes. With a pipeline, elements begin when these
    windows are there and end when the last sum has come through.
    """
    links, pipeline = machine.links, machine.pipeline
    end = 0
    if pipeline is not None:
        busiest += math.ceil(first / links.input_bus)
        end = pipeline.stages + chain - 1
    return max(busiest, math.ceil(words / links.input_bus), math.ceil(outputs / links.output_bus)) + end


def chain_length(layer: LayerState, found: Layout) -> int:
    """Elements whose partial sums meet in one output word."""
    return math.prod(len(found.sizes(index, Kind.KS)) for index in range(len(layer.dims)))
