"""Whether the statements of a nest follow the order of the levels: those of mappings, and those of dataflows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dialects.hierarchy import Hierarchy
from dialects.schedule import Operand

Problem = tuple[str, str, str]
"""What is wrong, what was expected, what was found."""
Problems = Iterator[Problem]


@dataclass(frozen=True)
class Placed:
    """A statement as people read it, and the axis or the memory that it names, if any."""

    text: str
    axis: str = ""
    memory: str = ""
    operands: tuple[Operand, ...] = ()


def misplaced(nodes: Iterable[Placed], hierarchy: Hierarchy) -> Iterator[tuple[int, Problem]]:
    """Places come from the outside in, and an axis is laid where its positions are; all names are known.

    What does not is said with the number of the statement.
    """
    depth = {level.name: index for index, level in enumerate(hierarchy.levels)}
    innermost: dict[Operand, str] = {}
    deepest_axis, deepest_memory = "", ""
    for number, node in enumerate(nodes):
        if node.axis:
            if deepest_memory and depth[node.axis] < depth[deepest_memory]:
                expected = f"it outside of what is stored in {deepest_memory}"
                message = f"'{node.text}' lays words of {deepest_memory} over several of them"
                yield number, (message, expected, node.text)
            if not deepest_axis or depth[node.axis] > depth[deepest_axis]:
                deepest_axis = node.axis
        elif node.memory:
            if deepest_axis and depth[deepest_axis] > depth[node.memory]:
                expected = f"it outside of what is laid on {deepest_axis}"
                message = f"'{node.text}' stands inside an axis that {node.memory} is not part of"
                yield number, (message, expected, node.text)
            for operand in node.operands:
                if operand in innermost and depth[innermost[operand]] >= depth[node.memory]:
                    expected = f"a memory inside {innermost[operand]}"
                    yield number, (f"'{node.text}' brings {operand} outwards again", expected, node.memory)
                innermost[operand] = node.memory
            if not deepest_memory or depth[node.memory] > depth[deepest_memory]:
                deepest_memory = node.memory
