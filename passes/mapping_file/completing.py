"""The best mapping among those that a file gives in part.

- On a machine of levels, a pattern without `...` is a nest of which tiles are left open; any nest will do
  (`passes.mapper.tiles`).
- With `...`, mappings of the machine's dataflow are looked through, in the order of what they cost. Without a dataflow
  there is no such order, and `...` is refused at its line.
- So are row-stationary mappings on a row-stationary array, whatever is left open.

What none of them can have is refused: a mapping outside of the dataflow has to be given whole, or up to its tiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from dialects.accelerator import Accelerator
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import LinkOp, shape_of
from dialects.locations import describe
from dialects.machine_kinds import spatial_machine
from dialects.nest_machine import NestMachine
from dialects.schedule import Mapping, Node, Objective, Spatial, Storage, Temporal
from passes.chain_views import extra_shapes
from passes.map_row_stationary import lookups_of, sparsity_of
from passes.mapper.dataflow import BoundFlow
from passes.mapper.legality import skipped_memories
from passes.mapper.nest import Column, For, Nest, Par, Store
from passes.mapper.problem import Problem, read_after
from passes.mapper.search import Flags, several_in_dataflow
from passes.mapper.tiles import MOST, NoneFitsError, TooManyError, best_tiles
from passes.mapping.search import best_mappings
from passes.mapping_file.checking import wrong_statements
from passes.mapping_file.pattern import ANYTHING, OPEN, Item, Pattern, place_of
from passes.mapping_file.reading import MappingFile, Pin
from passes.searching.objectives import objective_on

_LOOKED_THROUGH = (64, 1024, 1 << 16)
"""How many of the best mappings are looked through: more if none of them is of the form that is given."""


_MOST_TILES = 8
"""Tiles that are named in the place of one that no mapping has, at most."""


@dataclass(frozen=True)
class Completion:
    """A link whose mapping a file gives in part, on a machine; None for the objective that its mapper prefers."""

    file: MappingFile
    link: LinkOp
    pin: Pin
    machine: Accelerator
    objective: Objective | None = None

    def best(self) -> Mapping:
        """The best mapping of the form that is given.

        Raises `CatenaError`, located, if there is none, or none that can be searched.
        """
        problems = [*self._wrong_statements()]
        if problems:
            raise CatenaError(problems)
        if not isinstance(self.machine, NestMachine):
            return self._first(self._row_stationary())
        if not self._pattern.has_gaps:
            return self._with_tiles(self.machine)
        if self.machine.dataflow is None:
            line = next(item.line for item in self._pattern.items if item.node is None)
            message = f"{ANYTHING} stands for statements of the machine's dataflow, and {self.machine.name} has none"
            hint = f"write all statements, with {OPEN} for tiles that are to be searched"
            raise CatenaError(self._problem(line, message, hint=hint))
        return self._first(self._of_dataflow(self.machine))

    @property
    def _pattern(self) -> Pattern:
        assert self.pin.written is not None
        assert self.pin.written.pattern is not None
        return self.pin.written.pattern

    def _wrong_statements(self) -> Iterator[Diagnostic]:
        """What no mapping of the link may say, whatever its tiles are."""
        yield from wrong_statements(self.file, self.link, self._pattern, self.machine)
        if isinstance(self.machine, NestMachine) and not self._pattern.has_gaps:
            where = self.file.problem(self.pin.mapping_line, "").where
            for problem in skipped_memories(
                self.link.spec, Mapping(self._pattern.nodes), self.machine, node=describe(self.link)
            ):
                yield replace(problem, where=where)

    def _row_stationary(self) -> Iterator[Mapping]:
        array = spatial_machine(self.machine, "mapped")
        done = 0
        for count in _LOOKED_THROUGH:
            objective, data = self.objective or Objective.EDP, sparsity_of(self.link, array)
            spec, shape, extras = self.link.spec.bare, shape_of(self.link.input), extra_shapes(self.link)
            found = best_mappings(
                spec, shape, array, count, objective, data, extras=extras, lookups=lookups_of(self.link)
            )
            yield from found[done:]
            if len(found) <= done:
                return
            done = len(found)

    def _of_dataflow(self, machine: NestMachine) -> Iterator[Mapping]:
        fixed = [item for item in self._pattern.tiles if item.node is not None]

        def choice(flow: BoundFlow, tiles: list[Column]) -> Flags:
            return _have_tiles(flow, tiles, fixed)

        done = 0
        for count in _LOOKED_THROUGH:
            objective = objective_on(machine, self.objective)
            some = several_in_dataflow(self.link.spec.bare, machine, count, objective, choice, extras=self._extras)
            found = [each.mapping for each in some]
            yield from found[done:]
            if len(found) < count:
                return
            done = len(found)

    @property
    def _extras(self) -> tuple[tuple[int, ...], ...]:
        """The shapes that scalar functions of the link read."""
        return read_after(self.link.spec, extra_shapes(self.link))

    def _first(self, mappings: Iterable[Mapping]) -> Mapping:
        """The first mapping of the form that is given."""
        tiles: dict[tuple[str, str, str], set[int]] = {}
        best: Mapping | None = None
        for mapping in mappings:
            best = best or mapping
            if self._pattern.fits(mapping):
                return mapping
            for node in mapping.nodes:
                if not isinstance(node, Storage):
                    tiles.setdefault(place_of(node), set()).add(node.tile)
        raise CatenaError([*self._missing(tiles)] or [self._none_fits(best)])

    def _missing(self, tiles: dict[tuple[str, str, str], set[int]]) -> Iterator[Diagnostic]:
        """The statements that no mapping has which was looked at."""
        for item in self._pattern.tiles:
            tile, known = _tile(item), tiles.get(place_of(_given(item)), set[int]())
            if tiles and tile not in known:
                nearest = sorted(sorted(known, key=lambda each: abs(each - tile))[:_MOST_TILES])
                expected = f"a tile of {', '.join(map(str, nearest))}" if nearest else "another loop or axis"
                message = f"'{item}': no mapping that is searched has this"
                yield self._problem(item.line, message, expected=expected, found=str(tile))

    def _with_tiles(self, machine: NestMachine) -> Mapping:
        problem = Problem.of(self.link.spec, self._extras)
        nodes, tiles, items = _nest(problem, self._pattern.items)
        try:
            return best_tiles(problem, machine, Nest(tuple(nodes)), tiles, objective_on(machine, self.objective))
        except NoneFitsError as error:
            item = items[error.node]
            message = f"'{item}' asks for more than {machine.name} has, whatever the open tiles are"
            hint = "cut loops further, or leave more tiles open, further out"
            raise CatenaError(replace(self._problem(item.line, message, hint=hint), code="CAT-F001")) from None
        except TooManyError:
            message = f"there are more than {MOST:,} combinations of the tiles that are left open"
            raise CatenaError(self._problem(self.pin.mapping_line, message, hint="give some of them")) from None

    def _none_fits(self, best: Mapping | None) -> Diagnostic:
        message = f"no mapping of this form was found that fits {self.machine.name}"
        found = "" if best is None else f"the best one of any form: {best}"
        problem = self._problem(self.pin.mapping_line, message, found=found, hint=f"leave more open: {ANYTHING}")
        return replace(problem, code="CAT-F001")

    def _problem(self, line: int, message: str, **more: str) -> Diagnostic:
        return replace(self.file.problem(line, message, **more), node=describe(self.link))


def _have_tiles(flow: BoundFlow, tiles: list[Column], items: list[Item]) -> Flags:
    """Whether candidates cut the loops somewhere as all of some statements say."""
    found = np.ones(len(tiles[0]) if tiles else 1, np.bool_)
    for item in items:
        columns = [
            column
            for node, column in zip(flow.nest.nodes, tiles, strict=True)
            if not isinstance(node, Store) and place_of(_node(flow.problem, node)) == place_of(_given(item))
        ]
        has = [column == _tile(item) for column in columns]
        found &= np.logical_or.reduce(has) if has else False
    return found


def _node(problem: Problem, node: For | Par) -> Node:
    loop = problem.loops[node.loop]
    return Temporal(loop, 1) if isinstance(node, For) else Spatial(loop, 1, node.axis)


def _given(item: Item) -> Node:
    assert item.node is not None
    return item.node


def _tile(item: Item) -> int:
    return item.node.tile if isinstance(item.node, Temporal | Spatial) else 1


def _nest(problem: Problem, items: Iterable[Item]) -> tuple[list[For | Par | Store], list[int | None], list[Item]]:
    """The nodes of a pattern without gaps, their tiles as far as they are given, and where each comes from."""
    nodes: list[For | Par | Store] = []
    tiles: list[int | None] = []
    sources: list[Item] = []
    for item in items:
        node = item.node
        if isinstance(node, Storage):
            nodes += [Store(node.memory, operand) for operand in node.operands if operand in problem.operands]
            tiles += [None] * (len(nodes) - len(tiles))
        elif node is not None and (loop := problem.index(node.loop)) is not None:
            nodes.append(For(loop) if isinstance(node, Temporal) else Par(loop, node.axis))
            tiles.append(None if item.is_open else node.tile)
        sources += [item] * (len(nodes) - len(sources))
    return nodes, tiles, sources
