"""Strided views of row-major tensors: how Reshape, Transpose, Slice, Split and Expand cost nothing.

A view names `shape` elements of a base tensor by a start offset and one signed stride per dimension, both in elements
of the base. Operations return the composed view; those that one stride per dimension cannot express return None.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a dense row-major tensor of this shape."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)


@dataclass(frozen=True)
class View:
    """A strided window on a base tensor; offset and strides in elements."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @staticmethod
    def dense(shape: Sequence[int]) -> View:
        """The whole of a row-major tensor."""
        return _dense(tuple(shape))

    @property
    def size(self) -> int:
        """Number of elements seen (repeats by stride 0 included)."""
        return math.prod(self.shape)

    @property
    def is_dense(self) -> bool:
        """Whether the elements lie one after another in row-major order, wherever they start."""
        expected = 1
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size != 1:
                if stride != expected:
                    return False
                expected *= size
        return True

    def bounds(self) -> tuple[int, int]:
        """Lowest and highest base offset touched; only for non-empty views."""
        low = high = self.offset
        for size, stride in zip(self.shape, self.strides, strict=True):
            if stride < 0:
                low += (size - 1) * stride
            else:
                high += (size - 1) * stride
        return low, high

    def permute(self, axes: Sequence[int]) -> View:
        """Reorder dimensions (ONNX Transpose)."""
        return View(tuple(self.shape[a] for a in axes), tuple(self.strides[a] for a in axes), self.offset)

    def slice(self, axis: int, start: int, size: int, step: int = 1) -> View:
        """`size` elements of one dimension from `start`, every `step`-th (ONNX Slice; `step` may be negative)."""
        shape, strides = list(self.shape), list(self.strides)
        offset = self.offset + start * strides[axis]
        shape[axis], strides[axis] = size, strides[axis] * step
        return View(tuple(shape), tuple(strides), offset)

    def expand(self, shape: Sequence[int]) -> View:
        """Broadcast to `shape` by NumPy's rules: leading dimensions added, unit dimensions repeated.

        Raises `ValueError` if the shapes do not broadcast.
        """
        missing = len(shape) - len(self.shape)
        sizes, strides = (1,) * missing + self.shape, (0,) * missing + self.strides
        if missing < 0 or any(old not in (1, new) for old, new in zip(sizes, shape, strict=True)):
            raise ValueError(f"cannot broadcast {list(self.shape)} to {list(shape)}")
        repeated = (
            0 if old == 1 and new != 1 else stride for old, new, stride in zip(sizes, shape, strides, strict=True)
        )
        return View(tuple(shape), tuple(repeated), self.offset)

    def insert(self, axis: int) -> View:
        """Add a dimension of extent 1 before `axis`."""
        return View(
            (*self.shape[:axis], 1, *self.shape[axis:]), (*self.strides[:axis], 0, *self.strides[axis:]), self.offset
        )

    def reshape(self, shape: Sequence[int]) -> View | None:
        """The same elements in the same row-major order as another shape, or None if that needs a copy."""
        if math.prod(shape) != self.size:
            raise ValueError(f"cannot reshape {list(self.shape)} to {list(shape)}")
        if self.size == 0:
            return View(tuple(shape), row_major(shape), self.offset)
        blocks = self.runs()
        strides = [0] * len(shape)
        block_size, block_stride = blocks.pop() if blocks else (1, 1)
        for axis in range(len(shape) - 1, -1, -1):
            if shape[axis] == 1:
                continue
            if block_size == 1:
                if not blocks:
                    return None
                block_size, block_stride = blocks.pop()
            if block_size % shape[axis]:
                return None
            strides[axis] = block_stride
            block_size //= shape[axis]
            block_stride *= shape[axis]
        return View(tuple(shape), tuple(strides), self.offset)

    def runs(self) -> list[tuple[int, int]]:
        """(size, stride) of maximal runs of dimensions that step through the base evenly, outermost first."""
        blocks: list[tuple[int, int]] = []
        for size, stride in zip(self.shape, self.strides, strict=True):
            if size == 1:
                continue
            if blocks and blocks[-1][1] == stride * size:
                blocks[-1] = (blocks[-1][0] * size, stride)
            else:
                blocks.append((size, stride))
        return blocks

    def reads_like(self, other: View) -> bool:
        """Whether two views of a base see the same elements in the same order, whatever their shapes."""
        return self.offset == other.offset and self.runs() == other.runs()

    def of(self, inner: View) -> View | None:
        """This view taken of the row-major result of `inner`, as a view of `inner`'s base; None if it needs a copy."""
        if inner.is_dense:
            return View(self.shape, self.strides, inner.offset + self.offset)
        return _compose(self, inner)


def _compose(outer: View, inner: View) -> View | None:
    """Compose through a non-dense view: every stride of `outer` must move along one even run of `inner`."""
    blocks = inner.runs()
    inner = View(tuple(size for size, _ in blocks), tuple(stride for _, stride in blocks), inner.offset)
    steps = row_major(inner.shape)
    position = _coordinates(outer.offset, inner.shape, steps)
    if position is None:
        return None
    offset = inner.offset + sum(p * s for p, s in zip(position, inner.strides, strict=True))
    strides: list[int] = []
    reach = list(position)
    lowest = list(position)
    for size, stride in zip(outer.shape, outer.strides, strict=True):
        if size == 1 or stride == 0:
            strides.append(0)
            continue
        axis = next(
            (
                a
                for a in range(len(steps))
                if stride % steps[a] == 0 and abs(stride // steps[a]) * (size - 1) < inner.shape[a]
            ),
            None,
        )
        if axis is None:
            return None
        count = stride // steps[axis] * (size - 1)
        (reach if count > 0 else lowest)[axis] += count
        strides.append(stride // steps[axis] * inner.strides[axis])
    inside = all(low >= 0 and high < n for low, high, n in zip(lowest, reach, inner.shape, strict=True))
    return View(outer.shape, tuple(strides), offset) if inside else None


@lru_cache(1 << 12)
def _dense(shape: tuple[int, ...]) -> View:
    """The whole of a row-major tensor: asked for at every turn, of few shapes."""
    return View(shape, row_major(shape))


def _coordinates(offset: int, shape: tuple[int, ...], steps: tuple[int, ...]) -> list[int] | None:
    if not 0 <= offset < math.prod(shape):
        return None
    position: list[int] = []
    for step in steps:
        position.append(offset // step)
        offset %= step
    return position
