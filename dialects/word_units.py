"""The words in which a description counts what a memory holds, for messages about machines that are converted."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class WordUnit:
    """A word of a memory as its description has it: `share` words of the machine, or a part of one.

    `bits` is its width if the memory has words of its own.
    """

    share: Fraction = Fraction(1)
    bits: int | None = None

    @property
    def name(self) -> str:
        """What to call a number of them."""
        return "words" if self.bits is None else f"words of {self.bits} bits"

    def said(self, words: float) -> float:
        """Words of the machine as a description counts them; a whole number if it is one."""
        amount = Fraction(words) / self.share
        return amount.numerator if amount.denominator == 1 else float(amount)

    def at_least(self, words: int) -> int:
        """How many of these hold so many words of the machine."""
        return -(-words * self.share.denominator // self.share.numerator)

    def at_most(self, words: int) -> int:
        """How many of these so many words of the machine fill."""
        return words * self.share.denominator // self.share.numerator

    def whole(self, words: int) -> int:
        """Words of the machine in the fewest of these that hold so many."""
        return int(self.at_least(words) * self.share)


MACHINE_WORD = WordUnit()
"""A word of the machine: an element."""
