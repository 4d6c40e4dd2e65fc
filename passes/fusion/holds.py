"""How a fused group lies in memories on the chip and takes its turns, as data: what a sequencer is told.

Every tensor that lies on the chip has a *hold*: words that are addressed around in circles, axis by axis, so that what
a turn brings overwrites what no turn needs any more. Along an axis a hold keeps as many indices as ever are needed at a
time; the elements of one turn of its level never share a word.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.fused_mapping import FusedMapping, Retention, Stages
from dialects.gconv.spec import PASS, Dim, LoopKind
from dialects.hierarchy import Hierarchy, Memory
from dialects.schedule import Operand as NestOperand
from dialects.turn_box import TurnBox
from passes.fusion.boxes import MOST_BOXES, IrregularError, boxes_of, merged
from passes.fusion.group import Group, GroupLink, Operand, Role
from passes.fusion.inference import Tiles, infer, turns_of
from passes.fusion.pieces import own_loops, piece_problems
from passes.fusion.region import Box, Region, Table, any_of, is_still
from passes.fusion.staying import ALONE, Staying

KINDS = tuple(LoopKind)
"""The loops of a dimension, in the order in which boxes of work have them as axes."""


@dataclass(frozen=True)
class KeptAxis:
    """Indices of an axis of `extent`: first, first + step ... are kept, `kept` of them at a time."""

    extent: int
    first: int
    step: int
    kept: int


@dataclass(frozen=True)
class Hold:
    """The place of a tensor: `words` is the product of what its axes keep.

    It is filled in below `level` loops, or, with `link`, in every turn for this link alone. `spare` words of it are
    never used: what is needed at a time is no product of ranges. All of a tensor that `stays` lies there from the group
    that makes it to the last one that reads it.
    """

    tensor: str
    memory: str
    axes: tuple[KeptAxis, ...]
    level: int
    link: str | None = None
    spare: int = 0
    stays: bool = False

    @property
    def words(self) -> int:
        """The words that the tensor takes."""
        return math.prod(axis.kept for axis in self.axes)


@dataclass(frozen=True)
class Fetch:
    """Bring elements of a hold from off-chip, for the first link that reads it."""

    hold: int
    link: str
    box: TurnBox


@dataclass(frozen=True)
class Run:
    """Let a link work a box: its axes are (g, op, opc, ks) of every dimension in turn."""

    link: str
    box: TurnBox


@dataclass(frozen=True)
class Send:
    """Take elements of a hold off-chip, for the link that made them."""

    hold: int
    link: str
    box: TurnBox


Step = Fetch | Run | Send


@dataclass(frozen=True)
class GroupPlan:
    """What a group does: `turns` of its loops, and around them at every depth what comes before and after inner loops.

    `keeps` says of the operands and the result of a link in which hold they lie; what is not there lies off-chip. Keys
    are link, role (`I`, `K`, `P0`, `P1`, ..., `O`).
    """

    turns: tuple[int, ...]
    holds: tuple[Hold, ...]
    keeps: dict[tuple[str, str], int]
    before: tuple[tuple[Step, ...], ...]
    after: tuple[tuple[Step, ...], ...]
    """One entry for every depth, from outside of all loops to inside of all of them."""

    @property
    def steps(self) -> Iterator[tuple[int, Step]]:
        """All steps with the number of loops around them."""
        for depth, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
            yield from ((depth, step) for step in (*before, *after))


def plan_group(group: Group, mapping: FusedMapping, hierarchy: Hierarchy, stage: str, node: str) -> GroupPlan:
    """The plan of a group.

    Raises `CatenaError` (CAT-F002) with everything that this code generator cannot make of the mapping.
    """
    problems = [
        Diagnostic("CAT-F002", message, stage, node, hint=hint) for message, hint in refused(group, mapping, hierarchy)
    ]
    if problems:
        raise CatenaError(problems)
    return plan_anew(group, mapping, hierarchy.memories[0].name, stage, node)


def plan_anew(group: Group, mapping: FusedMapping, outermost: str, stage: str, node: str) -> GroupPlan:
    """As `plan_group`, of a mapping that is not `refused`, on a machine whose outermost memory is called so."""
    return _Planner(group, mapping, outermost, stage, node).plan()


def refused(group: Group, mapping: FusedMapping, hierarchy: Hierarchy) -> Iterator[tuple[str, str]]:
    """Mappings that are priced and not lowered, with hints."""
    if mapping.stages is Stages.PIPELINE:
        message = f"links of a pipeline work at the same time, and {hierarchy.name} has one array for all of them"
        yield message, "write sequential { ... }; machines of several cores run pipelines"
    known = {memory.name: memory for memory in hierarchy.memories}
    yield from _unfinished(group, mapping, known)
    outermost = hierarchy.memories[0].name
    for each in mapping.retentions:
        if each.memory not in known:
            yield f"{each.tensor}: there is no memory {each.memory}", f"one of {', '.join(known)}"
        elif each.memory == outermost and each.tensor in group.intermediates:
            yield f"{each.tensor} lies off-chip between links of the group", "end the group before its readers"
        elif each.resident and each.memory == outermost:
            yield f"{each.tensor} stays off-chip", "leave the word out"
        elif each.resident and group.is_kernel_alone(each.tensor):
            yield f"{each.tensor} stays, and is read as a kernel", "let it go off-chip, or make one group of both"
        elif hierarchy.axes_outside(each.memory):
            yield (
                f"{each.tensor}: there are several memories {each.memory}",
                "a memory outside of all axes holds tensors",
            )
    yield from ((message, hint) for _, message, hint in piece_problems(group, mapping))


def _unfinished(group: Group, mapping: FusedMapping, known: dict[str, Memory]) -> Iterator[tuple[str, str]]:
    """Loops between whose turns sums of the head would have to leave the chip, or lie where none come about."""
    result = group.head.result
    place, turns = mapping.retention(result), turns_of(group.head, mapping)
    for position, node in enumerate(mapping.loops):
        if node.loop.kind is not LoopKind.KS or turns[position] == 1:
            continue
        if place.level is None or place.level > position:
            hint = f"store {place.memory} [{result}] above this loop, or cut g, op or opc loops of the head"
            yield f"{node}: sums of {result} would leave the chip unfinished between turns", hint
        elif (memory := known.get(place.memory)) is not None and NestOperand.OUTPUT not in memory.operands:
            yield f"{node}: sums of {result} would go on in {memory.name}, which takes none", "cut other loops"
    others = (tensor.size for tensor in group.tensors if tensor.name != result)
    most = group.tensor(result).size + max(others, default=0)
    if math.prod(turns) > most:
        yield f"{math.prod(turns)} turns are more than a sequencer takes for so few words ({most})", "cut larger tiles"


class _Planner:
    def __init__(self, group: Group, mapping: FusedMapping, outermost: str, stage: str, node: str):
        self._group, self._mapping, self._stage, self._node = group, mapping, stage, node
        self._outermost = outermost
        self._tiles: Tiles = infer(group, mapping)
        self._depth = len(mapping.loops)
        self._holds: list[Hold] = []
        self._keeps: dict[tuple[str, str], int] = {}
        self._before: list[list[Step]] = [[] for _ in range(self._depth + 1)]
        self._after: list[list[Step]] = [[] for _ in range(self._depth + 1)]
        self._problems: list[Diagnostic] = []

    def plan(self) -> GroupPlan:
        local: dict[str, list[Step]] = {link.name: [] for link in self._group.links}
        sent: dict[str, list[Step]] = {link.name: [] for link in self._group.links}
        for retention in self._mapping.retentions:
            tensor = retention.tensor
            if retention.memory == self._outermost or not self._is_used(tensor):
                continue
            if tensor in self._group.makers:
                self._result(retention, sent)
            elif retention.level is None:
                self._borrowed(retention, local)
            else:
                self._external(retention, retention.level)
        for link in self._group.links:
            runs = [Run(link.name, box) for box in self._boxes(link.name, self._work(link), steps=False)]
            self._before[-1] += [*local[link.name], *runs, *sent[link.name]]
            if not runs:
                self._refuse(f"{link.name} makes nothing that the group needs")
            self._check_work(link, runs)
            self._check_pieces(link, runs)
        if self._problems:
            raise CatenaError(self._problems)
        return GroupPlan(
            self._tiles.turns,
            tuple(self._holds),
            self._keeps,
            tuple(map(tuple, self._before)),
            tuple(map(tuple, self._after)),
        )

    def _is_used(self, tensor: str) -> bool:
        return tensor in self._group.makers or any(True for _ in self._group.readers(tensor))

    # Holds ------------------------------------------------------------------------------------------------------------

    def _external(self, retention: Retention, level: int) -> None:
        """A tensor that is fetched, for all links that read it."""
        held = self._tiles.needed[retention.tensor].over(range(level, self._depth))
        readers = list(self._group.readers(retention.tensor))
        number = self._hold(retention, held, level)
        for link, operand in readers:
            self._keep(link, operand, number)
        if retention.resident:
            return
        filled = held.minus(held.just_before(level)) if retention.reuse else held
        first = readers[0][0].name
        boxes = self._boxes(retention.tensor, filled)
        self._before[level] += [Fetch(number, first, box) for box in boxes]

    def _borrowed(self, retention: Retention, local: dict[str, list[Step]]) -> None:
        """A tensor that each link that reads it fetches for itself, in every turn, or its nest does in pieces."""
        for link in self._group.links:
            in_pieces = own_loops(self._mapping, link, retention.tensor)
            if (link.name, retention.tensor) not in self._tiles.reads or in_pieces:
                continue
            read = self._tiles.reads[link.name, retention.tensor]
            number = self._hold(retention, read, self._depth, link.name)
            for operand in link.operands:
                if operand.tensor == retention.tensor:
                    self._keep(link, operand, number)
            local[link.name] += [Fetch(number, link.name, box) for box in self._boxes(retention.tensor, read)]

    def _result(self, retention: Retention, sent: dict[str, list[Step]]) -> None:
        """A tensor that a link makes: the head's leaves at the end of its level's turn, exported ones once made."""
        tensor = retention.tensor
        maker = self._group.makers[tensor]
        if own_loops(self._mapping, maker, tensor):
            return  # its nest takes it away, piece by piece
        level = self._depth if retention.level is None else retention.level
        held = self._tiles.needed[tensor].over(range(level, self._depth))
        number = self._hold(retention, held, level, maker.name if retention.level is None else None)
        self._keeps[maker.name, "O"] = number
        for link, operand in self._group.readers(tensor):
            self._keep(link, operand, number)
        if retention.resident:
            self._check_made(tensor, "stays")
        elif maker is self._group.head:
            sends = [Send(number, maker.name, box) for box in self._boxes(tensor, held)]
            if retention.level is None:
                sent[maker.name] += sends
            else:
                self._after[level] += sends
        elif tensor in self._group.exported:
            made = self._tiles.made[tensor]
            self._check_made(tensor, "is wanted outside the group")
            sent[maker.name] += [Send(number, maker.name, box) for box in self._boxes(tensor, made)]

    def _check_made(self, tensor: str, why: str) -> None:
        made = self._tiles.made[tensor].over(range(self._depth)).total
        if missing := self._group.tensor(tensor).size - made:
            self._refuse(f"{tensor} {why}, and the group never makes {missing} of its elements")

    def _hold(self, retention: Retention, held: Region, level: int, link: str | None = None) -> int:
        extents = extents_of(self._group, retention.tensor)
        if retention.resident:
            whole = tuple(KeptAxis(extent, 0, 1, extent) for extent in extents)
            self._holds.append(Hold(retention.tensor, retention.memory, whole, level, stays=True))
            return len(self._holds) - 1
        axes = tuple(_kept_axes(held)) if held.boxes else tuple(KeptAxis(extent, 0, 1, 1) for extent in extents)
        spare = math.prod(axis.kept for axis in axes) - held.largest
        self._holds.append(Hold(retention.tensor, retention.memory, axes, level, link, spare))
        return len(self._holds) - 1

    def _keep(self, link: GroupLink, operand: Operand, number: int) -> None:
        self._keeps[link.name, role_of(link, operand)] = number

    # Boxes ------------------------------------------------------------------------------------------------------------

    def _boxes(self, what: str, region: Region, *, steps: bool = True) -> tuple[TurnBox, ...]:
        try:
            boxes = boxes_of(region, steps=steps)
        except IrregularError as error:
            self._refuse(f"{what}: {error}")
            return ()
        assert sum(box.total(region.turns) for box in boxes) == region.total, what
        return boxes

    def _refuse(self, message: str) -> None:
        hint = "cut other loops of the head, or keep more of what its links share"
        self._problems.append(Diagnostic("CAT-F002", message, self._stage, self._node, hint=hint))

    def _work(self, link: GroupLink) -> Region:
        """What a link works in every turn, with (g, op, opc, ks) of every dimension for axes."""
        boxes: list[Box] = []
        taps = self._tiles.taps(link)
        for box in merged(self._tiles.made[link.result]):
            parts: list[list[Table]] = [[]]
            for place, (dim, table) in enumerate(zip(link.spec.dims, box, strict=True)):
                windows = list(_loops_of(dim, table))
                parts = [[*part, *window, taps[place]] for part in parts for window in windows]
                if len(parts) > MOST_BOXES:
                    self._refuse(f"{link.name}: what a turn makes of {dim.name} is no range of its loops")
                    return Region((), self._tiles.turns)
            boxes += [tuple(part) for part in parts]
        return Region(tuple(boxes), self._tiles.turns)

    def _check_work(self, link: GroupLink, runs: list[Run]) -> None:
        """Without a kernel, what boxes only repeat is worked in each of them."""
        if link.spec.main != PASS or self._problems or not runs:
            return
        worked = 0
        for run in runs:
            for shape, times in run.box.shapes(self._tiles.turns):
                worked += times * math.prod(
                    size
                    for kind, size in zip(KINDS * len(link.spec.dims), shape, strict=True)
                    if kind is not LoopKind.OP
                )
        if worked != self._tiles.worked[link.name].total:
            self._refuse(f"{link.name}: what it repeats is wanted in several pieces")

    def _check_pieces(self, link: GroupLink, runs: list[Run]) -> None:
        """What a nest brings in pieces it brings in every run."""
        tensors = {link.result, *(operand.tensor for operand in link.operands)}
        if not any(own_loops(self._mapping, link, tensor) for tensor in tensors):
            return
        made = int(np.count_nonzero(np.broadcast_to(self._tiles.made[link.result].counts, self._tiles.turns)))
        if sum(times for run in runs for _, times in run.box.shapes(self._tiles.turns)) > made:
            self._refuse(
                f"{link.name}: what comes in pieces would come several times, for what a turn makes is no range"
            )


def extents_of(group: Group, tensor: str) -> tuple[int, ...]:
    """The extents of a tensor's axes, as regions have them: two for each dimension of a kernel of its own."""
    if not group.is_kernel_alone(tensor):
        return group.tensor(tensor).shape
    (link, _), *_ = group.readers(tensor)
    return tuple(extent for dim in link.spec.dims for extent in (dim.g * dim.op, dim.ks))


