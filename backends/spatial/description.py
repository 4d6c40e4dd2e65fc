"""A backend for every machine that is described as a spatial array: a name and a TOML file are all it takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from backends.api import Backend, Emulator
from dialects.diagnostics import CatenaError

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from backends.isa import Isa
    from backends.program import Program
    from dialects.accelerator import Accelerator
    from dialects.events import Counts

ENGINES = ("blocks", "elements")
"""How the emulator executes passes: whole blocks at a time, or element by element and word by word."""


def spatial_backend(name: str, summary: str, description: Path) -> Backend:
    """The backend of a spatial machine whose target description is the TOML file `description`."""

    def emit(module: ModuleOp) -> Program:
        from backends.spatial.emit import emit as emit_program

        return emit_program(module, name)

    return Backend(
        name=name,
        summary=summary,
        isa=_isa,
        description=lambda: description,
        emit=emit,
        load=_load,
        predict=_predict,
        engines=ENGINES,
        check=_check,
    )


def _check(machine: Accelerator) -> None:
    """Everything that is charged may happen."""
    from dialects.machine_kinds import spatial_machine
    from dialects.pointless_counting import pointless_counting

    if problems := list(pointless_counting(spatial_machine(machine, "target"))):
        raise CatenaError(problems)


def _isa() -> Isa:
    from backends.spatial.isa import ISA

    return ISA


def _load(program: Program, engine: str | None = None) -> Emulator:
    from backends.spatial.emulator import SpatialEmulator

    return SpatialEmulator(program, engine or ENGINES[0])


def _predict(module: ModuleOp) -> Mapping[str, Counts]:
    from backends.spatial.emit import predictions

    return predictions(module)
