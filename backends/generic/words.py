"""The literal engine: every memory of every element, one word at a time.

Slow on purpose. The nest is walked turn by turn, all elements in step. Memories hold words in places of real size and
know which of them are there; every word that moves is looked for where it comes from, counted and put where it goes.
Outputs and all counters must equal those of the block engine.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from backends.fields import Array
from backends.generic.blocks import count_finished
from backends.generic.core import At
from backends.generic.counters import NestCounters
from backends.generic.nest import ComputeNode, FillNode, KeepNode, LoopNode, NestLayer, OpenNode, ParNode
from backends.generic.offchip import OffChip
from backends.spatial.codes import Fold, Kind, Slot, Tensor
from backends.spatial.layer import run_steps
from backends.spatial.memory import Fault, MemoryBank
from dialects.gconv.scalar import apply
from dialects.nest_machine import NestMachine

Word = tuple[int, ...]
"""A word by its indices, dimension by dimension."""
Place = tuple[int, ...]
"""An element: its position along each spatial node so far."""
Ranges = tuple[tuple[range, ...], ...]
"""By dimension and kind."""
Turn = tuple[int, int]
"""Which turn a loop is in, and how many it makes."""

_FOLD_FUNCTION = {Fold.ADD: "add", Fold.MAX: "max", Fold.MIN: "min", Fold.MUL: "mul"}
_NAMES = {Tensor.INPUT: "input", Tensor.KERNEL: "kernel", Tensor.OUTPUT: "output"}


@dataclass(frozen=True)
class Element:
    """One element and what it works on."""

    place: Place
    ranges: Ranges


@dataclass
class Tile:
    """The words of a tensor in one memory: they take one word of their place each, which has `room` of them."""

    room: int
    words: dict[Word, Array] = field(default_factory=dict[Word, Array])


class Walk:
    """A nest at work."""

    def __init__(self, layer: NestLayer, machine: NestMachine, dram: MemoryBank, counters: NestCounters, at: At):
        assert layer.compute is not None
        self._layer, self._machine, self._counters, self._at = layer, machine, counters, at
        self._compute = layer.compute
        self._partial = layer.partial
        self._outside = OffChip(layer, dram)
        self._axes = [node.axis for node in layer.nodes if isinstance(node, ParNode)]
        self._adds = [
            machine.axes[node.axis].reduces and node.kind is Kind.KS
            for node in layer.nodes
            if isinstance(node, ParNode)
        ]
        names = [level.name for level in machine.levels]
        self._memory_depth = [names.index(memory.name) for memory in machine.memories]
        self._axis_depth = [names.index(axis.name) for axis in machine.axes]
        self._tiles: dict[tuple[int, Tensor, Place], Tile] = {}
        self._opened: dict[int, list[Place]] = {}
        self._waiting: dict[Word, Array] = {}
        self._turns: dict[int, Turn] = {}

    def run(self) -> None:
        """From the first instruction of the nest to the last."""
        layer = self._layer
        ranges = tuple(
            tuple(range(start, start + size) for start, size in zip(starts, sizes, strict=True))
            for starts, sizes in zip(layer.starts, layer.sizes, strict=True)
        )
        self._walk(0, [Element((), ranges)])

    def _walk(self, index: int, elements: list[Element]) -> None:
        if index == len(self._layer.nodes):
            self._at(self._compute.pc)
            self._work(elements)
            return
        node = self._layer.nodes[index]
        match node:
            case LoopNode():
                self._turn(index, node, elements)
            case ParNode():
                inner = [
                    Element((*each.place, place), _with(each.ranges, node, piece))
                    for each in elements
                    for place, piece in enumerate(_tiles(each.ranges[node.dim][node.kind], node.tile))
                ]
                self._use(inner)
                self._walk(index + 1, inner)
            case KeepNode():
                self._at(node.pc)
                self._see(node, elements)
                self._walk(index + 1, elements)
            case FillNode():
                self._at(node.pc)
                if self._is_first(index, node.once):
                    self._fill(index, node, elements)
                self._walk(index + 1, elements)
            case OpenNode():
                self._at(node.pc)
                if self._is_first(index, node.once):
                    self._open(node, elements)
                self._walk(index + 1, elements)
                self._at(node.drain_pc)
                if self._is_last(index, node.once):
                    self._drain(index, node)

    def _turn(self, index: int, node: LoopNode, elements: list[Element]) -> None:
        """All turns of a loop; elements with fewer tiles than others wait."""
        pieces = [list(_tiles(each.ranges[node.dim][node.kind], node.tile)) for each in elements]
        turns = max(map(len, pieces))
        for turn in range(turns):
            self._turns[index] = turn, turns
            active = [
                Element(each.place, _with(each.ranges, node, tiles[turn]))
                for each, tiles in zip(elements, pieces, strict=True)
                if turn < len(tiles)
            ]
            self._walk(index + 1, active)
        del self._turns[index]

    def _use(self, elements: list[Element]) -> None:
        """Note how many positions along every axis are in use."""
        used = [1] * len(self._counters.used)
        for number in range(len(elements[0].place)):
            used[self._axes[number]] *= 1 + max(each.place[number] for each in elements)
        for axis, positions in enumerate(used):
            self._counters.use(axis, positions)

    def _is_first(self, index: int, once: int) -> bool:
        return all(self._turns[loop][0] == 0 for loop in self._layer.loops_above(index)[:once])

    def _is_last(self, index: int, once: int) -> bool:
        return all(self._is_at_end(loop) for loop in self._layer.loops_above(index)[:once])

    def _is_at_end(self, loop: int) -> bool:
        turn, turns = self._turns[loop]
        return turn == turns - 1

    def _memory_of(self, memory: int, place: Place) -> Place:
        """Which of a memory's copies an element has: by its positions along the axes outside of it."""
        depth = self._memory_depth[memory]
        return tuple(p for p, axis in zip(place, self._axes, strict=False) if self._axis_depth[axis] < depth)

    def _tile(self, memory: int, tensor: Tensor, place: Place) -> Tile:
        tile = self._tiles.get((memory, tensor, self._memory_of(memory, place)))
        if tile is None:
            name = self._machine.memories[memory].name
            raise Fault("CAT-E002", f"{tensor.name} is wanted from {name} before any of its words are there")
        return tile

    # Words that go inwards --------------------------------------------------------------------------------------------

    def _fill(self, index: int, node: FillNode, elements: list[Element]) -> None:
        memory = self._machine.memories[node.memory]
        around = self._layer.loops_above(index)
        is_kept = node.slides and node.once < len(around) and self._turns[around[node.once]][0] > 0
        wanted: dict[Place, list[Word]] = {}
        kept: dict[Place, dict[Word, Array]] = {}
        for each in elements:
            key = node.memory, node.tensor, self._memory_of(node.memory, each.place)
            tile = self._tiles.setdefault(key, Tile(self._layer.place_in(node.memory, node.tensor).words))
            words = self._words(node.tensor, each.ranges)
            if len(words) > tile.room:
                limits = f"at most {tile.room}", str(len(words))
                raise Fault("CAT-E001", f"a tile overruns its place in {memory.name}", *limits)
            kept[each.place] = {word: tile.words[word] for word in words if word in tile.words} if is_kept else {}
            wanted[each.place] = [word for word in words if word not in kept[each.place]]
            self._counters.hold(node.memory, node.tensor, len(words))
        found = self._take(index, node.tensor, node.source, wanted, node.shared)
        for each in elements:
            self._tile(node.memory, node.tensor, each.place).words = kept[each.place] | found[each.place]
            self._counters.add(f"{memory.name}.{_NAMES[node.tensor]}.fill", len(found[each.place]))

    def _see(self, node: KeepNode, elements: list[Element]) -> None:
        """What a hold has of a tensor is its tile, with padding that is made up as it is read."""
        for each in elements:
            words = self._words(node.tensor, each.ranges)
            tile = Tile(len(words), self._from_outside(node.tensor, set(words)))
            self._tiles[node.memory, node.tensor, self._memory_of(node.memory, each.place)] = tile

    def _take(
        self, index: int, tensor: Tensor, source: int, wanted: dict[Place, list[Word]], shared: frozenset[int]
    ) -> dict[Place, dict[Word, Array]]:
        """Words for every element from a memory further out; shared ones are read once."""
        above = self._layer.pars_above(self._layer.source_place(index, source, tensor))
        together: dict[Place, set[Word]] = defaultdict(set)
        for place, words in wanted.items():
            group = tuple(p for number, p in enumerate(place) if number < above or number not in shared)
            together[group].update(words)
        read = sum(map(len, together.values()))
        self._counters.add(f"{self._machine.memories[source].name}.{_NAMES[tensor]}.read", read)
        if source == 0:
            if tensor is Tensor.INPUT:
                outer = self._machine.memories[0].name
                self._counters.add(f"{outer}.index.read", read * len(self._layer.terms[tensor]))
            values = self._from_outside(tensor, {word for words in wanted.values() for word in words})
            return {place: {word: values[word] for word in words} for place, words in wanted.items()}
        found: dict[Place, dict[Word, Array]] = {}
        for place, words in wanted.items():
            held = self._tile(source, tensor, place).words
            missing = [word for word in words if word not in held]
            if missing:
                name = self._machine.memories[source].name
                raise Fault("CAT-E002", f"a word of {tensor.name} is wanted from {name} that is not there")
            found[place] = {word: held[word] for word in words}
        return found

    def _from_outside(self, tensor: Tensor, words: set[Word]) -> dict[Word, Array]:
        if not words:
            return {}
        ordered = sorted(words)
        read = self._outside.input_words if tensor is Tensor.INPUT else self._outside.kernel_words
        values = read(np.array(ordered, np.int64))
        return dict(zip(ordered, values, strict=True))

    def _words(self, tensor: Tensor, ranges: Ranges) -> list[Word]:
        """The words of a tensor that some ranges touch, each once."""
        parts: list[Iterable[int]] = []
        for dim, of_dim in zip(self._layer.dims, ranges, strict=True):
            g, op, opc, ks = (of_dim[kind] for kind in Kind)
            match tensor:
                case Tensor.INPUT:
                    positions = {o * dim.stride + k * dim.dilation - dim.pad for o in opc for k in ks}
                    parts += [g, sorted(positions)]
                case Tensor.KERNEL:
                    parts += [g, op, ks]
                case _:
                    parts += [g, op, opc]
        return list(itertools.product(*parts))

    # Sums that go outwards --------------------------------------------------------------------------------------------

    def _open(self, node: OpenNode, elements: list[Element]) -> None:
        is_kept = self._layer.is_kept(node)
        hold = self._layer.keeps.get(Tensor.OUTPUT)
        room = hold.words if hold is not None and is_kept else self._layer.place_in(node.memory, Tensor.OUTPUT).words
        for each in elements:
            words = self._words(Tensor.OUTPUT, each.ranges)
            if len(words) > room:
                name = self._machine.memories[node.memory].name
                raise Fault("CAT-E001", f"a tile overruns its place in {name}", f"at most {room}", str(len(words)))
            if not is_kept:
                self._counters.hold(node.memory, Tensor.OUTPUT, len(words))
            there = self._outside.held_words(words) if is_kept and not self._layer.begins_sums else {}
            self._tiles[node.memory, Tensor.OUTPUT, self._memory_of(node.memory, each.place)] = Tile(room, there)
        self._opened[node.memory] = [each.place for each in elements]

    def _drain(self, index: int, node: OpenNode) -> None:
        sums = {place: self._tile(node.memory, Tensor.OUTPUT, place).words for place in self._opened.pop(node.memory)}
        for place in sums:
            del self._tiles[node.memory, Tensor.OUTPUT, self._memory_of(node.memory, place)]
        loops = self._layer.loops_above(index)
        is_finished = all(self._is_at_end(loop) for loop in loops if self._folds(loop))
        self._send(index, node.target, sums, is_finished)

    def _folds(self, loop: int) -> bool:
        node = self._layer.nodes[loop]
        return isinstance(node, LoopNode) and node.kind is Kind.KS

    def _send(self, index: int, target: int, sums: dict[Place, dict[Word, Array]], is_finished: bool) -> None:
        """Words of sums arrive at a memory further out, those of positions that are added up as one."""
        above = self._layer.pars_above(self._layer.source_place(index, target, Tensor.OUTPUT))
        arriving: dict[tuple[Place, Place], dict[Word, Array]] = {}
        sent = 0
        for place, words in sums.items():
            apart = tuple(p for number, p in enumerate(place) if number >= above and not self._adds[number])
            group = arriving.setdefault((place[:above], apart), {})
            for word, value in words.items():
                group[word] = self._combined(word, group.get(word), value)
            sent += len(words)
        name = f"{self._machine.memories[target].name}.output"
        arrived = sum(map(len, arriving.values()))
        is_counted = target != 0 or Tensor.OUTPUT not in self._layer.keeps
        if is_counted:
            self._counters.add(f"{name}.update", arrived)
            self._counters.add(f"{name}.hop", sent - arrived)
        touched: dict[Word, None] = {}
        for (place, _), words in arriving.items():
            there = self._waiting if target == 0 else self._sums_at(target, place)
            for word, value in words.items():
                if is_counted:
                    self._counters.add(f"{name}.add", int(word in there))
                there[word] = self._combined(word, there.get(word), value)
                touched[word] = None
        if target == 0:
            self._leave(list(touched), is_finished)

    def _sums_at(self, memory: int, place: Place) -> dict[Word, Array]:
        return self._tile(memory, Tensor.OUTPUT, place).words

    def _combined(self, word: Word, before: Array | None, value: Array) -> Array:
        """A sum after one more value; `word` says of which it is."""
        return value if before is None else apply(_FOLD_FUNCTION[self._layer.fold], before, value)

    def _leave(self, words: list[Word], is_finished: bool) -> None:
        """Finished sums leave the outermost memory for the output; others wait there, if there is a place."""
        if not is_finished and Tensor.OUTPUT in self._layer.keeps:
            raise Fault("CAT-E003", "sums leave for a hold before they are finished")
        if not is_finished:
            if (0, Tensor.OUTPUT) not in self._layer.memory_places:
                raise Fault("CAT-E003", "sums leave the chip unfinished and have no place to wait")
            room = self._layer.memory_places[0, Tensor.OUTPUT].words
            if len(self._waiting) > room:
                raise Fault("CAT-E001", "unfinished sums overrun their place", str(room), str(len(self._waiting)))
            return
        words = sorted(words)
        sums = np.array([self._waiting.pop(word) for word in words])
        if not self._layer.finishes_sums:
            self._outside.hold_words(np.array(words, np.int64), sums)
            return
        outer = self._machine.memories[0].name
        read = self._outside.write_words(np.array(words, np.int64), sums)
        outputs = len(words)
        for dim in range(len(self._layer.dims)):
            outputs *= len(self._layer.repeated(dim)) if self._layer.main is None else 1
        for tensor, count in read.items():
            place = self._machine.memories[self._layer.memory_of(tensor)].name
            self._counters.add(f"{place}.extra.read", count)
        count_finished(self._layer, self._machine, outputs, len(words), self._counters)
        self._counters.add("operation.post", outputs * len(self._layer.steps[Slot.POST]))
        self._counters.add(f"{outer}.index.read", outputs * len(self._layer.terms[Tensor.OUTPUT]))
        if self._layer.update is not Fold.NONE:
            self._counters.add(f"{outer}.output.read", outputs)

    # Operations -------------------------------------------------------------------------------------------------------

    def _work(self, elements: list[Element]) -> None:
        """Every element works through its ranges, index by index, in step with the others."""
        counters, node = self._counters, self._compute
        counters.turns += 1
        counters.elements = max(counters.elements, len(elements))
        shape = [(d, kind) for kind in (Kind.G, Kind.OP, Kind.OPC, Kind.KS) for d in range(len(self._layer.dims))]
        shape.sort(key=lambda loop: (loop[1] is Kind.KS, loop[0], loop[1]))
        steps = [max(len(each.ranges[d][kind]) for each in elements) for d, kind in shape]
        folding = [loop for loop in self._layer.loops_above(len(self._layer.nodes)) if self._folds(loop)]
        for indices in itertools.product(*map(range, steps)):
            at = dict(zip(shape, indices, strict=True))
            active = [
                Element(each.place, _at_index(each.ranges, at))
                for each in elements
                if all(index < len(each.ranges[d][kind]) for (d, kind), index in at.items())
            ]
            counters.steps += 1
            at_end = all(at[loop] == count - 1 for loop, count in zip(shape, steps, strict=True) if loop[1] is Kind.KS)
            is_finished = at_end and all(self._is_at_end(loop) for loop in folding)
            self._operate(node, active, is_finished)

    def _operate(self, node: ComputeNode, elements: Sequence[Element], is_finished: bool) -> None:
        layer, counters, end = self._layer, self._counters, len(self._layer.nodes)
        inputs = self._operands(end, Tensor.INPUT, node.input, node.input_shared, elements)
        kernels: dict[Place, Array] = {}
        if layer.main is not None:
            kernels = self._operands(end, Tensor.KERNEL, node.kernel, node.kernel_shared, elements)
        sums: dict[Place, dict[Word, Array]] = {}
        for each in elements:
            value = inputs[each.place].astype(self._partial)
            if layer.main is not None:
                value = apply(layer.main, value, kernels[each.place].astype(self._partial))
            value = run_steps(layer.steps[Slot.MID], value)
            (word,) = self._words(Tensor.OUTPUT, each.ranges)
            sums[each.place] = {word: value}
            counters.add("operation.mac" if layer.is_multiply_accumulate else "operation.other", 1)
        self._send(end, node.output, sums, is_finished)

    def _operands(
        self, end: int, tensor: Tensor, memory: int, shared: frozenset[int], elements: Sequence[Element]
    ) -> dict[Place, Array]:
        """One word of a tensor for every element."""
        wanted = {each.place: self._words(tensor, each.ranges) for each in elements}
        found = self._take(end, tensor, memory, wanted, shared)
        self._counters.add(f"operation.{_NAMES[tensor]}.fill", len(elements))
        return {place: found[place][word] for place, (word,) in wanted.items()}


def _tiles(indices: range, tile: int) -> Iterable[range]:
    return (indices[begin : begin + tile] for begin in range(0, len(indices), tile))


def _with(ranges: Ranges, node: LoopNode | ParNode, piece: range) -> Ranges:
    of_dim = ranges[node.dim]
    changed = (*of_dim[: node.kind], piece, *of_dim[node.kind + 1 :])
    return (*ranges[: node.dim], changed, *ranges[node.dim + 1 :])


def _at_index(ranges: Ranges, at: dict[tuple[int, Kind], int]) -> Ranges:
    return tuple(tuple(of_dim[kind][at[d, kind] : at[d, kind] + 1] for kind in Kind) for d, of_dim in enumerate(ranges))
