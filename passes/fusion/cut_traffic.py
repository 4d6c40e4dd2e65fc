"""What goes off-chip for rows with one more loop, by tile sizes, before there are such rows: most move too much.

The traffic of a place below all loops is what all turns need less what turns share, and each of these is a product over
factors. So it is linear in what the table of the factor with the further loop says, and weights of it are the same for
all tile sizes of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from passes.fusion.columns import Pricing
from passes.fusion.factors import Factor, Ids, Mask
from passes.fusion.rows import WITHIN, Numbers, Rows, Small


@dataclass(frozen=True)
class CutTraffic:
    """Words off-chip of rows in which one more loop of a factor is cut, innermost, by rows and states of the factor."""

    factor: Factor
    codes: Ids
    """The codes of `Factor.common` that count: (rows, terms)."""
    weights: Numbers
    """By how much they do: (rows, terms, tensors)."""
    fixed: Numbers
    """Words that go off-chip besides: (rows,)."""
    known: Mask
    """Rows whose words these are: those that have no intermediate without a place, which may make them fewer."""

    @staticmethod
    def of(pricing: Pricing, rows: Rows, index: int) -> CutTraffic | None:
        """That of a factor by its index; None where numbers may be no products."""
        if pricing.tabulation.whole.unions:
            return None
        open_ = rows.levels == WITHIN
        known = ~open_[:, pricing.intermediates].any(axis=1)
        for other, placed in enumerate(pricing.factors):
            known &= other == index or placed.factor.valid[rows.states[:, other]]
        if not known.any():
            return None
        codes, weights = _terms(pricing, rows, index)
        counted = open_.astype(np.float64)
        counted[:, pricing.result] *= 2
        fixed = rows.costs[:, 1] - open_[:, pricing.result] * pricing.needed[pricing.result]
        return CutTraffic(pricing.factors[index].factor, codes, weights * counted[:, np.newaxis], fixed, known)

    def words(self, of: Ids, states: Ids) -> Numbers:
        """Words that rows `of` move at least in these states of the factor."""
        shares = self.factor.common[states[:, np.newaxis], self.codes[of]]
        words = np.rint(np.einsum("nkt,nkt->n", shares, self.weights[of]) + self.fixed[of])
        return np.where(self.known[of] & self.factor.valid[states], words, 0)


def _terms(pricing: Pricing, rows: Rows, index: int) -> tuple[Ids, Numbers]:
    """What turns share when each loop steps, less than nothing, and last what all turns need: see `Pricing.columns`."""
    loops = int(rows.positions[:1].max(initial=-1)) + 1
    mine = rows.positions[:, list(pricing.factors[index].loops)]
    codes = np.empty((len(rows), loops + 2), np.int64)
    weights = np.empty((len(rows), loops + 2, len(pricing.needed)))
    for stepping in range(loops + 1):
        codes[:, stepping] = _code(mine, stepping, loops)
        weights[:, stepping] = -pricing.needed
        for other, placed in enumerate(pricing.factors):
            positions = rows.positions[:, list(placed.loops)]
            if other != index and (positions >= 0).any():
                weights[:, stepping] *= placed.factor.common[rows.states[:, other], _code(positions, stepping)]
    codes[:, -1] = codes[:, -2] + 1
    weights[:, -1] = -weights[:, -2]
    return codes, weights


def _code(positions: Small, stepping: int, further: int | None = None) -> Ids:
    """The code of `AxisTable.common` where a loop at a position steps, which may be a `further` one of the factor."""
    outer = ((positions >= 0) & (positions < stepping)).sum(axis=1)
    return 2 * outer + ((positions == stepping).any(axis=1) | (stepping == further))
