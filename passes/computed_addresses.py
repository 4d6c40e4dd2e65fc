"""Tensors addressed by an index tensor, in the dimensions of the link that reads or writes them.

A `gconv.indexed` is what a link's input is read through, a `gconv.scatter` what the link that makes its updates writes
through. Both can be seen in other dimensions, as a strided view can, where the steps of addresses and of the index
tensor allow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import Operation, SSAValue

from dialects.gconv import IndexedOp, IndexedView, LinkOp, Reduce, ScatterOp, View
from passes.chain_views import Source, compacted, source_of


@dataclass(frozen=True)
class Lookup:
    """Elements of `base` at computed addresses; `index` has the view's dimensions, then that of the components."""

    base: SSAValue
    view: IndexedView
    index: Source

    @classmethod
    def of(cls, op: IndexedOp) -> Lookup:
        """What an indexed view reads."""
        return cls(op.base, op.view, _index_of(op.index, op.view))

    @classmethod
    def written_by(cls, op: ScatterOp) -> Lookup:
        """What a scatter writes, in the shape of its updates."""
        return cls(op.result, op.view, _index_of(op.index, op.view))

    @property
    def index_positions(self) -> View:
        """The first component of the index of every position."""
        view = self.index.view
        return View(view.shape[:-1], view.strides[:-1], view.offset)

    @property
    def index_shape(self) -> tuple[int, ...]:
        """The extents of the index without repetition, and the number of components."""
        return (*compacted(self.index_positions).shape, self.view.components)

    def of_place(self, place: Source) -> Lookup | None:
        """The same elements of the buffer that holds the base at `place`; None if that needs a copy."""
        view = self.view.of(place.view)
        return None if view is None else Lookup(place.base, view, self.index)

    def reshape(self, shape: Sequence[int]) -> Lookup | None:
        """The same elements in the same order as another shape; None if that needs a copy."""
        view, positions = self.view.reshape(shape), self.index_positions.reshape(shape)
        return None if view is None or positions is None else self._with(view, positions)

    def through(self, view: View) -> Lookup | None:
        """`view`, a view of this lookup's row-major elements, as a lookup of its own; None if that needs a copy."""
        plain, positions = view.of(self.view.plain), view.of(self.index_positions)
        if plain is None or positions is None:
            return None
        return self._with(IndexedView.of_terms(plain, self.view.terms), positions)

    def _with(self, view: IndexedView, positions: View) -> Lookup:
        components = self.index.view
        shape = (*positions.shape, components.shape[-1])
        index = View(shape, (*positions.strides, components.strides[-1]), positions.offset)
        return Lookup(self.base, view, Source(self.index.base, index))

    def materialise(self) -> tuple[list[Operation], SSAValue]:
        """The ops that make the value a link reads, and the value."""
        whole = self.index.view
        positions = compacted(self.index_positions)
        index = View((*positions.shape, whole.shape[-1]), whole.strides, whole.offset)
        views, value = Source(self.index.base, index).materialise()
        op = IndexedOp.of(self.base, value, self.view)
        return [*views, op], op.result


@dataclass(frozen=True)
class Update:
    """The elements of its buffer that a link's result is combined with, in the link's own shape, and how."""

    where: Lookup
    reduce: Reduce

    def reshape(self, shape: Sequence[int]) -> Update | None:
        """The same elements in the same order as another shape; None if that needs a copy."""
        where = self.where.reshape(shape)
        return None if where is None else Update(where, self.reduce)


def _index_of(index: SSAValue, view: IndexedView) -> Source:
    source = source_of(index)
    return Source(source.base, source.view.expand((*view.shape, view.components)))


def read_lookup(link: LinkOp) -> Lookup | None:
    """What a link's input is looked up in; None for an input that is read in place."""
    owner = link.input.owner
    return Lookup.of(owner) if isinstance(owner, IndexedOp) else None
