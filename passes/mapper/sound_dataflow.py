"""What is wrong with a dataflow that can be read: what it says of the machine's levels, and of its own parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dialects.diagnostics import Diagnostic, did_you_mean
from dialects.hierarchy import Hierarchy
from dialects.toml_text import as_toml, in_text, shortened
from passes.mapper.notation import Expression, OpenNode
from passes.mapper.order import Placed, misplaced
from passes.mapping.roles import KINDS, PARTS

_LAYER = (*PARTS, "stride")
"""Names in expressions that are sizes of a layer."""
_ARTICLES = {"memory": "a", "part": "a", "axis": "an", "parameter": "a"}
"""What is named."""


def unknown(
    hierarchy: Hierarchy, nodes: Sequence[OpenNode], parameters: Sequence[str], reserves: Mapping[str, Expression]
) -> list[Diagnostic]:
    """Names of what is not there (CAT-C003)."""
    found: list[Diagnostic] = []

    def check(what: str, name: str, known: Sequence[str], key: str = "dataflow.nest", where: str = "") -> None:
        if name not in known:
            hint = did_you_mean(name, known) or (f"known: {', '.join(known)}" if known else f"there is no {what} here")
            message, expected = f"{key}: there is no {what} {name!r}", f"{_ARTICLES[what]} {what} that there is"
            found.append(Diagnostic("CAT-C003", message, "target", "", where, expected, shortened(name), hint))

    memories = tuple(memory.name for memory in hierarchy.memories[1:])
    axes = tuple(axis.name for axis in hierarchy.axes)
    for node in nodes:
        where = in_text(node.line)
        if node.kind == "store":
            check("memory", node.memory, memories, where=where)
        else:
            check("part", node.part, PARTS, where=where)
        if node.kind == "par":
            check("axis", node.axis, axes, where=where)
        for name in sorted(node.tile.names & {*_LAYER}):
            message = f"dataflow.nest: {name} is a size of the layer, and no tile is made of these"
            hint = "a tile is a number, or made of parameters: any other names"
            found.append(Diagnostic("CAT-C003", message, "target", "", where, "a parameter", name, hint))
    for part in hierarchy.dataflow.even if hierarchy.dataflow else ():
        check("part", part, PARTS, "dataflow.even")
    for memory, reserve in reserves.items():
        for name in sorted(reserve.names):
            check("parameter", name, (*parameters, *_LAYER), f"levels.{memory}.reserve")
    return list({(each.message): each for each in reversed(found)}.values())[::-1]


def impossible(hierarchy: Hierarchy, nodes: Sequence[OpenNode]) -> list[Diagnostic]:
    """The statements that a mapping of no link could have (CAT-C003); all names are known."""
    placed = [
        Placed(
            f"store {node.memory} [{', '.join(node.operands)}]" if node.kind == "store" else f"par {node.part}",
            node.axis,
            node.memory,
            node.operands,
        )
        for node in nodes
    ]
    found = [
        Diagnostic(
            "CAT-C003",
            f"dataflow.nest: {message}",
            "target",
            where=in_text(nodes[number].line),
            expected=expected,
            found=value,
            hint="levels are named from the outside in, an operand comes further in with every memory",
        )
        for number, (message, expected, value) in misplaced(placed, hierarchy)
    ]
    for node, named in zip(nodes, placed, strict=True):
        if node.kind == "store":
            found += _kept_wrongly(hierarchy, node, named.text)
        elif node.kind == "par":
            found += _laid_wrongly(hierarchy, node, named.text)
    return found


def _kept_wrongly(hierarchy: Hierarchy, node: OpenNode, text: str) -> Iterator[Diagnostic]:
    stays = hierarchy.memory(node.memory).operands
    if wrong := set(node.operands) - set(stays):
        message = f"dataflow.nest: '{text}': what may not stay in this memory"
        hint = f"let levels.{node.memory}.operands have it, or store it elsewhere"
        expected, found = ", ".join(stays) or "none", ", ".join(sorted(wrong))
        yield Diagnostic("CAT-C003", message, "target", "", in_text(node.line), expected, found, hint)


def _laid_wrongly(hierarchy: Hierarchy, node: OpenNode, text: str) -> Iterator[Diagnostic]:
    loops, kinds = hierarchy.axis(node.axis).loops, KINDS[node.part]
    if not set(kinds) & set(loops):
        message = f"dataflow.nest: '{text}' on {node.axis}: the axis does not take this kind of loop"
        hint = f'let levels.{node.axis}.loops have "{kinds[0]}", or lay it along another axis'
        yield Diagnostic(
            "CAT-C003", message, "target", "", in_text(node.line), ", ".join(loops), " or ".join(kinds), hint
        )


def meaningless(nodes: Sequence[OpenNode]) -> Iterator[Diagnostic]:
    """Tiles of no index, or of fewer, for some parameters (CAT-C003)."""
    for node in nodes:
        least, _ = node.tile.ever
        if node.kind != "store" and (least is None or least < 1):
            message = f"dataflow.nest: '{node.kind} {node.part}': a tile has one index or more, whatever its parameters"
            found = "less for some parameters" if least is None else f"{least}"
            if least is not None and node.tile.names:
                found += " where all parameters are 1"
            hint = "1 for one index at a time, a parameter or a product of some for what the search decides"
            yield Diagnostic("CAT-C003", message, "target", "", in_text(node.line), "1 or more", found, hint)


def overfull(hierarchy: Hierarchy, reserves: Mapping[str, Expression]) -> Iterator[Diagnostic]:
    """Memories of which nothing is left whatever the parameters, or more than there is (CAT-C003)."""
    for name, reserve in reserves.items():
        memory = hierarchy.memory(name)
        # Reserved words are the machine's; a memory with words of its own is converted before it is searched.
        words = memory.words if memory.word_bits is None else None
        least, most = reserve.ever
        if memory.words is None and reserve.terms != ((0, ()),):
            message = f"levels.{name}.reserve: nothing is taken of a memory without an end"
            hint = "leave it out, or give the memory words"
            found = as_toml(memory.reserve)
            yield Diagnostic("CAT-C003", message, "target", expected="no such key", found=found, hint=hint)
            continue
        is_negative = most is not None and most < 0
        if is_negative or (words is not None and least is not None and least >= words):
            expected = "0 or more" if words is None else f"0 to {words - 1}"
            message = f"levels.{name}.reserve: this leaves no words, or more than there are"
            bound = "at most " if is_negative else "at least "
            found = (bound if reserve.names else "") + str(most if is_negative else least)
            hint = "words that something else takes, whatever the parameters are: fewer than the memory has"
            yield Diagnostic("CAT-C003", message, "target", expected=expected, found=found, hint=hint)


def idle_reserves(hierarchy: Hierarchy, reserves: Mapping[str, Expression]) -> Iterator[Diagnostic]:
    """Memories of a machine without a dataflow, which alone keeps words free, that say otherwise (CAT-C003)."""
    for name, reserve in reserves.items():
        if reserve.names or reserve.at_ones:
            message = f"levels.{name}.reserve: words are kept free by a dataflow, and there is none"
            hint = "give the memory fewer words instead"
            found = as_toml(hierarchy.memory(name).reserve)
            yield Diagnostic("CAT-C003", message, "target", expected="no such key", found=found, hint=hint)
