"""Links of fused groups as their turns make them: which of them need a nest, and the nests that searches find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from dialects.accelerator import Accelerator
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.fused_attribute import FusedAttr
from dialects.fused_mapping import FusedMapping
from dialects.gconv import GConv
from dialects.gconv.fused import FusedOp
from dialects.hierarchy import Hierarchy
from dialects.locations import describe
from dialects.schedule import Mapping as LinkMapping
from passes.fusion.from_ir import group_of
from passes.fusion.group import Group, GroupLink
from passes.fusion.holds import GroupPlan, addresses, misfits
from passes.fusion.plans import known_plan
from passes.fusion.series import Series, staying_of
from passes.fusion.shapes import Shape
from passes.fusion.staying import ALONE, Staying
from passes.fusion.turns import kept_by, shapes_of, taken_by
from passes.searching.options import SearchOptions
from passes.searching.service import search_all
from passes.searching.stopping import asked_to_stop
from passes.searching.task import Deadline, Found, Task


@dataclass(frozen=True)
class Part:
    """A link of a group: what its turns leave it to do.

    `kept` has the memory of the hold by role (`I`, `K`, `O`, `P0`, ...), `taken` the words of each memory up to which
    holds lie, `shapes` how many indices of (g, op, opc, ks) of every dimension its runs work, `extras` the shapes of
    post operands.
    """

    node: str
    spec: GConv
    input_shape: tuple[int, ...]
    kept: Mapping[str, str]
    taken: Mapping[str, int]
    shapes: tuple[Shape, ...]
    extras: tuple[tuple[int, ...], ...] = ()


class Nests(Protocol):
    """What a kind of machine knows of nests of links of groups."""

    @property
    def levels(self) -> Hierarchy:
        """The memories that tensors of groups lie in."""
        ...

    def violations(self, part: Part, nest: LinkMapping) -> list[Diagnostic]:
        """Every rule that a nest of a link breaks."""
        ...

    def task(self, part: Part) -> Task:
        """The search for the nest of a link."""
        ...


def map_groups(groups: Sequence[Series], machine: Accelerator, nests: Nests, options: SearchOptions) -> None:
    """Give every link of groups that has no nest the best one of its largest turn; those that are given stay.

    Raises `CatenaError` with the problems of all groups.
    """
    problems: list[Diagnostic] = []
    tasks: dict[tuple[FusedOp, str], Task] = {}
    for series in groups:
        try:
            staying = staying_of(series, nests.levels, "mapped")
        except CatenaError as error:
            problems += error.diagnostics
            continue
        for op, stays in zip(series, staying, strict=True):
            try:
                for name, task in _tasks(op, nests, stays).items():
                    tasks[op, name] = task
            except CatenaError as error:
                problems += error.diagnostics
    signatures = {place: repr(task.signature) for place, task in tasks.items()}
    distinct = {signatures[place]: task for place, task in reversed(tasks.items())}
    results = dict(zip(distinct, search_all(list(distinct.values()), machine, options), strict=True))
    found: dict[FusedOp, dict[str, LinkMapping]] = {}
    for (op, name), task in tasks.items():
        match results[signatures[op, name]]:
            case Found() as each:
                found.setdefault(op, {})[name] = each.mapping
            case diagnostics:
                problems += [replace(each, node=task.node) for each in diagnostics]
    if problems:
        raise CatenaError(problems)
    for op, made in found.items():
        assert isinstance(op.mapping, FusedAttr)
        known = dict(op.mapping.data.branches) | made
        branches = tuple((name, known[name]) for name in op.link_names)
        op.properties["mapping"] = FusedAttr.of(replace(op.mapping.data, branches=branches))


def _tasks(op: FusedOp, nests: Nests, staying: Staying) -> dict[str, Task]:
    """The searches of a group, by link. Raises `CatenaError` if its mapping, or a nest in it, is none."""
    if not isinstance(op.mapping, FusedAttr):
        raise CatenaError(Diagnostic("CAT-R003", "the group has no mapping", "mapped", describe(op)))
    group, mapping = group_of(op), op.mapping.data
    if all(name in dict(mapping.branches) for name in op.link_names):
        return {}  # what can be priced need not be what can be run; placing it says
    plan = known_plan(group, mapping, nests.levels, "mapped", describe(op))
    placed = addresses(plan.holds, tuple(op.link_names), nests.levels, staying)
    if misfit := list(misfits(plan, placed, nests.levels, "mapped", describe(op))):
        raise CatenaError(misfit)
    branches = dict(mapping.branches)
    found: dict[str, Task] = {}
    problems: list[Diagnostic] = []
    for link, inside in zip(op.links, group.links, strict=True):
        part, name = part_in(inside, plan, placed, describe(link), staying), inside.name
        nest = branches.get(name)
        if isinstance(nest, LinkMapping):
            problems += nests.violations(part, nest)
        elif nest is not None:
            message = f"the nest of {name} is of another kind of machine"
            problems.append(Diagnostic("CAT-R003", message, "mapped", part.node, hint="use the passes of its backend"))
        else:
            found[name] = nests.task(part)
    if problems:
        raise CatenaError(problems)
    return found


def part_in(link: GroupLink, plan: GroupPlan, placed: tuple[int, ...], node: str, staying: Staying = ALONE) -> Part:
    """What a plan, with its holds in place, leaves a link to do."""
    kept = {role: plan.holds[number].memory for role, number in kept_by(plan, link.name).items()}
    shapes = tuple(shapes_of(plan, link.name))
    taken = taken_by(plan, placed, link.name, staying)
    return Part(node, link.spec, link.input.shape, kept, taken, shapes, link.extra_shapes)


def can_run(group: Group, mapping: FusedMapping, nests: Nests, *, searching: bool, staying: Staying = ALONE) -> bool:
    """Whether code can be made of a mapping: its tensors fit and, if `searching`, there is a nest for every link."""
    try:
        plan = known_plan(group, mapping, nests.levels, "mapped", "")
        placed = addresses(plan.holds, tuple(link.name for link in group.links), nests.levels, staying)
        if any(misfits(plan, placed, nests.levels, "mapped", "")):
            return False
        for link in group.links if searching else ():
            nests.task(part_in(link, plan, placed, "", staying)).look(Deadline(is_cancelled=asked_to_stop()))
    except CatenaError:
        return False
    return True
