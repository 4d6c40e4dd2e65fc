"""Fused groups in place: links become layers beside one another again, and their group what is done in its turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from xdsl.dialects.builtin import ArrayAttr, ModuleOp
from xdsl.ir import Block, Operation, Region, SSAValue

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.fused_attribute import FusedAttr
from dialects.gconv import LinkOp
from dialects.gconv.fused import FusedOp
from dialects.gconv.interpreter import main_function
from dialects.gemm_mapping import GemmMapping, Nest, attribute_of
from dialects.groups import FetchOp, GroupOp, HoldOp, KeepOp, PlacedAxis, RunOp, SendOp, TurnsOp
from dialects.hierarchy import Hierarchy
from dialects.locations import describe
from dialects.schedule import Mapping as LinkMapping
from dialects.spatial import LayerOp, integer
from dialects.turn_box import TurnAxis, TurnBox
from passes.fusion.from_ir import group_of
from passes.fusion.group import Group
from passes.fusion.grouping import inline
from passes.fusion.holds import Fetch, GroupPlan, Hold, Run, Step, addresses, extents_of, misfits
from passes.fusion.memories import BITMAPS
from passes.fusion.plans import known_plan
from passes.fusion.series import series_of, staying_of
from passes.fusion.shapes import Shape
from passes.fusion.staying import Staying
from passes.fusion.turns import kept_by, shapes_of, taken_by
from passes.placing import Access, Buffers, Gathered


@dataclass(frozen=True)
class HeldBlocks:
    """A link's kernel in blocks in a hold: words of blocks and of bitmaps, and where those lie in their memory."""

    link: LinkOp
    values: int
    bitmaps: int
    address: int


@dataclass(eq=False)
class PlannedGroup:
    """A group whose links stand in the chain again: its plan, its tensors by name, and where its holds are.

    `staying` is what stays while it runs, `series` the number of the series of groups that it is in; `blocks` has the
    holds in which kernels lie in blocks.
    """

    group: Group
    plan: GroupPlan
    links: list[LinkOp]
    tensors: dict[str, SSAValue]
    addresses: tuple[int, ...]
    mapping: FusedAttr
    staying: Staying
    series: int
    blocks: dict[int, HeldBlocks] = field(default_factory=dict[int, HeldBlocks])

    def name_of(self, link: LinkOp) -> str:
        """The name of a link in the group."""
        return self.group.links[self.links.index(link)].name

    def kept(self, link: LinkOp) -> dict[str, int]:
        """The holds of a link's tensors, by role."""
        return kept_by(self.plan, self.name_of(link))

    def taken(self, link: LinkOp) -> dict[str, int]:
        """By memory, the words up to which holds lie while a link runs."""
        return taken_by(self.plan, self.addresses, self.name_of(link), self.staying)

    def shapes(self, link: LinkOp) -> dict[Shape, int]:
        """What a link's runs are as large as, and how often."""
        return shapes_of(self.plan, self.name_of(link))


def open_groups(
    module: ModuleOp, hierarchy: Hierarchy, nests: type[LinkMapping] | type[GemmMapping] = LinkMapping
) -> dict[LinkOp, PlannedGroup]:
    """Put the links of every group into its place, with the mappings of their turns, `nests`; the groups by link.

    Raises `CatenaError` for groups without a mapping, or with one of another kind of machine (CAT-R003), and as
    `series_of` and `known_plan`.
    """
    found: dict[LinkOp, PlannedGroup] = {}
    problems: list[Diagnostic] = []
    for number, series in enumerate(series_of(main_function(module), "placed")):
        try:
            staying = staying_of(series, hierarchy, "placed")
        except CatenaError as error:
            problems += error.diagnostics
            continue
        for op, stays in zip(series, staying, strict=True):
            try:
                opened = _open(op, hierarchy, nests, stays, number)
            except CatenaError as error:
                problems += error.diagnostics
            else:
                found |= dict.fromkeys(opened.links, opened)
    if problems:
        raise CatenaError(problems)
    return found


