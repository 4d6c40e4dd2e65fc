"""Pass `schedule-cores`: in which order the cores that add to the same sums visit output vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.multicore_mapping import CrossbarsAttr, Scheme
from dialects.target import require_multicore
from passes.placing import links_of


@dataclass(frozen=True)
class ScheduleCoresPass(ModulePass):
    """Give every layer on crossbars a scheme, and the vectors after which a core signals to the next.

    `scheme` and `every` are those of the description's table `schedule` unless given. A layer of which a core has
    several parts is linear: such a core cannot be at two places of a ring at a time.
    """

    name = "schedule-cores"

    scheme: str | None = None
    every: int | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_multicore(op, "mapped")
        asked = self.scheme or machine.schedule.scheme
        if asked not in {each.value for each in Scheme}:
            message = f"there is no scheme {asked!r}"
            raise CatenaError(Diagnostic("CAT-C001", message, "mapped", expected=" or ".join(Scheme)))
        for link in links_of(op):
            if isinstance(link.mapping, CrossbarsAttr):
                mapping = link.mapping.data
                is_shared = len(set(mapping.cores)) < len(mapping.cores)
                scheme = Scheme.LINEAR if is_shared and asked == Scheme.CYCLIC else Scheme(asked)
                every = self.every or machine.schedule.signal_every
                link.properties["mapping"] = CrossbarsAttr(replace(mapping, scheme=scheme, every=every))
