"""A dataflow: the nest that all mappings of a machine share, with tiles that are expressions of parameters.

    for filters m*p*t, for images n, for rows_out f, store glb [O], for channels q*r, store glb [I] |
    for filters p*t, par rows_kernel 1 on pe, par rows_out 1 on pe, par channels q on pe, par filters p on pe,
    store rf [K], for images 1, for slide 1, store rf [I, O]

Loops are named by the part that they play in a convolution (`passes.mapping.roles`). Names in expressions are those
parts, for their extents, `stride`, the stride of `rows_out`, and parameters, for counts of at least one. Parameters
that stand right of the bar are decided before the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property

from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean
from dialects.gconv import GConv, LoopKind
from dialects.hierarchy import Hierarchy
from dialects.schedule import Loop
from dialects.toml_text import as_toml
from passes.mapper.nest import Column, For, Nest, Node, Par, Store
from passes.mapper.notation import Expression, OpenNode, parse_expression, parse_nodes
from passes.mapper.order import Placed, misplaced
from passes.mapper.problem import Problem
from passes.mapping.roles import Roles

PARTS = tuple(field.name for field in fields(Roles) if field.name != "rest")

_KINDS = {
    "filters": LoopKind.OP,
    "channels": LoopKind.KS,
    "rows_kernel": LoopKind.KS,
    "slide_kernel": LoopKind.KS,
}
"""The kind of loop that plays a part, where it is the same in every link."""


@dataclass(frozen=True)
class Dataflow:
    """A parsed dataflow; `seam` is the number of nodes left of the bar."""

    nodes: tuple[OpenNode, ...]
    seam: int
    reserves: Mapping[str, Expression]

    @cached_property
    def inner(self) -> tuple[str, ...]:
        """The parameters that are decided first, in the order in which they occur from the inside out."""
        return self._parameters(self.nodes[self.seam :])

    @cached_property
    def outer(self) -> tuple[str, ...]:
        """The other parameters, from the inside out."""
        return tuple(name for name in self._parameters(self.nodes) if name not in self.inner)

    @cached_property
    def laid(self) -> frozenset[str]:
        """The parameters that say, or alone limit, over how many elements a loop is laid."""
        found: set[str] = set()
        around: dict[str, list[frozenset[str]]] = {}
        for node in self.nodes:
            tiles = around.setdefault(node.part, [])
            if node.kind == "par" and tiles:
                found |= tiles[-1] - node.tile.names
                if tiles[-1] <= found:
                    found |= frozenset(name for tile in tiles if not tile & tiles[-1] for name in tile)
            elif node.kind == "for":
                tiles.append(node.tile.names)
        return frozenset(found)

    def part_of(self, parameter: str) -> str:
        """The part of the loop that a parameter first helps to cut, from the inside; empty if it cuts none."""
        return next((node.part for node in reversed(self.nodes) if parameter in node.tile.names), "")

    def factors_of(self, parameter: str) -> frozenset[str]:
        """The other parameters that it makes a tile together with."""
        products = {names for node in self.nodes for _, names in node.tile.terms if parameter in names}
        return frozenset(name for names in products for name in names) - {parameter}

    @staticmethod
    def _parameters(nodes: tuple[OpenNode, ...]) -> tuple[str, ...]:
        names = [n for node in reversed(nodes) for _, names in node.tile.terms for n in names]
        return tuple(dict.fromkeys(name for name in names if name not in PARTS and name != "stride"))

    def on(self, spec: GConv, roles: Roles) -> BoundFlow:
        """The dataflow for one link; loops that play no part run one index at a time outside of everything."""
        problem = Problem.of(spec)
        places: dict[str, int | None] = {}
        values: dict[str, int] = {"stride": 1}
        for part in PARTS:
            loop: Loop | None = getattr(roles, part)
            place = problem.index(loop) if loop else None
            places[part] = place
            values[part] = 1 if place is None else problem.extents[place]
            if part == "rows_out" and loop is not None:
                values["stride"] = next(dim.stride for dim in spec.dims if dim.name == loop.dim)
        nodes: list[Node] = []
        tiles: list[Expression] = []
        seam = 0
        one = Expression(((1, ()),))
        for other in range(len(problem.loops)):
            if other not in places.values():
                nodes.append(For(other))
                tiles.append(one)
        for index, node in enumerate(self.nodes):
            if index == self.seam:
                seam = len(nodes)
            if node.kind == "store":
                kept = [each for each in node.operands if each in problem.operands]
                nodes.extend(Store(node.memory, each) for each in kept)
                tiles.extend(one for _ in kept)
            elif (place := places[node.part]) is not None:
                nodes.append(For(place) if node.kind == "for" else Par(place, node.axis))
                tiles.append(node.tile)
        seam = seam if self.seam < len(self.nodes) else len(nodes)
        return BoundFlow(self, problem, Nest(tuple(nodes)), tuple(tiles), seam, places, values)


@dataclass(frozen=True)
class BoundFlow:
    """A dataflow for one link: a nest, and its tiles as expressions of the parameters and of `values`."""

    flow: Dataflow
    problem: Problem
    nest: Nest
    expressions: tuple[Expression, ...]
    seam: int
    places: Mapping[str, int | None]
    values: Mapping[str, int]

    def tiles(self, parameters: Mapping[str, Column], count: int) -> list[Column]:
        """The tiles of all candidates; parameters that are missing are 1."""
        values = self._all(parameters)
        return [tile.column(values, count) for tile in self.expressions]

    def reserve(self, memory: str, parameters: Mapping[str, Column]) -> Column | int:
        """Words of a memory that are taken by something else."""
        return self.flow.reserves[memory](self._all(parameters))

    def _all(self, parameters: Mapping[str, Column]) -> dict[str, Column | int]:
        missing = dict.fromkeys((*self.flow.inner, *self.flow.outer), 1)
        return {**missing, **self.values, **parameters}


def parse_dataflow(hierarchy: Hierarchy) -> Dataflow:
    """The dataflow of a machine.

    Raises `CatenaError` (CAT-C003) where the text is wrong, or names what the machine has not.
    """
    if hierarchy.dataflow is None:
        hint = "give it a table [dataflow], or mappings with --mapping"
        raise CatenaError(Diagnostic("CAT-C003", f"{hierarchy.name} has no dataflow", stage="target", hint=hint))
    problems: list[Diagnostic] = []
    reserves = _reserves(hierarchy, problems)
    problems += _overfull(hierarchy, reserves)
    try:
        left, right = parse_nodes(hierarchy.dataflow.nest, "dataflow.nest")
    except CatenaError as error:
        raise CatenaError([*error.diagnostics, *problems]) from error
    flow = Dataflow((*left, *right), len(left), reserves)
    problems += _unknown(hierarchy, flow) or _impossible(hierarchy, flow)
    if problems:
        raise CatenaError(problems)
    return flow


def _reserves(hierarchy: Hierarchy, problems: list[Diagnostic]) -> dict[str, Expression]:
    """What is reserved in every memory; what cannot be read is a problem more."""
    found: dict[str, Expression] = {}
    for memory in hierarchy.memories:
        try:
            found[memory.name] = parse_expression(memory.reserve, f"levels.{memory.name}.reserve")
        except CatenaError as error:
            problems += error.diagnostics
    return found


def _overfull(hierarchy: Hierarchy, reserves: Mapping[str, Expression]) -> Iterator[Diagnostic]:
    """Memories of which nothing is left whatever the parameters, or more than there is."""
    for name, reserve in reserves.items():
        memory = hierarchy.memory(name)
        # Reserved words are the machine's; a memory with words of its own is converted before it is searched.
        words = memory.words if memory.word_bits is None else None
        taken = 0 if reserve.names else int(reserve({}))
        if taken < 0 or (words is not None and taken >= words):
            expected = "0 or more" if words is None else f"0 to {words - 1}"
            message = f"levels.{name}.reserve: this leaves no words, or more than there are"
            yield Diagnostic("CAT-C003", message, "target", expected=expected, found=str(taken))


def check_reserves(hierarchy: Hierarchy) -> None:
    """What is reserved in a machine without a dataflow, which alone keeps words free: nothing.

    Raises `CatenaError` (CAT-C003) for memories that say otherwise.
    """
    problems: list[Diagnostic] = []
    for name, reserve in _reserves(hierarchy, problems).items():
        if reserve.names or reserve({}) != 0:
            message = f"levels.{name}.reserve: words are kept free by a dataflow, and there is none"
            hint = "give the memory fewer words instead"
            found = as_toml(hierarchy.memory(name).reserve)
            problems.append(Diagnostic("CAT-C003", message, "target", found=found, hint=hint))
    if problems:
        raise CatenaError(problems)


def _unknown(hierarchy: Hierarchy, flow: Dataflow) -> list[Diagnostic]:
    found: list[Diagnostic] = []

    def check(what: str, name: str, known: tuple[str, ...], key: str = "dataflow.nest") -> None:
        if name not in known:
            message = f"{key}: there is no {what} {name!r}"
            found.append(Diagnostic("CAT-C003", message, "target", hint=did_you_mean(name, known)))

    memories = tuple(memory.name for memory in hierarchy.memories[1:])
    axes = tuple(axis.name for axis in hierarchy.axes)
    for node in flow.nodes:
        if node.kind == "store":
            check("memory", node.memory, memories)
        else:
            check("part", node.part, PARTS)
        if node.kind == "par":
            check("axis", node.axis, axes)
    for name in sorted({name for node in flow.nodes for name in node.tile.names} & {*PARTS, "stride"}):
        message = f"dataflow.nest: {name} is a size of the layer, and no tile is made of these"
        hint = "a tile is a number, or made of parameters: any other names"
        found.append(Diagnostic("CAT-C003", message, "target", hint=hint))
    for part in hierarchy.dataflow.even if hierarchy.dataflow else ():
        check("part", part, PARTS, "dataflow.even")
    known = (*flow.inner, *flow.outer, *PARTS, "stride")
    for memory, reserve in flow.reserves.items():
        for name in sorted(reserve.names):
            check("parameter", name, known, f"levels.{memory}.reserve")
    return list(dict.fromkeys(found))


def _impossible(hierarchy: Hierarchy, flow: Dataflow) -> Iterator[Diagnostic]:
    """The statements that a mapping of no link could have."""
    placed = [
        Placed(
            f"store {node.memory} [{', '.join(node.operands)}]" if node.kind == "store" else f"par {node.part}",
            node.axis,
            node.memory,
            node.operands,
        )
        for node in flow.nodes
    ]
    found = [*misplaced(placed, hierarchy)]
    for node, named in zip(flow.nodes, placed, strict=True):
        if node.kind == "store" and (wrong := set(node.operands) - set(hierarchy.memory(node.memory).operands)):
            stays = ", ".join(hierarchy.memory(node.memory).operands) or "none"
            found.append((f"'{named.text}': what may not stay in this memory", stays, ", ".join(sorted(wrong))))
        kind = _KINDS.get(node.part)
        if node.kind == "par" and kind is not None and kind not in hierarchy.axis(node.axis).loops:
            kinds = ", ".join(hierarchy.axis(node.axis).loops)
            found.append((f"'{named.text}' on {node.axis}: the axis does not take this kind of loop", kinds, kind))
    for message, expected, value in found:
        yield Diagnostic("CAT-C003", f"dataflow.nest: {message}", "target", expected=expected, found=value)
