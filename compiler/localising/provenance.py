"""Who wrote what a layer reads: a run of a whole program, in which something may come between two layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from backends.api import WatchedEmulator
from backends.program import Program, Role, TensorEntry
from compiler.arrays import Array
from compiler.execution import program_inputs
from compiler.host_execution import HostRuntime
from dialects.diagnostics import CatenaError

DRAM = "dram"
_NOBODY, _INPUT = -1, -2
"""In the place of an instruction that wrote a word: none did, or the word is an input's from the beginning."""


@dataclass(frozen=True)
class Site:
    """An instruction of a layer, by core and address."""

    core: int
    address: int
    layer: str


@dataclass(frozen=True)
class Intrusion:
    """A word of a tensor that is not what its layers made of it when it is read.

    `index` is the element; `writer` wrote it last, None if nobody did. `reader` is None where it is an output of the
    model. If it `was_made` before, the writer is to blame for it, else the reader comes too early.
    """

    tensor: TensorEntry
    index: tuple[int, ...]
    writer: Site | None
    reader: Site | None
    was_made: bool

    @property
    def site(self) -> Site | None:
        """The instruction to blame; None if it is not one that does something wrong, but one that is missing."""
        return self.writer if self.was_made else self.reader

    @property
    def text(self) -> str:
        """What the instruction does."""
        place = f"[{', '.join(map(str, self.index))}] of {self.tensor.onnx or self.tensor.name!r}"
        if self.was_made:
            return f"writes over {place}" + (f" before {self.reader.layer} reads it" if self.reader is not None else "")
        if self.reader is None:
            return f"{place} is an output that nothing makes"
        return f"reads {place} before it is made" + (f", but after {self.writer.layer}" if self.writer else "")


def first_intrusion(program: Program, emulator: WatchedEmulator, inputs: Mapping[str, Array]) -> Intrusion | None:
    """The first read, in a run of the whole program, of a word that the wrong layer wrote; None if there is none.

    `inputs` are those of the model. A run that stops counts up to there.
    """
    log = _Log(program)
    host = HostRuntime(program)
    host.start(inputs)
    on_device = {entry.name: inputs[entry.name] for entry in program_inputs(program)}
    try:
        emulator.watch_run(on_device, log.accessed, host=host.call if host else None)
    except CatenaError:
        return log.found
    log.end()
    return log.found


@dataclass(frozen=True)
class _Words:
    """Where a tensor lies: `elements` are the addresses of its elements, sorted, and `order` which they are."""

    tensor: TensorEntry

    @cached_property
    def _sorted(self) -> tuple[Array, Array]:
        places = np.full(self.tensor.shape, self.tensor.address, np.int64)
        for axis, (extent, stride) in enumerate(zip(self.tensor.shape, self.tensor.strides, strict=True)):
            steps = np.arange(extent, dtype=np.int64) * stride
            places += steps.reshape([-1 if each == axis else 1 for each in range(places.ndim)])
        order = np.argsort(places, axis=None, kind="stable")
        return places.reshape(-1)[order], order

    @property
    def elements(self) -> Array:
        return self._sorted[0]

    def among(self, words: Array) -> Array:
        """Those of some words in which the tensor has an element."""
        first, end = self.tensor.address, self.tensor.address + self.tensor.words
        near = words[(words >= first) & (words < end)]
        if near.size and len(self.elements) < self.tensor.words:
            near = near[np.isin(near, self.elements)]
        return near

    def index(self, word: int) -> tuple[int, ...]:
        """Which element lies in a word."""
        places, order = self._sorted
        flat = int(order[int(np.searchsorted(places, word))])
        return tuple(int(each) for each in np.unravel_index(flat, self.tensor.shape))


@dataclass
class _Log:
    """For every word of the tensors which instruction wrote it last, and whether one that makes its tensor ever did."""

    program: Program
    found: Intrusion | None = None
    _sites: list[Site] = field(default_factory=list[Site])
    _numbers: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])

    def __post_init__(self) -> None:
        tensors = [each for each in self.program.tensors if each.memory == DRAM and each.role is not Role.CONSTANT]
        tensors = [each for each in tensors if each.words]
        self._base = min((each.address for each in tensors), default=0)
        end = max((each.address + each.words for each in tensors), default=0)
        self._writer = np.full(end - self._base, _NOBODY, np.int32)
        self._words = {each.name: _Words(each) for each in tensors}
        self._made = {name: np.zeros(words.tensor.words, np.bool_) for name, words in self._words.items()}
        reads = ((layer.name, [*layer.inputs]) for layer in self.program.layers)
        self._read = {name: [self._words[each] for each in given if each in self._words] for name, given in reads}
        makes = ((layer.name, [*layer.outputs]) for layer in self.program.layers)
        self._makes = {name: [self._words[each] for each in made if each in self._words] for name, made in makes}
        self._right: dict[str, list[int]] = {name: [] for name in self._words}
        """By tensor, the instructions that may have written it."""
        for words in self._words.values():
            if words.tensor.role is Role.INPUT:
                self._right[words.tensor.name].append(_INPUT)
                self._writer[words.elements - self._base] = _INPUT
                self._made[words.tensor.name][:] = True

    def accessed(self, core: int, address: int, words: Array, writes: bool) -> None:
        """An instruction reads or writes some words."""
        if self.found is not None:
            return
        number = self._number(core, address)
        layer, flat = self._sites[number].layer, words.reshape(-1)
        if writes:
            self._writer[flat - self._base] = number
            for each in self._makes.get(layer, ()):
                self._made[each.tensor.name][each.among(flat) - each.tensor.address] = True
            return
        for each in self._read.get(layer, ()):
            self._check(each, each.among(flat), self._sites[number])

    def end(self) -> None:
        """The run is over: outputs of the model are read."""
        for words in self._words.values():
            if words.tensor.role is Role.OUTPUT and self.found is None:
                self._check(words, words.elements, None)

    def _check(self, words: _Words, read: Array, reader: Site | None) -> None:
        if not read.size or self.found is not None:
            return
        writers = self._writer[read - self._base]
        right = np.isin(writers, self._right[words.tensor.name])
        if right.all():
            return
        at = int(np.argmin(right))
        word, writer = int(read[at]), int(writers[at])
        was_made = bool(self._made[words.tensor.name][word - words.tensor.address])
        site = self._sites[writer] if writer >= 0 else None
        self.found = Intrusion(words.tensor, words.index(word), site, reader, was_made)

    def _number(self, core: int, address: int) -> int:
        if (core, address) not in self._numbers:
            self._numbers[core, address] = len(self._sites)
            site = Site(core, address, next(self._layers_at(core, address), ""))
            for words in self._makes.get(site.layer, ()):
                self._right[words.tensor.name].append(len(self._sites))
            self._sites.append(site)
        return self._numbers[core, address]

    def _layers_at(self, core: int, address: int) -> Iterator[str]:
        for entry in self.program.debug:
            if entry.core == core and entry.start <= address < entry.end:
                yield entry.layer
