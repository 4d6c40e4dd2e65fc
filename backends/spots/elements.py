"""Passes element by element and word by word: what a systolic array does with bits of zeros, written out."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backends.fields import Array
from backends.generic.values import sides
from backends.spatial.codes import Fold, Slot
from backends.spatial.layer import FOLDS, run_steps
from backends.spatial.memory import Fault
from backends.spots.engine import GemmEngine, InputTile, KernelTile, PassWork
from dialects.gconv.contraction import Factor
from dialects.gconv.scalar import apply


@dataclass
class _Element:
    """An element of the array: results by the round of rows that they belong to, as many as it has registers."""

    room: int
    results: dict[int, Any] = field(default_factory=dict[int, Any])

    def keep(self, turn: int, value: Any) -> None:
        """Put a result into its register."""
        self.results[turn] = value
        if len(self.results) > self.room:
            raise Fault("CAT-E003", "an element keeps more results than it has registers", str(self.room))


class ElementEngine(GemmEngine):
    """Runs one layer as `GemmEngine` does, but every pass word by word."""

    def _work(self, values: InputTile, kernel: KernelTile | None) -> tuple[Array, PassWork]:
        patches = values.patches
        layer, array = self.layer, self.machine.array
        groups, kernels, terms, count = sides(layer)
        rows = array.rows // layer.split
        columns = layer.split * array.cols
        exact = layer.accumulators is None or kernel is None
        sums = np.zeros((groups, kernels, count), layer.partial if exact else np.int64)
        work = PassWork()
        for first in range(0, count, columns):
            taken = list(range(first, min(first + columns, count)))
            work.lookups += 0 if kernel is None else kernel.words.bitmaps
            for group in range(groups):
                elements = {place: _Element(array.accumulators) for place in itertools.product(range(rows), taken)}
                for index in range(terms):
                    self._step(work, elements, patches, kernel, (group, index), rows, taken)
                work.rows += len(range(0, terms, self.machine.im2col.rows_per_cycle))
                for kernel_row, patch in itertools.product(range(kernels), taken):
                    turn, row = divmod(kernel_row, rows)
                    sums[group, kernel_row, patch] = elements[row, patch].results.get(turn, 0)
                work.peak = max(work.peak, len({(row % rows, patch) for row in range(kernels) for patch in taken}))
        return sums, work

    def _step(
        self,
        work: PassWork,
        elements: dict[tuple[int, int], _Element],
        patches: Factor,
        kernel: KernelTile | None,
        place: tuple[int, int],
        rows: int,
        taken: list[int],
    ) -> None:
        """One reduced index of one group: its words go down the columns, those of kernels along the rows."""
        group, index = place
        _, kernels, _, _ = sides(self.layer)
        operations = kernels * len(taken)
        if self._is_left_out(patches, kernel, place, taken):
            work.skipped += operations
            return
        work.columns += len(taken)
        for turn in range(-(-kernels // rows)):
            work.cycles += 1
            for row in range(min(rows, kernels - turn * rows)):
                number = turn * rows + row
                if not self._is_there(kernel, place, number):
                    work.gated += len(taken)
                    continue
                work.kernels += kernel is not None
                for patch in taken:
                    element = elements[row, patch]
                    weight = None if kernel is None else kernel.matrices.words[group, number, index]
                    value = self._value(patches.words[group, index, patch], weight)
                    before = element.results.get(turn)
                    element.keep(turn, value if before is None else self._folded(before, value))

    def _is_left_out(
        self, patches: Factor, kernel: KernelTile | None, place: tuple[int, int], taken: list[int]
    ) -> bool:
        """Whether the bit of the patches, or that of the kernels' column, says that there is nothing."""
        if not self._skips or kernel is None:
            return False
        group, index = place
        if not kernel.words.columns[group, index]:
            return True
        size = self.machine.im2col.block_rows
        block = range(index // size * size, min(index // size * size + size, patches.words.shape[1]))
        return not any(patches.words[group, each, patch] != 0 for each in block for patch in taken)

    def _is_there(self, kernel: KernelTile | None, place: tuple[int, int], number: int) -> bool:
        """Whether the bit of a kernel's block says that there is something."""
        if not self._skips or kernel is None or kernel.words.flags is None or self.layer.blocks is None:
            return True
        return bool(kernel.words.flags[(*place, number // self.layer.blocks.height)])

    def _value(self, word: Any, weight: Any) -> Any:
        """Main and mid of one input word and one kernel word."""
        layer = self.layer
        if layer.accumulators is not None:
            return layer.accumulators.rounded(int(word) * int(weight))
        value = np.asarray(word)
        if weight is not None:
            assert layer.main is not None
            value = apply(layer.main, value, np.asarray(weight))
        return run_steps(layer.steps[Slot.MID], value)

    def _folded(self, before: Any, value: Any) -> Any:
        if self.layer.fold is Fold.NONE:
            raise Fault("CAT-E003", "kernel loops need a reduction")
        return before + value if self.layer.accumulators is not None else FOLDS[self.layer.fold](before, value)
