"""Values of a gconv chain as strided views of what was computed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from xdsl.ir import Operation, SSAValue

from dialects.gconv import ConcatOp, LinkOp, View, ViewOp, shape_of
from dialects.gconv.interpreter import take_view
from dialects.gconv.scalar import Array
from dialects.weights import ConstantOp


@dataclass(frozen=True)
class Source:
    """A value as a strided view of `base`, a value that no view defines (or one that cannot be looked through)."""

    base: SSAValue
    view: View

    @property
    def is_whole(self) -> bool:
        """Whether the value holds all elements of the base in the base's order: at most a reshape."""
        return self.view.offset == 0 and self.view.is_dense and self.view.size == math.prod(shape_of(self.base))

    @property
    def is_permuted(self) -> bool:
        """Whether the value holds all elements of the base once, its dimensions in another order."""
        if self.is_whole or self.view.offset != 0 or self.view.size != math.prod(shape_of(self.base)):
            return False
        outermost_first = sorted(range(len(self.view.shape)), key=lambda axis: -self.view.strides[axis])
        return self.view.permute(outermost_first).is_dense

    @property
    def is_base(self) -> bool:
        """Whether the value is the base itself."""
        return self.is_whole and self.view.shape == shape_of(self.base)

    def through(self, view: View) -> Source | None:
        """`view`, which is a view of this source's row-major elements, as a view of the base."""
        composed = view.of(self.view)
        return None if composed is None else Source(self.base, composed)

    def reshape(self, shape: tuple[int, ...]) -> Source | None:
        """The same elements in the same order as another shape; None if that needs a copy."""
        view = self.view.reshape(shape)
        return None if view is None else Source(self.base, view)

    def materialise(self) -> tuple[list[Operation], SSAValue]:
        """The op that makes this value, none if it is the base; and the value."""
        if self.is_base:
            return [], self.base
        op = ViewOp.of(self.base, self.view)
        return [op], op.result


def source_of(value: SSAValue) -> Source:
    """A value traced through as many views as one view can express."""
    owner = value.owner
    if not isinstance(owner, ViewOp):
        return Source(value, View.dense(shape_of(value)))
    source = Source(owner.base, owner.view)
    while isinstance(inner := source.base.owner, ViewOp):
        composed = source.view.of(inner.view)
        if composed is None:
            break
        source = Source(inner.base, composed)
    return source


def only_reader_of(value: SSAValue) -> Operation | None:
    """The one op that uses a value, once, looking through views; None if there are several or none."""
    while (use := value.get_unique_use()) is not None:
        if not isinstance(use.operation, ViewOp):
            return use.operation
        value = use.operation.result
    return None


def readers_of(value: SSAValue) -> Iterator[Operation]:
    """Every op that uses a value, as often as it does, looking through views."""
    for use in value.uses:
        if isinstance(use.operation, ViewOp):
            yield from readers_of(use.operation.result)
        else:
            yield use.operation


def sole_producer(value: SSAValue) -> LinkOp | ConcatOp | None:
    """The op whose result `value` is or shows, if that op's result is read through `value` alone, and once."""
    while value.has_one_use():
        owner = value.owner
        if isinstance(owner, LinkOp | ConcatOp):
            return owner
        if not isinstance(owner, ViewOp):
            return None
        value = owner.base
    return None


def compacted(view: View) -> View:
    """The view with every repeated dimension (stride 0) cut to extent 1, where broadcasting restores it."""
    return View(
        tuple(1 if stride == 0 else size for size, stride in zip(view.shape, view.strides, strict=True)),
        view.strides,
        view.offset,
    )


def extra_shapes(link: LinkOp) -> list[tuple[int, ...]]:
    """The extents of a link's post operands without repetition."""
    return [compacted(source_of(each).view).shape for each in link.extras]


def is_constant(value: SSAValue) -> bool:
    """Whether a value is a constant or a view of one."""
    owner = value.owner
    while isinstance(owner, ViewOp):
        owner = owner.base.owner
    return isinstance(owner, ConstantOp)


def constant_words(value: SSAValue) -> Array | None:
    """The words of a constant or a view of one, in the value's shape, read-only; None for any other value.

    Raises `CatenaError` (CAT-R004) if the words are not at hand.
    """
    if not is_constant(value):
        return None
    owner = value.owner
    if isinstance(owner, ConstantOp):
        return owner.array
    assert isinstance(owner, ViewOp)
    base = constant_words(owner.base)
    return None if base is None else take_view(owner.view, np.ascontiguousarray(base))
