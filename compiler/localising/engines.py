"""The emulator to blame: the first instruction after which two of its engines disagree, one of which is right."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from backends.api import Backend, Emulator, SteppedEmulator
from backends.isa import Isa
from backends.program import Program
from compiler.arrays import Array
from compiler.explanation.layers import explained_layers
from compiler.localising.blame import Blame, instruction_at
from compiler.localising.evidence import Evidence
from compiler.localising.steps import made_in
from dialects.diagnostics import CatenaError

MOST_TERMS_BY_WORD = 1 << 17
"""Terms of sums up to which a layer is executed word by word: ten seconds on machines of levels, two on arrays."""
MOST_BYTES = 256 << 20
"""Bytes of memories that are kept of one engine for comparison."""
_CLOSE = 1e-4
"""What sums may differ by, relative to the largest of a memory, because they are added in another order."""


@dataclass(frozen=True)
class Engines:
    """The engines of an emulator that execute a layer right, and what is to be said of those that were not tried."""

    right: tuple[str, ...]
    untried: str


def engines_that_are_right(program: Program, backend: Backend, evidence: Evidence) -> Engines:
    """Try all engines; those that go word by word, of steps that can be compared, on layers of few terms only."""
    found: list[str] = []
    untried: list[str] = []
    terms = _terms(program, evidence)
    for number, name in enumerate(backend.engines):
        try:
            emulator = backend.load(program, name)
        except CatenaError:
            continue
        if number and terms > MOST_TERMS_BY_WORD and isinstance(emulator, SteppedEmulator):
            untried.append(name)
            continue
        if evidence.is_right(emulator):
            found.append(name)
    limit = f"more than {MOST_TERMS_BY_WORD:,} terms of sums would be worked out one by one"
    said = f"engine {', '.join(untried)} of the emulator was not tried: {limit}" if untried else ""
    return Engines(tuple(found), said)


def _terms(program: Program, evidence: Evidence) -> int:
    """What is worked on to make a result again: terms of sums, of all layers of groups; none of what nobody knows."""
    run = {step.layer.name for step in evidence.steps} | {step.layer.group for step in evidence.steps} - {""}
    layers = (each for each in explained_layers(program) if each.entry.name in run or each.entry.group in run)
    return sum(each.work.spec.trips for each in layers if each.work is not None)


def blamed_execution(program: Program, wrong: Emulator, right: Emulator, evidence: Evidence, isa: Isa) -> Blame | None:
    """The first instruction after which the memories of one emulator are not those of the other; None if unknown.

    Emulators that show results alone may execute many instructions at once: none of them can be told from others.
    """
    if not isinstance(wrong, SteppedEmulator) or not isinstance(right, SteppedEmulator):
        return None
    for index, step in enumerate(evidence.steps):
        given = step.given_after(made_in(right, evidence.steps[:index]))
        states = _States({tensor.name for tensor in program.tensors})
        right.step_layer(step.layer.name, given, states.keep)
        # What it shows before it stops counts.
        with suppress(CatenaError):
            wrong.step_layer(step.layer.name, given, states.compare)
        if states.differing is not None and states.shows_memories:
            # A layer of one core: the emulators that show their steps have no more.
            address = states.differing
            reason = "the emulator executes it otherwise than its other engine, which is right"
            return Blame(0, address, isa.format(instruction_at(program, isa, 0, address)), reason)
    return None


class _States:
    """What memories hold after every instruction of the one emulator, beside those of the other."""

    def __init__(self, results: Collection[str]) -> None:
        self._results = results
        self.shows_memories = False
        """Whether there is more to see than results."""
        self._kept: list[tuple[int, Mapping[str, Array]]] = []
        self._bytes = 0
        self._place = 0
        self.differing: int | None = None

    def keep(self, address: int, memories: Mapping[str, Array]) -> None:
        self.shows_memories |= any(name not in self._results for name in memories)
        if self._bytes < MOST_BYTES:
            self._bytes += sum(words.nbytes for words in memories.values())
            self._kept.append((address, memories))

    def compare(self, address: int, memories: Mapping[str, Array]) -> None:
        if self.differing is not None or self._place >= len(self._kept):
            return
        other, expected = self._kept[self._place]
        self._place += 1
        if other != address or not _agree(memories, expected):
            self.differing = address


def _agree(found: Mapping[str, Array], expected: Mapping[str, Array]) -> bool:
    if found.keys() != expected.keys():
        return False
    for name, words in found.items():
        others = expected[name]
        if np.array_equal(words, others):
            continue
        if words.dtype.kind != "f":
            return False
        finite = np.isfinite(others)
        largest = float(np.max(np.abs(others), initial=0.0, where=finite)) or 1.0
        if not np.allclose(words, others, rtol=0, atol=_CLOSE * largest, equal_nan=True):
            return False
    return True
