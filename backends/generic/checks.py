"""What the sequencer refuses before a nest runs: more positions or words than there are, words that cannot be there."""

from __future__ import annotations

import math
from collections.abc import Callable

from backends.generic.counting import RELEVANT
from backends.generic.nest import FillNode, KeepNode, LoopNode, NestLayer, OpenNode, ParNode
from backends.generic.ranges import LoopRanges, distinct_positions
from backends.spatial.codes import Fold, Kind, Tensor
from backends.spatial.memory import Fault
from dialects.nest_machine import NestMachine


def check_nest(layer: NestLayer, machine: NestMachine, ranges: LoopRanges, at: Callable[[int], None]) -> None:
    """Raise `Fault` for a nest that the machine cannot run; `at` is told which instruction is looked at."""
    _Checks(layer, machine, ranges, at).run()


def tile_words(layer: NestLayer, ranges: LoopRanges, tensor: Tensor, end: int) -> int:
    """Words of the largest tile of a tensor at a node."""
    words = 1
    for number, dim in enumerate(layer.dims):
        size = {kind: ranges.largest(number, kind, end) for kind in Kind}
        if tensor is Tensor.INPUT:
            window = (0, size[Kind.OPC]), (0, size[Kind.KS])
            words *= size[Kind.G] * distinct_positions([window], dim.stride, dim.dilation)
        else:
            words *= math.prod(size[kind] for kind in RELEVANT[tensor])
    return words


