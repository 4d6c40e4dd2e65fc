"""Pass `map-gemm`: give every link of the chain a mapping to matrix products on the module's machine."""

from __future__ import annotations

from dataclasses import replace

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import GConv, LinkOp, shape_of
from dialects.gconv.fused import FusedOp
from dialects.gconv.interpreter import main_function
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmAttr, GemmMapping
from dialects.locations import describe
from dialects.schedule import HostAttr
from dialects.target import require_gemm_machine
from passes.assign_host import require_host
from passes.gemm.fixed_point import fixed_sums
from passes.gemm.groups import map_groups
from passes.gemm.legality import violations
from passes.gemm.search import best_mapping
from passes.gemm.streams import Encoded, encoded_kernel, encoding_of_kernel
from passes.placing import links_of
from passes.storage import Storage


class MapGemmPass(ModulePass):
    """Choose how the array is divided for every link that has no mapping, and its tiles; check the other mappings.

    Of all divisions and tiles that are tried, one is taken that takes at most a thousandth more than the fewest cycles,
    and of those one that takes the least energy. Kernels in blocks move the words that are left of them, and their
    bitmaps need room even if nothing is zero. On machines with `fixed_point` integer products lose as many bits as sums
    need to fit for any input. Links with the same loops and input shape are searched once. Links whose results are
    updates at computed addresses leave in order. Links of a group get mappings of their largest turn, which are the
    group's. Links that the host executes keep `#schedule.host`.
    """

    name = "map-gemm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Map the links of @main. Raises `CatenaError` with the problems of all links."""
        machine = require_gemm_machine(op, "mapped")
        storage = Storage(main_function(op).body.block)
        known: dict[tuple[GConv, tuple[int, ...], bool, Encoded | None], GemmMapping] = {}
        problems: list[Diagnostic] = []
        groups = [each for each in main_function(op).body.block.ops if isinstance(each, FusedOp)]
        try:
            map_groups(groups, machine)
        except CatenaError as error:
            problems += error.diagnostics
        for link in links_of(op):
            in_order = storage.update(link.result) is not None
            try:
                if not _is_given(link, machine, in_order=in_order):
                    kernel = encoded_kernel(link, machine)
                    alike = link.spec.bare, shape_of(link.input), in_order, kernel
                    if alike not in known:
                        known[alike] = best_mapping(
                            link.spec.bare, machine, shape_of(link.input), in_order=in_order, kernel=kernel
                        )
                    link.properties["mapping"] = GemmAttr(known[alike])
                _set_sums(link, machine)
            except CatenaError as error:
                problems += error.diagnostics
        if problems:
            raise CatenaError(problems)


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
