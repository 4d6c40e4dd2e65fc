"""The stream of a core as its sequencer reads it: tasks, one for each part of a layer, and what each does in turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import product
from typing import Any

import numpy as np

from backends.effects import Told
from backends.generic.nest import NestLayer
from backends.rram.configuration import configuration_of_task
from backends.rram.isa import Made, Threshold, What
from backends.spatial.codes import Fold, Kind, Tensor, Word
from backends.spatial.core import LayerSequencer
from backends.spatial.holds import HoldAxis, HoldState
from backends.spatial.memory import Fault, MemoryBank
from backends.spatial.words import dtype_of_word
from dialects.events import Counts
from dialects.vector_sets import VectorSet


class Do(Enum):
    """What an action does."""

    PROGRAM = "program"
    LOAD = "load"
    MULTIPLY = "multiply"
    FETCH = "fetch"
    COMPUTE = "compute"
    ACTIVATE = "activate"
    STORE = "store"
    WAIT = "wait"
    SIGNAL = "signal"


@dataclass(frozen=True)
class Action:
    """An instruction that does something in a turn; `given` are its fields."""

    pc: int
    do: Do
    given: Any = None


Box = list[tuple[range, ...]]
"""Ranges of (g, op, opc, ks) of every dimension."""


@dataclass
class Piece:
    """Turns in which the same is done; of vectors from `start` on, or on boxes."""

    turns: int = 1
    start: int = 0
    is_run: bool = False
    is_nest: bool = False
    boxes: list[Box] | None = None
    actions: list[Action] = field(default_factory=list[Action])


@dataclass
class Task:
    """What a core does for one layer."""

    core: int
    layer: NestLayer
    groups: range = range(0)
    rows: range = range(0)
    columns: range = range(0)
    vectors: VectorSet | None = None
    sums: tuple[int, int] | None = None
    ranges: dict[tuple[int, int], range] = field(default_factory=dict[tuple[int, int], range])
    pieces: list[Piece] = field(default_factory=list[Piece])

    @property
    def is_matrix(self) -> bool:
        """Whether crossbars do it."""
        return bool(self.rows)


class _NoCounters:
    """Reading streams counts nothing."""

    def add(self, name: str, count: int) -> None:
        """Nothing is executed on the way."""

    def result(self) -> Counts:
        """Nothing."""
        return Counts()


@dataclass
class _Open:
    """A loop that is being read: a run of vectors, or a cut of a loop's range."""

    turns: int = 0
    start: int = 0
    cut: tuple[int, Kind, int] | None = None


