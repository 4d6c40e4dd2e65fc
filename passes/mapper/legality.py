"""Whether a mapping is legal on a hierarchy: every violated rule, with its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from dialects.diagnostics import Diagnostic, did_you_mean
from dialects.gconv import PASS, GConv, LoopKind
from dialects.hierarchy import Hierarchy
from dialects.schedule import Loop, Mapping, Node, Operand, Spatial, Storage
from passes.mapper.counts import Counts
from passes.mapper.nest import nest_of
from passes.mapper.notation import parse_nodes
from passes.mapper.order import Placed, Problems, misplaced
from passes.mapper.problem import Problem

Hinted = tuple[str, str, str, str]
"""What is wrong, what was expected, what was found, and what to do."""

_INWARDS = "write stores from the outside in: memories in the order of the target, an operand once in each"

MOST_SPATIAL = 16
"""Spatial nodes of a mapping at most: as many as a transfer can name (`backends.generic.isa`)."""


def violations(
    spec: GConv,
    mapping: Mapping,
    hierarchy: Hierarchy,
    stage: str = "mapped",
    node: str = "",
    *,
    in_order: bool = False,
) -> list[Diagnostic]:
    """Every rule of the machine that a mapping breaks; empty when it is legal.

    `in_order` asks that results leave in row-major order: those of updates at computed addresses.
    """
    sound, found = _structure(spec, mapping, hierarchy)
    found += [(*problem, _INWARDS) for _, problem in misplaced(map(_where, sound.nodes), hierarchy)]
    if in_order and any(not isinstance(each, Storage) for each in mapping.nodes):
        message = "updates at computed addresses are made one after another"
        found.append((message, "no loop is cut", str(mapping), "leave all statements but stores out"))
    skipped = [] if in_order else skipped_memories(spec, mapping, hierarchy, stage, node)
    if not found:
        found += [(*problem, "") for problem in _amounts(spec, mapping, hierarchy)]
    elif len(sound.nodes) < len(mapping.nodes):
        skipped = []  # one of the wrong statements may be what is missing
    broken = [
        Diagnostic("CAT-F002", message, stage, node, expected=expected, found=value, hint=hint)
        for message, expected, value, hint in found
    ]
    return broken + skipped


def skipped_memories(
    spec: GConv, mapping: Mapping, hierarchy: Hierarchy, stage: str = "mapped", node: str = ""
) -> list[Diagnostic]:
    """The memories that operands go past, but may not; on a machine with a dataflow they may if its nest does."""
    stored = {
        (each.memory, operand) for each in mapping.nodes if isinstance(each, Storage) for operand in each.operands
    }
    kept = hierarchy.kept(stored_in_dataflow(hierarchy))
    return [
        Diagnostic(
            "CAT-F002",
            f"{operand} goes past {memory.name}, where it has to stay",
            stage,
            node,
            expected=f"store {memory.name} [{operand}]",
            hint=f"add the statement, or let the target say levels.{memory.name}.bypass = ['{operand}']",
        )
        for memory in hierarchy.memories[1:]
        for operand in Problem.of(spec).operands
        if (memory.name, operand) in kept and (memory.name, operand) not in stored
    ]


def stored_in_dataflow(hierarchy: Hierarchy) -> frozenset[tuple[str, Operand]] | None:
    """Which operands the nest of a machine's dataflow stores in which memories; None without a dataflow."""
    return None if hierarchy.dataflow is None else _stores(hierarchy.dataflow.nest)


@lru_cache(maxsize=8)
def _stores(nest: str) -> frozenset[tuple[str, Operand]]:
    """Which operands the nest of a dataflow stores in which memories."""
    left, right = parse_nodes(nest, "dataflow.nest")
    return frozenset((each.memory, operand) for each in (*left, *right) for operand in each.operands)


