"""Where results lie: in a buffer of their own, or in place inside the result of a concatenation.

A part of a `gconv.concat` lies in place if it is all of what one op makes, reshaped or transposed, and that op can
write the part's block of the concatenation's buffer, a strided view, directly. Every other reader of the part then
reads through that view.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xdsl.dialects.func import ReturnOp
from xdsl.ir import Block, Operation, SSAValue

from dialects.gconv import ConcatOp, LinkOp, View, ViewOp, shape_of
from passes.chain_views import Source, source_of


def blocks_of(concat: ConcatOp, whole: View) -> list[View]:
    """The block of each part of a concatenation, whose result is the view `whole`, as views of the same base."""
    axis = concat.axis.value.data
    blocks: list[View] = []
    start = 0
    for part in concat.parts:
        size = shape_of(part)[axis]
        blocks.append(whole.slice(axis, start, size))
        start += size
    return blocks


class Storage:
    """The results of a block that lie in place inside a concatenation; all others have a buffer of their own.

    A concatenation can itself lie inside another. Of several places that a result could take, it gets one; where it
    cannot take the part's place (a shared part, an argument, a constant, a reader whose view does not compose) a copy
    has to fill it.
    """

    def __init__(self, block: Block):
        self._places: dict[SSAValue, Source] = {}
        self._returned = _returned_values(block)
        self._filled: set[tuple[Operation, int]] = set()
        # Outer concatenations stand after the inner ones and decide where those lie.
        for op in reversed(list(block.ops)):
            if isinstance(op, ConcatOp):
                self._place_parts(op)

    def place(self, value: SSAValue) -> Source:
        """The buffer that holds a value that an op computes, as the result that owns it, and the value's view of it."""
        return self._places.get(value) or Source(value, View.dense(shape_of(value)))

    def is_in_place(self, concat: ConcatOp, part: int) -> bool:
        """Whether the op that makes a part writes it where the concatenation wants it."""
        return (concat, part) in self._filled

    def seen(self, source: Source) -> Source | None:
        """A view of a value as a view of the buffer that holds the value; None if it does not compose."""
        return self.place(source.base).through(source.view)

    def renew(self, old: SSAValue, new: SSAValue) -> None:
        """Give `new`, which replaces `old` in another shape, the place of `old`.

        Raises `ValueError` if the place is no strided view in the new shape.
        """
        place = self._places.pop(old, None)
        if place is None:
            return
        reshaped = place.reshape(shape_of(new))
        if reshaped is None:
            raise ValueError(f"a result of shape {list(shape_of(new))} cannot lie at {place.view}")
        self._places[new] = reshaped

    def is_returned(self, value: SSAValue) -> bool:
        """Whether a function returns a value or a view of it."""
        return value in self._returned

    def fits(self, result: SSAValue, whole: View, part: SSAValue | None = None) -> bool:
        """Whether a result, and all that lies in it, could be written and read if it were the view `whole` of words.

        `part` is the view of it that a concatenation writes in place, if one does.
        """
        if any(view.of(whole) is None for view in _other_views(result, part)):
            return False
        if not isinstance(result.owner, ConcatOp):
            return True
        for part, block in zip(result.owner.parts, blocks_of(result.owner, whole), strict=True):
            source = source_of(part)
            view = _written_as(source.view, block, shape_of(source.base))
            if view is None or not self.fits(source.base, view, part):
                return False
        return True

    def _place_parts(self, concat: ConcatOp) -> None:
        whole = self.place(concat.result)
        for index, (part, block) in enumerate(zip(concat.parts, blocks_of(concat, whole.view), strict=True)):
            source = source_of(part)
            base = source.base
            if base in self._places or base in self._returned or base is whole.base:
                continue
            if not isinstance(base.owner, LinkOp | ConcatOp):
                continue
            view = _written_as(source.view, block, shape_of(base))
            if view is not None and all(reader.of(view) is not None for reader in _other_views(base, part)):
                self._places[base] = Source(whole.base, view)
                self._filled.add((concat, index))


def _written_as(seen: View, block: View, shape: tuple[int, ...]) -> View | None:
    """Where the elements of a tensor of `shape` lie when `block` holds the view `seen` of it.

    None if the view leaves out or repeats elements, or no strided view says it.
    """
    if seen.offset != 0 or seen.size != View.dense(shape).size:
        return None
    outermost_first = sorted(range(len(seen.shape)), key=lambda axis: -seen.strides[axis])
    if not seen.permute(outermost_first).is_dense:
        return None
    return block.permute(outermost_first).reshape(shape)


def _other_views(base: SSAValue, part: SSAValue | None = None) -> Iterator[View]:
    """The views that others read a value through, besides the view `part` that a concatenation alone reads."""
    for use in base.uses:
        reader = use.operation
        if isinstance(reader, ViewOp) and not (reader.result is part and reader.result.has_one_use()):
            yield reader.view


def _returned_values(block: Block) -> Mapping[SSAValue, None]:
    """The values that a function returns, with the values they are views of."""
    returned: dict[SSAValue, None] = {}
    if isinstance(block.last_op, ReturnOp):
        for value in block.last_op.operands:
            returned[value] = None
            returned[source_of(value).base] = None
    return returned
