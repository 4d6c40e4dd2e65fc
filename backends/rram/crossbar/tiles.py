"""Products of a matrix that is larger than a crossbar, or of many small ones."""

from __future__ import annotations

import numpy as np

from backends.rram.crossbar.converters import AdcRange
from backends.rram.crossbar.crossbar import Crossbar
from backends.rram.crossbar.settings import Settings
from dialects.encodings.cells import InputEncoding, Integers, Whole
from passes.crossbar_tiles import MatrixShape, Tile

_BLOCK = 1 << 10
"""Vectors that are multiplied at a time, so that all their pulses are held in some 100 MB."""


class TiledMatrix:
    """Weights (groups, rows, columns) on crossbars of their own, each with a seed of its own.

    Raises `CatenaError` (CAT-U006) for weights out of range.
    """

    def __init__(self, weights: Integers, settings: Settings, seed: tuple[int, ...] = (), *, is_signed: bool = True):
        groups, rows, columns = weights.shape
        self._shape = groups, rows, columns
        shape = MatrixShape(groups, rows, columns, 1)
        self._settings = settings
        format = settings.format if is_signed else settings.with_inputs(InputEncoding.UNSIGNED)
        self._parts: list[tuple[Tile, Crossbar]] = []
        for number, tile in enumerate(shape.tiles(settings.rows, settings.weight_columns)):
            drawn = int(np.random.SeedSequence((settings.seed, *seed, number)).generate_state(1)[0])
            diagonal = _diagonal(weights[np.ix_(tile.groups, tile.rows, tile.columns)])
            self._parts.append((tile, Crossbar(diagonal, format, settings.adc, settings.physics, drawn, settings.rows)))
        self._is_calibrated = settings.adc.range is not AdcRange.CALIBRATED or settings.adc.is_ideal

    @property
    def crossbars(self) -> int:
        """Crossbars that the matrix takes."""
        return len(self._parts) * self._settings.weights.crossbars

    def multiply(self, inputs: Integers) -> Whole:
        """Sums (groups, vectors, columns) of products of inputs (groups, vectors, rows), tiles added up exactly.

        Calibrated converters take the first inputs to calibrate them. Raises `CatenaError` (CAT-U006) for inputs out of
        range.
        """
        groups, _, columns = self._shape
        vectors = inputs.shape[1]
        found = np.zeros((groups, vectors, columns), np.int64)
        for tile, crossbar in self._parts:
            taken = inputs[tile.groups.start : tile.groups.stop, :, tile.rows.start : tile.rows.stop]
            driven = np.moveaxis(taken, 1, 0).reshape(vectors, -1)
            if not self._is_calibrated:
                crossbar.calibrate(driven[:_BLOCK])
            for start in range(0, vectors, _BLOCK):
                block = slice(start, min(start + _BLOCK, vectors))
                sums = crossbar.multiply(driven[block]).reshape(-1, len(tile.groups), len(tile.columns))
                found[np.ix_(tile.groups, range(block.start, block.stop), tile.columns)] += np.moveaxis(sums, 1, 0)
        self._is_calibrated = True
        return found


def _diagonal(weights: Integers) -> Integers:
    """Matrices (groups, rows, columns) in the diagonal of one."""
    groups, rows, columns = weights.shape
    found = np.zeros((groups, rows, groups, columns), weights.dtype)
    each: Whole = np.arange(groups, dtype=np.int64)
    found[each, :, each] = weights
    return found.reshape(groups * rows, groups * columns)
