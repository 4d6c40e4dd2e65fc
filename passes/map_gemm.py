"""Pass `map-gemm`: give every link of the chain a mapping to matrix products on the module's machine."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import GConv, LinkOp, shape_of
from dialects.gconv.interpreter import main_function
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmAttr
from dialects.locations import describe
from dialects.schedule import HostAttr, Objective, Search, SearchAttr, Space
from dialects.target import require_gemm_machine
from passes.assign_host import require_host
from passes.fusion.series import series_of
from passes.gemm.fixed_point import fixed_sums
from passes.gemm.groups import map_groups
from passes.gemm.legality import violations
from passes.gemm.search import Chosen, Problem, best_mapping
from passes.gemm.streams import Encoded, encoded_kernel, encoding_of_kernel
from passes.placing import links_of
from passes.searching.options import ObjectivePass
from passes.storage import Storage


@dataclass(frozen=True)
class MapGemmPass(ObjectivePass):
    """Choose how the array is divided for every link that has no mapping, and its tiles; check the other mappings.

    Of all divisions and tiles that are tried (`passes.gemm.candidates`) the best one by the objective is taken, and
    `#schedule.search` says how good it is: `latency` is the least energy of those that take at most a thousandth more
    than the fewest cycles. Costs are those without zeros; kernels in blocks move the words that are left of them, and
    their bitmaps need room even if nothing is zero. On machines with `fixed_point` integer products lose as many bits
    as sums need to fit for any input. Links with the same loops and input shape are searched once. Links whose results
    are updates at computed addresses leave in order. Links of a group get mappings of their largest turn, which are the
    group's. Links that the host executes keep `#schedule.host`.
    """

    name = "map-gemm"

    objective: Literal["energy", "latency", "edp", "traffic"] = "latency"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Map the links of @main. Raises `CatenaError` with the problems of all links."""
        machine = require_gemm_machine(op, "mapped")
        storage = Storage(main_function(op).body.block)
        objective = Objective(self.objective)
        known: dict[tuple[GConv, tuple[int, ...], bool, Encoded | None], Chosen] = {}
        problems: list[Diagnostic] = []
        try:
            map_groups(series_of(main_function(op), "mapped"), machine, objective)
        except CatenaError as error:
            problems += error.diagnostics
        for link in links_of(op):
            in_order = storage.update(link.result) is not None
            try:
                if not _is_given(link, machine, in_order=in_order):
                    kernel = encoded_kernel(link, machine)
                    alike = link.spec.bare, shape_of(link.input), in_order, kernel
                    if alike not in known:
                        problem = Problem(
                            link.spec.bare, machine, shape_of(link.input), kernel=kernel, in_order=in_order
                        )
                        known[alike] = best_mapping(problem, objective)
                    link.properties["mapping"] = GemmAttr(known[alike].mapping)
                    if not in_order:
                        found = Search(objective, Space.DIVISIONS, _rounded(known[alike].gap))
                        link.properties["search"] = SearchAttr(found)
                _set_sums(link, machine)
            except CatenaError as error:
                problems += error.diagnostics
        if problems:
            raise CatenaError(problems)


def _rounded(gap: float) -> float:
    """A gap in ten thousandths, no smaller than it is."""
    return math.ceil(round(gap * 10_000, 6)) / 10_000


def _set_sums(link: LinkOp, machine: GemmMachine) -> None:
    """Say how a link with a mapping sums up integer products, where the machine has narrow accumulators."""
    if isinstance(link.mapping, GemmAttr) and link.mapping.data.sums is None and machine.fixed_point:
        link.properties["mapping"] = GemmAttr(replace(link.mapping.data, sums=fixed_sums(link, machine)))


def _is_given(link: LinkOp, machine: GemmMachine, *, in_order: bool) -> bool:
    """Whether a link has a mapping. Raises `CatenaError` if that is none for this machine."""
    node = describe(link)
    match link.mapping:
        case None:
            return False
        case GemmAttr():
            shape = shape_of(link.input)
            blocks, mapping = encoding_of_kernel(link), link.mapping.data
            found = violations(link.spec, mapping, machine, shape, "mapped", node, in_order=in_order, blocks=blocks)
            if found:
                raise CatenaError(found)
        case HostAttr():
            require_host(machine, "mapped", node)
        case _:
            message = "this notation is of another kind of machine"
            raise CatenaError(
                Diagnostic("CAT-R003", message, "mapped", node, expected="#schedule.gemm", found=str(link.mapping))
            )
    return True
