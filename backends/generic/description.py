"""The backend of every machine that is described by its levels: a TOML file is all it takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from backends.api import Backend, Emulator
from dialects.diagnostics import CatenaError, Diagnostic

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from backends.isa import Isa
    from backends.program import Program
    from dialects.accelerator import Accelerator
    from dialects.events import Counts
    from dialects.nest_machine import NestMachine
    from dialects.schedule import Operand

NAME = "generic"
ENGINES = ("blocks", "words")
"""How the emulator runs nests: loop by loop and block by block, or turn by turn and word by word."""
MOST_LEVELS = 64
"""Memories, and axes, of a machine at most: their numbers are fields of 6 bits (`backends.generic.isa`)."""
TARGETS = Path(__file__).with_name("targets")


def generic_backend() -> Backend:
    """The backend, with all targets that come with it."""
    return Backend(
        name=NAME,
        summary="any hierarchy of memories and axes that a TOML file describes",
        isa=_isa,
        description=lambda: TARGETS / "generic.toml",
        emit=_emit,
        load=_load,
        predict=_predict,
        engines=ENGINES,
        passes={"mapped": ("map-nest",), "placed": ("order-segments", "place-nest")},
        targets=_targets,
        check=check_levels,
    )


def check_levels(machine: Accelerator) -> None:
    """Instructions can name all levels; the dataflow can be read, and is one for these levels; all has an effect."""
    from dialects.machine_kinds import nest_machine
    from dialects.pointless import pointless
    from dialects.widths import wrong_widths

    described = nest_machine(machine, "target")
    problems: list[Diagnostic] = []
    for kind, levels in (("memories", described.memories), ("axes", described.axes)):
        if len(levels) > MOST_LEVELS:
            message = f"levels.{levels[MOST_LEVELS].name}: instructions cannot name so many {kind}"
            expected, found = f"at most {MOST_LEVELS}", str(len(levels))
            hint = "leave levels out, or say of one what several do alike"
            problems.append(Diagnostic("CAT-C003", message, "target", "", "", expected, found, hint))
    if not any(wrong_widths(described.memories, described.word_bits)):
        described = described.in_machine_words()
    problems += pointless(described, described.kept(_stored(described, problems)))
    if problems:
        raise CatenaError(problems)


def _stored(machine: NestMachine, problems: list[Diagnostic]) -> Collection[tuple[str, Operand]] | None:
    """Where the nest of a dataflow stores operands, nowhere as far as is known if it is wrong; None without one."""
    from passes.mapper.dataflow import check_reserves, parse_dataflow
    from passes.mapper.idle_dataflow import idle

    try:
        if machine.dataflow is None:
            check_reserves(machine)
            return None
        flow = parse_dataflow(machine)
    except CatenaError as error:
        problems += error.diagnostics
        return () if machine.dataflow else None
    problems += idle(machine, flow)
    return {(node.memory, operand) for node in flow.nodes for operand in node.operands}


def _targets() -> dict[str, Path]:
    return {path.stem: path for path in sorted(TARGETS.glob("*.toml")) if path.stem != NAME}


def _isa() -> Isa:
    from backends.generic.isa import ISA

    return ISA


def _emit(module: ModuleOp) -> Program:
    from backends.generic.emit import emit

    return emit(module, NAME)


def _load(program: Program, engine: str | None = None) -> Emulator:
    from backends.generic.emulator import NestEmulator

    return NestEmulator(program, engine or ENGINES[0])


def _predict(module: ModuleOp) -> Mapping[str, Counts]:
    from backends.generic.emit import predictions

    return predictions(module)
