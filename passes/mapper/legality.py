"""Whether a mapping is legal on a hierarchy: every violated rule, with its numbers."""

from __future__ import annotations

from collections.abc import Iterator

from dialects.diagnostics import Diagnostic, did_you_mean
from dialects.gconv import PASS, GConv, LoopKind
from dialects.hierarchy import Hierarchy
from dialects.schedule import Loop, Mapping, Operand, Spatial, Storage
from passes.mapper.counts import Counts
from passes.mapper.nest import nest_of
from passes.mapper.problem import Problem

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
    found = [*_structure(spec, mapping, hierarchy)] or [*_order(mapping, hierarchy)]
    if in_order and any(not isinstance(each, Storage) for each in mapping.nodes):
        found.append(("updates at computed addresses are made one after another", "no loop is cut", str(mapping)))
    found = found or [*_amounts(spec, mapping, hierarchy)]
    return [
        Diagnostic("CAT-F002", message, stage, node, expected=expected, found=value)
        for message, expected, value in found
    ]


Problems = Iterator[tuple[str, str, str]]
"""What is wrong, what was expected, what was found."""


def _structure(spec: GConv, mapping: Mapping, hierarchy: Hierarchy) -> Problems:
    loops = {str(Loop(dim.name, kind)) for dim in spec.dims for kind in LoopKind}
    memories = [memory.name for memory in hierarchy.memories[1:]]
    axes = [axis.name for axis in hierarchy.axes]
    if len(mapping.spatial) > MOST_SPATIAL:
        yield "too many loops are laid over the array", f"at most {MOST_SPATIAL}", str(len(mapping.spatial))
    for node in mapping.nodes:
        if isinstance(node, Storage):
            if node.memory not in memories:
                yield f"'{node}': no such memory", did_you_mean(node.memory, memories), node.memory
            elif missing := set(node.operands) - set(hierarchy.memory(node.memory).operands):
                names = ", ".join(hierarchy.memory(node.memory).operands) or "none"
                yield f"'{node}': what may not stay in this memory", names, ", ".join(sorted(missing))
            if Operand.KERNEL in node.operands and spec.main == PASS:
                yield f"'{node}': the link has no kernel", "I or O", Operand.KERNEL
            continue
        if str(node.loop) not in loops:
            yield f"'{node}' names a loop the link does not have", ", ".join(sorted(loops)), str(node.loop)
        elif node.loop.kind is LoopKind.OP and spec.main == PASS:
            yield f"'{node}' cuts a repetition, which the way out makes", "no op loop", str(node.loop)
        if isinstance(node, Spatial):
            if node.axis not in axes:
                yield f"'{node}': no such axis", did_you_mean(node.axis, axes), node.axis
            elif node.loop.kind not in hierarchy.axis(node.axis).loops:
                kinds = ", ".join(hierarchy.axis(node.axis).loops)
                yield f"'{node}': the axis does not take this kind of loop", kinds, node.loop.kind


def _order(mapping: Mapping, hierarchy: Hierarchy) -> Problems:
    """Places come from the outside in, and an axis is laid where its positions are."""
    depth = {level.name: index for index, level in enumerate(hierarchy.levels)}
    innermost: dict[Operand, str] = {}
    deepest_axis, deepest_memory = "", ""
    for node in mapping.nodes:
        if isinstance(node, Spatial):
            if deepest_memory and depth[node.axis] < depth[deepest_memory]:
                expected = f"it outside of what is stored in {deepest_memory}"
                yield f"'{node}' lays words of {deepest_memory} over several of them", expected, str(node)
            if not deepest_axis or depth[node.axis] > depth[deepest_axis]:
                deepest_axis = node.axis
        elif isinstance(node, Storage):
            if deepest_axis and depth[deepest_axis] > depth[node.memory]:
                expected = f"it outside of what is laid on {deepest_axis}"
                yield f"'{node}' stands inside an axis that {node.memory} is not part of", expected, str(node)
            for operand in node.operands:
                if operand in innermost and depth[innermost[operand]] >= depth[node.memory]:
                    expected = f"a memory inside {innermost[operand]}"
                    yield f"'{node}' brings {operand} outwards again", expected, node.memory
                innermost[operand] = node.memory
            if not deepest_memory or depth[node.memory] > depth[deepest_memory]:
                deepest_memory = node.memory


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
        shown = ", ".join(f"{operand} {words}" for operand, words in held.items())
        taken = sum(map(memory.whole_banks, held.values()))
        if memory.words is not None and taken > memory.words:
            yield f"words in {memory.name} ({shown})", f"at most {memory.words}", str(taken)
        for operand, words in held.items():
            if words > memory.rooms.get(operand, words):
                yield f"words of {operand} in {memory.name}", f"at most {memory.rooms[operand]}", str(words)
