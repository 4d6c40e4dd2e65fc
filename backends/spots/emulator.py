"""The emulator of machines with im2col units, with the machine description that a program carries."""

from __future__ import annotations

from typing import Any

from backends.fields import Array
from backends.program import Program
from backends.spatial.core import LayerSequencer, SegmentRun
from backends.spatial.emulator import LayerEmulator
from backends.spatial.memory import MemoryBank
from backends.spots.core import GemmSequencer
from backends.spots.elements import ElementEngine
from backends.spots.engine import GemmEngine
from backends.spots.isa import ISA
from dialects.gemm_machine import GemmMachine
from dialects.machine_kinds import of_kind, parse_machine

MODES: dict[str, type[GemmEngine]] = {"blocks": GemmEngine, "elements": ElementEngine}
"""How passes are executed: whole blocks at a time, or element by element and word by word."""


class SpotsEmulator(LayerEmulator):
    """A machine with a program loaded; `mode` is a key of `MODES`.

    Raises `CatenaError` as any emulator, and CAT-C003 for a description that is not valid.
    """

    def __init__(self, program: Program, mode: str = "blocks"):
        super().__init__(program, ISA)
        described = parse_machine(program.metadata.description, where="program metadata")
        self._engine = MODES[mode]
        self.machine: GemmMachine = of_kind(GemmMachine, described, "emulation", where="program metadata")

    @property
    def dram_words(self) -> int:
        """Words of the off-chip memory."""
        return self.machine.dram.words

    def memories(self, core: LayerSequencer[Any]) -> dict[str, Array]:
        """Copies of the tiles on chip, by name."""
        return core.memories() if isinstance(core, GemmSequencer) else {}

    def new_core(self, dram: MemoryBank, segment: SegmentRun | None) -> GemmSequencer:
        """What executes instructions, with nothing on chip."""
        return GemmSequencer(self.machine, dram, self._engine, segment)
