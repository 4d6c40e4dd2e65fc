"""Series of groups between which tensors stay on the chip: which groups make one, their plans, and where all lies."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence

from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Operation, SSAValue

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.fused_attribute import FusedAttr
from dialects.fused_mapping import Retention, quoted
from dialects.gconv import ConcatOp, ViewOp
from dialects.gconv.fused import FusedOp
from dialects.hierarchy import Hierarchy
from dialects.locations import describe
from dialects.weights import ConstantOp
from passes.chain_views import readers_of
from passes.fusion.from_ir import group_of
from passes.fusion.grouping import groups_of
from passes.fusion.holds import GroupPlan, addresses
from passes.fusion.model import FusedCosts
from passes.fusion.plans import known_plan
from passes.fusion.staying import ALONE, Stay, Staying, laid_out, together

Series = tuple[FusedOp, ...]
"""Groups in a row; a group between which and others nothing stays is one alone."""


def series_of(function: FuncOp, stage: str) -> list[Series]:
    """All groups of a function, in order, those together between which tensors stay.

    Raises `CatenaError` (CAT-R003) for tensors that cannot stay: the group that makes them or one that reads them has
    them off-chip, they are results of the network, or something else runs between.
    """
    groups = groups_of(function)
    staying: dict[SSAValue, dict[FusedOp, Retention]] = {}
    problems: list[Diagnostic] = []
    for op in groups:
        for retention in _that_stay(op):
            value = _outside(op).get(retention.tensor)
            if value is None:
                message = f"{quoted(retention.tensor)} stays, and nobody reads it behind the group"
                problems.append(_problem(op, stage, message, "leave the word out"))
            else:
                staying.setdefault(value, {})[op] = retention
    for value, said in staying.items():
        problems += _problems(value, said, stage)
    if problems:
        raise CatenaError(problems)
    ranges = together([{*values_that_stay(op).values()} for op in groups])
    found = [tuple(groups[place] for place in each) for each in ranges]
    problems = [problem for series in found for problem in _between(series, stage)]
    if problems:
        raise CatenaError(problems)
    return found


def _that_stay(op: FusedOp) -> Iterator[Retention]:
    if isinstance(op.mapping, FusedAttr):
        yield from (each for each in op.mapping.data.retentions if each.resident)


def _outside(op: FusedOp) -> dict[str, SSAValue]:
    """What a group reads and makes for the outside, by name."""
    names = op.names
    made = {names[inner]: value for inner, value in zip(op.yielded, op.made, strict=True)}
    return made | dict(zip(op.read_names, op.inputs, strict=True))


def _problems(value: SSAValue, said: Mapping[FusedOp, Retention], stage: str) -> Iterator[Diagnostic]:
    """Why a tensor cannot stay that some groups say stays."""
    op, retention = next(iter(said.items()))
    name = quoted(retention.tensor)
    maker = value.owner
    if not isinstance(maker, FusedOp):
        yield _problem(op, stage, f"{name} stays, and no group makes it", "leave the word out: it comes from off-chip")
        return
    for other in dict.fromkeys((maker, *readers_of(value))):
        if isinstance(other, ReturnOp):
            message = f"{name} stays, and is the network's result, which goes off-chip"
            yield _problem(op, stage, message, "leave the word out in all groups that have it")
        elif other not in said:
            does = "makes" if other is maker else "reads"
            message = f"{name} stays, and {describe(other) or other.name} {does} it off-chip"
            yield _problem(op, stage, message, "the group that makes a tensor and all that read it say that it stays")
    if len(said) == 1 and not list(readers_of(value)):
        yield _problem(op, stage, f"{name} stays, and nobody reads it behind the group", "leave the word out")
    for other, here in said.items():
        if here.memory != retention.memory:
            message = f"{name} stays in {here.memory}, and elsewhere in {retention.memory}"
            yield _problem(other, stage, message, "all groups have it in one memory")


def _between(series: Sequence[FusedOp], stage: str) -> Iterator[Diagnostic]:
    """What runs between the groups of a series and is none."""
    op: Operation | None = series[0]
    while op is not None and op is not series[-1]:
        if not isinstance(op, FusedOp | ViewOp | ConcatOp | ConstantOp):
            message = f"{describe(op) or op.name} runs while a tensor stays on the chip from one group to another"
            yield _problem(series[-1], stage, message, "make groups of all layers between, or let nothing stay")
        op = op.next_op


def _problem(op: FusedOp, stage: str, message: str, hint: str) -> Diagnostic:
    return Diagnostic("CAT-R003", message, stage, describe(op), hint=hint)


def values_that_stay(op: FusedOp) -> dict[str, SSAValue]:
    """The tensors of a group that stay before or behind it, by the names that it has for them."""
    outside = _outside(op)
    return {each.tensor: outside[each.tensor] for each in _that_stay(op)}


def words_beside(series: Series) -> list[dict[str, int]]:
    """For every group of a series by memory, the words of what stays there meanwhile that it does not need itself.

    Those are of tensors that are none of its own, and the elements of its own that it does not read.
    """
    tensors = [values_that_stay(op) for op in series]
    last = {value: place for place, named in enumerate(tensors) for value in named.values()}
    there: dict[SSAValue, tuple[str, int]] = {}
    found: list[dict[str, int]] = []
    for place, (op, named) in enumerate(zip(series, tensors, strict=True)):
        own: dict[SSAValue, int] = {}
        if isinstance(op.mapping, FusedAttr) and named:
            costs = FusedCosts(group_of(op), op.mapping.data)
            for name, value in named.items():
                own[value] = costs.occupancy[name]
                there.setdefault(value, (costs.mapping.retention(name).memory, own[value]))
        beside: dict[str, int] = {}
        for value, (memory, words) in there.items():
            if last[value] >= place:
                beside[memory] = beside.get(memory, 0) + words - own.get(value, 0)
        found.append(beside)
    return found


def staying_of(series: Series, hierarchy: Hierarchy, stage: str) -> list[Staying]:
    """What stays while each group of a series runs. Raises `CatenaError` as `known_plan`."""
    if len(series) == 1:
        return [ALONE]
    plans: list[GroupPlan] = []
    for op in series:
        assert isinstance(op.mapping, FusedAttr)
        plans.append(known_plan(group_of(op), op.mapping.data, hierarchy, stage, describe(op)))
    return in_place(plans, [values_that_stay(op) for op in series], [tuple(op.link_names) for op in series], hierarchy)


def in_place(
    plans: Sequence[GroupPlan],
    stays: Sequence[Mapping[str, Hashable]],
    links: Sequence[tuple[str, ...]],
    hierarchy: Hierarchy,
) -> list[Staying]:
    """What stays while each of some groups runs, one after another, with the names of their links.

    `stays` tell tensors that stay by the names that groups have for them.
    """
    found: dict[Hashable, Stay] = {}
    for place, (plan, named) in enumerate(zip(plans, stays, strict=True)):
        for hold in (each for each in plan.holds if each.stays):
            key = named[hold.tensor]
            first = found[key].first if key in found else place
            found[key] = Stay(key, hold.memory, hold.words, first, place)
    needs = [_need(plan, of, hierarchy) for plan, of in zip(plans, links, strict=True)]
    placed, ends = laid_out(list(found.values()), needs, hierarchy)
    return [
        Staying({name: placed[key] for name, key in named.items()}, end) for named, end in zip(stays, ends, strict=True)
    ]


def _need(plan: GroupPlan, links: tuple[str, ...], hierarchy: Hierarchy) -> dict[str, int]:
    """The words of every memory that a group needs besides what stays."""
    without = Staying({hold.tensor: 0 for hold in plan.holds if hold.stays}, {})
    found: dict[str, int] = {}
    for hold, address in zip(plan.holds, addresses(plan.holds, links, hierarchy, without), strict=True):
        if not hold.stays:
            found[hold.memory] = max(found.get(hold.memory, 0), address + hold.words)
    return found