class StreamReader(LayerSequencer[NestLayer]):
    """Reads a stream into tasks; configuration is that of all machines that run layers."""

    def __init__(self, core: int, dram: MemoryBank):
        super().__init__(dram, has_host=False)
        self.core = core
        self.tasks: list[Task] = []
        self.writers: dict[int, int] = {}
        """By register of this core, the core that writes it."""
        self._opened: list[_Open] = []
        self._closed = False
        self._holds: dict[int, HoldState] = {}

    # What the layers' sequencer asks ----------------------------------------------------------------------------------

    def new_layer(self, index: int, main: str | None, fold: Fold, padding: float, acc: np.dtype[Any]) -> NestLayer:
        layer = NestLayer(index, main, fold, padding, acc)
        self.tasks.append(Task(self.core, layer))
        self._closed = False
        self._holds = {}
        return layer

    def new_counters(self) -> _NoCounters:
        return _NoCounters()

    @property
    def is_running(self) -> bool:
        return bool(self.tasks and self.tasks[-1].pieces)

    @property
    def is_in_loop(self) -> bool:
        return bool(self._opened)

    @property
    def at(self) -> tuple[int, int]:
        return self.core, self.pc

    def position(self) -> str:
        return f"core {self.core}"

    def finish_loops(self) -> None:
        """All loops are closed when a layer ends, as `begin_layer` and `halt` ask."""

    def finish_layer(self) -> None:
        """A core may have several parts of a layer: nothing is noted."""
        self._layer = None

    def configuration(self) -> dict[str, Told]:
        """What the code has said so far of the task that is read."""
        if self._layer is None:
            return {}
        opened = [
            ("run", each.start, each.turns) if each.cut is None else (each.cut[0], each.cut[1].name, each.cut[2])
            for each in self._opened
        ]
        return super().configuration() | configuration_of_task(self.task, self._holds, self.writers, opened)

    # Parts ------------------------------------------------------------------------------------------------------------

    @property
    def task(self) -> Task:
        """The task that is being read."""
        if self._layer is None:
            raise Fault("CAT-E003", "no layer has begun")
        return self.tasks[-1]

    def set_part(self, groups: range, rows: range, columns: range) -> None:
        task, dims = self.task, self.configured().dims
        counts = [np.prod([dim.counts[kind] for dim in dims]) for kind in (Kind.G, Kind.KS, Kind.OP)]
        for what, part, count in zip(("groups", "rows", "columns"), (groups, rows, columns), counts, strict=True):
            if part.stop > count:
                raise Fault("CAT-E001", f"a part has {what} that the matrix has not", f"below {count}", str(part.stop))
        if not task.layer.is_multiply_accumulate:
            raise Fault("CAT-E003", "crossbars add up products, and nothing else")
        task.groups, task.rows, task.columns = groups, rows, columns

    def set_vectors(self, vectors: VectorSet) -> None:
        count = int(np.prod([dim.counts[Kind.OPC] for dim in self.configured().dims]))
        if vectors.last >= count or vectors.step < vectors.stretch:
            found = f"vector {vectors.last}"
            raise Fault("CAT-E001", "a part has vectors that the layer has not", f"below {count}", found)
        self.task.vectors = vectors

    def set_writer(self, register: int, core: int) -> None:
        if self.writers.setdefault(register, core) != core:
            limits = f"core {self.writers[register]}", f"core {core}"
            raise Fault("CAT-E003", f"register {register} of core {self.core} has two writers", *limits)

    def set_sums(self, address: int, stride: int) -> None:
        self.task.sums = address, stride

    def set_range(self, dim: int, kind: Kind, indices: range) -> None:
        layer = self.configured()
        self.check_worked(layer, kind)
        if dim >= len(layer.dims) or indices.stop > layer.dims[dim].counts[kind]:
            raise Fault("CAT-E001", "a range reaches beyond its loop")
        self.task.ranges[dim, kind] = indices

    # Holds ------------------------------------------------------------------------------------------------------------

    def add_hold(self, hold: int, memory: int, address: int, words: int, word: Word) -> None:
        """A hold of the layer that is being read; holds are in the one memory that all cores see."""
        if hold in self._holds:
            raise Fault("CAT-E003", f"hold {hold} is there already")
        self._holds[hold] = HoldState(hold, memory, address, words, dtype_of_word(word))

    def _hold(self, hold: int) -> HoldState:
        if hold not in self._holds:
            raise Fault("CAT-E003", f"there is no hold {hold} yet")
        return self._holds[hold]

    def set_home(self, hold: int, address: int) -> None:
        self._hold(hold).home = address

    def add_axis(self, hold: int, extent: int, first: int, step: int, kept: int) -> None:
        self._hold(hold).axes.append(HoldAxis(extent, first, step, kept))

    def set_pitch(self, hold: int, pitch: int) -> None:
        axes = self._hold(hold).axes
        if not axes:
            raise Fault("CAT-E003", f"hold {hold} has no axis yet")
        axes[-1].pitch = pitch

    def keep(self, tensor: Tensor, hold: int) -> None:
        """A tensor of the layer lies in a hold."""
        layer = self.task.layer
        if tensor > Tensor.EXTRA11 or tensor in layer.keeps:
            raise Fault("CAT-E003", f"{tensor.name} lies in two holds, or can lie in none")
        layer.keeps[tensor] = self._hold(hold)

    # Loops ------------------------------------------------------------------------------------------------------------

    def begin_run(self, start: int, turns: int) -> None:
        task = self.task
        if self._opened or not task.is_matrix or task.vectors is None:
            raise Fault("CAT-E003", "a run stands alone, in a layer with a part and vectors")
        most = task.vectors.turns
        if start >= most or turns > most:
            raise Fault("CAT-E001", "a run has more turns than its vectors take", str(most), str(turns))
        self._opened.append(_Open(turns, start))
        task.pieces.append(Piece(turns, start, is_run=True))

    def begin_loop(self, dim: int, kind: Kind, tile: int) -> None:
        task = self.task
        if task.is_matrix or self._closed:
            raise Fault("CAT-E003", "a loop is cut in a part of a matrix, or behind another nest")
        if dim >= len(task.layer.dims):
            raise Fault("CAT-E003", f"a loop runs over dimension {dim}, which the layer does not have")
        self.check_worked(task.layer, kind)
        if self._opened and task.pieces and task.pieces[-1].is_nest:
            raise Fault("CAT-E003", "only the innermost loop does something")
        self._opened.append(_Open(cut=(dim, kind, tile)))

    def end_loop(self) -> None:
        if not self._opened:
            raise Fault("CAT-E003", "an end without a loop")
        self._opened.pop()
        self._closed = True

    def _add(self, do: Do, given: Any = None) -> None:
        task = self.task
        if self._opened and self._opened[-1].cut is not None:
            if self._closed:
                raise Fault("CAT-E003", "only the innermost loop does something")
            if not task.pieces or not task.pieces[-1].is_nest:
                boxes = list(self._boxes(task))
                task.pieces.append(Piece(len(boxes), boxes=boxes, is_nest=True))
        elif not self._opened and (not task.pieces or task.pieces[-1].is_run or task.pieces[-1].is_nest):
            # Outside of loops there is one turn, on everything that the core works on.
            boxes = None if task.is_matrix else list(self._boxes(task))
            task.pieces.append(Piece(boxes=boxes))
        task.pieces[-1].actions.append(Action(self.pc, do, given))

    def _boxes(self, task: Task) -> Iterator[Box]:
        """The ranges of all loops in every turn of the loops that are open."""
        layer = task.layer
        whole = {(d, k): range(dim.counts[k]) for d, dim in enumerate(layer.dims) for k in Kind} | task.ranges
        cuts: list[list[range]] = []
        loops: list[tuple[int, Kind]] = []
        for each in self._opened:
            assert each.cut is not None
            dim, kind, tile = each.cut
            if (dim, kind) in loops:
                raise Fault("CAT-E003", "a loop is cut twice")
            indices = whole[dim, kind]
            cuts.append([range(at, min(at + tile, indices.stop)) for at in range(indices.start, indices.stop, tile)])
            loops.append((dim, kind))
        for tiles in product(*cuts):
            ranges = whole | dict(zip(loops, tiles, strict=True))
            yield [tuple(ranges[d, k] for k in Kind) for d in range(len(layer.dims))]

    # Actions ----------------------------------------------------------------------------------------------------------

    def program(self, crossbars: range, shift: int, *, resident: bool) -> None:
        self._add(Do.PROGRAM, (crossbars, shift, resident))

    def load(self, what: What) -> None:
        self._add(Do.LOAD, what)

    def multiply(self) -> None:
        self._add(Do.MULTIPLY)

    def fetch(self) -> None:
        self._add(Do.FETCH)

    def compute(self) -> None:
        self._add(Do.COMPUTE)

    def activate(self) -> None:
        self._add(Do.ACTIVATE)

    def store(self, made: Made) -> None:
        self._add(Do.STORE, made)

    def wait(self, register: int, threshold: Threshold) -> None:
        self._add(Do.WAIT, (register, threshold))

    def signal(self, core: int, register: int, base: int, every: int) -> None:
        self._add(Do.SIGNAL, (core, register, base, every))
