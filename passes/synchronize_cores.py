"""Pass `synchronize-cores`: signals and waits that order all accesses to the same words, and no more of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from dialects.gconv.interpreter import main_function
from dialects.groups import GroupOp
from dialects.multicore import LoadOp, MvmOp, RunOp, SignalOp, StoreOp, StreamOp
from dialects.multicore_machine import MulticoreMachine
from dialects.spatial import ForOp, LayerOp
from dialects.target import require_multicore
from passes.multicore.accesses import Block, blocks_of, placed_layers
from passes.multicore.clocks import Clocks, Register, Signals, Wait
from passes.multicore.needs import Edge, circles_of, needed, reuse_edges, ring_edges
from passes.multicore.reduction import reduce_tokens
from passes.multicore.tables import Access, Ints, Point, Touched
from passes.multicore.tokens import Ramp, wait_op


class SynchronizeCoresPass(ModulePass):
    """Derive tokens from what the streams of cores read and write, leave out those that others imply, insert the rest.

    Blocks that read, write or add to the same words are ordered as the layers are, and within a layer as its scheme has
    the cores of a ring. A core waits for the block before, or, on a pipelined machine, for as much of it as each of its
    turns needs. What a core knows already, from waiting for others that knew it, it does not wait for again, so that
    no wait is left without which all would still be in order (`reduction.py`).
    """

    name = "synchronize-cores"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_multicore(op, "placed")
        function = main_function(op)
        blocks = blocks_of(placed_layers(function))
        _Synchronizer(machine, blocks).run()
        groups = [each for each in function.body.block.ops if isinstance(each, GroupOp)]
        reduce_tokens(blocks, groups, machine)


@dataclass
class _Synchronizer:
    machine: MulticoreMachine
    blocks: list[Block]
    registers: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    """The register of a consumer's core for a producer's."""
    taken: dict[int, int] = field(default_factory=dict[int, int])
    base: dict[int, int] = field(default_factory=dict[int, int])
    """Turns that a block's core did before it."""
    edges: list[Edge] = field(default_factory=list[Edge])
    heads: dict[int, npt.NDArray[np.int32]] = field(default_factory=dict[int, npt.NDArray[np.int32]])
    """What the first turn of a block knows, by core."""
    touched: Touched[Block] = field(default_factory=Touched[Block])

    def run(self) -> None:
        """Find all tokens, layer by layer, then put them into the streams."""
        clocks = Clocks(self.machine.cores.count, overlap=self.machine.cores.overlap)
        of_layer: dict[LayerOp, list[Block]] = {}
        for block in self.blocks:
            of_layer.setdefault(block.layer, []).append(block)
        done: dict[int, int] = {}
        for block in self.blocks:
            self.base[block.number] = done.get(block.core, 0)
            done[block.core] = self.base[block.number] + block.turns
        for layer, blocks in of_layer.items():
            rings = list(ring_edges(layer, blocks, self.machine))
            chosen = [*rings]
            for block in blocks:
                chosen += self._from_layers_before(block, clocks, rings)
            for block in blocks:
                self.touched.add(block, block.accesses)
            self._note(blocks, chosen, clocks)
            self.edges += chosen
            group = layer.parent_op()
            if isinstance(group, GroupOp) and layer is group.layers[-1]:
                together = [each for member in group.layers for each in of_layer.get(member, ())]
                self.edges += self._to_use_again(group, together, clocks)
        _Insertion(self).run()

    # Needs ------------------------------------------------------------------------------------------------------------

    def _from_layers_before(self, block: Block, clocks: Clocks, rings: Sequence[Edge]) -> list[Edge]:
        """What a block waits for of layers before its own: the latest first, what they imply left out."""
        found: dict[int, dict[Point, list[tuple[Access, Access]]]] = {}
        producers: dict[int, Block] = {}
        for access in block.accesses:
            for other, before in self.touched.conflicting(access):
                if other.core != block.core:
                    producers[other.number] = other
                    found.setdefault(other.number, {}).setdefault(access.point, []).append((access, before))
        # What the first turn knows at each point, by core; what later ones wait for besides adds to it.
        first = dict.fromkeys(Point, clocks.known_at_end(block.core))
        for edge in rings:
            if edge.consumer is block and edge.is_whole:
                _learn(first, edge, self.heads[edge.producer.number])
        head = first[Point.STORE]
        chosen: list[Edge] = []
        for number in sorted(found, reverse=True):
            producer = producers[number]
            for point, pairs in sorted(found[number].items()):
                if int(first[point][producer.core]) >= self.base[number] + producer.turns:
                    continue
                needs = self._needs(block, producer, pairs)
                if needs is None:
                    continue
                edge = Edge(producer, block, point, needs)
                if self._is_implied(edge, first[point], chosen, clocks):
                    continue
                if not any(each.meets(other) for each, other in pairs):
                    continue
                chosen.append(edge)
                if edge.is_whole:
                    head = np.maximum(head, self._told(edge, clocks))
                if needs[0]:
                    _learn(first, edge, self._told(edge, clocks))
        self.heads[block.number] = head
        return chosen

    def _to_use_again(self, group: GroupOp, blocks: Sequence[Block], clocks: Clocks) -> list[Edge]:
        """What the blocks of a group wait for before they write into words that others still need.

        What a block knows without these waits it knows with them, too.
        """
        numbers = {block.number for block in blocks}
        known: dict[int, list[Edge]] = {}
        for edge in self.edges:
            if edge.consumer.number in numbers:
                known.setdefault(edge.consumer.number, []).append(edge)
        chosen: list[Edge] = []
        found = list(reuse_edges(circles_of(group), blocks))
        for edge in sorted(found, key=lambda each: -each.producer.number):
            others = known.setdefault(edge.consumer.number, [])
            if not self._is_implied(edge, clocks.row(edge.consumer, edge.point, 0), others, clocks):
                others.append(edge)
                chosen.append(edge)
        return chosen

    def _told(self, edge: Edge, clocks: Clocks) -> npt.NDArray[np.int32]:
        """What a block knows when a turn of a producer is over that it waits for before all of its own."""
        last = int(edge.needs[0])
        row = clocks.row(edge.producer, Point.STORE, last - 1).copy()
        row[edge.producer.core] = self.base[edge.producer.number] + last
        return row

    def _needs(self, block: Block, producer: Block, pairs: Sequence[tuple[Access, Access]]) -> Ints | None:
        """Turns of another block that each turn of this one needs; None if they touch no word both."""
        if not self.machine.schedule.pipelined:
            return np.full(block.turns, producer.turns)
        return needed(block, pairs)

    def _is_implied(self, edge: Edge, first: npt.NDArray[np.int32], chosen: Sequence[Edge], clocks: Clocks) -> bool:
        """Whether what is waited for already, and what the core did before, says that the producer is far enough.

        `first` is what is known then in the first turn.
        """
        core = edge.producer.core
        wanted = self.base[edge.producer.number] + edge.needs
        if edge.is_whole or int(first[core]) >= int(wanted[-1]):
            return int(first[core]) >= int(wanted[-1])
        known = np.full(edge.consumer.turns, first[core], np.int64)
        for other in chosen:
            if other.is_whole or other.stands_at > edge.point:
                continue
            turns = (np.maximum(other.needs, 1) - 1).astype(np.int32)
            implied = clocks.knows(other.producer, Point.STORE, turns, core).astype(np.int64)
            known = np.maximum(known, np.where(other.needs > 0, implied, 0))
        return bool((np.maximum.accumulate(known) >= wanted).all())

    def _note(self, blocks: Sequence[Block], edges: Sequence[Edge], clocks: Clocks) -> None:
        """Bring the clocks up to these blocks, as if every turn of a producer were signalled."""
        waits: dict[int, list[Wait]] = {}
        signals: dict[Register, Signals] = {}
        for edge in edges:
            producer = edge.producer
            register = (producer.number, edge.consumer.number)
            turns = np.arange(producer.turns)
            numbers = np.full(producer.turns, producer.number)
            signals[register] = Signals(producer.core, turns + 1, numbers, turns)
            waits.setdefault(edge.consumer.number, []).append(Wait(register, edge.stands_at, edge.needs))
        assert not clocks.run(blocks, waits, signals)


