"""Runs that leave a reproducer when the emulator stops: the program, its inputs, and how it was executed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from compiler.arrays import Array, write_arrays
from compiler.faults import diagnostics_of
from compiler.reproduction.folder import copied, pointing_to, write_folder
from compiler.reproduction.record import INPUTS, PHYSICS, PROGRAM, Record, plain_diagnostics, versions
from dialects.diagnostics import CODES, CatenaError, ExitCode

STAGE = "emulation"


@contextmanager
def keeping_faults(
    folder: Path, program: Path, inputs: Mapping[str, Array], engine: str | None = None, physics: Path | None = None
) -> Iterator[None]:
    """Write a reproducer to a folder if executing a program file on these inputs fails within the block.

    Wrong inputs are no failure. The error that is raised then says where it lies and how to see it again; if nothing
    can be written, it says so besides.
    """
    try:
        yield
    except Exception as error:
        problems = diagnostics_of(error)
        if CODES[problems[0].code].exit_code is ExitCode.USAGE:
            raise
        engines = [] if engine is None else ["--engine", engine]
        settings = [] if physics is None else ["--physics", PHYSICS]
        command = shlex.join(["catena", "run", PROGRAM, "-i", INPUTS, *engines, *settings])
        record = Record(
            command=command,
            source=str(program),
            stage=STAGE,
            diagnostics=plain_diagnostics(problems),
            versions=versions(),
        )

        def fill(place: Path) -> None:
            copied(program, place / PROGRAM)
            write_arrays(inputs, place / INPUTS)
            if physics is not None:
                copied(physics, place / PHYSICS)

        note = [f"{PROGRAM} fails on {INPUTS}.", "", *map(str, problems), "", f"In this folder: {command}"]
        try:
            write_folder(folder, record, fill, note)
        except CatenaError as unwritten:
            raise CatenaError([*problems, *unwritten.diagnostics]) from error
        raise CatenaError(pointing_to(problems, folder, command)) from error
