"""Fused groups on machines of matrix products: mappings of their links, and which tensors lie in which memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.events import Counts
from dialects.fused_attribute import FusedAttr
from dialects.fused_mapping import FusedMapping
from dialects.gconv import GConv
from dialects.gconv.fused import FusedOp
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmMapping, Nest
from dialects.locations import describe
from dialects.schedule import Objective
from passes.fusion.from_ir import group_of
from passes.fusion.group import Group, Role
from passes.fusion.holds import GroupPlan, Run, addresses, misfits, plan_group
from passes.fusion.memories import INPUTS, KERNELS, levels_of
from passes.fusion.series import Series, staying_of
from passes.fusion.staying import Staying
from passes.fusion.turns import shapes_of
from passes.gemm.cost import predict
from passes.gemm.fixed_point import fixed_sums
from passes.gemm.members import inside, member_mapping, member_violations
from passes.gemm.pricing import price_of_products
from passes.gemm.search import Problem, best_mapping
from passes.searching.parts import Part, part_in


def in_memories(group: Group, mapping: FusedMapping) -> FusedMapping:
    """A mapping with tensors that are only kernels in their memory, and all others in that of inputs."""
    retentions = (
        replace(each, memory=KERNELS if _is_kernel(group, each.tensor) else INPUTS) for each in mapping.retentions
    )
    return replace(mapping, retentions=tuple(retentions))


def _is_kernel(group: Group, tensor: str) -> bool:
    roles = {operand.role for _, operand in group.readers(tensor)}
    return roles == {Role.KERNEL}


def map_groups(groups: Sequence[Series], machine: GemmMachine, objective: Objective) -> None:
    """Give every link of groups that has no mapping the best one of its largest turn, and check those that are given.

    Raises `CatenaError` with the problems of all groups.
    """
    problems: list[Diagnostic] = []
    for series in groups:
        try:
            for op, staying in zip(series, staying_of(series, levels_of(machine), "mapped"), strict=True):
                if not isinstance(op.mapping, FusedAttr):
                    raise CatenaError(Diagnostic("CAT-R003", "the group has no mapping", "mapped", describe(op)))
                branches = tuple(_nests(op, group_of(op), op.mapping.data, machine, objective, staying).items())
                op.properties["mapping"] = FusedAttr.of(replace(op.mapping.data, branches=branches))
        except CatenaError as error:
            problems += error.diagnostics
    if problems:
        raise CatenaError(problems)


def _nests(
    op: FusedOp, group: Group, mapping: FusedMapping, machine: GemmMachine, objective: Objective, staying: Staying
) -> dict[str, Nest]:
    """What every link does in a turn. Raises `CatenaError` if the group, or a link of it, does not fit."""
    levels = levels_of(machine)
    plan = plan_group(group, mapping, levels, "mapped", describe(op))
    placed = addresses(plan.holds, tuple(op.link_names), levels, staying)
    problems = list(misfits(plan, placed, levels, "mapped", describe(op)))
    given, found = dict(mapping.branches), dict[str, Nest]()
    for link, member in zip(op.links, group.links, strict=True):
        part, nest = part_in(member, plan, placed, describe(link), staying), given.get(member.name)
        if nest is None and not problems:
            found[member.name] = replace(member_mapping(part, machine, objective), sums=fixed_sums(link, machine))
        elif isinstance(nest, GemmMapping):
            found[member.name] = nest
            problems += member_violations(part, nest, machine, "mapped")
        elif nest is not None:
            message, hint = "the nest is of another kind of machine", "use the passes of its backend"
            problems.append(Diagnostic("CAT-R003", message, "mapped", part.node, hint=hint))
    if problems:
        raise CatenaError(problems)
    return found


class Worth:
    """Whether code can be made of groups on a machine, and whether they are worth it: what links cost alone is kept.

    With `words_alone` any are that run.
    """

    def __init__(self, machine: GemmMachine, *, words_alone: bool = False):
        self._machine, self._levels, self._words_alone = machine, levels_of(machine), words_alone
        self._alone: dict[tuple[GConv, tuple[int, ...]], Cost] = {}

    def runs(self, group: Group, mapping: FusedMapping) -> bool:
        """Whether a mapping, with its tensors in the memories of their own, has no larger product of energy and cycles.

        Its links alone are what it is compared with: tiles of a few kernels or patches leave most of the array idle.
        """
        mapping = in_memories(group, mapping)
        try:
            plan = plan_group(group, mapping, self._levels, "mapped", "")
            placed = addresses(plan.holds, tuple(link.name for link in group.links), self._levels)
            if any(misfits(plan, placed, self._levels, "mapped", "")):
                return False
            together = [self._part(part_in(link, plan, placed, link.name), plan) for link in group.links]
        except CatenaError:
            return False
        if self._words_alone:
            return True
        words = sum(step.box.total(plan.turns[:depth]) for depth, step in plan.steps if not isinstance(step, Run))
        energy = self._machine.energy
        moved = Cost(
            words * (energy.dram + energy.sram) * energy.picojoules, words / self._machine.dram.words_per_cycle
        )
        alone = [self._of_link(link.spec.bare, link.input.shape) for link in group.links]
        whole, single = sum(together, moved), sum(alone, Cost(0.0, 0.0))
        return whole.energy * whole.cycles <= single.energy * single.cycles

    def _part(self, part: Part, plan: GroupPlan) -> Cost:
        """What all runs of a link cost, as if no window met a border."""
        mapping, found = member_mapping(part, self._machine), Cost(0.0, 0.0)
        for shape, times in shapes_of(plan, part.node).items():
            spec, extents = inside(part.spec, [shape])
            counts = predict(spec.bare, mapping, self._machine, extents, kept=frozenset(part.kept))
            found += self._cost(counts).times(times)
        return found

    def _of_link(self, spec: GConv, input_shape: tuple[int, ...]) -> Cost:
        if (spec, input_shape) not in self._alone:
            mapping = best_mapping(Problem(spec, self._machine, input_shape)).mapping
            self._alone[spec, input_shape] = self._cost(predict(spec, mapping, self._machine, input_shape))
        return self._alone[spec, input_shape]

    def _cost(self, counts: Counts) -> Cost:
        price = price_of_products(counts, self._machine)
        return Cost(price.total_energy, price.cycles)


@dataclass(frozen=True)
class Cost:
    """pJ and cycles."""

    energy: float
    cycles: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.energy + other.energy, self.cycles + other.cycles)

    def times(self, count: int) -> Cost:
        """This, so many times."""
        return Cost(count * self.energy, count * self.cycles)
