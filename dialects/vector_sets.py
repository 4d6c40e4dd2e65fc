"""Which output positions a core works on, and in which turns: stretches of them at even distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class VectorSet:
    """`count` positions in row-major order from `first` on, in stretches of `stretch`, which begin `step` apart.

    The last stretch may be shorter. Positions one after the other are one stretch. Each turn is about the next
    `abreast` of them, the last one about what is left.
    """

    first: int
    count: int
    stretch: int
    step: int
    abreast: int = 1

    @classmethod
    def contiguous(cls, first: int, count: int, abreast: int = 1) -> VectorSet:
        """Positions one after the other."""
        return cls(first, count, count, count, abreast)

    @classmethod
    def share(cls, total: int, width: int, copies: int, copy: int, abreast: int) -> VectorSet:
        """What one of several copies does of all positions: row by row, in turn, as long as there are enough of them.

        So copies go through the output together, and what reads it need not wait for any of them to end.
        """
        if copies == 1:
            return cls.contiguous(0, total, abreast)
        stretch = width if total // width >= copies else total // copies
        step = stretch * copies
        whole, rest = divmod(total, step)
        count = whole * stretch + min(max(rest - copy * stretch, 0), stretch)
        return cls(copy * stretch, count, stretch, step, abreast)

    def __len__(self) -> int:
        return self.count

    @property
    def last(self) -> int:
        """The last position."""
        return self.first + (self.count - 1) // self.stretch * self.step + (self.count - 1) % self.stretch

    @property
    def turns(self) -> int:
        """Turns that all positions take."""
        return -(-self.count // self.abreast)

    def sizes(self, turns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """How many positions each of these turns is about."""
        return np.minimum(self.abreast, self.count - turns * self.abreast)

    def of_turns(self, turns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The positions of these turns, one turn after the other."""
        places = turns[:, None] * self.abreast + np.arange(self.abreast)
        return self.at(places[places < self.count])

    def copies(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """By which of the copies of a part that lie abreast some of the positions are multiplied."""
        stretches, rest = np.divmod(numbers - self.first, self.step)
        return (stretches * self.stretch + rest) % self.abreast

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """All positions, which rise."""
        return self.at(np.arange(self.count, dtype=np.int64))

    def at(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The positions with these numbers within the set."""
        return self.first + places // self.stretch * self.step + places % self.stretch
