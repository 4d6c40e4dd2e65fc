"""One point as work for any process: the network is compiled, emulated if asked for, and its figures are read off."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.program import Program
from backends.registry import find_backend
from compiler.compilation import CompileOptions, compile_model
from compiler.design_space.figures import figures_of
from compiler.design_space.variants import whole_model
from compiler.execution import predicted_report, random_inputs, run_loaded
from compiler.faults import diagnostics_of
from compiler.reports import Report
from compiler.sources import ImportOptions
from compiler.targets import Target
from dialects.diagnostics import CatenaError
from dialects.machine_kinds import parse_machine
from dialects.schedule import Objective
from passes.searching.options import SearchOptions
from passes.searching.stopping import stopped
from passes.searching.task import Deadline

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Evaluation:
    """What a point needs: the file of its variant of the network, a backend by name, a machine as plain data.

    `unfused` is the machine without fusing, if that is another one.

    With `emulate` figures are those of a run with inputs made up from `seed`. Mappings are kept in `cache_dir`.
    """

    model: Path
    backend: str
    machine: Mapping[str, Any]
    fuse: bool
    mapped_for: str | None
    input_shapes: Mapping[str, Sequence[int]]
    batch: int | None
    emulate: bool
    seed: int
    cache_dir: str | None
    unfused: Mapping[str, Any] | None = None

    def look(self, deadline: Deadline) -> dict[str, float | int]:
        """The figures by name, all but the error. Raises `CatenaError` for whatever goes wrong."""
        return self.of_model(lambda: whole_model(self.model), deadline)

    def of_content(self, content: bytes) -> dict[str, float | int]:
        """The same where the file is not, of what is in it."""
        import onnx

        return self.of_model(lambda: onnx.load_model_from_string(content), Deadline())

    def of_model(self, load: Callable[[], onnx.ModelProto], deadline: Deadline) -> dict[str, float | int]:
        """The same of a message."""
        try:
            with stopped(deadline):
                return figures_of(self._report(self._program(load())))
        except Exception as error:
            # One point that fails, for whatever reason, must not end the others.
            raise CatenaError(diagnostics_of(error)) from error
        finally:
            # IR refers to itself everywhere, and the command line has switched off what looks for that: what is new
            # since the last point is looked at here.
            gc.collect(1)

    def _program(self, model: onnx.ModelProto) -> Program:
        objective = None if self.mapped_for is None else Objective(self.mapped_for)
        options = CompileOptions(
            fuse=self.fuse,
            search=SearchOptions(objective, cache_dir=self.cache_dir),
            importing=ImportOptions(self.input_shapes, self.batch),
        )
        backend = find_backend(self.backend)
        target = Target(backend, parse_machine(self.machine))
        unfused = None if self.unfused is None else Target(backend, parse_machine(self.unfused))
        program = compile_model(model, target, options, unfused=unfused).program
        assert program is not None
        return program

    def _report(self, program: Program) -> Report:
        if not self.emulate:
            return predicted_report(program)
        emulator = find_backend(self.backend).load(program, None)
        return run_loaded(program, emulator, random_inputs(program, self.seed)).report
