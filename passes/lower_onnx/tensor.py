"""A tensor while the chain is built: a strided view of the value that holds its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from xdsl.ir import Attribute, SSAValue

from dialects.gconv import View, element_type_of_value, shape_of


@dataclass(frozen=True)
class Tensor:
    """A strided view of `base`. Its methods give other views of the same words and cost nothing."""

    base: SSAValue
    view: View

    @classmethod
    def whole(cls, base: SSAValue) -> Tensor:
        """All of a value."""
        return cls(base, View.dense(shape_of(base)))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.view.shape

    @property
    def rank(self) -> int:
        return len(self.view.shape)

    @property
    def size(self) -> int:
        return self.view.size

    @property
    def element_type(self) -> Attribute:
        return element_type_of_value(self.base)

    @property
    def is_whole(self) -> bool:
        """Whether the tensor is its base, or a reshape of it."""
        return self.view.offset == 0 and self.view.is_dense and self.size == View.dense(shape_of(self.base)).size

    @property
    def is_base(self) -> bool:
        """Whether the tensor is its base in the base's own shape."""
        return self.is_whole and self.shape == shape_of(self.base)

    def permute(self, axes: Sequence[int]) -> Tensor:
        """The dimensions in another order: dimension d of the result is `axes[d]`."""
        return replace(self, view=self.view.permute(axes))

    def slice(self, axis: int, start: int, size: int, step: int = 1) -> Tensor:
        """`size` elements along `axis` from `start`, every `step`-th; `step` may be negative."""
        return replace(self, view=self.view.slice(axis, start, size, step))

    def expand(self, shape: Sequence[int]) -> Tensor:
        """Repeated to `shape` by NumPy's broadcasting rules. Raises `ValueError` if the shapes do not broadcast."""
        return replace(self, view=self.view.expand(shape))

    def insert(self, *axes: int) -> Tensor:
        """Dimensions of extent 1 put in so that they are at `axes` of the result."""
        view = self.view
        for axis in sorted(axes):
            view = view.insert(axis)
        return replace(self, view=view)

    def with_rank(self, rank: int) -> Tensor:
        """Leading dimensions of extent 1 added up to `rank`."""
        return self.insert(*range(rank - self.rank))

    def select(self, axis: int, index: int) -> Tensor:
        """The elements at one index of `axis`, without that dimension."""
        view = self.view.slice(axis, index, 1)
        shape = view.shape[:axis] + view.shape[axis + 1 :]
        return replace(self, view=View(shape, view.strides[:axis] + view.strides[axis + 1 :], view.offset))

    def compact(self, axes: Sequence[int]) -> Tensor:
        """Of the given dimensions, those that only repeat (stride 0) cut to extent 1."""
        view = self.view
        for axis in axes:
            if view.strides[axis] == 0 and view.shape[axis] > 1:
                view = view.slice(axis, 0, 1)
        return replace(self, view=view)