def _open(op: FusedOp, hierarchy: Hierarchy, nests: type[Nest], staying: Staying, series: int) -> PlannedGroup:
    if not isinstance(op.mapping, FusedAttr):
        raise CatenaError(Diagnostic("CAT-R003", "the group has no mapping", "placed", describe(op)))
    group, mapping, attribute = group_of(op), op.mapping.data, op.mapping
    plan = known_plan(group, mapping, hierarchy, "placed", describe(op))
    placed = addresses(plan.holds, tuple(op.link_names), hierarchy, staying)
    if problems := list(misfits(plan, placed, hierarchy, "placed", describe(op))):
        raise CatenaError(problems)
    branches = dict(mapping.branches)
    missing = [name for name in op.link_names if name not in branches]
    if missing:
        message = f"the mapping of the group has no nest for {', '.join(missing)}"
        raise CatenaError(
            Diagnostic("CAT-R003", message, "placed", describe(op), hint="run the passes of stage mapped")
        )
    known = {name: nest for name, nest in mapping.nests.items() if isinstance(nest, nests)}
    if others := [name for name in branches if name not in known]:
        message, hint = f"nests of {', '.join(others)} are of another kind of machine", "use the passes of its backend"
        raise CatenaError(Diagnostic("CAT-R003", message, "placed", describe(op), hint=hint))
    tensors = dict(zip(op.read_names, op.inputs, strict=True))
    names = op.link_names
    links = inline(op)
    for link, name in zip(links, names, strict=True):
        link.properties["mapping"] = attribute_of(known[name])
        tensors[name] = link.result
    return PlannedGroup(group, plan, links, tensors, placed, attribute, staying, series)


def gather(groups: Mapping[LinkOp, PlannedGroup]) -> dict[LinkOp, GatheredGroups]:
    """Groups with their series, by link."""
    series: dict[int, list[PlannedGroup]] = {}
    for group in dict.fromkeys(groups.values()):
        series.setdefault(group.series, []).append(group)
    gathered = {number: GatheredGroups(phases) for number, phases in series.items()}
    return {link: gathered[group.series] for link, group in groups.items()}


class GatheredGroups:
    """The groups of a series while their links are placed: one op, with the holds of all, once they are made."""

    def __init__(self, phases: Sequence[PlannedGroup]):
        self._phases = phases
        self._holds: list[list[HoldOp]] = []
        """Of every group, by number; what stays has one hold in all."""
        self._bitmaps: list[dict[int, HoldOp]] = []

    @property
    def gathered(self) -> Gathered:
        """How its layers come to stand in one op."""
        return Gathered([link for group in self._phases for link in group.links], self._begin, self._gather)

    def keeps(self, link: LinkOp) -> dict[str, KeepOp]:
        """What says in which holds the tensors of a link lie, by role."""
        place = next(place for place, group in enumerate(self._phases) if link in group.links)
        kept, holds, bitmaps = self._phases[place].kept(link), self._holds[place], self._bitmaps[place]
        keeps = {role: KeepOp.of(role, holds[number].result) for role, number in kept.items()}
        if "K" in kept and (of_kernel := bitmaps.get(kept["K"])) is not None:
            keeps["M"] = KeepOp.of("M", of_kernel.result)
        return keeps

    def _begin(self, buffers: Buffers) -> None:
        staying: dict[SSAValue, HoldOp] = {}
        for group in self._phases:
            self._holds.append(hold_ops(group, buffers, staying))
            self._bitmaps.append(
                {
                    number: _words_in_a_row(buffers.index_of_kernel(held.link), BITMAPS, held.address, held.bitmaps)
                    for number, held in group.blocks.items()
                }
            )

    def _gather(self, layers: list[LayerOp]) -> Operation:
        return group_op(self._phases, self._holds, self._bitmaps, layers)


def _words_in_a_row(buffer: SSAValue, memory: str, address: int, words: int) -> HoldOp:
    """A hold of a whole buffer, word by word."""
    return HoldOp.of(buffer, 0, memory, address, words, [PlacedAxis(words, 1, words)])


def hold_ops(planned: PlannedGroup, buffers: Buffers, staying: dict[SSAValue, HoldOp]) -> list[HoldOp]:
    """The holds of a group, but for bitmaps; `staying` has those of what stays, and gets new ones."""
    ops: list[HoldOp] = []
    for number, (hold, address) in enumerate(zip(planned.plan.holds, planned.addresses, strict=True)):
        if (held := planned.blocks.get(number)) is not None:
            ops.append(_words_in_a_row(buffers.kernel(held.link).buffer, hold.memory, address, held.values))
            continue
        tensor = planned.tensors[hold.tensor]
        if hold.stays and tensor in staying:
            ops.append(staying[tensor])
            continue
        ops.append(_hold_op(planned, hold, address, buffers.access(tensor)))
        if hold.stays:
            staying[tensor] = ops[-1]
    return ops


