"""Voltage that is lost along wires (IR drop), to first order in their resistance."""

from __future__ import annotations

import numpy as np

from backends.rram.crossbar.converters import Reals

_MICRO = 1e-6


def effective(conductances: Reals, wire: float) -> Reals:
    """Conductances (rows, columns) in uS that, on wires without resistance, carry about the same currents.

    Rows are driven at column 0, columns are held at 0 V behind the last row, and there are `wire` ohm between
    neighbouring cells, and between them and the ends. With D the loss that a unit of voltage at row i sees on its way
    through cell (i, j), of all currents that share a segment with it,

        D[i, j] = wire * (sum over j' of (1 + min(j, j')) G[i, j'] + sum over i' of (rows - max(i, i')) G[i', j])

    the current of a column is sum over i of V[i] G[i, j] (1 - D[i, j]), but for terms in the square of `wire`. It is
    taken as G / (1 + D), which agrees to that order and stays positive.
    """
    rows, columns = conductances.shape
    along: Reals = np.arange(1, columns + 1, dtype=np.float64)[None, :]
    down: Reals = np.arange(rows, 0, -1, dtype=np.float64)[:, None]
    near_row = np.cumsum(along * conductances, axis=1)
    beyond = conductances.sum(axis=1, keepdims=True) - np.cumsum(conductances, axis=1)
    near_column = np.cumsum((down * conductances)[::-1], axis=0)[::-1]
    above = np.cumsum(conductances, axis=0) - conductances
    loss = near_row + along * beyond + near_column + down * above
    return conductances / (1 + wire * _MICRO * loss)
