"""What instructions do to the words of a layer, in the terms of its general convolution and not of any machine's.

Words are named by the loops of the layer: the indices of a kind of loop are those of all dimensions together, in
row-major order. So effects of any machine can be held against what the layer is defined to compute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from backends.fields import Array

Told = tuple[int | str, ...]
"""What an instruction said: numbers and names."""
Ints = npt.NDArray[np.int64]


class Shown(StrEnum):
    """Which words an effect shows.

    TILE has input words after `pre` by group and padded position of every dimension, from `firsts` on; WINDOWS those of
    (groups, terms, outputs). KERNEL has (groups, kernels, terms), EXTRA an operand of `post`, TERMS what comes of some
    terms alone, SUMS what was added up, FLOW what `post` makes of finished sums, all as (groups, kernels, outputs).
    RESULT has all words of the tensor that the layer makes, ADDED a sum before, if there was one, what is added to it,
    and the sum after. MOVED has words that a hold got from off-chip, or sent there, whose addresses off-chip stand in
    the place of outputs. OPENED (a tile of sums began), DONE (a transfer or run
    of a group ended) and STOP (the emulator goes no further) show none.
    CONFIGURED has what is `told` of a layer so far.
    """

    TILE = "input words"
    WINDOWS = "windows of the input"
    KERNEL = "kernel words"
    EXTRA = "operands of post"
    TERMS = "products"
    SUMS = "sums"
    FLOW = "results of post"
    RESULT = "results"
    ADDED = "growing sums"
    MOVED = "words that are moved"
    OPENED = "opened"
    DONE = "done"
    CONFIGURED = "configuration"
    STOP = "stop"


@dataclass(frozen=True, eq=False)
class Cut:
    """Which words: flat indices of the loops g, op, opc and ks."""

    groups: Ints
    kernels: Ints
    outputs: Ints
    terms: Ints


@dataclass(frozen=True, eq=False)
class Effect:
    """What the instruction at an address of a core did for the layer of a number in the program's table.

    `extra` counts operands of `post`. SUMS have all `terms` of the cut, added to what was left at these words if it
    `goes_on`; what they are is remembered as left there, unless it only `passes` through the core.
    """

    layer: int
    core: int
    address: int
    shown: Shown
    cut: Cut
    values: Array
    firsts: tuple[int, ...] = ()
    extra: int = 0
    goes_on: bool = False
    passes: bool = False
    told: Callable[[], Mapping[str, Told]] | None = None


Observer = Callable[[Effect], None]
"""Told of every effect, right after it. It may end the run by an exception of its own."""


NO_LAYER = -1
"""In the place of a layer's number, where an instruction is about a group as a whole."""
NO_WORDS = Cut(*[np.zeros(0, np.int64)] * 4)
NOTHING: Array = np.empty(0)
"""The values of RESULT as cores show it: emulators know where the tensor lies."""


@dataclass(frozen=True)
class Effects:
    """What shows the effects of instructions on a layer; `at` gives core and address of the one at work."""

    observer: Observer
    layer: int
    at: Callable[[], tuple[int, int]]

    def show(
        self,
        shown: Shown,
        cut: Cut,
        values: Array = NOTHING,
        *,
        address: int | None = None,
        firsts: tuple[int, ...] = (),
        extra: int = 0,
        goes_on: bool = False,
        passes: bool = False,
        told: Callable[[], Mapping[str, Told]] | None = None,
    ) -> None:
        """Show one; `address` is that of another instruction than the one at work."""
        core, now = self.at()
        place = now if address is None else address
        self.observer(Effect(self.layer, core, place, shown, cut, values, firsts, extra, goes_on, passes, told))


class _Dimension(Protocol):
    @property
    def counts(self) -> tuple[int, int, int, int]: ...


def cut_of(dims: Sequence[_Dimension], starts: Sequence[Sequence[int]], sizes: Sequence[Sequence[int]]) -> Cut:
    """The cut of ranges of (g, op, opc, ks) of every dimension."""
    found: list[Ints] = []
    for kind in range(4):
        flat = np.zeros(1, np.int64)
        for dim, start, size in zip(dims, starts, sizes, strict=True):
            flat = (flat[:, None] * dim.counts[kind] + np.arange(start[kind], start[kind] + size[kind])).reshape(-1)
        found.append(flat)
    return Cut(*found)


def by_kind(values: Array, rank: int) -> Array:
    """Sums (g, op, opc) of every dimension in turn, or kernel words (g, op, ks), as three axes: one for each kind."""
    parts = values.transpose([3 * dim + kind for kind in range(3) for dim in range(rank)])
    shape = [int(np.prod(parts.shape[kind * rank : (kind + 1) * rank])) for kind in range(3)]
    return parts.reshape(shape)
