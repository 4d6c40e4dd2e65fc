"""A mapping drawn as an indented loop nest: how often every loop runs, and what its memories hold there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from compiler.tables import Table, table
from dialects.gconv import PASS, GConv, LoopKind
from dialects.schedule import Loop, Spatial, Storage
from passes.explanation.facts import OPERANDS, Facts

_INDENT = "  "


@dataclass(frozen=True)
class NestLine:
    """A node of a mapping: how deep it stands, into how many tiles it cuts, what the store brings.

    `tiles` of `tile` indices make up `extent`; the last of them has `last`.
    """

    depth: int
    node: str
    tiles: int = 1
    tile: int = 1
    last: int = 1
    extent: int = 1
    is_spatial: bool = False
    memory: str = ""
    words: Mapping[str, int] | None = None


def nest_lines(spec: GConv, facts: Facts) -> list[NestLine]:
    """The nodes of a mapping, outermost first, and last what is left to every element."""
    reached = {Loop(dim.name, kind): spec.worked(dim, kind) for dim in spec.dims for kind in LoopKind}
    lines = [NestLine(0, facts.form)] if facts.form else []
    for depth, node in enumerate(facts.mapping.nodes):
        if isinstance(node, Storage):
            words = {OPERANDS[operand]: words for operand, words in facts.tiles[depth].items()}
            lines.append(NestLine(depth, str(node), memory=node.memory, words=words))
            continue
        extent = reached[node.loop]
        tile = min(node.tile, extent)
        tiles = -(-extent // tile)
        reached[node.loop] = tile
        last = extent - (tiles - 1) * tile
        lines.append(NestLine(depth, str(node), tiles, tile, last, extent, isinstance(node, Spatial)))
    left = [f"{loop} {count}" for loop, count in reached.items() if count > 1]
    body = "multiply and add" if spec.is_multiply_accumulate else spec.main if spec.main != PASS else "take the input"
    inside = f"every element: {body}" + (f" over {', '.join(left)}" if left else "")
    return [*lines, NestLine(len(lines), inside)]


def nest_table(spec: GConv, facts: Facts) -> Table:
    """The nest as a table."""
    rows = [
        (f"{_INDENT * line.depth}{line.node}", _turns(line), _words(line, facts)) for line in nest_lines(spec, facts)
    ]
    return table(("mapping, outermost loop first", "tiles", "words brought in at a time"), rows)


def _turns(line: NestLine) -> str:
    if line.extent == 1:
        return ""
    how = "side by side" if line.is_spatial else "one after another"
    last = f", the last {line.last}" if line.last != line.tile else ""
    return f"{line.tiles} x {line.tile} of {line.extent}{last}, {how}"


def _words(line: NestLine, facts: Facts) -> str:
    if line.words is None:
        return ""
    return ", ".join(
        f"{operand} {words:,}{_share(line.memory, operand, words, facts)}" for operand, words in line.words.items()
    )


def _share(memory: str, operand: str, words: int, facts: Facts) -> str:
    """What part of the memory that is, if it has an end; each operand may have a memory of its own there."""
    held = {each.memory: each for each in facts.held}
    place = held.get(memory) or held.get(f"pe.{operand}")
    if place is None or not place.capacity:
        return ""
    return f" ({100 * place.buffers * words / place.capacity:.1f} %)"