def _hold_op(planned: PlannedGroup, hold: Hold, address: int, access: Access) -> HoldOp:
    view = access.view.reshape(planned.group.tensor(hold.tensor).shape)
    if view is None:
        message = f"{hold.tensor} lies in a buffer in an order that its holds cannot follow"
        raise CatenaError(Diagnostic("CAT-R003", message, "placed", describe(planned.links[-1])))
    pitches = _pitches(planned.group, hold.tensor, view.strides)
    axes = [
        PlacedAxis(axis.extent, pitch, axis.kept, axis.first, axis.step)
        for axis, pitch in zip(hold.axes, pitches, strict=True)
    ]
    return HoldOp.of(access.buffer, access.view.offset, hold.memory, address, hold.words, axes)


def _pitches(group: Group, tensor: str, strides: Sequence[int]) -> list[int]:
    """Words in the buffer between neighbours along the axes of a tensor as regions have them; 1 where there is one."""
    extents = extents_of(group, tensor)
    if not group.is_kernel_alone(tensor):
        pairs = zip(extents, strides, strict=True)
    else:
        (link, _), *_ = group.readers(tensor)
        steps = [
            step for dim, stride in zip(link.spec.dims, strides, strict=True) for step in (stride * dim.ks, stride)
        ]
        pairs = zip(extents, steps, strict=True)
    return [stride if extent > 1 else 1 for extent, stride in pairs]


def group_op(
    phases: Sequence[PlannedGroup],
    holds: Sequence[list[HoldOp]],
    bitmaps: Sequence[Mapping[int, HoldOp]],
    layers: list[LayerOp],
) -> GroupOp:
    """The layers of groups with what is done in the turns of each, one after another.

    Of each group there are its holds, and `bitmaps` that go with holds of kernels.
    """
    turns: list[Operation] = []
    names: list[str | None] = []
    for group, own, more in zip(phases, holds, bitmaps, strict=True):
        # no two layers have a number, and no two groups need have different names
        names = [*(None for _ in names), *(link.name for link in group.group.links)]
        turns += _turns(group.plan, own, names, more)
    every = dict.fromkeys(hold for own in holds for hold in own)
    every |= dict.fromkeys(hold for more in bitmaps for hold in more.values())
    mappings = [group.mapping for group in phases]
    op = GroupOp(
        properties={"mapping": mappings[0] if len(mappings) == 1 else ArrayAttr(mappings)},
        regions=[Region(Block([*every, *layers, *turns]))],
    )
    for hold in every:
        hold.location = cast("Operation", hold.buffer.owner).location
    op.location = phases[-1].links[-1].location
    for _, step in op.steps():
        step.location = layers[integer(step.layer)].location
    for each in op.walk():
        if isinstance(each, TurnsOp):
            each.location = op.location
    return op


def _turns(
    plan: GroupPlan, holds: list[HoldOp], names: Sequence[str | None], bitmaps: Mapping[int, HoldOp]
) -> list[Operation]:
    """What a group does; `names` are the links of the layers so far, None for those of groups before."""
    inner: list[Operation] = []
    for depth in reversed(range(len(plan.turns) + 1)):
        around = [op for step in plan.before[depth] for op in _steps(step, holds, names, bitmaps)]
        behind = [op for step in plan.after[depth] for op in _steps(step, holds, names, bitmaps)]
        inner = [*around, *inner, *behind]
        if depth:
            inner = [TurnsOp.of(plan.turns[depth - 1], inner)]
    return inner


def _steps(
    step: Step, holds: list[HoldOp], names: Sequence[str | None], bitmaps: Mapping[int, HoldOp]
) -> list[Operation]:
    layer = names.index(step.link)
    match step:
        case Run():
            return [RunOp.of(layer, step.box)]
        case Fetch(number) if number in bitmaps:
            return [_fetch_all(bitmaps[number], layer), _fetch_all(holds[number], layer)]
        case Fetch():
            return [FetchOp.of(holds[step.hold].result, layer, step.box)]
        case _:
            return [SendOp.of(holds[step.hold].result, layer, step.box)]


def _fetch_all(hold: HoldOp, layer: int) -> FetchOp:
    box = TurnBox(tuple(TurnAxis(axis.extent) for axis in hold.axes.data))
    return FetchOp.of(hold.result, layer, box)
