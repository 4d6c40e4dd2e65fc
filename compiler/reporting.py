"""What `catena report` shows: counts from a statistics file, or those that the cost model predicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from backends.container import read_program
from backends.program import Program
from compiler.compilation import CompileOptions, compile_source
from compiler.driver import Observer
from compiler.execution import predicted_report
from compiler.reports import Report, read_statistics
from compiler.sources import SourceKind, kind_of
from compiler.stages import PROGRAM
from dialects.diagnostics import CatenaError, Diagnostic

STATISTICS = ".json"
"""How names of statistics files end."""


def report_on(source: str, statistics: str | None = None, options: CompileOptions | None = None) -> Report:
    """The report of a program file, or of a model or IR, which is compiled for it.

    With `statistics` it holds what an emulation of the same program counted, otherwise what the cost model predicts
    from the mapping. Raises `CatenaError`: CAT-C003 if the statistics are not of this program.
    """
    return report_of(program_of(source, options or CompileOptions()), statistics)


def report_of(program: Program, statistics: str | None = None) -> Report:
    """The report of a program, as `report_on`."""
    predicted = predicted_report(program)
    if statistics is None:
        return predicted
    emulated = read_statistics(statistics)
    layers = tuple(layer.name for layer in program.layers)
    if emulated.machine != predicted.machine or tuple(each.layer.name for each in emulated.layers) != layers:
        raise CatenaError(
            Diagnostic(
                "CAT-C003",
                f"the statistics in {statistics} are of another program",
                expected=f"{len(layers)} layers on {predicted.machine.name}",
                found=f"{len(emulated.layers)} layers on {emulated.machine.name}",
            )
        )
    return emulated


def report_on_any(source: str, options: CompileOptions | None = None) -> Report:
    """The report that a statistics file holds, or that of any other source, as `report_on`."""
    if source.endswith(STATISTICS):
        return read_statistics(source)
    return report_on(source, None, options)


def program_of(source: str, options: CompileOptions, observers: Sequence[Observer] = ()) -> Program:
    """The program of a file, or of a model or IR, which is compiled for it as the observers watch."""
    if kind_of(source) is SourceKind.PROGRAM:
        return read_program(Path(source))
    program = compile_source(source, replace(options, stop=PROGRAM.name), observers).program
    assert program is not None
    return program