def role_of(link: GroupLink, operand: Operand) -> str:
    """What an operand is to its link: `I`, `K` or `P` and a number."""
    if operand.role is not Role.POST:
        return operand.role
    posts = [each for each in link.operands if each.role is Role.POST]
    return f"P{next(index for index, each in enumerate(posts) if each is operand)}"


def _loops_of(dim: Dim, results: Table) -> Iterator[tuple[Table, Table, Table]]:
    """Results of a dimension as products of indices of g, op and opc, one after another where they are not one."""
    split = results.reshape(*results.shape[:-1], dim.g, dim.op, dim.opc)
    g, op, opc = (_any_but(split, axis) for axis in (-3, -2, -1))
    whole = g[..., :, None, None] & op[..., None, :, None] & opc[..., None, None, :]
    if bool((whole == split).all()):
        yield g, op, opc
        return
    axis, count = next((axis, count) for axis, count in ((-3, dim.g), (-2, dim.op), (-1, 1)) if _several(split, axis))
    for index in range(count):
        one = split.copy()
        others = [each for each in range(count) if each != index]
        one[(..., others, *(slice(None),) * (-1 - axis))] = False
        if one.any():
            yield from _loops_of(dim, one.reshape(results.shape))


def _several(split: Table, axis: int) -> bool:
    """Whether more than one index of an axis is ever there."""
    used = split.any(axis=tuple(each for each in range(split.ndim) if each != split.ndim + axis))
    return int(np.count_nonzero(used)) > 1


