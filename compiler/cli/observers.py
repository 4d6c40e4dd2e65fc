"""Observers that the flags of a command ask for, and lines about time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from xdsl.dialects.builtin import ModuleOp

from compiler.cli.progress import Say
from compiler.driver import Observer, PassRun, SilentObserver, StageRun
from compiler.dumps import PassDump, StageDump, pass_printer
from compiler.stages import STAGES, stage_number

if TYPE_CHECKING:
    from backends.program import Program


def observers_for(
    dump_ir: str | None, dump_passes: str | None, print_ir_after: str | None, stream: TextIO
) -> list[Observer]:
    """The observers for `--dump-ir`, `--dump-passes` and `--print-ir-after`.

    Raises `CatenaError` for a folder that cannot be made and a pass that does not exist.
    """
    observers: list[Observer] = []
    if dump_ir is not None:
        observers.append(StageDump(Path(dump_ir)))
    if dump_passes is not None:
        observers.append(PassDump(Path(dump_passes)))
    if print_ir_after is not None:
        observers.append(pass_printer(print_ir_after, stream))
    return observers


class StageLines(SilentObserver):
    """One line for every stage: `[3/7] fused     0.12 s  (210 ops)`."""

    def __init__(self, say: Say):
        self._say = say

    def after_stage(self, run: StageRun, module: ModuleOp) -> None:
        """Print the stage's line."""
        self._say(stage_line(run))

    def after_program(self, run: StageRun, program: Program) -> None:
        """Print the last stage's line."""
        self._say(stage_line(run))


def stage_line(run: StageRun) -> str:
    """A stage that ran, in one line."""
    detail = f"  ({run.detail})" if run.detail else ""
    return f"[{stage_number(run.stage)}/{len(STAGES)}] {run.stage:<8} {run.seconds:6.2f} s{detail}"


def timing_lines(runs: Sequence[PassRun]) -> list[str]:
    """One line for every pass: seconds in it, seconds verifying after it."""
    return [f"{run.seconds:8.3f} s + {run.verify_seconds:.3f} s verify  {run.spec}" for run in runs]
