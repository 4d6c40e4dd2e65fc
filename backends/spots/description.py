"""The backend of machines with im2col units in front of a systolic array."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from backends.api import Backend, Emulator

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from backends.isa import Isa
    from backends.program import Program
    from dialects.accelerator import Accelerator
    from dialects.events import Counts

NAME = "spots"
ENGINES = ("blocks", "elements")
"""How the emulator runs passes: whole blocks at a time, or element by element and word by word."""


def spots_backend() -> Backend:
    """The backend, with its one target."""
    return Backend(
        name=NAME,
        summary="im2col units and a systolic array of 128 x 4 that can be divided (Soltaniyeh et al., TACO 2022)",
        isa=_isa,
        description=lambda: Path(__file__).with_name("target.toml"),
        emit=_emit,
        load=_load,
        predict=_predict,
        engines=ENGINES,
        passes={"mapped": ("map-gemm", "drop-encodings"), "placed": ("order-segments", "place-gemm")},
        check=_check,
    )


def _check(machine: Accelerator) -> None:
    """Raises `CatenaError` (CAT-R003) for a machine of another kind."""
    from dialects.gemm_machine import GemmMachine
    from dialects.machine_kinds import of_kind

    of_kind(GemmMachine, machine, "target")


def _isa() -> Isa:
    from backends.spots.isa import ISA

    return ISA


def _emit(module: ModuleOp) -> Program:
    from backends.spots.emit import emit

    return emit(module, NAME)


def _load(program: Program, engine: str | None = None) -> Emulator:
    from backends.spots.emulator import SpotsEmulator

    return SpotsEmulator(program, engine or ENGINES[0])


def _predict(module: ModuleOp) -> Mapping[str, Counts]:
    from backends.spots.emit import predictions

    return predictions(module)
