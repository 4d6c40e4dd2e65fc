"""The files of `catena run --timeline`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.api import Emulator, TimedEmulator
from backends.program import Program
from compiler.core_timeline import CoreTimeline
from compiler.files import write_text
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.machine_kinds import parse_machine

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
        machine = parse_machine(self.program.metadata.description, where="the program's target")
        layers = self.program.layers
        timeline = CoreTimeline(
            f"{self.program.metadata.model} on {machine.name}",
            machine.clock_mhz,
            [layer.name for layer in layers],
            {layer.name: layer.nodes for layer in layers},
            self.emulator.activity,
        )
        for path in self.paths:
            write_text(path, timeline.svg() if path.suffix == PICTURE else timeline.trace_json())


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
    timed = emulator if isinstance(emulator, TimedEmulator) else None
    if paths and timed is None:
        message = f"layers on {program.metadata.backend} run one after the other: there is no timeline"
        problems.append(Diagnostic("CAT-C001", message, hint="compile for several cores: -t rram"))
    if problems:
        raise CatenaError(problems)
    if paths and timed is not None:
        timed.record_activity()
    return TimelineFiles(paths, program, timed)
