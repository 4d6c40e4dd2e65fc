"""The emulator of machines of two memories with instructions of their own."""

from __future__ import annotations

from backends.generic.isa import DRAM_WORDS
from backends.isa import Isa
from backends.levels.core import TileCore
from backends.program import Program
from backends.spatial.core import SegmentRun
from backends.spatial.emulator import LayerEmulator
from backends.spatial.memory import MemoryBank
from dialects.machine_kinds import nest_machine, parse_machine


class TileEmulator(LayerEmulator):
    """Such a machine with a program loaded: its instructions, and what executes them.

    Raises `CatenaError` as any emulator, and CAT-C003 for a description that is not valid.
    """

    def __init__(self, program: Program, isa: Isa, core: type[TileCore]):
        super().__init__(program, isa)
        described = parse_machine(program.metadata.description, where="program metadata")
        self.machine = nest_machine(described, "emulation", where="program metadata")
        self._core = core

    @property
    def dram_words(self) -> int:
        """Words that the outermost memory can address."""
        return DRAM_WORDS

    def new_core(self, dram: MemoryBank, segment: SegmentRun | None) -> TileCore:
        """What executes instructions, with nothing on chip."""
        return self._core(self.machine, dram, segment)
