"""What a mapped link will count on a machine of any hierarchy: its transfers, and what goes with them in DRAM.

Besides the words of `passes.mapper.counts`, which are those that a mapping can change, there are those of indices that
make addresses, and of results that parallel kernels only repeat.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dialects.events import Counts as EventCounts
from dialects.gconv import GConv
from dialects.nest_machine import NestMachine
from dialects.schedule import Mapping, Operand
from passes.mapper.counts import Counts
from passes.mapper.nest import For, Nest, Par, Store, nest_of
from passes.mapper.pieces import Pieces
from passes.mapper.pricing import Prices
from passes.mapper.problem import RELEVANT, Problem, read_after
from passes.mapping.lookups import Lookups

_DIGITS = 6
"""Parts of cycles beyond these digits come from the order of additions."""


def predict(
    spec: GConv,
    mapping: Mapping,
    machine: NestMachine,
    extras: Sequence[tuple[int, ...]] = (),
    lookups: Lookups | None = None,
) -> EventCounts:
    """Counts of one link under a legal mapping; `extras` are the shapes of the post operands."""
    machine = machine.executed
    problem = Problem.of(spec, read_after(spec, extras))
    nest, columns = nest_of(problem, mapping)
    counted = Counts(problem, machine, nest, columns)
    turns = Turns(problem, nest, tuple(int(column[0]) for column in columns))
    events = dict.fromkeys(sorted(machine.event_names), 0)
    words = {event: int(column[0]) for event, column in counted.events.items()}
    operations = words.pop("operation")
    events |= words
    events["operation.mac" if spec.is_multiply_accumulate else "operation.other"] = operations
    outputs = math.prod(spec.output_shape)
    outer = machine.memories[0].name
    events["operation.post"] = outputs * len(spec.post)
    events[f"{outer}.output.repeat"] = outputs - sums_of(spec)
    lookups = lookups or Lookups()
    if lookups.read is not None:
        events[f"{outer}.index.read"] += lookups.read[-1] * events[f"{outer}.input.read"]
    if lookups.written is not None:
        events[f"{outer}.index.read"] += lookups.written[-1] * outputs
    if lookups.combines:
        events[f"{outer}.output.read"] = outputs
    cycles = whole_cycles(Prices(machine).cycles(counted)[0])
    return EventCounts(events, int(counted.steps[0]), turns.of_nest, turns.side_by_side, cycles)


def whole_cycles(cycles: float) -> int:
    """Cycles rounded up, but for what the order of additions adds."""
    return math.ceil(round(float(cycles), _DIGITS))


def sums_of(spec: GConv) -> int:
    """Results before parallel kernels repeat them, in a link without a kernel."""
    return math.prod(spec.worked(dim, kind) for dim in spec.dims for kind in RELEVANT[Operand.OUTPUT])


@dataclass(frozen=True)
class Turns:
    """How often the sequencer turns a loop; elements side by side turn together."""

    problem: Problem
    nest: Nest
    tiles: tuple[int, ...]

    @property
    def of_nest(self) -> int:
        """Turns of all loops together: how often elements are set to work."""
        end = len(self.nest.nodes)
        return math.prod(int(self._pieces(loop, end).number[0]) for loop in range(len(self.problem.loops)))

    @property
    def side_by_side(self) -> int:
        """Elements at work at a time, at most: in the first turn of every loop."""
        end = len(self.nest.nodes)
        return math.prod(int(self._pieces(loop, end, first=For).number[0]) for loop in range(len(self.problem.loops)))

    def _pieces(self, loop: int, end: int, first: type[For] | type[Par] = Par) -> Pieces:
        """The pieces of a loop above a node; only the first of those that nodes of kind `first` cut."""
        pieces = Pieces.whole(self.problem.extents[loop], 1)
        for node, size in zip(self.nest.nodes[:end], self.tiles, strict=False):
            if not isinstance(node, Store) and node.loop == loop:
                tile = np.array([size])
                pieces = pieces.first(tile) if isinstance(node, first) else pieces.cut(tile)
        return pieces
