"""What keys of a description say that does not go together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dialects.diagnostics import Diagnostic


@dataclass(frozen=True)
class Contradiction:
    """A key, what is wrong with it, what it should be and is, and what to do about it."""

    key: str
    message: str
    expected: str
    found: str
    hint: str

    def diagnostic(self, where: str = "") -> Diagnostic:
        """As a problem of a description (CAT-C003): messages start with the key and a colon."""
        message = f"{self.key}: {self.message}"
        return Diagnostic("CAT-C003", message, "target", "", where, self.expected, self.found, self.hint)


Contradictions = Iterator[Contradiction]
