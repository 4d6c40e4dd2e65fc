"""Pass `drop-encodings`: kernels lie dense whose streams, tile by tile, are not shorter under their mappings."""

from __future__ import annotations

import math
from collections import defaultdict

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from dialects.encodings.attributes import encoded_type
from dialects.gconv import shape_of
from dialects.gconv.fused import FusedOp
from dialects.gconv.interpreter import main_function
from dialects.gemm_mapping import GemmAttr
from dialects.schedule import Operand
from dialects.target import require_gemm_machine
from dialects.weights import ConstantOp
from passes.chain_views import source_of
from passes.gemm.streams import kernel_streams, source_of_kernel
from passes.gemm.tiles import GemmTiles
from passes.placing import links_of


class DropEncodingsPass(ModulePass):
    """Take the encoding off every kernel that moves no fewer words with it, now that its tiles are known.

    A tile begins with its place, and its bitmaps fill words, so that a kernel in many small tiles can take more words
    than a dense one although it is shorter as a whole. Words are those of all links that read a constant. What groups
    hold stays as it is: their kernels lie in blocks only where they are shorter.
    """

    name = "drop-encodings"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Set the types of constants of @main. Raises `CatenaError` (CAT-R003) on a machine of another kind."""
        machine = require_gemm_machine(op, "mapped")
        groups = [each for each in main_function(op).body.block.ops if isinstance(each, FusedOp)]
        in_groups = {source_of(value).base.owner for group in groups for value in group.inputs}
        saved: defaultdict[ConstantOp, int] = defaultdict(int)
        for link, stream in kernel_streams(links_of(op), machine).items():
            constant = source_of_kernel(link).base.owner
            assert isinstance(constant, ConstantOp)
            assert isinstance(link.mapping, GemmAttr)
            tiles = GemmTiles(link.spec, link.mapping.data, shape_of(link.input))
            words = math.prod(link.spec.kernel_shape) - stream.words
            saved[constant] += tiles.repeats(Operand.KERNEL) * words
        for constant, words in saved.items():
            if words <= 0 and constant not in in_groups:
                constant.result._type = encoded_type(constant.result.type, None)  # pyright: ignore[reportPrivateUsage]
