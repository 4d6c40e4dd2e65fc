"""A dataflow: the nest that all mappings of a machine share, with tiles that are expressions of parameters.

    for filters m*p*t, for images n, for rows_out f, store glb [O], for channels q*r, store glb [I] |
    for filters p*t, par rows_kernel 1 on pe, par rows_out 1 on pe, par channels q on pe, par filters p on pe,
    store rf [K], for images 1, for slide 1, store rf [I, O]

Loops are named by the part that they play in a convolution (`passes.mapping.roles`). Names in expressions are those
parts, for their extents, `stride`, the stride of `rows_out`, and parameters, for counts from one to the extent of the
largest loop that they help to cut. Parameters that stand right of the bar are decided before the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import GConv
from dialects.hierarchy import Hierarchy
from dialects.schedule import Loop
from passes.mapper.nest import Column, For, Nest, Node, Par, Store
from passes.mapper.notation import Expression, OpenNode, as_column, one_number, parse_expression, parse_nodes
from passes.mapper.problem import Problem
from passes.mapper.sound_dataflow import idle_reserves, impossible, meaningless, overfull, unknown
from passes.mapping.roles import PARTS, Roles


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

    def parts_of(self, parameter: str) -> tuple[str, ...]:
        """The parts of the loops that a parameter helps to cut, from the inside; none if it cuts none."""
        return tuple(dict.fromkeys(node.part for node in reversed(self.nodes) if parameter in node.tile.names))

    def products_of(self, parameter: str) -> frozenset[tuple[str, frozenset[str]]]:
        """For each product in a tile that a parameter is part of: the part of the loop, and what else it is made of."""
        return self._products.get(parameter, frozenset())

    @cached_property
    def _products(self) -> Mapping[str, frozenset[tuple[str, frozenset[str]]]]:
        found: dict[str, frozenset[tuple[str, frozenset[str]]]] = {}
        for node in self.nodes:
            for _, names in node.tile.terms:
                for name in names:
                    product = node.part, frozenset(names) - {name}
                    found[name] = found.get(name, frozenset()) | {product}
        return found

    def factors_of(self, parameter: str) -> frozenset[str]:
        """The other parameters that it makes a tile together with."""
        products = {names for node in self.nodes for _, names in node.tile.terms if parameter in names}
        return frozenset(name for names in products for name in names) - {parameter}

    def without_repeats(self, roles: Roles) -> Dataflow:
        """This one without cuts of a loop that is cut again right away, for links whose loops play several parts.

        For tiles of m in tiles of n, both parameters, tiles of the smaller one alone are as large, and no more. Cuts
        stay where a parameter decides anything else.
        """
        tiles = [node for node in self.nodes if node.kind != "store"]
        outside = frozenset(name for reserve in self.reserves.values() for name in reserve.names)

        def is_alone(node: OpenNode, *, nowhere_else: bool) -> bool:
            """Whether a tile is a parameter that decides nothing but this cut, or others of the loop further in."""
            if len(node.tile.terms) != 1 or node.tile.terms[0][0] != 1 or len(node.tile.terms[0][1]) != 1:
                return False
            used = [each for each in tiles if node.tile.names & each.tile.names]
            loops = {getattr(roles, each.part) for each in used}
            if node.tile.names & outside or used[0] is not node:
                return False
            return len(used) == 1 if nowhere_else else len(loops) == 1

        played = [node for node in self.nodes if node.kind == "store" or getattr(roles, node.part) is not None]
        dropped = {
            id(outer)
            for outer, inner in pairwise(played)
            if outer.kind == inner.kind == "for"
            and getattr(roles, outer.part) == getattr(roles, inner.part)
            and is_alone(outer, nowhere_else=True)
            and is_alone(inner, nowhere_else=False)
        }
        kept = [[node for node in side if id(node) not in dropped] for side in self._sides]
        return Dataflow((*kept[0], *kept[1]), len(kept[0]), self.reserves)

    @property
    def _sides(self) -> tuple[tuple[OpenNode, ...], tuple[OpenNode, ...]]:
        """What is left and right of the bar."""
        return self.nodes[: self.seam], self.nodes[self.seam :]

    @staticmethod
    def _parameters(nodes: tuple[OpenNode, ...]) -> tuple[str, ...]:
        names = [n for node in reversed(nodes) for _, names in node.tile.terms for n in names]
        return tuple(dict.fromkeys(name for name in names if name not in PARTS and name != "stride"))

    def on(self, spec: GConv, roles: Roles, extras: Sequence[tuple[int, ...]] = ()) -> BoundFlow:
        """The dataflow for one link, `extras` as for a `Problem`.

        Loops that play no part run one index at a time outside of everything.
        """
        problem = Problem.of(spec, extras)
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
        """The tiles of all candidates, one number where it is the same for all; parameters that are missing are 1."""
        values: dict[str, Column | int] = {**self._ones, **parameters}
        distinct, which = self._distinct
        columns: list[Column] = []
        for place in distinct:
            tile = self.expressions[place]
            value = tile.clipped(values, count) if place in self._wide else tile(values)
            columns.append(one_number(value) if isinstance(value, int) else as_column(value, count))
        return [columns[number] for number in which]

    @cached_property
    def _ones(self) -> Mapping[str, int]:
        """What names stand for, with parameters that are 1."""
        return {**dict.fromkeys(self._most, 1), **self.values}

    @cached_property
    def _distinct(self) -> tuple[list[int], list[int]]:
        """The first nodes of tiles that differ, and the number among these of every node: most are like others."""
        numbers = {tile: number for number, tile in enumerate(dict.fromkeys(self.expressions))}
        which = [numbers[tile] for tile in self.expressions]
        return [which.index(number) for number in range(len(numbers))], which

    def cut_by(self, names: frozenset[str]) -> tuple[int, ...]:
        """The nodes whose tiles some of the parameters decide."""
        if names not in self._cut_by:
            self._cut_by[names] = tuple(place for place, tile in enumerate(self.expressions) if tile.names & names)
        return self._cut_by[names]

    @cached_property
    def _cut_by(self) -> dict[frozenset[str], tuple[int, ...]]:
        return {}

    def loop(self, place: int) -> int:
        """The loop that a node cuts."""
        node = self.nest.nodes[place]
        if isinstance(node, Store):
            raise TypeError(f"node {place} cuts no loop")
        return node.loop

    def room(self, memory: str, words: int, parameters: Mapping[str, Column]) -> Column | int:
        """How many of the words of a memory something else leaves, at most, whatever missing parameters are.

        If none is missing that is exact. It is -1 where less than nothing would be taken: no mapping is that.
        """
        reserve = self.flow.reserves[memory]
        if not reserve.names:
            return words - reserve.at_ones
        least, most = self.reserved(memory, parameters)
        return np.where(most < 0, -1, np.clip(words - least, -1, words)).astype(np.int64)

    def reserved(
        self, memory: str, parameters: Mapping[str, Column]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The least and the most words of a memory that something else takes, whatever missing parameters are."""
        missing = {name: most for name, most in self._most.items() if name not in parameters}
        return self.flow.reserves[memory].bounds({**self.values, **parameters}, missing)

    @cached_property
    def _most(self) -> Mapping[str, int]:
        """What every parameter is at most."""
        names = (*self.flow.inner, *self.flow.outer)
        return {name: max((self.values[part] for part in self.flow.parts_of(name)), default=1) for name in names}

    def most_of(self, parameter: str) -> int:
        """The largest value of a parameter: the extent of the largest loop that it helps to cut."""
        return self._most[parameter]

    @cached_property
    def _wide(self) -> frozenset[int]:
        """The nodes whose tiles words cannot hold for some parameters: they are larger than any loop."""
        most = {**self.values, **self._most}
        return frozenset(place for place, tile in enumerate(self.expressions) if tile.is_wide(most))


