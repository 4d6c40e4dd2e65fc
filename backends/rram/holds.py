"""Holds in the shared memory: rows of tensors around in circles, the same words for all cores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.fields import Array
from backends.rram.streams import Task
from backends.spatial.holds import MOST_WORDS, HeldWords, HoldState
from backends.spatial.memory import Addresses, Fault
from backends.spatial.watched import Seen

HOLDS = "the holds of the shared memory"


@dataclass
class SharedHold(HoldState):
    """A hold that tells which of its words are read and written.

    If asked to, it remembers every element as it was `made`, and has a `given` one in its place: so each layer of a
    group is verified with what others should have made.
    """

    seen: Seen | None = None
    made: Array | None = None
    given: Array | None = None

    def gather(self, addresses: Addresses, dtype: np.dtype[Any]) -> Array:
        place, values = self._bound(dtype)
        words = self._words(addresses)
        places = words + self.address
        if (place.elements[places] != addresses).any() or (place.holds[places] != self.number).any():
            return super().gather(addresses, dtype)
        self._tell(addresses, False)
        return values[words]

    def scatter(self, addresses: Addresses, values: Array, combine: np.ufunc | None = None) -> None:
        super().scatter(addresses, values, combine)
        if self.made is not None:
            self.made[addresses - self.home] = values
        if self.given is not None:
            super().scatter(addresses, self.given[addresses - self.home], combine)
        self._tell(addresses, True)

    def _words(self, addresses: Addresses) -> Addresses:
        """The word of every element: of whole rows one after another, around in a circle of them."""
        if len(self.axes) == 2:
            rows, inner = self.axes
            is_plain = rows.first == inner.first == 0 and rows.step == inner.step == inner.pitch == 1
            if is_plain and rows.pitch == inner.extent == inner.kept:
                places = addresses - self.home
                if places.size and places.min() >= 0 and places.max() < rows.extent * rows.pitch:
                    return places % (rows.kept * rows.pitch)
        return super()._words(addresses)

    def _tell(self, addresses: Addresses, writes: bool) -> None:
        if self.seen is not None:
            self.seen(self.address + self._words(addresses), writes)


class SharedHolds:
    """The holds that streams describe, each one for all cores that name it."""

    def __init__(self, streams: Iterable[Iterable[Task]], start: int, capacity: int):
        """`start` is the first word behind those of other tensors, `capacity` that behind the memory.

        Raises `Fault` for holds that lie elsewhere, or of which two cores say different things.
        """
        states = [state for stream in streams for task in stream for state in task.layer.keeps.values()]
        self.end = max((state.end for state in states), default=0)
        for state in states:
            if state.address < start or state.end > capacity:
                limits = f"words {start} to {capacity - 1}", f"words {state.address} to {state.end - 1}"
                raise Fault("CAT-E001", "a hold lies where other tensors do, or outside of the memory", *limits)
        if self.end - start > MOST_WORDS:
            raise Fault("CAT-E001", "holds take more words than the emulator has")
        self._words = HeldWords(HOLDS, max(self.end - start, 1))
        self._known: dict[int, SharedHold] = {}
        for stream in streams:
            for task in stream:
                for tensor, state in task.layer.keeps.items():
                    task.layer.keeps[tensor] = self._shared(state, start)

    @property
    def used(self) -> int:
        """Words in which anything ever lay."""
        return self._words.used

    def remember(self, given: Mapping[int, Array]) -> None:
        """Remember what is made; elements that are given, by the address of their tensor, lie there in its place."""
        for state in self._known.values():
            state.made = np.zeros(math.prod(axis.extent for axis in state.axes), state.dtype)
            state.given = given.get(state.home)

    def made(self, home: int) -> Array | None:
        """What was made of the tensor at an address; None if it does not lie in a hold, or nothing is remembered."""
        return next((state.made for state in self._known.values() if state.home == home), None)

    def watch(self, seen: Seen) -> None:
        """Tell of all that is read and written from now on."""
        for state in self._known.values():
            state.seen = seen

    def _shared(self, state: HoldState, start: int) -> SharedHold:
        """The one hold of this address. Raises `Fault` CAT-E003 if another one was described there."""
        address = state.address - start
        # A hold is told from others by where it lies: numbers are those of its group.
        found = SharedHold(address, state.memory, address, state.words, state.dtype, state.home, state.axes)
        known = self._known.get(address)
        if known is None:
            found.bind(self._words)
            self._known[address] = known = found
        elif (known.words, known.dtype, known.home, known.axes) != (found.words, found.dtype, found.home, found.axes):
            raise Fault("CAT-E003", f"cores say different things of the hold at word {state.address}")
        return known
