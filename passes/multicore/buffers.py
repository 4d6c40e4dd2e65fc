"""Bytes of a core's buffer that turns of a matrix take, by closed forms over what a run of them does."""

from __future__ import annotations

from dataclasses import dataclass

from dialects.dtypes import dtype_named
from dialects.element_types import numpy_dtype_of
from dialects.gconv import element_type_of_value
from dialects.multicore import EXTRAS, FetchOp, LoadOp, RunOp
from dialects.spatial import LayerOp

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
