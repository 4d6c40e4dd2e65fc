"""What a layer's nest moves, counted loop by loop over the ranges that its turns and positions go through.

A tile is a product of ranges, one of each loop, and so are the tiles of several positions together. The words of all
transfers of an instruction are therefore a product over dimensions of sums over the states of their loops.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator

from backends.generic.nest import ComputeNode, FillNode, LoopNode, NestLayer, OpenNode, ParNode
from backends.generic.ranges import (
    INDEX,
    LoopRanges,
    Piece,
    Rectangle,
    State,
    States,
    distinct_positions,
    groups,
    new_positions,
)
from backends.spatial.codes import Kind, Tensor
from backends.spatial.layer import Dimension
from backends.spatial.memory import Fault
from dialects.nest_machine import NestMachine

RELEVANT = {
    Tensor.INPUT: (Kind.G, Kind.OPC, Kind.KS),
    Tensor.KERNEL: (Kind.G, Kind.OP, Kind.KS),
    Tensor.OUTPUT: (Kind.G, Kind.OP, Kind.OPC),
}
NAMES = {Tensor.INPUT: "input", Tensor.KERNEL: "kernel", Tensor.OUTPUT: "output"}

Add = Callable[[str, int], None]


class NestCounter:
    """Counts the words and steps of one layer."""

    def __init__(self, layer: NestLayer, machine: NestMachine, ranges: LoopRanges):
        self._layer, self._machine, self._ranges = layer, machine, ranges
        self._end = len(layer.nodes)
        self._reduces = [axis.reduces for axis in machine.axes]

    def count(self, add: Add) -> None:
        """Count every transfer of the nest."""
        compute = self._layer.compute
        assert compute is not None
        for index, node in enumerate(self._layer.nodes):
            if isinstance(node, FillNode):
                self._fill(index, node, add)
            elif isinstance(node, OpenNode) and not self._layer.is_kept(node):
                once = frozenset(self._layer.loops_above(index)[: node.once])
                self._sums(index, node.memory, node.target, once, add)
        self._deliver(compute, add)

    @property
    def steps(self) -> int:
        """Operations one after another in the element that takes longest at every turn."""
        return math.prod(sum(states.values()) for _, _, states in self._all(self._end, indices=True))

    @property
    def turns(self) -> int:
        """How often elements are set to work."""
        return math.prod(sum(states.values()) for _, _, states in self._all(self._end))

    @property
    def elements(self) -> int:
        """Elements at work at a time, at most."""
        return math.prod(max(len(state.pieces) for state in states) for _, _, states in self._all(self._end))

    @property
    def operations(self) -> int:
        """Operations of all elements together."""
        return math.prod(_pieces(states) for _, _, states in self._all(self._end, indices=True))

    def extra_words(self, strides: list[int]) -> int:
        """Words of a tensor, with these strides, that is read along with finished results."""
        nodes = self._layer.nodes
        index = next((i for i, n in enumerate(nodes) if isinstance(n, OpenNode) and n.target == 0), self._end)
        words = 1
        for number, stride in enumerate(strides):
            for kind in RELEVANT[Tensor.OUTPUT]:
                if kind is Kind.OP and self._layer.main is None:
                    words *= len(self._layer.repeated(number)) if stride else 1
                    continue
                states = self._ranges.at(number, kind, index, indices=index == self._end)
                words *= _indices(states) if stride else sum(states.values())
        return words

    def _all(self, end: int, *, indices: bool = False) -> Iterator[tuple[int, Kind, States]]:
        for dim in range(len(self._layer.dims)):
            for kind in Kind:
                yield dim, kind, self._ranges.at(dim, kind, end, indices=indices)

    def _name(self, memory: int) -> str:
        return self._machine.memories[memory].name

    def _own(self, dim: int, kind: Kind, nodes: frozenset[int]) -> frozenset[int]:
        """Those of some nodes that turn one loop, the element's own loop among them."""
        return frozenset(index for index in nodes if index == INDEX or self._turns(index, dim, kind))

    def _turns(self, index: int, dim: int, kind: Kind) -> bool:
        node = self._layer.nodes[index]
        return isinstance(node, LoopNode) and (node.dim, node.kind) == (dim, kind)

    # Words that go inwards --------------------------------------------------------------------------------------------

    def _fill(self, index: int, node: FillNode, add: Add) -> None:
        place = self._layer.source_place(index, node.source, node.tensor)
        around = self._layer.loops_above(index)
        once = frozenset(around[: node.once])
        slide = around[node.once] if node.slides and node.once < len(around) else None
        self._send(index, node.tensor, node.source, node.memory, place, once, slide, node.shared, add)

    def _deliver(self, node: ComputeNode, add: Add) -> None:
        sources = [(Tensor.INPUT, node.input, node.input_shared)]
        if self._layer.main is not None:
            sources.append((Tensor.KERNEL, node.kernel, node.kernel_shared))
        for tensor, memory, shared in sources:
            place = self._layer.source_place(self._end, memory, tensor)
            self._send(self._end, tensor, memory, None, place, frozenset(), None, shared, add)
        self._sums(self._end, None, node.output, frozenset(), add)

    def _send(
        self,
        index: int,
        tensor: Tensor,
        source: int,
        memory: int | None,
        place: int,
        once: frozenset[int],
        slide: int | None,
        shared: frozenset[int],
        add: Add,
    ) -> None:
        """Count what goes into a memory, or into operations, at a node, from the place at another one."""
        above = self._layer.pars_above(place)
        kept = [number < above or number not in shared for number in range(self._layer.pars_above(index))]
        alone = [True] * len(kept)
        name = NAMES[tensor]
        into = "operation" if memory is None else self._name(memory)
        move = _Move(self._layer, self._ranges, tensor, index, memory is None, once, slide)
        add(f"{self._name(source)}.{name}.read", move.words(kept, self._own))
        add(f"{into}.{name}.fill", move.words(alone, self._own))

    # Sums that go outwards --------------------------------------------------------------------------------------------

    def _sums(self, index: int, memory: int | None, target: int, once: frozenset[int], add: Add) -> None:
        """Count what leaves the place at a node, or the operations, for a memory further out."""
        place = self._layer.source_place(index, target, Tensor.OUTPUT)
        above = self._layer.pars_above(place)
        inside = frozenset(each for each in self._layer.loops_above(index) if each > place)
        begins = True
        if place >= 0:
            opened = self._layer.nodes[place]
            assert isinstance(opened, OpenNode)
            begins = self._layer.begins_sums or not self._layer.is_kept(opened)
            inside |= frozenset(self._layer.loops_above(place)[: opened.once])
        if memory is None:
            inside |= frozenset((INDEX,))
        sent = arrived = 1
        new = int(begins)
        for dim in range(len(self._layer.dims)):
            words = math.prod(
                _indices(self._ranges.at(dim, kind, index, indices=memory is None)) for kind in RELEVANT[Tensor.OUTPUT]
            )
            leaving = self._leaving(dim, index, memory is None, once, inside, above)
            sent *= words * leaving[0]
            arrived *= words * leaving[1]
            new *= words * leaving[2]
        if target == 0 and Tensor.OUTPUT in self._layer.keeps:
            if arrived > new or not (self._layer.begins_sums and self._layer.finishes_sums):
                raise Fault("CAT-E003", "sums leave for a hold before they are finished")
            return
        name = f"{self._name(target)}.output"
        add(f"{name}.update", arrived)
        add(f"{name}.add", arrived - new)
        add(f"{name}.hop", sent - arrived)

    def _leaving(
        self, dim: int, index: int, indices: bool, once: frozenset[int], inside: frozenset[int], above: int
    ) -> tuple[int, int, int]:
        """How often a result of one dimension leaves, how often it arrives, and how often nothing was there before."""
        numbers = self._ranges.numbers(dim, Kind.KS)
        apart = [number < above or not self._adds(number) for number in numbers]
        of_target = [number < above for number in numbers]
        once, inside = self._own(dim, Kind.KS, once), self._own(dim, Kind.KS, inside)
        sent = arrived = new = 0
        for state, count in self._ranges.at(dim, Kind.KS, index, indices=indices).items():
            if once <= state.first:
                sent += count * len(state.pieces)
                arrived += count * len({place for place, _ in groups(state.pieces, apart)})
                new += count * len({place for place, _ in groups(state.pieces, of_target)}) * (inside <= state.first)
        return sent, arrived, new

    def _adds(self, number: int) -> bool:
        """Whether sums of positions along a spatial node are added on their way."""
        node = next(n for n in self._layer.nodes if isinstance(n, ParNode) and n.number == number)
        return self._reduces[node.axis] and node.kind is Kind.KS


