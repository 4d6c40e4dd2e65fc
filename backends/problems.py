"""Collecting diagnostics: report many problems at once, but not a million."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dialects.diagnostics import CatenaError, Diagnostic

LIMIT = 20


class Problems:
    """Collects diagnostics up to a limit and counts the rest."""

    def __init__(self) -> None:
        self._found: list[Diagnostic] = []
        self._total = 0

    @property
    def is_full(self) -> bool:
        """Whether further problems would only be counted."""
        return len(self._found) >= LIMIT

    def first(self, rows: npt.NDArray[np.int64]) -> list[int]:
        """As many of `rows` as may still be reported; the others are counted."""
        room = LIMIT - len(self._found)
        self._total += max(len(rows) - room, 0)
        return rows[:room].tolist()

    def add(self, diagnostic: Diagnostic) -> None:
        """Report a problem."""
        if not self.is_full:
            self._found.append(diagnostic)
        self._total += 1

    def report(self) -> list[Diagnostic]:
        """The collected problems; the last one says how many there are besides."""
        if self._total <= len(self._found):
            return list(self._found)
        rest = Diagnostic(self._found[-1].code, f"and {self._total - len(self._found)} more")
        return [*self._found, rest]

    def raise_if_any(self) -> None:
        """Raise a `CatenaError` with the collected problems, if there are any."""
        if self._found:
            raise CatenaError(self.report())