def _learn(first: dict[Point, npt.NDArray[np.int32]], edge: Edge, told: npt.NDArray[np.int32]) -> None:
    """Add what a wait tells to what is known at its point and behind it."""
    for point in Point:
        if point >= edge.stands_at:
            first[point] = np.maximum(first[point], told)


# Insertion ------------------------------------------------------------------------------------------------------------


class _Insertion:
    """Puts waits and signals where they belong in the streams."""

    def __init__(self, found: _Synchronizer):
        self._found = found
        self._of_pair: dict[tuple[int, int], list[Edge]] = {}
        self._moves: dict[StreamOp, Operation] = {}
        for edge in found.edges:
            self._of_pair.setdefault((edge.producer.number, edge.consumer.core), []).append(edge)

    def run(self) -> None:
        """Insert all of them."""
        for edge in self._found.edges:
            self._wait(edge)
        for edges in self._of_pair.values():
            self._signal(edges)

    def _register(self, edge: Edge) -> int:
        registers, taken = self._found.registers, self._found.taken
        key = (edge.consumer.core, edge.producer.core)
        if key not in registers:
            registers[key] = taken.get(edge.consumer.core, 0)
            taken[edge.consumer.core] = registers[key] + 1
        return registers[key]

    def _wait(self, edge: Edge) -> None:
        if edge.is_whole and edge.stands_at is Point.LOAD:
            stream = edge.consumer.stream
            if stream not in self._moves:
                self._moves[stream] = _first_move(stream)
            op = self._wait_op(edge, Ramp(int(edge.needs[0]), 0, 1, 0, int(edge.needs[0])))
            stream.body.block.insert_op_before(op, self._moves[stream])
            return
        # What is known from the first turns on is known in all others.
        for run in edge.consumer.runs[:1] if edge.is_whole else edge.consumer.runs:
            needs = edge.needs[run.offset : run.offset + run.turns]
            if not needs.any():
                continue
            row = edge.consumer.row
            ramp = Ramp.over(needs, row, run.offset) if needs[0] else Ramp.later(needs, row)
            op = self._wait_op(edge, ramp)
            if edge.stands_at is Point.LOAD:
                run.body.insert_op_before(op, next(iter(run.body.ops)))
            else:
                run.body.insert_op_after(op, next(each for each in run.body.ops if isinstance(each, MvmOp)))

    def _wait_op(self, edge: Edge, ramp: Ramp) -> Operation:
        base = self._found.base[edge.producer.number]
        op = wait_op(self._register(edge), edge.producer.core, ramp, base)
        op.location = edge.consumer.layer.location
        return op

    def _signal(self, edges: Sequence[Edge]) -> None:
        edge = edges[0]
        producer = edge.producer
        base = self._found.base[producer.number]
        fields = {"core": edge.consumer.core, "register": self._register(edge)}
        if all(each.is_whole for each in edges):
            op = SignalOp.of(**fields, base=base + producer.turns - 1, every=1)
            op.location = producer.layer.location
            producer.stream.body.block.add_op(op)
            return
        every = min(each.every for each in edges)
        most = max(int(each.needs.max()) for each in edges)
        # Turns that nobody waits for are not signalled: of a cyclic ring, those in which a core is the last one.
        for run in (each for each in producer.runs if each.offset < most):
            op = SignalOp.of(**fields, base=base + run.offset, every=min(every, run.turns))
            op.location = producer.layer.location
            run.body.add_op(op)


def _first_move(stream: StreamOp) -> Operation:
    """The first op of a stream that moves anything."""
    ops = stream.body.block.ops
    return next(each for each in ops if isinstance(each, LoadOp | ForOp | RunOp | StoreOp))
