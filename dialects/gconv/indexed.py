"""Views at computed addresses: which elements of a tensor a gather reads and a scatter writes.

An indexed view names, for every index i of its shape, one element of a row-major tensor:

    offset + sum over d of stride[d] * i[d] + sum over c of step[c] * wrap(index[i, c])

`index` is an integer tensor whose last dimension counts the components c; its other dimensions have the view's extents
or 1 and broadcast. Component c lies from -extent[c] to extent[c] - 1; negative ones count from the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dialects.gconv.scalar import Array
from dialects.gconv.spec import Reduce
from dialects.gconv.view import View

_UPDATES: dict[Reduce, np.ufunc] = {
    Reduce.ADD: np.add,
    Reduce.MUL: np.multiply,
    Reduce.MAX: np.maximum,
    Reduce.MIN: np.minimum,
}


WRONG_SHAPE = -(1 << 31)
"""An index that names nothing: a chain computes it where the values of a run contradict a shape of the model."""


@dataclass(frozen=True)
class IndexProblem:
    """What to say of an index that names no element."""

    message: str
    expected: str
    found: str
    hint: str = ""

    @classmethod
    def of(cls, extent: int, found: int) -> IndexProblem:
        """The problem of the index `found` along `extent` places."""
        if found == WRONG_SHAPE:
            return cls(
                "the values of this run make a tensor of another shape than the model declares",
                "values that agree with the declared shape",
                "others",
                "give inputs that agree, declare the shape that they make, or compile with --allow-fallback host",
            )
        return cls("an index is out of range", f"{-extent} to {extent - 1}", str(found))


class OutOfRangeError(ValueError):
    """A component of an index lies outside its extent."""

    def __init__(self, component: int, extent: int, found: int):
        super().__init__(f"component {component} of an index is {found}, the extent {extent}")
        self.component, self.extent, self.found = component, extent, found


@dataclass(frozen=True)
class IndexedView:
    """A view whose last `components` dimensions are not counted through but given by an index tensor.

    `reach` is every element that can be named: the view's own dimensions, then one for each component.
    """

    reach: View
    components: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        return self.reach.shape[: -self.components]

    @property
    def plain(self) -> View:
        """The elements named where every index is 0."""
        return View(self.shape, self.reach.strides[: -self.components], self.reach.offset)

    @property
    def terms(self) -> tuple[tuple[int, int], ...]:
        """(step, extent) of every component."""
        return tuple(zip(self.reach.strides, self.reach.shape, strict=True))[-self.components :]

    @property
    def size(self) -> int:
        """Number of elements seen."""
        return math.prod(self.shape)

    @classmethod
    def of_terms(cls, plain: View, terms: Sequence[tuple[int, int]]) -> IndexedView:
        """The indexed view with these own dimensions and components."""
        shape = (*plain.shape, *(extent for _, extent in terms))
        strides = (*plain.strides, *(step for step, _ in terms))
        return cls(View(shape, strides, plain.offset), len(terms))

    def of(self, inner: View) -> IndexedView | None:
        """The same elements of the row-major result of `inner` as elements of its base; None if that needs a copy."""
        reach = self.reach.of(inner)
        return None if reach is None else IndexedView(reach, self.components)

    def reshape(self, shape: Sequence[int]) -> IndexedView | None:
        """The same elements in the same order as another shape; None if that needs a copy."""
        plain = self.plain.reshape(shape)
        return None if plain is None else IndexedView.of_terms(plain, self.terms)

    def takes(self, index_shape: Sequence[int]) -> bool:
        """Whether an index tensor of this shape fits the view."""
        *extents, components = index_shape or (0,)
        return (
            components == self.components
            and len(extents) == len(self.shape)
            and all(have in (1, want) for have, want in zip(extents, self.shape, strict=True))
        )

    def addresses(self, index: Array) -> npt.NDArray[np.int64]:
        """The element that every position of the view names. Raises `OutOfRangeError`."""
        result = np.full(self.shape, self.reach.offset, np.int64)
        plain = self.plain
        for axis, (size, stride) in enumerate(zip(plain.shape, plain.strides, strict=True)):
            result += (np.arange(size) * stride).reshape([-1 if a == axis else 1 for a in range(len(plain.shape))])
        for component, (step, extent) in enumerate(self.terms):
            result += step * wrapped(index[..., component], component, extent)
        return result

    def gather(self, base: Array, index: Array) -> Array:
        """The named elements of `base`. Raises `OutOfRangeError`."""
        return np.ascontiguousarray(base).reshape(-1)[self.addresses(index)]

    def scatter(self, result: Array, index: Array, updates: Array, reduce: Reduce) -> None:
        """Combine every named element of `result`, a row-major array, with its update, one after another.

        `reduce` says how; none replaces. Raises `OutOfRangeError`.
        """
        flat, places = result.reshape(-1), self.addresses(index).reshape(-1)
        if reduce is Reduce.NONE:
            flat[places] = updates.reshape(-1)  # of equal places the last one counts
            return
        with np.errstate(all="ignore"):
            _UPDATES[reduce].at(flat, places, updates.reshape(-1))


def wrapped(index: Array, component: int, extent: int) -> npt.NDArray[np.int64]:
    """Indices counted from 0. Raises `OutOfRangeError` for any outside [-extent, extent)."""
    outside = (index >= extent) | (index < -extent)
    if outside.any():
        raise OutOfRangeError(component, extent, int(index[outside].reshape(-1)[0]))
    found = index.astype(np.int64)
    return np.where(found < 0, found + extent, found)
