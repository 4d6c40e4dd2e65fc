"""Bytes of a core's buffer that turns of a matrix take, by closed forms over what a run of them does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.dtypes import dtype_named
from dialects.element_types import numpy_dtype_of
from dialects.gconv import GConv, View, element_type_of_value
from dialects.locations import describe
from dialects.multicore import EXTRAS, FetchOp, LoadOp, PartOp, RunOp, StreamOp, VectorsOp, span
from dialects.multicore_machine import MulticoreMachine
from dialects.multicore_mapping import CrossbarsAttr
from dialects.spatial import LayerOp, integer
from passes.multicore.accesses import varies

FETCHED_BYTES = 4
"""Bytes of a partial sum that another core made."""


def acc_bytes(layer: LayerOp) -> int:
    """Bytes of a sum of a layer: those of its accumulator, or of an input."""
    acc = layer.spec.acc
    return numpy_dtype_of(element_type_of_value(layer.input)).itemsize if acc is None else dtype_named(acc).itemsize


@dataclass(frozen=True)
class Sizes:
    """Bytes of one vector: its input, its sums, those that others made of it, operands of `post` of its own."""

    input: int
    sums: int
    fetched: int
    varying: int

    @classmethod
    def of(cls, layer: LayerOp, rows: int, results: int, varying: int) -> Sizes:
        """Of a part with `rows` inputs and `results` sums for a vector."""
        word = numpy_dtype_of(element_type_of_value(layer.input)).itemsize
        return cls(rows * word, results * acc_bytes(layer), results * FETCHED_BYTES, varying)

    def of_run(self, run: RunOp, abreast: int, *, overlap: bool) -> int:
        """The most that a turn of a run holds at a time, of so many vectors.

        An input goes when its sums are there. Cores that overlap turns have two inputs and two vectors' sums.
        """
        ops = list(run.body.block.ops)
        fetched = self.fetched if any(isinstance(op, FetchOp) for op in ops) else 0
        varying = self.varying if any(isinstance(op, LoadOp) and op.tensor.data == EXTRAS for op in ops) else 0
        if overlap:
            return abreast * (2 * self.input + 2 * self.sums + max(fetched, varying))
        return abreast * (self.sums + max(self.input, fetched, varying))


@dataclass(frozen=True)
class Extra:
    """An operand of `post`: its words for the columns of a part, their bytes, whether they vary with the vector."""

    words: int
    bytes: int
    varies: bool


def extras_of(layer: LayerOp, part: PartOp) -> list[Extra]:
    """The operands of `post`."""
    spec = layer.spec
    first = 2 if layer.kernel is not None else 1
    found: list[Extra] = []
    for number in range(first, len(layer.views) - 1):
        view = layer.views[number]
        words = _channels(spec, view, span(part.groups), span(part.columns))
        size = numpy_dtype_of(element_type_of_value(layer.tensors[number])).itemsize
        found.append(Extra(words, words * size, varies(spec, view)))
    return found


def _channels(spec: GConv, view: View, groups: range, columns: range) -> int:
    """How many words a tensor has for columns of groups: those that repeat along a dimension count once."""
    of_group = np.unravel_index(np.repeat(groups, len(columns)), [dim.g for dim in spec.dims])
    of_column = np.unravel_index(np.tile(columns, len(groups)), [dim.op for dim in spec.dims])
    words = np.zeros(len(groups) * len(columns), np.int64)
    for d, dim in enumerate(spec.dims):
        if view.shape[d] > 1 and view.strides[d]:
            words = words * (dim.g * dim.op) + of_group[d] * dim.op + of_column[d]
    return len(np.unique(words))


def most_bytes(layer: LayerOp, stream: StreamOp, machine: MulticoreMachine) -> int:
    """The most that a stream on crossbars takes of the buffer of its core."""
    ops = list(stream.body.block.ops)
    part = next(op for op in ops if isinstance(op, PartOp))
    extras = extras_of(layer, part)
    vectors = next(op for op in ops if isinstance(op, VectorsOp)).positions
    groups, rows, columns = (len(span(each)) for each in (part.groups, part.rows, part.columns))
    varying = sum(each.bytes for each in extras if each.varies)
    sizes = Sizes.of(layer, groups * rows, groups * columns, varying)
    most = constants = 0
    for op in ops:
        if isinstance(op, LoadOp):
            constants = sum(each.bytes for each in extras if not each.varies)
        elif isinstance(op, RunOp):
            # Only the last turn may be about fewer vectors than the others.
            turns = (integer(op.start) + np.arange(min(integer(op.turns), 2))) % vectors.turns
            abreast = int(vectors.sizes(turns).max())
            most = max(most, constants + sizes.of_run(op, abreast, overlap=machine.cores.overlap))
    return most


def refuse_large_turns(most: Mapping[LayerOp, int], machine: MulticoreMachine, stage: str) -> None:
    """Raises `CatenaError` (CAT-F002) with every layer on crossbars that takes more than a core's buffer at most."""
    limit, message = machine.cores.buffer_bytes, "a turn of a part does not fit the buffer of a core"
    problems = [
        Diagnostic("CAT-F002", message, stage, describe(layer), "", f"{limit} bytes", f"{taken} bytes")
        for layer, taken in most.items()
        if taken > limit and isinstance(layer.mapping, CrossbarsAttr)
    ]
    if problems:
        raise CatenaError(problems)
