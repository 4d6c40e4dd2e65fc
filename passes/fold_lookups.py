"""fold-lookups: a link reads at computed addresses itself where it read a copy of what is there."""

from __future__ import annotations

import math

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block
from xdsl.passes import ModulePass

from dialects.gconv import GConv, LinkOp, element_type_of_value
from passes.chain_views import compacted, only_reader_of, source_of
from passes.computed_addresses import Lookup, read_lookup
from passes.rewriting import chain_blocks, replace


class FoldLookupsPass(ModulePass):
    """Remove links that only copy what a `gconv.indexed` shows, where the one link that reads the copy can look it up.

    The reader takes the copy as its input, perhaps through a view that composes with the lookup: the rows of an
    embedding go into the product that follows. A word that is looked up costs no more accesses than one in place, but
    its index is read as often as it is: so an index word must name at least two words of the copy. That saves two
    accesses for each word of the copy, and a link.
    """

    name = "fold-lookups"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every function. Raises `CatenaError` (CAT-R003) for functions of several blocks."""
        for block in chain_blocks(op, self.name):
            _fold_block(block)


def _fold_block(block: Block) -> None:
    for link in list(block.ops):
        if not isinstance(link, LinkOp) or not _only_copies(link):
            continue
        reader, lookup = only_reader_of(link.result), read_lookup(link)
        if lookup is not None and isinstance(reader, LinkOp) and reader.mapping is None:
            _fold(link, lookup, reader)


def _only_copies(link: LinkOp) -> bool:
    same_type = element_type_of_value(link.input) == element_type_of_value(link.result)
    plain = all(dim.is_plain and dim.g == dim.op == dim.ks == 1 for dim in link.nest.data)
    return link.mapping is None and same_type and plain and link.spec == GConv(link.nest.data)


def _fold(link: LinkOp, lookup: Lookup, reader: LinkOp) -> None:
    seen = source_of(reader.input)
    direct = lookup.through(seen.view) if seen.base is link.result else None
    if direct is None:
        return
    index_words = compacted(direct.index_positions).size * direct.view.components
    if 2 * index_words > math.prod(direct.view.shape):
        return
    views, value = direct.materialise()
    fused = LinkOp.of(
        reader.spec,
        value,
        reader.kernel,
        list(reader.extras),
        tensor=reader.tensor.data if reader.tensor else None,
        element_type=element_type_of_value(reader.result),
    )
    replace(reader, [*views, fused], fused.result, [link])
