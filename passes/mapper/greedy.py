"""One mapping at once, without a search: tiles are doubled from the inside out as long as they fit everywhere outside.

A tile of one index of every loop fits into every memory that is large enough for a link at all (`passes.mapper.room`).
Every axis, and every memory before operands get their places there, takes as many more indices as all memories further
out have room for, too, so that there is always a way on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dialects.hierarchy import Axis, Hierarchy, Level, Memory
from passes.mapper.choices import even
from passes.mapper.footprint import tile_words
from passes.mapper.nest import Column
from passes.mapper.partial import Parts, in_banks
from passes.mapper.paths import Assignment
from passes.mapper.problem import Problem

_ROW = np.zeros(1, np.intp)


def greedy(problem: Problem, hierarchy: Hierarchy, assignment: Assignment, parts: Parts) -> Parts | None:
    """Parts led through all levels, from the inside out; None if the tiles that they begin with do not fit."""
    levels = hierarchy.levels[:0:-1]
    if not _fit(problem, levels, assignment, parts.tiles):
        return None
    for number, level in enumerate(levels):
        outside = levels[number:]
        if isinstance(level, Axis):
            parts = _laid(problem, hierarchy, level, outside, assignment, parts)
        else:
            parts = _cut(problem, outside, assignment, parts)
            for operand in assignment[level.name]:
                parts = parts.stored(hierarchy, level.name, operand, frozenset())
    return parts


def _laid(
    problem: Problem, hierarchy: Hierarchy, axis: Axis, outside: Sequence[Level], assignment: Assignment, parts: Parts
) -> Parts:
    """With loops laid along an axis over as many elements as fit, the longest ones first."""
    room = axis.size
    for loop in _longest(problem, parts.tiles):
        if problem.loops[loop].kind not in axis.loops:
            continue
        most = room if hierarchy.elements is None else min(room, hierarchy.elements // int(parts.busy.prod()))
        left = -(-problem.extents[loop] // int(parts.tiles[loop, 0]))
        for factor in map(int, even(left)[::-1]):
            tiles = parts.tiles.copy()
            tiles[loop] = min(int(tiles[loop, 0]) * factor, problem.extents[loop])
            if 1 < factor <= most and _fit(problem, outside, assignment, tiles):
                parts, room = parts.laid(axis, loop, np.array([factor]), _ROW), room // factor
                break
    return parts


def _cut(problem: Problem, outside: Sequence[Level], assignment: Assignment, parts: Parts) -> Parts:
    """With loops over twice as many tiles, one loop after the other, until there is no room for more."""
    tiles, factors = parts.tiles, np.ones_like(parts.tiles)
    going = True
    while going:
        going = False
        for loop in _longest(problem, tiles):
            more, larger = factors.copy(), tiles.copy()
            more[loop] = min(2 * int(factors[loop, 0]), -(-problem.extents[loop] // int(parts.tiles[loop, 0])))
            larger[loop] = min(int(parts.tiles[loop, 0] * more[loop, 0]), problem.extents[loop])
            if (larger > tiles).any() and _fit(problem, outside, assignment, larger):
                tiles, factors, going = larger, more, True
    loops = [loop for loop, factor in enumerate(factors[:, 0]) if factor > 1]
    return parts.cut(loops, factors[loops], _ROW) if loops else parts


def _longest(problem: Problem, tiles: Column) -> list[int]:
    """The loops, first those of which most tiles are left."""
    return sorted(range(len(problem.extents)), key=lambda loop: -problem.extents[loop] / int(tiles[loop, 0]))


def _fit(problem: Problem, levels: Sequence[Level], assignment: Assignment, tiles: Column) -> bool:
    """Whether all memories among some levels have room for tiles of the operands that are kept there."""
    for level in levels:
        if not isinstance(level, Memory):
            continue
        held = 0
        for operand in assignment[level.name]:
            words = tile_words(problem, operand, tiles) * level.buffers
            held += int(in_banks(level, words)[0])
            if operand in level.rooms and words[0] > level.rooms[operand]:
                return False
        if level.words is not None and held > level.words:
            return False
    return True
