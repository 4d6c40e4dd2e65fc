"""What comes next in the turns of a fused group, as its code says: which transfer or run, on which box."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from backends.isa import Instruction, Isa
from backends.program import GroupEntry, Program
from backends.spatial.group_isa import Box, Fetch, Group, Range, Run, Send, Span, Turns
from backends.spatial.isa import End
from dialects.turn_box import Along, TurnAxis, TurnBox
from dialects.turn_box import Span as SpanOfTurns


@dataclass(frozen=True)
class GroupTurn:
    """A fetch, run or send at an address, for the layer of a number; `box` has ranges, none of them empty.

    `loop` has the addresses from `turns` to its end, of the outermost loop of which it is the first of a turn.
    """

    address: int
    layer: int
    box: tuple[range, ...]
    is_run: bool
    loop: range = range(0)


@dataclass(frozen=True)
class GroupTurns:
    """What has to come, in order, the addresses of all that does, and of runs by the number of their layer."""

    addresses: frozenset[int]
    runs: Mapping[int, frozenset[int]]
    all: Iterator[GroupTurn]


def group_turns_of(program: Program, group: GroupEntry, isa: Isa) -> GroupTurns | None:
    """All that a group has to do; None on several cores, and of groups that are no instructions of the machine."""
    if len(program.code) != 1:
        return None
    code = list(isa.decode(program.code[0]))
    number = program.groups.index(group)
    start = next((pc for pc, each in enumerate(code) if isinstance(each, Group) and each.index == number), None)
    if start is None:
        return None
    boxes = dict(_boxes(code, start))
    first = next(pc for pc in range(start, len(code)) if isinstance(code[pc], Turns | Fetch | Run | Send))
    body = _Body(code, first)
    runs = [(code[pc], pc) for pc in body.steps]
    layers = {each.layer for each, _ in runs if isinstance(each, Run)}
    of_layer = {
        layer: frozenset(pc for each, pc in runs if isinstance(each, Run) and each.layer == layer) for layer in layers
    }
    return GroupTurns(frozenset(body.steps), of_layer, body.turns(boxes))


def _boxes(code: Sequence[Instruction], start: int) -> Iterator[tuple[int, list[_Axis]]]:
    """The boxes of a group, by number."""
    axes: list[_Axis] = []
    for instruction in code[start:]:
        match instruction:
            case Box():
                axes = []
                yield instruction.box, axes
            case Range():
                axes.append(_Axis(instruction))
            case Span():
                axes[-1].spans.append(instruction)
            case Turns() | Fetch() | Run() | Send():
                return
            case _:
                pass


@dataclass
class _Axis:
    """A range of a box, with all of its spans."""

    range: Range
    spans: list[Span] = field(default_factory=list[Span])

    def axis(self) -> TurnAxis:
        """It as data, loop by loop."""
        along: dict[int, list[SpanOfTurns]] = {}
        for each in self.spans:
            span = SpanOfTurns(each.turn, each.first, each.size, each.step, each.growth)
            along.setdefault(each.loop, []).append(span)
        loops = tuple(Along(loop, tuple(spans)) for loop, spans in along.items())
        return TurnAxis(self.range.count, loops, self.range.offset, self.range.step)


class _Body:
    """The code of a group from its first loop, transfer or run on, up to its end."""

    def __init__(self, code: Sequence[Instruction], first: int) -> None:
        self._code, self._first, self._end = code, first, len(code)
        self._ends: dict[int, int] = {}
        """By the address of `turns`, that of its end."""
        self._begun = range(0)
        """The loop of which a turn has begun."""
        self.steps: list[int] = []
        opened: list[int] = []
        for pc in range(first, len(code)):
            match code[pc]:
                case Turns():
                    opened.append(pc)
                case Fetch() | Run() | Send():
                    self.steps.append(pc)
                case End() if opened:
                    self._ends[opened.pop()] = pc
                case _:
                    self._end = pc
                    return

    def turns(self, boxes: dict[int, list[_Axis]]) -> Iterator[GroupTurn]:
        """Everything, turn by turn."""
        made = {number: TurnBox(tuple(each.axis() for each in axes)) for number, axes in boxes.items()}
        return self._run(range(self._first, self._end), made, [])

    def _run(self, part: range, boxes: dict[int, TurnBox], turns: list[int]) -> Iterator[GroupTurn]:
        pc = part.start
        while pc in part:
            match self._code[pc]:
                case Turns() as loop:
                    inside = range(pc + 1, self._ends[pc])
                    for turn in range(loop.turns):
                        self._begun = self._begun or range(pc, self._ends[pc] + 1)
                        yield from self._run(inside, boxes, [*turns, turn])
                    pc = inside.stop
                case (Fetch() | Run() | Send()) as step:
                    box = boxes[step.box].at(turns)
                    if all(map(len, box)):
                        yield GroupTurn(pc, step.layer, box, isinstance(step, Run), self._begun)
                        self._begun = range(0)
                case _:
                    pass
            pc += 1
