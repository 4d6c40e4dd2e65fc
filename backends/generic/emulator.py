"""The emulator of the generic machine, with the machine description that a program carries."""

from __future__ import annotations

from backends.generic.blocks import run_blocks
from backends.generic.core import Engine, NestSequencer
from backends.generic.isa import DRAM_WORDS, ISA
from backends.generic.literal import run_words
from backends.program import Program
from backends.spatial.core import SegmentRun
from backends.spatial.emulator import LayerEmulator
from backends.spatial.memory import MemoryBank
from dialects.machine_kinds import nest_machine, parse_machine
from dialects.nest_machine import NestMachine

MODES: dict[str, Engine] = {"blocks": run_blocks, "words": run_words}
"""How nests are run: loop by loop and block by block, or turn by turn and word by word."""


class NestEmulator(LayerEmulator):
    """A generic machine with a program loaded.

    `mode` is a key of `MODES`. Raises `CatenaError` as any emulator, and CAT-C003 for a description that is not valid.
    """

    def __init__(self, program: Program, mode: str = "blocks"):
        super().__init__(program, ISA)
        described = parse_machine(program.metadata.description, where="program metadata")
        self.machine: NestMachine = nest_machine(described, "emulation", where="program metadata")
        self._engine = MODES[mode]

    @property
    def dram_words(self) -> int:
        """Words that the outermost memory can address."""
        return DRAM_WORDS

    def new_core(self, dram: MemoryBank, segment: SegmentRun | None) -> NestSequencer:
        """What executes instructions, with nothing on chip."""
        return NestSequencer(self.machine, dram, self._engine, segment)