def parse_dataflow(hierarchy: Hierarchy) -> Dataflow:
    """The dataflow of a machine.

    Raises `CatenaError` (CAT-C003) where the text is wrong, or names what the machine has not.
    """
    if hierarchy.dataflow is None:
        hint = "give it a table [dataflow], or mappings with --mapping"
        raise CatenaError(Diagnostic("CAT-C003", f"{hierarchy.name} has no dataflow", stage="target", hint=hint))
    problems: list[Diagnostic] = []
    reserves = _reserves(hierarchy, problems)
    problems += overfull(hierarchy, reserves)
    try:
        left, right = parse_nodes(hierarchy.dataflow.nest, "dataflow.nest")
    except CatenaError as error:
        raise CatenaError([*error.diagnostics, *problems]) from error
    flow = Dataflow((*left, *right), len(left), reserves)
    parameters = (*flow.inner, *flow.outer)
    problems += unknown(hierarchy, flow.nodes, parameters, reserves) or impossible(hierarchy, flow.nodes)
    problems += meaningless(flow.nodes)
    if problems:
        raise CatenaError(problems)
    return flow


def check_reserves(hierarchy: Hierarchy) -> None:
    """What is reserved in a machine without a dataflow, which alone keeps words free: nothing.

    Raises `CatenaError` (CAT-C003) for memories that say otherwise.
    """
    problems: list[Diagnostic] = []
    problems += idle_reserves(hierarchy, _reserves(hierarchy, problems))
    if problems:
        raise CatenaError(problems)


def _reserves(hierarchy: Hierarchy, problems: list[Diagnostic]) -> dict[str, Expression]:
    """What is reserved in every memory; what cannot be read is a problem more."""
    found: dict[str, Expression] = {}
    for memory in hierarchy.memories:
        try:
            found[memory.name] = parse_expression(memory.reserve, f"levels.{memory.name}.reserve")
        except CatenaError as error:
            problems += error.diagnostics
    return found
