"""A layer of the generic machine as its sequencer has read it: configuration, places, and the nest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.spatial.codes import Fold, Kind, Slot, Tensor
from backends.spatial.layer import LayerState, ScalarStep
from backends.spatial.memory import Fault


@dataclass(frozen=True)
class TilePlace:
    """Words of a memory that hold the tile of a tensor."""

    address: int
    words: int

    @property
    def end(self) -> int:
        """The first word behind the place."""
        return self.address + self.words

    def overlaps(self, other: TilePlace, bank: int) -> bool:
        """Whether two places have words in one bank of so many."""
        return self.address // bank <= (other.end - 1) // bank and other.address // bank <= (self.end - 1) // bank


@dataclass(frozen=True)
class LoopNode:
    """Tiles one after another; `pc` is the instruction, here and in other nodes."""

    pc: int
    dim: int
    kind: Kind
    tile: int


@dataclass(frozen=True)
class ParNode:
    """Tiles side by side along an axis; `number` counts such nodes from the outermost."""

    pc: int
    dim: int
    kind: Kind
    tile: int
    axis: int
    number: int


@dataclass(frozen=True)
class FillNode:
    """Words of a tensor brought into a memory."""

    pc: int
    tensor: Tensor
    source: int
    memory: int
    once: int
    slides: bool
    shared: frozenset[int]


@dataclass(frozen=True)
class OpenNode:
    """A tile of sums in a memory; `drain_pc` is the instruction that sends it to `target`."""

    pc: int
    memory: int
    target: int
    once: int
    drain_pc: int


@dataclass(frozen=True)
class KeepNode:
    """A tensor's tile is what a hold has of it, in the place of one that is filled in (`backends.spatial.groups`)."""

    pc: int
    tensor: Tensor
    memory: int


@dataclass(frozen=True)
class ComputeNode:
    """What elements do in the middle of the nest."""

    pc: int
    input: int
    kernel: int
    output: int
    input_shared: frozenset[int]
    kernel_shared: frozenset[int]


Node = LoopNode | ParNode | FillNode | OpenNode | KeepNode


@dataclass(frozen=True)
class RunCounts:
    """What a run of a layer on ranges of some sizes counted."""

    events: dict[str, int]
    steps: int
    turns: int
    elements: int
    held: dict[tuple[int, Tensor], int]
    used: list[int]


class NestLayer(LayerState):
    """A layer's configuration, places by memory and tensor, and nodes from the outside in."""

    def __init__(self, index: int, main: str | None, fold: Fold, padding: float, acc: np.dtype[Any]):
        super().__init__(index, main, fold, padding, acc)
        self.memory_places: dict[tuple[int, Tensor], TilePlace] = {}
        self.nodes: list[Node] = []
        self.compute: ComputeNode | None = None
        self.counted: dict[tuple[int, ...], RunCounts] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of all whole ranges, repetitions as well, and whether sums begin and end in them.

        What a run counts depends on nothing else.
        """
        sizes = (size for dim in range(len(self.dims)) for size in (*self.whole_sizes(dim), len(self.repeated(dim))))
        return (*sizes, self.begins_sums, self.finishes_sums)

    @property
    def steps_after(self) -> list[ScalarStep]:
        """The scalar functions that finished sums go through."""
        return self.steps[Slot.POST]

    def place_in(self, memory: int, tensor: Tensor) -> TilePlace:
        """Where a tensor's tile is kept. Raises `Fault` CAT-E003 if it has no place in that memory."""
        place = self.memory_places.get((memory, tensor))
        if place is None:
            raise Fault("CAT-E003", f"{tensor.name} has no place in memory {memory}")
        return place

    def source_place(self, end: int, memory: int, tensor: Tensor) -> int:
        """The node above `end` that brings a tensor into a memory, -1 for the outermost memory.

        Raises `Fault` CAT-E002 if none does.
        """
        hold = self.keeps.get(tensor)
        if memory == 0:
            if hold is not None and tensor is not Tensor.OUTPUT:
                raise Fault("CAT-E003", f"{tensor.name} is wanted from the outermost memory, and lies in a hold")
            return -1
        for index in reversed(range(end)):
            node = self.nodes[index]
            if isinstance(node, FillNode) and (node.tensor, node.memory) == (tensor, memory):
                return index
            if isinstance(node, KeepNode) and (node.tensor, node.memory) == (tensor, memory):
                return index
            if isinstance(node, OpenNode) and tensor is Tensor.OUTPUT and node.memory == memory:
                return index
        raise Fault("CAT-E002", f"{tensor.name} is wanted from memory {memory}, where nothing has brought it")

    def is_kept(self, node: OpenNode) -> bool:
        """Whether sums come about where a hold keeps the result."""
        hold = self.keeps.get(Tensor.OUTPUT)
        return hold is not None and node.target == 0 and hold.memory == node.memory

    def memory_of(self, tensor: Tensor) -> int:
        """The memory of a tensor's hold, else the outermost one."""
        hold = self.keeps.get(tensor)
        return 0 if hold is None else hold.memory

    def loops_above(self, end: int) -> list[int]:
        """The loops over time above a node, innermost first."""
        return [index for index in reversed(range(end)) if isinstance(self.nodes[index], LoopNode)]

    def pars_above(self, end: int) -> int:
        """How many loops are laid along axes above a node."""
        return sum(isinstance(node, ParNode) for node in self.nodes[: max(end, 0)])
