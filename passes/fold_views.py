"""fold-views: one view where several stood."""

from __future__ import annotations

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute, Block, SSAValue
from xdsl.passes import ModulePass

from dialects.gconv import IndexedOp, View, ViewOp
from dialects.locations import fuse_locations
from passes.chain_views import Source, source_of
from passes.rewriting import chain_blocks, erase_all_dead, replace

_Key = tuple[SSAValue, View, Attribute]


class FoldViewsPass(ModulePass):
    """Compose views of views, drop identity views, share equal views, erase ops that nothing uses.

    A view of a view stays when one stride per dimension cannot express the two together. An indexed view of a view
    becomes one of what the view shows, under the same condition. Linear in the number of ops:
    definitions stand before their uses, so one sweep meets every view after the view below it.
    """

    name = "fold-views"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every function. Raises `CatenaError` (CAT-R003) for functions of several blocks."""
        for block in chain_blocks(op, self.name):
            fold_views(block)


def fold_views(block: Block) -> None:
    """Simplify the views of one block and erase its dead ops."""
    erase_all_dead(block)
    known: dict[_Key, ViewOp] = {}
    for op in list(block.ops):
        if isinstance(op, IndexedOp):
            _look_through(op)
        if not isinstance(op, ViewOp) or op.parent is None:
            continue
        source = source_of(op.result)
        if source.is_base:
            replace(op, [], source.base)
            continue
        if source.base is not op.base:
            composed = ViewOp.of(source.base, source.view)
            through = op.base.owner
            replace(op, [composed], composed.result, [through] if isinstance(through, ViewOp) else [])
            op = composed
        key = _key(source, op)
        twin = known.get(key)
        if twin is None or twin.parent is None:  # a twin can have died since, composed into its reader
            known[key] = op
            continue
        twin.location = fuse_locations((twin.location, op.location))
        replace(op, [], twin.result)


def _look_through(op: IndexedOp) -> None:
    source = source_of(op.base)
    view = op.view.of(source.view)
    if source.base is op.base or view is None:
        return
    through = op.base.owner
    indexed = IndexedOp.of(source.base, op.index, view)
    replace(op, [indexed], indexed.result, [through] if isinstance(through, ViewOp) else [])


def _key(source: Source, op: ViewOp) -> _Key:
    # The stride of a dimension of extent 1 means nothing.
    view = source.view
    strides = tuple(0 if size == 1 else stride for size, stride in zip(view.shape, view.strides, strict=True))
    return source.base, View(view.shape, strides, view.offset), op.result.type
