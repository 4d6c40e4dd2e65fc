"""Whether a mapping file is one for a chain and a machine: everything that does not go together, with its line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as Items
from dataclasses import dataclass, replace

from dialects.accelerator import Accelerator
from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean
from dialects.gconv import LinkOp, LoopKind, shape_of
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmAttr
from dialects.locations import describe
from dialects.machine_kinds import spatial_machine
from dialects.nest_machine import NestMachine
from dialects.schedule import Loop, Mapping, MappingAttr, Node, RowStationaryAttr, Spatial, Storage
from passes.gemm import legality as products
from passes.mapper import legality
from passes.mapping import fit
from passes.mapping.row_stationary import expand
from passes.mapping_file import TARGET
from passes.mapping_file.names import loops_text, named_links
from passes.mapping_file.pattern import Pattern
from passes.mapping_file.reading import MappingFile, Pin

_STATEMENT = re.compile(r"'([^']+)'")
_TENSOR = re.compile(r"tensor ([IKO])\b")
_LIMIT = re.compile(r"at most (\d+)")
_AXES = {"rows of the array": "row", "columns of the array": "col"}
_MEMORIES = {"buffer banks": "glb", "kernel words": "spad"}
"""What rules of the row-stationary array are about, by how they begin."""


@dataclass(frozen=True)
class Pinned:
    """The links that a file is about: what it says of each, and what it calls those of whose zeros it knows."""

    pins: Items[LinkOp, Pin]
    zeros: Items[LinkOp, str]


def pinned_links(file: MappingFile, links: Sequence[LinkOp]) -> tuple[Pinned, list[Diagnostic]]:
    """The links that a file names, and what is wrong with its names."""
    known = named_links(links)
    problems: list[Diagnostic] = []

    def named(lines: Items[str, int]) -> dict[LinkOp, str]:
        found: dict[LinkOp, str] = {}
        for layer, line in lines.items():
            link = known.get(layer)
            if link is None:
                hint = did_you_mean(layer, known)
                message, hint = f"no layer is called {layer!r}", hint or "catena inspect PROGRAM names the layers"
                problems.append(file.problem(line, message, expected="a layer", found=layer, hint=hint))
            elif link in found:
                message, hint = f"{layer!r} and {found[link]!r} are the same layer", "leave one of them out"
                problems.append(file.problem(line, message, expected="another layer", found=layer, hint=hint))
            else:
                found[link] = layer
        return found

    layers = named({layer: pin.line for layer, pin in file.pins.items()})
    zeros = named({layer: line for layer, (_, line) in file.zeros.items()})
    return Pinned({link: file.pins[layer] for link, layer in layers.items()}, zeros), problems


def target_problems(file: MappingFile, machine: Accelerator | None) -> Iterator[Diagnostic]:
    """Whether the file is for this machine."""
    if machine is not None and file.target not in (None, machine.name):
        yield file.problem(
            file.target_line,
            "the mappings are for another target",
            expected=machine.name,
            found=str(file.target),
            hint=f"compile with -t {file.target}, or take the line {TARGET} out to use them all the same",
        )


def mode_problems(file: MappingFile, mode: str) -> Iterator[Diagnostic]:
    """Whether the layers of the file are those of this mode."""
    if file.mode not in (None, mode):
        yield file.problem(
            file.mode_line, "the mappings are for another mode", expected=mode, found=str(file.mode), hint="see --mode"
        )


def loop_problems(file: MappingFile, link: LinkOp, pin: Pin) -> Iterator[Diagnostic]:
    """Whether the loops of a link are those that its mapping was made for."""
    here = loops_text(link)
    if pin.loops is None or pin.loops.split() == here.split():
        return
    yield replace(
        file.problem(
            pin.loops_line,
            "the loops of this layer have changed since its mapping was saved",
            expected=_changed(here, pin.loops),
            found=_changed(pin.loops, here),
            hint="take the layer's table out to have it searched again, or correct loops and mapping",
        ),
        node=describe(link),
    )


def _changed(loops: str, others: str) -> str:
    """The dimensions in which loops differ from others; all if they differ only in their order."""
    rest = {" ".join(each.split()) for each in others.split(",")}
    mine = [" ".join(each.split()) for each in loops.split(",")]
    return ", ".join(each for each in mine if each not in rest) or ", ".join(mine)


def mapping_problems(
    file: MappingFile, link: LinkOp, pin: Pin, machine: Accelerator, *, in_order: bool
) -> Iterator[Diagnostic]:
    """Which rules of the machine a mapping breaks, each at the line of the statement that breaks it."""
    assert pin.written is not None
    if isinstance(pin.written.mapping, MappingAttr) and pin.written.lines:
        statements = list(zip(pin.written.mapping.data.nodes, pin.written.lines, strict=True))
        yield from idle_tiles(file, link, statements)
    for problem in _broken_rules(link, pin.written.mapping, machine, in_order=in_order):
        line = _line_of(problem.message, pin)
        yield replace(problem, where=file.problem(line, "").where, hint=problem.hint or _too_many(problem))


def idle_tiles(file: MappingFile, link: LinkOp, statements: Iterable[tuple[Node, int]]) -> Iterator[Diagnostic]:
    """Which of some statements, with their lines, cut nothing: no more of their loop is left than a tile."""
    extents = {str(Loop(dim.name, kind)): link.spec.worked(dim, kind) for dim in link.spec.dims for kind in LoopKind}
    around: dict[str, int] = {}
    for node, line in statements:
        if isinstance(node, Storage) or str(node.loop) not in extents:
            continue
        loop, hint = str(node.loop), "leave the statement out to cut nothing"
        extent, outer = extents[loop], around.get(loop)
        if node.tile > extent:
            message, most = f"'{node}': the tile is larger than its loop", extent
        elif outer is not None and node.tile >= outer:
            message, most = f"'{node}' cuts nothing: the tile around it is no larger", outer - 1
        else:
            around[loop] = node.tile
            continue
        found = file.problem(line, message, expected=f"at most {most}", found=str(node.tile), hint=hint)
        yield replace(found, node=describe(link))


def wrong_statements(file: MappingFile, link: LinkOp, pattern: Pattern, machine: Accelerator) -> Iterator[Diagnostic]:
    """What no mapping of a link may say, whatever the other statements and open tiles are."""
    given = ((each.node, each.line) for each in pattern.items if each.node is not None and not each.is_open)
    yield from idle_tiles(file, link, given)
    items = {f"'{item.node}'": item for item in reversed(pattern.items) if item.node is not None}
    for problem in broken_rules(link, Mapping(pattern.nodes), machine):
        statement = "'" + problem.message.split("'")[1] + "'" if problem.message.startswith("'") else ""
        if item := items.get(statement):
            message = problem.message.replace(statement, f"'{item}'", 1)
            yield replace(problem, message=message, where=file.problem(item.line, "").where)


def _broken_rules(link: LinkOp, mapping: object, machine: Accelerator, *, in_order: bool) -> Sequence[Diagnostic]:
    node = describe(link)
    match mapping, machine:
        case MappingAttr(), _:
            return broken_rules(link, mapping.data, machine, in_order=in_order)
        case RowStationaryAttr(), Machine():
            try:
                return broken_rules(link, expand(link.spec, mapping.data, machine, node), machine, in_order=in_order)
            except CatenaError as error:
                return error.diagnostics
        case GemmAttr(), GemmMachine():
            shape = shape_of(link.input)
            return products.violations(link.spec, mapping.data, machine, shape, "mapped", node, in_order=in_order)
        case GemmAttr() | RowStationaryAttr(), _:
            message, expected = "this notation is of another kind of machine", "one statement a line"
            return [Diagnostic("CAT-R003", message, "mapped", node, expected=expected, found=str(mapping))]
        case _:
            # The host is looked for by the pass that leaves work to it.
            return []


def broken_rules(
    link: LinkOp, mapping: Mapping, machine: Accelerator, *, in_order: bool = False
) -> Sequence[Diagnostic]:
    """Every rule of a machine of either kind that a mapping of a link breaks."""
    node = describe(link)
    if isinstance(machine, NestMachine):
        return legality.violations(link.spec, mapping, machine, "mapped", node, in_order=in_order)
    return fit.violations(link.spec, mapping, spatial_machine(machine, "mapped"), "mapped", node, in_order=in_order)


def _line_of(message: str, pin: Pin) -> int:
    """The line of the statement that a broken rule is about, else that of the mapping."""
    assert pin.written is not None
    mapping, lines = pin.written.mapping, pin.written.lines
    if not isinstance(mapping, MappingAttr) or not lines:
        return pin.mapping_line
    statements = list(zip(mapping.data.nodes, lines, strict=True))
    return next((line for node, line in reversed(statements) if _is_about(message, node)), pin.mapping_line)


def _is_about(message: str, node: Node) -> bool:
    if quoted := _STATEMENT.match(message):
        return str(node) == quoted[1]
    if isinstance(node, Storage) and (tensor := _TENSOR.match(message)):
        return tensor[1] in node.operands
    if isinstance(node, Storage):
        of_array = next((memory for start, memory in _MEMORIES.items() if message.startswith(start)), None)
        return node.memory == of_array if of_array else bool(re.search(rf"\bin {node.memory}\b", message))
    if isinstance(node, Spatial):
        return _AXES.get(message, "") == node.axis or message == f"positions along {node.axis}"
    return False


def _too_many(problem: Diagnostic) -> str:
    """By how much a limit is exceeded."""
    limit = _LIMIT.fullmatch(problem.expected)
    return f"{int(problem.found) - int(limit[1])} too many" if limit and problem.found.isdecimal() else ""
