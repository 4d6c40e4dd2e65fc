"""Where results lie: in a buffer of their own, or in place inside the result of a concatenation or a scatter.

A part of a `gconv.concat` lies in place if it is all of what one op makes, reshaped or transposed, and that op can
write the part's block of the concatenation's buffer, a strided view, directly. Every other reader of the part then
reads through that view. The data of a `gconv.scatter` lie in place in the same way, if nothing reads them after the
updates are written; the updates are in place if the link that makes them can write to the computed addresses itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xdsl.dialects.func import ReturnOp
from xdsl.ir import Block, Operation, SSAValue

from dialects.gconv import ConcatOp, IndexedOp, LinkOp, ScatterOp, View, ViewOp, shape_of
from dialects.gconv.fused import FusedOp
from passes.chain_views import Source, source_of
from passes.computed_addresses import Lookup, Update, read_lookup

UPDATES, INDEX, DATA = range(3)
"""The operands of a `gconv.scatter`."""


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


def placed_operands(op: ConcatOp | ScatterOp) -> list[int]:
    """The operands that have to lie in place inside the result."""
    if isinstance(op, ConcatOp):
        return list(range(len(op.parts)))
    return [UPDATES] if op.data is None else [UPDATES, DATA]


class Storage:
    """The results of a block that lie in place inside a concatenation or scatter; others have a buffer of their own.

    A concatenation can itself lie inside another. Of several places that a result could take, it gets one; where it
    cannot take the part's place (a shared part, an argument, a constant, a reader whose view does not compose) a copy
    has to fill it.
    """

    def __init__(self, block: Block):
        self._places: dict[SSAValue, Source] = {}
        self._updates: dict[SSAValue, Update] = {}
        self._returned = _returned_values(block)
        self._filled: set[tuple[Operation, int]] = set()
        self._order = {op: position for position, op in enumerate(block.ops)}
        # Outer concatenations stand after the inner ones and decide where those lie.
        for op in reversed(list(block.ops)):
            if isinstance(op, ConcatOp):
                self._place_parts(op)
            elif isinstance(op, ScatterOp):
                self._place_scatter(op)

    def place(self, value: SSAValue) -> Source:
        """The buffer that holds a value that an op computes, as the result that owns it, and the value's view of it.

        Of updates that are written at computed addresses, the view shows the elements that indices of 0 name.
        """
        return self._places.get(value) or Source(value, View.dense(shape_of(value)))

    def update(self, value: SSAValue) -> Update | None:
        """What a link's result updates at computed addresses; None if it is written to its place."""
        return self._updates.get(value)

    def lookups(self, link: LinkOp) -> list[Lookup]:
        """What a link reads or writes at computed addresses: in what it reads as it is, and in the buffers."""
        read = read_lookup(link)
        place = None if read is None else self.seen(source_of(read.base))
        placed = None if read is None or place is None else read.of_place(place)
        update = self.update(link.result)
        return [each for each in (read, placed, update and update.where) if each is not None]

    def is_in_place(self, op: ConcatOp | ScatterOp, operand: int) -> bool:
        """Whether the op that makes an operand writes it where the concatenation or scatter wants it."""
        return (op, operand) in self._filled

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
        update = self._updates.pop(old, None)
        renewed = None if update is None else update.reshape(shape_of(new))
        if reshaped is None or (update is not None and renewed is None):
            raise ValueError(f"a result of shape {list(shape_of(new))} cannot lie at {place.view}")
        self._places[new] = reshaped
        if renewed is not None:
            self._updates[new] = renewed

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
            if not isinstance(base.owner, LinkOp | FusedOp | ConcatOp):
                continue
            view = _written_as(source.view, block, shape_of(base))
            if view is not None and all(reader.of(view) is not None for reader in _other_views(base, part)):
                self._places[base] = Source(whole.base, view)
                self._filled.add((concat, index))

    def _place_scatter(self, scatter: ScatterOp) -> None:
        whole = self.place(scatter.result)
        self._place_data(scatter, whole)
        source = source_of(scatter.updates)
        link = source.base.owner
        if not source.is_whole or not isinstance(link, LinkOp) or not streams(link) or not _is_used_once(source.base):
            return
        if not self._runs_last(link, scatter):
            return
        lookup = Lookup.written_by(scatter).of_place(whole)
        lookup = None if lookup is None else lookup.reshape(shape_of(source.base))
        if lookup is not None:
            self._places[source.base] = Source(whole.base, lookup.view.plain)
            self._updates[source.base] = Update(lookup, scatter.reduce.data)
            self._filled.add((scatter, UPDATES))

    def _place_data(self, scatter: ScatterOp, whole: Source) -> None:
        if scatter.data is None:
            return
        source = source_of(scatter.data)
        base = source.base
        if base in self._places or not isinstance(base.owner, LinkOp | FusedOp | ConcatOp | ScatterOp):
            return
        view = _written_as(source.view, whole.view, shape_of(base))
        link = source_of(scatter.updates).base.owner
        written = self._order.get(link, -1) if isinstance(link, LinkOp) else -1
        if view is None or any(self._order[reader] >= written for reader in _readers(base, scatter)):
            return
        if all(reader.of(view) is not None for reader in _other_views(base, scatter.data)):
            self._places[base] = Source(whole.base, view)
            self._filled.add((scatter, DATA))

    def _runs_last(self, link: LinkOp, scatter: ScatterOp) -> bool:
        """Whether a link runs after everything else that a scatter needs has been made."""
        needed = [source_of(operand).base.owner for operand in scatter.operands[1:]]
        made = [self._order[op] for op in needed if isinstance(op, Operation) and op in self._order]
        return all(position < self._order[link] for position in made)


def streams(link: LinkOp) -> bool:
    """Whether a link makes every result element from one input element, one after the other: it can write anywhere."""
    dims = link.nest.data
    return link.kernel is None and all(dim.g == dim.op == dim.ks == 1 for dim in dims)


def _is_used_once(value: SSAValue) -> bool:
    while value.has_one_use():
        use = value.get_unique_use()
        assert use is not None
        if not isinstance(use.operation, ViewOp):
            return True
        value = use.operation.result
    return False


def _readers(value: SSAValue, scatter: ScatterOp) -> Iterator[Operation]:
    """Every op that reads a value, directly or through views, but for a scatter that takes it as data."""
    for use in value.uses:
        if isinstance(use.operation, ViewOp | IndexedOp):
            yield from _readers(use.operation.result, scatter)
        elif use.operation is not scatter or use.index != DATA:
            yield use.operation


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
        elif isinstance(reader, IndexedOp) and use.index == 0:
            yield reader.view.reach


def _returned_values(block: Block) -> Mapping[SSAValue, None]:
    """The values that a function returns, with the values they are views of."""
    returned: dict[SSAValue, None] = {}
    if isinstance(block.last_op, ReturnOp):
        for value in block.last_op.operands:
            returned[value] = None
            returned[source_of(value).base] = None
    return returned