class _Checks:
    def __init__(self, layer: NestLayer, machine: NestMachine, ranges: LoopRanges, at: Callable[[int], None]):
        self._layer, self._machine, self._ranges, self._at = layer, machine, ranges, at
        names = [level.name for level in machine.levels]
        self._memory_depth = [names.index(memory.name) for memory in machine.memories]
        self._axis_depth = [names.index(axis.name) for axis in machine.axes]

    def run(self) -> None:
        compute, nodes = self._layer.compute, self._layer.nodes
        assert compute is not None
        if self._layer.fold is Fold.NONE and any(dim.counts[Kind.KS] > 1 for dim in self._layer.dims):
            raise Fault("CAT-E003", "kernel loops need a reduction")
        for index, node in enumerate(nodes):
            self._at(node.pc)
            match node:
                case ParNode():
                    self._check_positions(index)
                case FillNode():
                    source = self._layer.source_place(index, node.source, node.tensor)
                    self._check_tile(index, node.tensor, node.memory)
                    self._check_kept(index, node.tensor, node.memory, node.once)
                    self._check_shared(index, node.tensor, node.shared)
                    self._check_reached(index, node.source, source)
                case KeepNode():
                    self._check_kept_whole(index, node.tensor, node.memory)
                case OpenNode() if self._layer.is_kept(node):
                    self._check_kept_whole(index, Tensor.OUTPUT, node.memory)
                case OpenNode():
                    target = self._layer.source_place(index, node.target, Tensor.OUTPUT)
                    self._check_tile(index, Tensor.OUTPUT, node.memory)
                    self._check_kept(index, Tensor.OUTPUT, node.memory, node.once)
                    self._check_reached(index, node.target, target)
                case LoopNode():
                    pass
        self._at(compute.pc)
        wanted = [
            (Tensor.INPUT, compute.input, compute.input_shared),
            (Tensor.OUTPUT, compute.output, frozenset[int]()),
        ]
        if self._layer.main is not None:
            wanted.append((Tensor.KERNEL, compute.kernel, compute.kernel_shared))
        for tensor, memory, shared in wanted:
            place = self._layer.source_place(len(nodes), memory, tensor)
            self._check_shared(len(nodes), tensor, shared)
            self._check_reached(len(nodes), memory, place)

    def _check_positions(self, index: int) -> None:
        node = self._layer.nodes[index]
        assert isinstance(node, ParNode)
        axis = self._machine.axes[node.axis]
        used = self._positions(index, node.axis)
        if used > axis.size:
            raise Fault("CAT-E001", f"more positions than axis {axis.name} has", f"at most {axis.size}", str(used))
        if node.kind.name.lower() not in axis.loops:
            raise Fault("CAT-E003", f"axis {axis.name} does not take {node.kind.name.lower()} loops")
        total = math.prod(self._positions(index, number) for number in range(len(self._machine.axes)))
        limit = self._machine.elements
        if limit is not None and total > limit:
            raise Fault("CAT-E001", "more elements than the machine has", f"at most {limit}", str(total))

    def _positions(self, index: int, axis: int) -> int:
        """Positions along an axis in use by nodes up to one."""
        used = 1
        for place, node in enumerate(self._layer.nodes[: index + 1]):
            if isinstance(node, ParNode) and node.axis == axis:
                used *= -(-self._ranges.largest(node.dim, node.kind, place) // node.tile)
        return used

    def _check_tile(self, index: int, tensor: Tensor, memory: int) -> None:
        """A tile has a place that holds it, and positions of the array do not share that."""
        described = self._machine.memories[memory]
        if "IKO"[tensor] not in described.operands:
            raise Fault("CAT-E003", f"{tensor.name} may not stay in {described.name}")
        words = tile_words(self._layer, self._ranges, tensor, index)
        room = self._layer.place_in(memory, tensor).words
        if words > room:
            raise Fault("CAT-E001", f"a tile overruns its place in {described.name}", f"at most {room}", str(words))
        room = next((n for operand, n in described.rooms.items() if operand == "IKO"[tensor]), None)
        if room is not None and described.buffers * words > room:
            message = f"{tensor.name} has too many words in {described.name}"
            raise Fault("CAT-E001", message, f"at most {room}", str(described.buffers * words))
        for node in self._layer.nodes[:index]:
            if isinstance(node, ParNode) and self._axis_depth[node.axis] > self._memory_depth[memory]:
                axis = self._machine.axes[node.axis].name
                raise Fault("CAT-E003", f"tiles of positions along {axis} go into {described.name}, which they share")

    def _check_kept_whole(self, index: int, tensor: Tensor, memory: int) -> None:
        """What lies in a hold is there for all turns and positions of the nest."""
        described = self._machine.memories[memory]
        if "IKO"[tensor] not in described.operands:
            raise Fault("CAT-E003", f"{tensor.name} may not stay in {described.name}")
        if any(isinstance(node, LoopNode | ParNode) for node in self._layer.nodes[:index]):
            raise Fault("CAT-E003", f"{tensor.name} lies in a hold, and loops stand around its place in the nest")

    def _check_kept(self, index: int, tensor: Tensor, memory: int, once: int) -> None:
        """What stays in later turns of a loop is what those turns need."""
        around = self._layer.loops_above(index)
        if once > len(around):
            raise Fault("CAT-E003", "words stay for more loops than there are", f"at most {len(around)}", str(once))
        described = self._machine.memories[memory]
        for place in around[:once]:
            node = self._layer.nodes[place]
            assert isinstance(node, LoopNode)
            turns = self._ranges.largest(node.dim, node.kind, place) > node.tile
            if turns and node.kind in RELEVANT[tensor]:
                raise Fault("CAT-E002", f"a turn needs other words of {tensor.name} than {described.name} has kept")
            if turns and not described.stays:
                raise Fault("CAT-E003", f"words only pass through {described.name}, and are not there any more")

    def _check_shared(self, index: int, tensor: Tensor, shared: frozenset[int]) -> None:
        for node in self._layer.nodes[:index]:
            if isinstance(node, ParNode) and node.number in shared:
                axis = self._machine.axes[node.axis]
                if "IKO"[tensor] not in axis.multicast:
                    raise Fault(
                        "CAT-E003", f"axis {axis.name} does not take words of {tensor.name} to several positions"
                    )
        if max(shared, default=-1) >= self._layer.pars_above(index):
            raise Fault("CAT-E003", "words are shared along a loop that is not there")

    def _check_reached(self, index: int, memory: int, place: int) -> None:
        """Positions below a place are along axes inside of its memory: others would look into memories never filled."""
        for node in self._layer.nodes[max(place, 0) : index]:
            if isinstance(node, ParNode) and self._axis_depth[node.axis] < self._memory_depth[memory]:
                axis, name = self._machine.axes[node.axis].name, self._machine.memories[memory].name
                raise Fault("CAT-E002", f"positions along {axis} want words of {name} that were brought to one only")
