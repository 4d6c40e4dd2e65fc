"""Pass `slice-weights`: links that crossbars can do get their weights into cells, all others go to vector units."""

from __future__ import annotations

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from dialects.gconv import LinkOp
from dialects.gconv.interpreter import main_function
from dialects.multicore_machine import MulticoreMachine
from dialects.multicore_mapping import CrossbarMapping, CrossbarsAttr, VectorAttr, VectorMapping
from dialects.target import require_multicore
from passes.multicore.matrix import Matrix, narrow_product_words, shift_of, tile_of


class SliceWeightsPass(ModulePass):
    """Say of every link whether crossbars do it, and how much of its matrix one crossbar holds.

    Crossbars do sums of products of 8-bit inputs and constants that their cells can hold. A weight takes as many
    columns as the machine's encoding has slices of it. Links whose weights no cells hold are said to be `wide`.
    Mappings that are given stay.
    """

    name = "slice-weights"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_multicore(op, "mapped")
        for link in main_function(op).body.block.ops:
            if isinstance(link, LinkOp) and link.mapping is None:
                link.properties["mapping"] = _mapping(link, machine)


def _mapping(link: LinkOp, machine: MulticoreMachine) -> CrossbarsAttr | VectorAttr:
    words = narrow_product_words(link)
    if words is None or shift_of(words, machine) is None:
        return VectorAttr(VectorMapping(None, is_wide=words is not None))
    matrix = Matrix.of(link.spec)
    whole = matrix.rows, matrix.groups * matrix.columns
    return CrossbarsAttr(CrossbarMapping(tile_of(matrix, machine), whole))