def _structure(spec: GConv, mapping: Mapping, hierarchy: Hierarchy) -> tuple[Mapping, list[Hinted]]:
    """The statements that make sense, each for itself, and what is wrong with the others."""
    found: list[Hinted] = []
    if len(mapping.spatial) > MOST_SPATIAL:
        message, hint = "too many loops are laid over the array", "let some run over time"
        found.append((message, f"at most {MOST_SPATIAL}", str(len(mapping.spatial)), hint))
    sound: list[Node] = []
    for node in mapping.nodes:
        wrong = [*_statement(spec, node, hierarchy)]
        found += wrong
        if not wrong:
            sound.append(node)
    return Mapping(tuple(sound)), found


def _statement(spec: GConv, node: Node, hierarchy: Hierarchy) -> Iterator[Hinted]:
    loops = sorted({str(Loop(dim.name, kind)) for dim in spec.dims for kind in LoopKind})
    memories = [memory.name for memory in hierarchy.memories[1:]]
    axes = [axis.name for axis in hierarchy.axes]
    if isinstance(node, Storage):
        if node.memory not in memories:
            yield f"'{node}': no such memory", _listed(memories), node.memory, did_you_mean(node.memory, memories)
        elif missing := set(node.operands) - set(hierarchy.memory(node.memory).operands):
            names, gone = _listed(hierarchy.memory(node.memory).operands), ", ".join(sorted(missing))
            hint = f"leave {gone} out, or let the target say levels.{node.memory}.operands"
            yield f"'{node}': what may not stay in this memory", names, gone, hint
        if Operand.KERNEL in node.operands and spec.main == PASS:
            yield f"'{node}': the link has no kernel", "I or O", Operand.KERNEL, "leave K out"
        return
    if str(node.loop) not in loops:
        message, name = f"'{node}' names a loop the link does not have", str(node.loop)
        yield message, ", ".join(loops), name, did_you_mean(name, loops) or "catena inspect PROGRAM shows the loops"
    elif node.loop.kind is LoopKind.OP and spec.main == PASS:
        message, hint = f"'{node}' cuts a repetition, which the way out makes", "leave the statement out"
        yield message, "no op loop", str(node.loop), hint
    if isinstance(node, Spatial):
        if node.axis not in axes:
            yield f"'{node}': no such axis", _listed(axes), node.axis, did_you_mean(node.axis, axes)
        elif node.loop.kind not in hierarchy.axis(node.axis).loops:
            kinds = ", ".join(hierarchy.axis(node.axis).loops)
            hint = f"lay it along another axis, or let the target say levels.{node.axis}.loops"
            yield f"'{node}': the axis does not take this kind of loop", kinds, node.loop.kind, hint


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _where(node: Node) -> Placed:
    if isinstance(node, Storage):
        return Placed(str(node), memory=node.memory, operands=node.operands)
    return Placed(str(node), axis=node.axis if isinstance(node, Spatial) else "")


def _amounts(spec: GConv, mapping: Mapping, hierarchy: Hierarchy) -> Problems:
    problem = Problem.of(spec)
    counts = Counts(problem, hierarchy, *nest_of(problem, mapping))
    elements = 1
    for axis in hierarchy.axes:
        used = int(counts.elements(axis.name)[0])
        elements *= used
        if used > axis.size:
            yield f"positions along {axis.name}", f"at most {axis.size}", str(used)
    if hierarchy.elements is not None and elements > hierarchy.elements:
        yield "elements in use", f"at most {hierarchy.elements}", str(elements)
    for memory in hierarchy.memories[1:]:
        held = {
            operand: memory.buffers * int(words[0]) for operand, words in counts.occupancy.get(memory.name, {}).items()
        }
        unit = hierarchy.word_unit(memory.name)
        shown = ", ".join(f"{operand} {words}" for operand, words in held.items())
        shown = shown if unit.bits is None else f"for elements {shown}"
        taken = sum(map(memory.whole_banks, held.values()))
        if memory.words is not None and taken > memory.words:
            most = f"at most {unit.said(memory.words)}"
            yield f"{unit.name} in {memory.name} ({shown})", most, str(unit.at_least(taken))
        for operand, words in held.items():
            if words > memory.rooms.get(operand, words):
                most = f"at most {unit.said(memory.rooms[operand])}"
                yield f"{unit.name} of {operand} in {memory.name}", most, str(unit.at_least(words))
