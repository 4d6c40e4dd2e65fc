"""choose-layouts: intermediate tensors lie in DRAM in the order of dimensions that takes the fewest bursts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue
from xdsl.passes import ModulePass

from dialects.gconv import ConcatOp, LinkOp, View, ViewOp, shape_of
from dialects.gconv.fused import FusedOp
from dialects.gconv.interpreter import main_function
from dialects.schedule import MappingAttr
from dialects.target import require_spatial
from passes.chain_views import source_of
from passes.fold_views import fold_views
from passes.mapping.bursts import Transfers, operand_transfers
from passes.storage import Storage


class ChooseLayoutsPass(ModulePass):
    """Give each intermediate tensor the order of dimensions for which its writes and reads take the fewest bursts.

    A producer writes tiles and consumers read others: which words of a tile lie side by side depends on the order of
    the tensor's dimensions. Mappings are settled, so that tensors do not depend on each other and every order of each
    is tried. A concatenation is one tensor: its parts are written into it whatever its order. An order in which a part
    could not be written, or a view not be read, in strides is none. Arguments, constants and results stay row-major,
    and so does what fused groups read.

    The tensor becomes `gconv.concat` of one part, a transposed view of it: a buffer of that shape, which is written in
    place and read through a view. The words that are moved stay the same, so that only a machine that charges bursts
    gains cycles and energy; the bursts are fewer on every machine that has them. Without bursts nothing happens.
    """

    name = "choose-layouts"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite @main, whose links have mappings. Raises `CatenaError` (CAT-R003) without a machine."""
        dram = require_spatial(op, "mapped").dram
        if dram.burst_words > 1:
            _choose(main_function(op).body.block, dram.burst_words)


@dataclass(frozen=True)
class _Access:
    """The transfers of an operand, and what it is a view of: strides within the tensor that holds it."""

    transfers: Transfers
    view: View


def _choose(block: Block, burst: int) -> None:
    storage = Storage(block)
    orders = {
        tensor: _best_order(tensor, accesses, storage, burst) for tensor, accesses in _accesses(block, storage).items()
    }
    turned = {tensor: order for tensor, order in orders.items() if order is not None}
    for tensor, order in turned.items():
        lay_out(tensor, order)
    if turned:
        fold_views(block)


def _accesses(block: Block, storage: Storage) -> dict[SSAValue, list[_Access]]:
    """Every write and read of each tensor that may lie in another order."""
    found: dict[SSAValue, list[_Access]] = {}
    grouped = [value for op in block.ops if isinstance(op, FusedOp) for value in op.inputs]
    fixed = {place.base for value in grouped if (place := storage.seen(source_of(value))) is not None}
    for link in block.ops:
        if not isinstance(link, LinkOp) or not isinstance(link.mapping, MappingAttr):
            continue
        places = [storage.seen(source_of(value)) for value in (*link.operands, link.result)]
        views = [place.view for place in places if place is not None]
        if len(views) < len(places):
            continue
        moved = operand_transfers(link.spec, views, link.mapping.data)
        for place, transfers in zip(places, moved, strict=True):
            assert place is not None
            is_made = isinstance(place.base.owner, LinkOp | ConcatOp)
            if is_made and place.base not in fixed and not storage.is_returned(place.base):
                found.setdefault(place.base, []).append(_Access(transfers, place.view))
    return found


def _best_order(tensor: SSAValue, accesses: Sequence[_Access], storage: Storage, burst: int) -> tuple[int, ...] | None:
    """The order of dimensions with the fewest words in bursts; None if that is the one there is."""
    shape = shape_of(tensor)
    fewest = _words(accesses, View.dense(shape), burst)
    if fewest == _words(accesses, View.dense(shape), 1):
        return None  # Every burst is full.
    best: tuple[int, ...] | None = None
    for order in _orders(shape):
        layout = seen_in(shape, order)
        words = _words(accesses, layout, burst)
        if words is not None and (fewest is None or words < fewest) and storage.fits(tensor, layout):
            fewest, best = words, order
    return best


def _orders(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """All orders of the dimensions that have several indices, after the others."""
    several = [axis for axis, size in enumerate(shape) if size > 1]
    single = [axis for axis, size in enumerate(shape) if size == 1]
    for order in itertools.permutations(several):
        yield (*single, *order)


def seen_in(shape: Sequence[int], order: Sequence[int]) -> View:
    """A tensor whose dimensions lie in `order`, outermost first, as a view of its words."""
    inverse = [list(order).index(axis) for axis in range(len(order))]
    return View.dense([shape[axis] for axis in order]).permute(inverse)


def _words(accesses: Sequence[_Access], layout: View, burst: int) -> int | None:
    """Words of all bursts of a tensor in a layout; None if a view of it has no strides there."""
    total = 0
    for access in accesses:
        view = access.view.of(layout)
        if view is None:
            return None
        total += access.transfers.burst_words(view.strides, burst)
    return total


def lay_out(tensor: SSAValue, order: tuple[int, ...]) -> None:
    """Have a tensor that a link or a concatenation makes lie with its dimensions in this order, outermost first."""
    owner = tensor.owner
    assert isinstance(owner, LinkOp | ConcatOp)
    block = owner.parent
    assert block is not None
    shape = shape_of(tensor)
    turned = ViewOp.of(tensor, View.dense(shape).permute(order))
    buffer = ConcatOp.of([turned.result], 0)
    back = ViewOp.of(buffer.result, seen_in(shape, order))
    for op in (turned, buffer, back):
        op.location = owner.location
    block.insert_ops_after([turned, buffer, back], owner)
    tensor.replace_uses_with_if(back.result, lambda use: use.operation is not turned)
