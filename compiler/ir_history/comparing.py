"""What a pass did, op by op: those of the module before it beside those after it."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from xdsl.ir import Operation, SSAValue

from compiler.ir_history.snapshots import Said, Snapshot, place

OPERANDS, RESULTS, LOCATION = "operands", "result types", "location"
SEGMENTS = "operandSegmentSizes"
"""How operands are divided, which follows from them."""


class Kind(StrEnum):
    """What became of an op."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"


@dataclass(frozen=True)
class Change:
    """What became of one op: the op before and after the pass, and what about it is different.

    `before` is None of what is new, `after` of what is gone. `what` holds names of attributes, and `OPERANDS`,
    `RESULTS`, `LOCATION`; `nodes` are the ONNX nodes of the op after the pass, of one that is gone before it, and
    `came_from` those before it.
    """

    kind: Kind
    name: str
    nodes: tuple[str, ...]
    before: Operation | None = None
    after: Operation | None = None
    what: tuple[str, ...] = ()
    came_from: tuple[str, ...] = ()


def changes(before: Snapshot, after: Snapshot) -> tuple[Change, ...]:
    """What is different, in the order of the text after the pass; what is gone stands before what came from its nodes.

    An op that is still there is the same op. One that is gone and a new one are the same, rebuilt, if they are of one
    kind and name the same ONNX nodes, or else share one. An operand is the same if what makes it is.
    """
    heirs = _heirs(before, after)
    found = list(_kept_changes(before, after, heirs))
    found += [
        Change(Kind.REMOVED, said.name, said.nodes, before=op, came_from=said.nodes)
        for op, said in before.ops.items()
        if op not in after.ops and op not in heirs
    ]
    return tuple(_ordered(found, before, after))


def _kept_changes(before: Snapshot, after: Snapshot, heirs: Mapping[Operation, Operation]) -> Iterator[Change]:
    """What is new, what says something else, and what stands elsewhere."""
    ancestors = {new: old for old, new in heirs.items()}
    moved = _moved(before, after, ancestors)
    for op, said in after.ops.items():
        old = ancestors.get(op, op)
        if old not in before.ops:
            yield Change(Kind.ADDED, said.name, said.nodes, after=op)
        elif what := _differences(before.ops[old], said, heirs):
            yield Change(Kind.CHANGED, said.name, said.nodes, old, op, what, before.ops[old].nodes)
        elif op in moved:
            yield Change(Kind.MOVED, said.name, said.nodes, old, op, came_from=before.ops[old].nodes)


def _heirs(before: Snapshot, after: Snapshot) -> dict[Operation, Operation]:
    """Ops that are gone, and the new ops that stand in their place."""
    gone = {op: said for op, said in before.ops.items() if op not in after.ops}
    new = {op: said for op, said in after.ops.items() if op not in before.ops}
    heirs: dict[Operation, Operation] = {}
    for keys in (_whole, _single):
        waiting: dict[Hashable, deque[Operation]] = {}
        for op, said in new.items():
            for key in keys(said):
                waiting.setdefault(key, deque()).append(op)
        taken = set(heirs.values())
        for op, said in gone.items():
            if op in heirs:
                continue
            for key in keys(said):
                line = waiting.get(key, deque())
                while line and line[0] in taken:
                    line.popleft()
                if line:
                    heirs[op] = line.popleft()
                    taken.add(heirs[op])
                    break
    return heirs


def _whole(said: Said) -> Iterable[Hashable]:
    return ((said.name, said.nodes),)


def _single(said: Said) -> Iterable[Hashable]:
    return ((said.name, node) for node in said.nodes)


def _differences(old: Said, new: Said, heirs: Mapping[Operation, Operation]) -> tuple[str, ...]:
    names = dict.fromkeys((*old.attributes, *new.attributes))
    found = [name for name in names if name != SEGMENTS and old.attributes.get(name) != new.attributes.get(name)]

    def source(value: SSAValue) -> Hashable:
        op, number, is_argument = place(value)
        return (op if op is None else heirs.get(op, op)), number, is_argument

    if list(map(source, old.operands)) != list(map(source, new.operands)):
        found.append(OPERANDS)
    if old.types != new.types:
        found.append(RESULTS)
    if old.location != new.location:
        found.append(LOCATION)
    return tuple(found)


def _moved(before: Snapshot, after: Snapshot, ancestors: Mapping[Operation, Operation]) -> set[Operation]:
    """The fewest ops that have to be moved for the others to be in their old order."""
    number = {op: place for place, op in enumerate(before.ops)}
    kept = [op for op in after.ops if ancestors.get(op, op) in number]
    places = [number[ancestors.get(op, op)] for op in kept]
    # The longest increasing subsequence: by length, its smallest last place, and for each op the one before it.
    ends: list[int] = []
    last: list[int] = []
    previous: list[int] = []
    for index, at in enumerate(places):
        length = bisect_left(ends, at)
        ends[length:] = [at, *ends[length + 1 :]]
        last[length:] = [index, *last[length + 1 :]]
        previous.append(last[length - 1] if length else -1)
    stays: set[Operation] = set()
    index = last[-1] if last else -1
    while index >= 0:
        stays.add(kept[index])
        index = previous[index]
    return {op for op in kept if op not in stays}


def _ordered(found: Iterable[Change], before: Snapshot, after: Snapshot) -> list[Change]:
    """By the text after the pass; what is gone stands before the first change with a node of it, or where it was."""
    line = {op: number for number, op in enumerate(after.ops)}
    of_node: dict[str, int] = {}
    several = list(found)
    for each in several:
        for node in each.nodes if each.after is not None else ():
            of_node[node] = min(of_node.get(node, len(line)), line[each.after] if each.after is not None else 0)
    behind: dict[Operation, int] = {}
    reached = -1
    for op in before.ops:
        reached = line.get(op, reached)
        behind[op] = reached

    def key(each: Change) -> tuple[float, bool]:
        if each.after is not None:
            return line[each.after], True
        assert each.before is not None
        near = [of_node[node] for node in each.nodes if node in of_node]
        return (min(near) if near else behind[each.before] + 0.5), False

    return sorted(several, key=key)