class _Move:
    """The words of input or kernel that a transfer moves."""

    def __init__(
        self,
        layer: NestLayer,
        ranges: LoopRanges,
        tensor: Tensor,
        index: int,
        indices: bool,
        once: frozenset[int],
        slide: int | None,
    ):
        self._layer, self._ranges, self._tensor, self._index = layer, ranges, tensor, index
        self._indices, self._once, self._slide = indices, once, slide

    def words(self, kept: list[bool], own: Callable[[int, Kind, frozenset[int]], frozenset[int]]) -> int:
        """Words of all transfers; positions that differ only along spatial nodes that are not kept count together."""
        total = 1
        for number, dim in enumerate(self._layer.dims):
            states = {kind: self._asked(number, kind, own(number, kind, self._once)) for kind in Kind}
            keep = {kind: [kept[n] for n in self._ranges.numbers(number, kind) if n < len(kept)] for kind in Kind}
            for kind in Kind:
                if kind not in RELEVANT[self._tensor]:
                    total *= _places(states[kind], keep[kind])
                elif self._tensor is Tensor.KERNEL or kind is Kind.G:
                    total *= _indices(states[kind])
            if self._tensor is Tensor.INPUT:
                total *= self._window(number, dim, states, keep)
        return total

    def _asked(self, number: int, kind: Kind, once: frozenset[int]) -> States:
        """The states of a loop in which a transfer is carried out."""
        states = self._ranges.at(number, kind, self._index, indices=self._indices)
        return {state: count for state, count in states.items() if once <= state.first}

    def _window(self, number: int, dim: Dimension, states: dict[Kind, States], keep: dict[Kind, list[bool]]) -> int:
        """Input positions of one dimension."""
        total = 0
        for outputs, times in states[Kind.OPC].items():
            for kernels, often in states[Kind.KS].items():
                total += times * often * self._touched(number, dim, outputs, kernels, keep)
        return total

    def _touched(
        self, number: int, dim: Dimension, outputs: State, kernels: State, keep: dict[Kind, list[bool]]
    ) -> int:
        """Input positions that a transfer brings for some ranges of one dimension."""
        slides = self._slides(number, outputs, kernels)
        if slides is not None:
            return sum(
                new_positions((_span(a), _span(b)), slides(a, b), dim.stride, dim.dilation)
                for a in outputs.pieces
                for b in kernels.pieces
            )
        together: dict[tuple[tuple[int, ...], tuple[int, ...]], list[tuple[tuple[int, int], tuple[int, int]]]]
        together = defaultdict(list)
        for of_outputs, a in groups(outputs.pieces, keep[Kind.OPC]):
            for of_kernels, b in groups(kernels.pieces, keep[Kind.KS]):
                together[of_outputs, of_kernels].append((_span(a), _span(b)))
        return sum(distinct_positions(each, dim.stride, dim.dilation) for each in together.values())

    def _slides(self, number: int, outputs: State, kernels: State) -> Callable[[Piece, Piece], Rectangle] | None:
        """The ranges of the turn before, if only what they did not touch is brought."""
        if self._slide is None:
            return None
        node = self._layer.nodes[self._slide]
        assert isinstance(node, LoopNode)
        state = outputs if node.kind is Kind.OPC else kernels
        if node.dim != number or node.kind not in (Kind.OPC, Kind.KS) or self._slide in state.first:
            return None
        if node.kind is Kind.OPC:
            return lambda a, b: ((a.start - node.tile, node.tile), _span(b))
        return lambda a, b: (_span(a), (b.start - node.tile, node.tile))


def _span(piece: Piece) -> tuple[int, int]:
    return piece.start, piece.size


def _indices(states: States) -> int:
    """Indices of all ranges of all positions."""
    return sum(count * sum(piece.size for piece in state.pieces) for state, count in states.items())


def _pieces(states: States) -> int:
    """Ranges of all positions."""
    return sum(count * len(state.pieces) for state, count in states.items())


def _places(states: States, kept: list[bool]) -> int:
    """Ranges of all positions; those that differ only along nodes that are not kept count once."""
    return sum(count * len({place for place, _ in groups(state.pieces, kept)}) for state, count in states.items())
