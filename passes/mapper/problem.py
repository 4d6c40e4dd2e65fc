"""A general convolution as the mapper sees it: loops, and which words of which operand a range of indices touches.

Words of padding count like others, as accelerators that store padded tiles have them; nothing else about values or
functions matters to a mapping.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from dialects.gconv import PASS, Dim, GConv, LoopKind
from dialects.schedule import Loop, Operand

RELEVANT = {
    Operand.INPUT: (LoopKind.G, LoopKind.OPC, LoopKind.KS),
    Operand.KERNEL: (LoopKind.G, LoopKind.OP, LoopKind.KS),
    Operand.OUTPUT: (LoopKind.G, LoopKind.OP, LoopKind.OPC),
}
"""The kinds of loops that each operand is indexed by."""


_TABLE = 1 << 18
"""Entries of the largest table that is made."""


@dataclass(frozen=True)
class Window:
    """How output and kernel positions of one dimension address the input: `output * stride + kernel * dilation`.

    Positions met again lie `across` output indices and `along` kernel indices apart (`overlap`).
    """

    outputs: int
    kernels: int
    stride: int
    dilation: int

    @property
    def across(self) -> int:
        """Output indices after which kernel positions can meet those of earlier ones."""
        return self.dilation // math.gcd(self.stride, self.dilation)

    @property
    def along(self) -> int:
        """Kernel indices by which they then differ: new words that each further output brings, at most."""
        return self.stride // math.gcd(self.stride, self.dilation)


@dataclass(frozen=True)
class Extra:
    """A tensor (bias, residual) that a scalar function reads along with finished results.

    Every transfer of results to the outermost memory reads once what it needs: `words` for every turn of the `loops`
    (indices into those of the problem) that results, but not the tensor, are indexed by. `memory` is where it lies, if
    not in the outermost one.
    """

    words: int
    loops: tuple[int, ...]
    memory: str | None = None


@dataclass(frozen=True)
class Problem:
    """The loops of a link that have more than one index, and the operands.

    `windows` pair the loops of a dimension that address the input together, as indices into `loops`; there is one of
    `extras` for every scalar function that reads a tensor.
    """

    loops: tuple[Loop, ...]
    extents: tuple[int, ...]
    windows: tuple[Window, ...]
    operands: tuple[Operand, ...]
    extras: tuple[Extra, ...] = ()

    @classmethod
    def of(cls, spec: GConv, extras: Sequence[tuple[int, ...]] = ()) -> Problem:
        """The problem of mapping a link; `extras` are the shapes that `read_after` gives."""
        loops: list[Loop] = []
        extents: list[int] = []
        windows: list[Window] = []
        for dim in spec.dims:
            places: dict[LoopKind, int] = {}
            for kind in LoopKind:
                if spec.worked(dim, kind) > 1:
                    places[kind] = len(loops)
                    loops.append(Loop(dim.name, kind))
                    extents.append(spec.worked(dim, kind))
            if LoopKind.OPC in places and LoopKind.KS in places:
                windows.append(_window(dim, places))
        operands = (Operand.INPUT, Operand.OUTPUT) if spec.main == PASS else tuple(Operand)
        read = tuple(_extra(spec, shape, loops) for shape in extras)
        return cls(tuple(loops), tuple(extents), tuple(windows), operands, read)

    def of_part(self, part: GConv, extras: Sequence[tuple[int, ...]] = ()) -> Problem:
        """The same loops, with the indices that a part of the link has; `extras` as that reads them."""
        extents = {f"{dim.name}.{kind}": part.worked(dim, kind) for dim in part.dims for kind in LoopKind}
        indices = tuple(extents[str(loop)] for loop in self.loops)
        read = tuple(_extra(part, shape, self.loops) for shape in extras)
        return Problem(self.loops, indices, self.windows, self.operands, read)

    def reading_from(self, memories: Sequence[str]) -> Problem:
        """With `extras` that lie in these memories."""
        read = (replace(extra, memory=memory) for extra, memory in zip(self.extras, memories, strict=True))
        return replace(self, extras=tuple(read))

    @property
    def finished_in_place(self) -> Problem:
        """If all results are there at once when they are finished: then each of `extras` is read once."""
        return replace(self, extras=tuple(replace(extra, loops=()) for extra in self.extras))

    def is_relevant(self, operand: Operand, loop: int) -> bool:
        """Whether the words of an operand depend on the index of a loop."""
        return self.loops[loop].kind in RELEVANT[operand]

    def plain(self, operand: Operand) -> tuple[int, ...]:
        """The loops that an operand is indexed by, each on its own."""
        return self._plain[operand]

    def indexing(self, operand: Operand) -> tuple[int, ...]:
        """The loops that an operand is indexed by."""
        return self._indexing[operand]

    @cached_property
    def _indexing(self) -> dict[Operand, tuple[int, ...]]:
        loops = range(len(self.loops))
        return {operand: tuple(loop for loop in loops if self.is_relevant(operand, loop)) for operand in Operand}

    @cached_property
    def _plain(self) -> dict[Operand, tuple[int, ...]]:
        return {operand: self._plain_of(operand) for operand in Operand}

    def _plain_of(self, operand: Operand) -> tuple[int, ...]:
        slid = {loop for each in self.windows for loop in (each.outputs, each.kernels)}
        return tuple(
            loop
            for loop in range(len(self.loops))
            if self.is_relevant(operand, loop) and not (operand is Operand.INPUT and loop in slid)
        )

    def within(self, tiles: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Tiles, a row for every loop, that are no larger than the loops."""
        return np.minimum(tiles, self.extents_of(tiles))

    @cached_property
    def whole(self) -> npt.NDArray[np.int64]:
        """The extents of all loops as one column of tiles."""
        return np.array(self.extents, np.int64)[:, None]

    def turns(self, tiles: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """How many tiles of every loop there are to run over, a row for each."""
        if self._turns is None:
            return -(-self.whole // tiles)
        table, begins = self._turns
        return table[tiles + begins]

    def full_turns(self, tiles: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """As `turns`, without last tiles that are smaller."""
        if self._turns is None:
            return self.whole // tiles
        return self._full_turns[tiles + self._turns[1]]

    def turns_of(self, loop: int, tiles: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """How many tiles of one loop there are, with a row of `tiles` for every loop."""
        if self._turns is None:
            return -(-self.extents[loop] // tiles[loop])
        return self._turns_of[loop][tiles[loop]]

    @property
    def loop_kinds(self) -> tuple[LoopKind, ...]:
        """What the loops are, whatever the dimensions are called."""
        return tuple(loop.kind for loop in self.loops)

    @cached_property
    def beginning(self) -> npt.NDArray[np.int64]:
        """A tile of one index of every loop."""
        return np.ones((len(self.extents), 1), np.int64)

    def extent(self, loop: int, tiles: npt.NDArray[Any]) -> npt.NDArray[np.int64] | int:
        """The indices of a loop, where these are tiles, a row for every loop."""
        return self.extents[loop]

    def operations_of(self, tiles: npt.NDArray[Any]) -> npt.NDArray[np.int64] | int:
        """Main operations of the whole link that these are tiles of."""
        return self.operations

    def product(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The product over all loops, which have a row each."""
        return np.multiply.reduce(numbers, axis=0)

    def extents_of(self, tiles: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """The same of all loops, a row for each."""
        return self.whole

    @cached_property
    def _turns(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None:
        """How many tiles there are for every size, of one loop after the other, and where each begins; a column.

        None if these are too many, or there is no loop.
        """
        sizes = [extent + 1 for extent in self.extents]
        if not sizes or sum(sizes) > _TABLE:
            return None
        begins = np.cumsum([0, *sizes[:-1]]).astype(np.int64)
        return np.concatenate(self._turns_of), begins[:, None]

    @cached_property
    def _full_turns(self) -> npt.NDArray[np.int64]:
        return np.concatenate([[0, *(extent // np.arange(1, extent + 1)).tolist()] for extent in self.extents])

    @cached_property
    def _turns_of(self) -> list[npt.NDArray[np.int64]]:
        """By loop, how many tiles there are for every size, from 0, which is none."""
        return [np.concatenate([[0], -(-extent // np.arange(1, extent + 1))]) for extent in self.extents]

    def words(self, operand: Operand) -> int:
        """Words of an operand that no window slides over."""
        return self._words[operand]

    @cached_property
    def _words(self) -> dict[Operand, int]:
        return {operand: math.prod(self.extents[loop] for loop in self._plain[operand]) for operand in Operand}

    def idle(self, operand: Operand) -> tuple[int, ...]:
        """The loops that an operand is not indexed by."""
        return self._idle[operand]

    @cached_property
    def _idle(self) -> dict[Operand, tuple[int, ...]]:
        loops = range(len(self.loops))
        return {operand: tuple(loop for loop in loops if not self.is_relevant(operand, loop)) for operand in Operand}

    def window_of(self, loop: int) -> Window | None:
        """The window that a loop is part of."""
        return next((each for each in self.windows if loop in (each.outputs, each.kernels)), None)

    @cached_property
    def operations(self) -> int:
        """Main operations (MACs) of the whole link."""
        return math.prod(self.extents)

    @cached_property
    def rereading(self) -> tuple[int, ...]:
        """The loops for turns of which extras are read again."""
        return tuple(sorted({loop for extra in self.extras for loop in extra.loops}))

    def index(self, loop: Loop) -> int | None:
        """The place of a loop, None if it has one index only."""
        return self.loops.index(loop) if loop in self.loops else None


def _window(dim: Dim, places: dict[LoopKind, int]) -> Window:
    return Window(places[LoopKind.OPC], places[LoopKind.KS], dim.stride, dim.dilation)


def read_after(spec: GConv, extras: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """The shapes of the tensors that scalar functions of a link read, one for each; `extras` are its operands'."""
    return tuple(tuple(extras[step.operand]) for step in spec.post if step.operand is not None)


def _extra(spec: GConv, shape: tuple[int, ...], loops: Sequence[Loop]) -> Extra:
    """What results read of a tensor that broadcasts to them."""
    kinds = (LoopKind.G, LoopKind.OPC) if spec.main == PASS else RELEVANT[Operand.OUTPUT]
    words, again = 1, list[int]()
    for dim, extent in zip(spec.dims, shape, strict=True):
        if extent > 1:
            words *= dim.output_extent
        else:
            again += [place for place, loop in enumerate(loops) if loop.dim == dim.name and loop.kind in kinds]
    return Extra(words, tuple(again))
