"""Holds: elements of tensors in an on-chip memory, addressed around in circles, which know what lies in every word.

Elements are named by their addresses off-chip, whether they ever lie there or not. A word that holds lie in remembers
which element of which of them it has, so that reading one that never came, or was overwritten, is a fault.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.fields import Array
from backends.spatial.memory import Addresses, Fault, UnwrittenFault

_NOTHING = -1
MOST_WORDS = 1 << 26
"""Words of a memory that the emulator keeps for holds, however large the memory is."""


@dataclass
class HoldAxis:
    """An axis of a hold's tensor: index x lies at ((x - first) / step) mod kept; `pitch` are words off-chip."""

    extent: int
    first: int
    step: int
    kept: int
    pitch: int = 0


class HeldWords:
    """The words of one memory in which holds lie: which element of which hold each has.

    A bank has words of one hold: what another one had there is gone.
    """

    def __init__(self, name: str, words: int, bank: int = 1):
        self.name, self._bank = name, bank
        whole = -(-words // bank) * bank
        self.holds = np.full(whole, _NOTHING, np.int64)
        self.elements = np.full(whole, _NOTHING, np.int64)

    @property
    def used(self) -> int:
        """Words that an element lies in, or lay in."""
        return int(np.count_nonzero(self.holds != _NOTHING))

    def put(self, words: Addresses, elements: Addresses, hold: int) -> None:
        """Elements of a hold come into words."""
        self.elements[words], self.holds[words] = elements, hold
        if self._bank > 1:
            banks = np.unique(words // self._bank)
            inside = self.elements.reshape(-1, self._bank)
            others = self.holds.reshape(-1, self._bank)[banks] != hold
            inside[banks] = np.where(others, _NOTHING, inside[banks])

    def overwrite(self, address: int, words: int) -> None:
        """Something else takes words: no element lies there any more."""
        self.elements[address : address + words] = _NOTHING


@dataclass
class HoldState:
    """A hold as it was configured, and its words."""

    number: int
    memory: int
    address: int
    words: int
    dtype: np.dtype[Any]
    home: int = 0
    axes: list[HoldAxis] = field(default_factory=list[HoldAxis])
    _place: HeldWords | None = None
    _values: Array | None = None
    _sums: Array | None = None
    _is_sum: npt.NDArray[np.bool_] | None = None

    @property
    def end(self) -> int:
        """The first word behind the hold."""
        return self.address + self.words

    def overlaps(self, address: int, words: int) -> bool:
        """Whether it has one of some words."""
        return self.address < address + words and address < self.end

    def bind(self, place: HeldWords) -> None:
        """Take the words. Raises `Fault` for axes that do not go together with them."""
        needed = math.prod(axis.kept for axis in self.axes)
        if needed > self.words:
            limits = f"at most {self.words}", str(needed)
            raise Fault("CAT-E001", f"hold {self.number} overruns its words of {place.name}", *limits)
        ordered = sorted((axis for axis in self.axes if axis.extent > 1), key=lambda axis: -axis.pitch)
        inner = 1
        for axis in reversed(ordered):
            if axis.pitch < inner:
                message = f"elements of hold {self.number} have no addresses of their own"
                raise Fault("CAT-E003", message, f"a pitch of at least {inner}", str(axis.pitch))
            inner = axis.pitch * axis.extent
        self._place, self._values = place, np.zeros(self.words, self.dtype)
        self._sums, self._is_sum = None, np.zeros(self.words, np.bool_)

    def elements(self, box: Sequence[range]) -> Addresses:
        """The addresses of a box of elements, by axis.

        Raises `Fault` CAT-E001 for indices that do not exist, or more of them than there are words.
        """
        if len(box) != len(self.axes):
            raise Fault("CAT-E003", f"a box of {len(box)} axes for hold {self.number}, which has {len(self.axes)}")
        count = math.prod(map(len, box))
        if count > self.words:
            limits = f"at most {self.words}", str(count)
            raise Fault("CAT-E001", f"a box has more elements than hold {self.number} has words", *limits)
        result: Addresses = np.array(self.home, np.int64)
        for axis, indices in zip(self.axes, box, strict=True):
            if len(indices) and (indices[0] < 0 or indices[-1] >= axis.extent):
                limits = f"below {axis.extent}", str(indices[-1])
                raise Fault("CAT-E001", f"an element is outside of the tensor of hold {self.number}", *limits)
            result = result[..., np.newaxis] + axis.pitch * np.array(indices, np.int64)
        return result

    def read(self, address: int, shape: Sequence[int], strides: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """The elements of a strided window of addresses; raises `Fault` as `gather`."""
        return self.gather(grid(address, shape, strides), dtype)

    def gather(self, addresses: Addresses, dtype: np.dtype[Any]) -> Array:
        """The elements of these addresses.

        Raises `Fault`: CAT-E001 for addresses of no element, CAT-E002 for elements that are not there, CAT-E003 for
        words of another type.
        """
        place, values = self._bound(dtype)
        words = self._there(place, addresses)
        assert self._is_sum is not None
        if (unfinished := self._is_sum[words]).any():
            message = f"an element is wanted from hold {self.number} in {place.name} whose sum is not finished"
            raise Fault("CAT-E002", message, found=f"element {self._named(int(addresses[unfinished].flat[0]))}")
        return values[words]

    def _there(self, place: HeldWords, addresses: Addresses) -> Addresses:
        """The words of elements. Raises `Fault` CAT-E002 unless all are there."""
        words = self._words(addresses)
        missing = (place.elements[words + self.address] != addresses) | (
            place.holds[words + self.address] != self.number
        )
        if missing.any():
            address = int(addresses[missing].flat[0])
            there = place.holds[words[missing].flat[0] + self.address]
            raise UnwrittenFault(
                f"an element is wanted from hold {self.number} in {place.name} that is not there",
                place.name,
                address,
                f"element {self._named(address)}",
                "nothing was ever there" if there == _NOTHING else "it was overwritten, or never brought",
            )
        return words

    def sums(self, addresses: Addresses) -> Array:
        """The unfinished sums that lie where elements will be, to go on with.

        Raises `Fault`: CAT-E001 for addresses of no element, CAT-E002 for sums that are not there.
        """
        assert self._place is not None
        assert self._is_sum is not None
        words = self._there(self._place, addresses)
        if self._sums is None or not self._is_sum[words].all():
            message = f"a sum goes on in hold {self.number} in {self._place.name} that is finished, or never began"
            raise Fault("CAT-E002", message)
        return self._sums[words]

    def put_sums(self, addresses: Addresses, values: Array) -> None:
        """Leave unfinished sums, of the type in which they are added up, in the words of what they will be."""
        assert self._place is not None
        assert self._is_sum is not None
        words = self._words(addresses)
        if self._sums is None:
            self._sums = np.zeros(self.words, values.dtype)
        self._sums[words], self._is_sum[words] = values, True
        self._place.put(words + self.address, addresses, self.number)

    def scatter(self, addresses: Addresses, values: Array, combine: np.ufunc | None = None) -> None:
        """Put elements into their words; raises `Fault` as `gather`."""
        assert combine is None
        place, words = self._bound(values.dtype)[0], self._words(addresses)
        assert self._values is not None
        assert self._is_sum is not None
        self._values[words], self._is_sum[words] = values, False
        place.put(words + self.address, addresses, self.number)

    def _bound(self, dtype: np.dtype[Any]) -> tuple[HeldWords, Array]:
        assert self._place is not None
        assert self._values is not None
        if dtype != self.dtype:
            message = f"words of hold {self.number} are taken for words of another type"
            raise Fault("CAT-E003", message, self.dtype.name, dtype.name)
        return self._place, self._values

    def _words(self, addresses: Addresses) -> Addresses:
        """The word of every element, from the first word of the hold."""
        rest = np.asarray(addresses - self.home)
        words: dict[int, Addresses] = {}
        for axis in sorted(self.axes, key=lambda each: -each.pitch):
            index = rest // axis.pitch if axis.extent > 1 else np.zeros_like(rest)
            rest = rest - index * axis.pitch
            turns, off = np.divmod(index - axis.first, axis.step)
            if ((index < 0) | (index >= axis.extent)).any():
                raise Fault("CAT-E001", f"a word outside of the tensor of hold {self.number} is wanted")
            if off.any():
                raise Fault("CAT-E002", f"an element is wanted that hold {self.number} never has")
            words[id(axis)] = turns % axis.kept
        if rest.any():
            raise Fault("CAT-E001", f"a word outside of the tensor of hold {self.number} is wanted")
        found: Addresses = np.zeros_like(rest)
        for axis in self.axes:
            found = found * axis.kept + words[id(axis)]
        return found

    def _named(self, address: int) -> str:
        """An element by its indices."""
        rest = address - self.home
        indices: dict[int, int] = {}
        for axis in sorted(self.axes, key=lambda each: -each.pitch):
            indices[id(axis)], rest = divmod(rest, axis.pitch) if axis.extent > 1 else (0, rest)
        return f"[{', '.join(str(indices[id(axis)]) for axis in self.axes)}]"


def grid(address: int, shape: Sequence[int], strides: Sequence[int]) -> Addresses:
    """The addresses of a strided window."""
    result: Addresses = np.array(address, np.int64)
    for size, stride in zip(shape, strides, strict=True):
        result = result[..., np.newaxis] + stride * np.arange(size)
    return result
