"""Attach the words of weights that were parsed from text without a store beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.weights import bind_weights


@dataclass(frozen=True)
class BindWeightsPass(ModulePass):
    """Attach the weights of a store, a folder as `--dump-ir` writes it, to the constants that lack them.

    Raises `CatenaError`: CAT-C002 if there is no such folder, CAT-R004 if a file in it is damaged.
    """

    name = "bind-weights"

    folder: str

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Attach what the store holds."""
        folder = Path(self.folder)
        if not folder.is_dir():
            raise CatenaError(Diagnostic("CAT-C002", f"there is no folder {folder}"))
        bind_weights(op, folder)
