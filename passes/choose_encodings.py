"""Pass `choose-encodings`: tensors with many zeros in the formats that the machine takes, where those are shorter."""

from __future__ import annotations

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from dialects.gconv.interpreter import main_function
from dialects.target import require_machine


class ChooseEncodingsPass(ModulePass):
    """Give every kernel and every tensor between links the shortest format that the machine declares for it.

    Kernels go by their own words, tensors between links by the share of zeros in the link's `zeros`, which are taken to
    lie anywhere with the same probability. What is not known to have zeros, is not shorter in any format, enters or
    leaves the network, or is read in ways that no format's rows and columns follow, stays dense. Words count as many
    bits as the machine's, whatever the type that stands for them.
    """

    name = "choose-encodings"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Set the types of @main's constants and of the results of its links. Raises `CatenaError` (CAT-R003)."""
        machine = require_machine(op, "encoded")
        if machine.encodings is None:
            return
        # most machines take no formats
        from passes.shortest_formats import encode

        encode(main_function(op), machine.encodings, machine.word_bits)
