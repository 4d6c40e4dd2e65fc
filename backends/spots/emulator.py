"""The emulator of machines with im2col units, with the machine description that a program carries."""

from __future__ import annotations

from backends.program import Program
from backends.spatial.core import SegmentRun
from backends.spatial.emulator import LayerEmulator
from backends.spatial.memory import MemoryBank
from backends.spots.core import GemmSequencer
from backends.spots.isa import ISA
from dialects.gemm_machine import GemmMachine
from dialects.machine_kinds import of_kind, parse_machine


class SpotsEmulator(LayerEmulator):
    """A machine with a program loaded.

    Raises `CatenaError` as any emulator, and CAT-C003 for a description that is not valid.
    """

    def __init__(self, program: Program):
        super().__init__(program, ISA)
        described = parse_machine(program.metadata.description, where="program metadata")
        self.machine: GemmMachine = of_kind(GemmMachine, described, "emulation", where="program metadata")

    @property
    def dram_words(self) -> int:
        """Words of the off-chip memory."""
        return self.machine.dram.words

    def new_core(self, dram: MemoryBank, segment: SegmentRun | None) -> GemmSequencer:
        """What executes instructions, with nothing on chip."""
        return GemmSequencer(self.machine, dram, segment)
