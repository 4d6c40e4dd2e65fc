"""The files of `catena run --timeline`: pictures and traces, and traces read again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.activity import Activity
from backends.api import Emulator, TimedEmulator
from backends.program import Program
from compiler.core_rows import BUS, carrier
from compiler.core_timeline import CoreTimeline
from compiler.files import read_text, write_text
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.machine_kinds import parse_machine
from dialects.multicore_machine import MulticoreMachine

PICTURE, TRACE = ".svg", ".json"


@dataclass(frozen=True)
class TimelineFiles:
    """Files that are written when the program has run."""

    paths: Sequence[Path]
    program: Program
    emulator: TimedEmulator | None

    def write(self) -> None:
        """Write them. Raises `CatenaError` (CAT-C002) if that fails."""
        if self.emulator is None or not self.paths:
            return
        timeline = timeline_of(self.program, self.emulator)
        for path in self.paths:
            write_text(path, timeline.svg() if path.suffix == PICTURE else timeline.trace_json())


def timeline_of(program: Program, emulator: TimedEmulator) -> CoreTimeline:
    """What cores did in the last run, which was recorded."""
    machine = parse_machine(program.metadata.description, where="the program's target")
    return CoreTimeline(
        f"{program.metadata.model} on {machine.name}",
        machine.clock_mhz,
        [layer.name for layer in program.layers],
        {layer.name: layer.nodes for layer in program.layers},
        emulator.activity,
        carrier(machine) if isinstance(machine, MulticoreMachine) else BUS,
    )


def timed(program: Program, emulator: Emulator) -> TimedEmulator:
    """An emulator that says what its cores do. Raises `CatenaError` (CAT-C001) if it has no several cores."""
    if isinstance(emulator, TimedEmulator):
        return emulator
    message = f"layers on {program.metadata.backend} run one after the other: there is no timeline"
    raise CatenaError(Diagnostic("CAT-C001", message, hint="compile for several cores: -t rram"))


def timeline_files(names: Sequence[str], program: Program, emulator: Emulator) -> TimelineFiles:
    """Have an emulator note what these files need.

    Raises `CatenaError` (CAT-C001) if a name says neither a picture nor a trace, or there are no several cores.
    """
    paths = [Path(name) for name in names]
    problems = [
        Diagnostic(
            "CAT-C001", f"{path} does not say what to write by its name", expected=f"a name in {PICTURE} or {TRACE}"
        )
        for path in paths
        if path.suffix not in (PICTURE, TRACE)
    ]
    of_cores: TimedEmulator | None = None
    try:
        of_cores = timed(program, emulator) if paths else None
    except CatenaError as error:
        problems += error.diagnostics
    if problems:
        raise CatenaError(problems)
    if of_cores is not None:
        of_cores.record_activity()
    return TimelineFiles(paths, program, of_cores)


def read_activities(name: str, program: Program) -> list[Activity]:
    """What a trace that `catena run --timeline` wrote of a program says cores did.

    Raises `CatenaError`: CAT-C002 for a file that cannot be read, CAT-C003 for one that is no such trace of it.
    """
    layers = {layer.name for layer in program.layers}
    cores = len(program.code)
    try:
        read: Any = json.loads(read_text(name))
        found = [
            Activity(
                each["tid"],
                each["name"],
                each["cat"],
                each["args"]["begin_cycle"],
                each["args"]["end_cycle"],
                each["args"]["busy_cycles"],
            )
            for each in read["traceEvents"]
            if each["ph"] == "X"
        ]
        sound = all(
            each.layer in layers
            and 0 <= each.core < cores
            and each.begin >= 0
            and 0 <= each.cycles <= each.end - each.begin
            for each in found
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        found, sound = [], False
    if not found or not sound:
        expected = "a file that catena run --timeline FILE.json wrote of this program"
        raise CatenaError(Diagnostic("CAT-C003", f"{name} is no timeline of this program", expected=expected))
    return found
