"""Observers that show the IR on its way: after every stage, after every pass, to files or to a stream."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from compiler.driver import SilentObserver, StageRun
from compiler.files import make_folder, write_text
from compiler.ir_text import print_module, write_module
from compiler.modes import Mode
from compiler.pipelines import known_passes
from compiler.stages import MAPPING_STAGE, dump_name
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean

if TYPE_CHECKING:
    from backends.program import Program
    from passes.mapping_file.writing import MappingText

ALL = "all"
CHANGED = "changed"


class StageDump(SilentObserver):
    """Writes `NN-STAGE.mlir` after every stage, and the weights beside it; each file can be compiled further."""

    def __init__(self, folder: Path):
        make_folder(folder)
        self._folder = folder

    def after_stage(self, run: StageRun, module: ModuleOp) -> None:
        """Write the stage's file."""
        write_module(module, self._folder / dump_name(run.stage))


class PassDump(SilentObserver):
    """Writes `NNN-STAGE-PASS.mlir` after every pass, and the weights beside it."""

    def __init__(self, folder: Path):
        make_folder(folder)
        self._folder = folder
        self._count = 0

    def after_pass(self, stage: str, step: ModulePass, module: ModuleOp) -> None:
        """Write the pass's file."""
        self._count += 1
        parts = (f"{self._count:03d}", stage, step.name)
        write_module(module, self._folder / f"{'-'.join(part for part in parts if part)}.mlir")


class MappingDump(SilentObserver):
    """Writes the mapping of every layer once they are chosen, as a file that `--mapping` reads.

    What each layer costs is added as a remark once there is a program.
    """

    def __init__(self, path: Path, mode: Mode = Mode.CHAIN):
        self.path = path
        self._mode = mode
        self._text: MappingText | None = None

    def after_stage(self, run: StageRun, module: ModuleOp) -> None:
        """Write the file after the stage that maps."""
        if run.stage == MAPPING_STAGE:
            from passes.mapping_file.writing import MappingText

            self._text = MappingText(module, self._mode.value)
            write_text(self.path, self._text.render())

    def after_program(self, run: StageRun, program: Program) -> None:
        """Write it again with costs."""
        from compiler.explanation.explaining import explain_program
        from compiler.explanation.text import cost_line

        if self._text is None:
            return
        layers = [each for each in explain_program(program).layers if each.layer.work is not None]
        costs = [cost_line(each) for each, is_mapped in zip(layers, self._text.mapped, strict=True) if is_mapped]
        write_text(self.path, self._text.render(costs))


class PassPrinter(SilentObserver):
    """Prints the IR after one pass, after all (`all`) or after those that change it (`changed`).

    The first pass always counts as one that changes the IR.
    """

    def __init__(self, which: str, stream: TextIO):
        self._which = which
        self._stream = stream
        self._last = ""

    def after_pass(self, stage: str, step: ModulePass, module: ModuleOp) -> None:
        """Print the IR if it is asked for."""
        if self._which not in (ALL, CHANGED, step.name):
            return
        text = print_module(module)
        changed = text != self._last
        self._last = text
        if changed or self._which != CHANGED:
            place = f"{stage}: {step.name}" if stage else step.name
            self._stream.write(f"// ----- IR after {place} -----\n{text}")
            self._stream.flush()


def pass_printer(which: str, stream: TextIO) -> PassPrinter:
    """A printer for `all`, `changed` or a pass by name. Raises `CatenaError` (CAT-C001) for anything else."""
    choices = (ALL, CHANGED, *known_passes())
    if which not in choices:
        raise CatenaError(Diagnostic("CAT-C001", f"no pass is called {which!r}", hint=did_you_mean(which, choices)))
    return PassPrinter(which, stream)