def _any_but(split: Table, axis: int) -> Table:
    """The union over two of the last three axes."""
    others = tuple(each for each in (-3, -2, -1) if each != axis)
    return np.asarray(split.any(axis=others))


def _kept_axes(held: Region) -> Iterator[KeptAxis]:
    """For every axis what a hold keeps: the most indices from the first to the last that are needed at a time."""
    rank = len(held.boxes[0])
    boxes = [_where_there(box) for box in held.boxes] if len(held.boxes) > 1 else list(held.boxes)
    for axis in range(rank):
        table = boxes[0][axis]
        for box in boxes[1:]:
            table = table | box[axis]
        if is_still(table) and table.all():
            yield KeptAxis(table.size, 0, 1, table.size)
            continue
        used = np.flatnonzero(table.any(axis=tuple(range(table.ndim - 1))))
        step = int(np.gcd.reduce(np.diff(used))) if len(used) > 1 else 1
        last = table.shape[-1] - 1 - np.argmax(table[..., ::-1], axis=-1)
        lengths = np.where(table.any(axis=-1), last - np.argmax(table, axis=-1) + 1, 0)
        kept = -(-int(lengths.max()) // step)
        yield KeptAxis(table.shape[-1], int(used[0]), step, kept)


def _where_there(box: Box) -> Box:
    """A box without indices in turns in which there is nothing of it."""
    there = np.logical_and.reduce(np.broadcast_arrays(*(any_of(table, -1) for table in box)))
    return tuple(table & there for table in box)


def lasting(holds: tuple[Hold, ...]) -> Iterator[tuple[int, Hold]]:
    """The holds that are there for all links, with their numbers."""
    return ((number, hold) for number, hold in enumerate(holds) if hold.link is None)


def addresses(
    holds: tuple[Hold, ...], links: tuple[str, ...], hierarchy: Hierarchy, staying: Staying = ALONE
) -> tuple[int, ...]:
    """The first word of every hold: one behind the other in each memory, those of single links at the same place.

    Holds of what stays lie where that is `staying`, all others behind.
    """
    found = [0] * len(holds)
    for memory in hierarchy.memories[1:]:
        end = memory.whole_banks(staying.end.get(memory.name, 0))
        for number, hold in lasting(holds):
            if hold.memory == memory.name and hold.stays and hold.tensor in staying.first:
                found[number] = staying.first[hold.tensor]
            elif hold.memory == memory.name:
                found[number], end = end, end + memory.whole_banks(hold.words)
        for link in links:
            own = end
            for number, hold in enumerate(holds):
                if (hold.memory, hold.link) == (memory.name, link):
                    found[number], own = own, own + memory.whole_banks(hold.words)
    return tuple(found)


def misfits(
    plan: GroupPlan, placed: tuple[int, ...], hierarchy: Hierarchy, stage: str, node: str
) -> Iterator[Diagnostic]:
    """The memories that are too small for the holds of a group, one problem each."""
    for memory in hierarchy.memories[1:]:
        inside = [(hold, first) for hold, first in zip(plan.holds, placed, strict=True) if hold.memory == memory.name]
        taken = max((first + hold.words for hold, first in inside), default=0)
        if memory.words is not None and taken > memory.words:
            tensors = ", ".join(f"{hold.tensor} {hold.words}" for hold, _ in inside)
            tensors += "" if memory.bank is None else f"; each in whole banks of {memory.bank}"
            yield Diagnostic(
                "CAT-F002",
                f"the tensors of the group do not fit {memory.name} ({tensors})",
                stage,
                node,
                expected=f"at most {memory.words} words",
                found=f"{taken} words",
                hint="cut smaller tiles, keep tensors below more loops, recompute, or leave what is read off-chip: "
                f"store {hierarchy.memories[0].name} [...]",
            )
