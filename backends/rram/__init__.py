"""RRAM: cores with crossbars of resistive cells, a shared memory, and signals between cores."""

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

NAME = "rram"
ENGINES = ("blocks", "steps")
"""How streams run: as many turns at a time as waits allow, or instruction by instruction, looking for races."""
TARGETS = Path(__file__).with_name("targets")


def _isa() -> Isa:
    from backends.rram.isa import ISA

    return ISA


def _emit(module: ModuleOp) -> Program:
    from backends.rram.emit import emit

    return emit(module, NAME)


def _load(program: Program, engine: str | None = None) -> Emulator:
    from backends.rram.emulator import MulticoreEmulator

    return MulticoreEmulator(program, engine or ENGINES[0])


def _predict(module: ModuleOp) -> Mapping[str, Counts]:
    from backends.rram.emit import predictions

    return predictions(module)


def _targets() -> dict[str, Path]:
    return {path.stem: path for path in sorted(TARGETS.glob("*.toml")) if path.stem != NAME}


def _check(machine: Accelerator) -> None:
    """The machine is one of cores with crossbars."""
    from dialects.machine_kinds import of_kind
    from dialects.multicore_machine import MulticoreMachine

    of_kind(MulticoreMachine, machine, "target")


BACKEND = Backend(
    name=NAME,
    summary="cores with crossbars of resistive cells, a shared memory and signals between cores (Pelke et al., 2023)",
    isa=_isa,
    description=lambda: TARGETS / "rram.toml",
    emit=_emit,
    load=_load,
    predict=_predict,
    engines=ENGINES,
    passes={
        "mapped": ("slice-weights", "partition-crossbars", "duplicate-weights", "place-cores", "schedule-cores"),
        "placed": ("order-segments", "place-multicore", "bound-buffers", "synchronize-cores", "prove-order"),
    },
    targets=_targets,
    check=_check,
)
