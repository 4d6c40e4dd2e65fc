"""Compilations that leave a reproducer when they fail: IR before the pass that failed, or the model itself."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from xdsl.passes import ModulePass

from compiler.compilation import TARGET_STAGE, CompileOptions
from compiler.descriptions.copies import copies
from compiler.descriptions.files import DEFAULT_TARGET, described_target
from compiler.driver import Failure
from compiler.faults import diagnostics_of
from compiler.files import write_text
from compiler.ir_text import write_module
from compiler.reproduction.folder import copied, pointing_to, write_folder
from compiler.reproduction.models import external_data
from compiler.reproduction.record import (
    IR,
    MAPPING,
    MODEL,
    SAMPLES,
    TARGET,
    Asked,
    Record,
    plain_diagnostics,
    versions,
)
from compiler.reproduction.recording import FailureRecorder
from compiler.sources import ImportOptions, SourceKind, kind_of
from compiler.stages import stage_number
from dialects.diagnostics import CatenaError, Diagnostic
from passes.searching.options import SearchingPass

_COMMAND = f"catena opt {IR} --run-reproducer"
_NOT_OF_THE_MODEL = frozenset({"CAT-C001", "CAT-C002"})
"""Failures of an import that no copy of the model would show."""


@contextmanager
def keeping_failures(
    folder: Path, source: str, importing: ImportOptions, options: CompileOptions | None = None
) -> Iterator[FailureRecorder]:
    """Write a reproducer to a folder if a stage or pass fails within the block, which the recorder observes.

    Without `options` it is a pipeline of passes that runs. The error that is raised then says where it lies and how to
    see it again, whatever kind it was; if nothing can be written, it says so besides.
    """
    recorder = FailureRecorder()
    try:
        yield recorder
    except Exception as error:
        if recorder.failure is None:
            raise
        problems = diagnostics_of(error)
        try:
            command = _write(folder, source, importing, options, recorder, recorder.failure, problems)
        except CatenaError as unwritten:
            raise CatenaError([*problems, *unwritten.diagnostics]) from error
        if command is None:
            raise
        raise CatenaError(pointing_to(problems, folder, command)) from error


def _write(
    folder: Path,
    source: str,
    importing: ImportOptions,
    options: CompileOptions | None,
    recorder: FailureRecorder,
    failure: Failure,
    problems: Sequence[Diagnostic],
) -> str | None:
    """Write the reproducer; the command that is run in its folder. None if there is nothing to be written."""
    if recorder.module is None:
        return _write_model(folder, source, importing, problems)
    module = recorder.module
    files = {} if options is None else _files_of(options, is_from_ir=kind_of(source) is SourceKind.IR)
    record = Record(
        command=_COMMAND,
        source=source,
        stage=failure.stage,
        passes=tuple(str(_without_cache(step)) for step in failure.passes),
        done=failure.done,
        asked=None if options is None else Asked.of(options, files),
        diagnostics=plain_diagnostics(problems),
        versions=versions(),
    )
    culprit = f"{record.culprit} fails on {IR}, whose constants are in the folder weights."
    note = [culprit, *_said(problems), f"In this folder: {_COMMAND}", *_reducing(source, options, problems[0])]
    head = [culprit, *str(problems[0]).splitlines(), f"In this folder: {_COMMAND}"]

    def fill(place: Path) -> None:
        for name, write in files.items():
            write(place / name)
        write_module(module, place / IR)
        text = (place / IR).read_text("utf-8")
        write_text(place / IR, "".join(f"// {line}\n" for line in head) + text)

    write_folder(folder, record, fill, note)
    return _COMMAND


def _without_cache(step: ModulePass) -> ModulePass:
    """A pass that keeps nothing in folders of whoever ran it."""
    return replace(step, cache_dir=None) if isinstance(step, SearchingPass) else step


def _write_model(folder: Path, source: str, importing: ImportOptions, problems: Sequence[Diagnostic]) -> str | None:
    """Write the model, which could not be imported, and the files with its external data."""
    if kind_of(source) is not SourceKind.MODEL or problems[0].code in _NOT_OF_THE_MODEL:
        return None
    path = Path(source)
    shapes = [word for name, shape in importing.input_shapes.items() for word in _shape_words(name, shape)]
    batch = [] if importing.batch is None else ["--batch", str(importing.batch)]
    fallback = [] if importing.fallback is None else ["--allow-fallback", importing.fallback]
    command = shlex.join(["catena", "compile", MODEL, "--to", "import", *shapes, *batch, *fallback])
    smaller = shlex.join(["catena", "reduce", MODEL, "--code", problems[0].code, *shapes, *batch])
    record = Record(
        command=command,
        source=source,
        stage="import",
        diagnostics=plain_diagnostics(problems),
        versions=versions(),
    )

    def fill(place: Path) -> None:
        copied(path, place / MODEL)
        for name in external_data(path):
            copied(path.parent / name, place / name)

    note = [f"{MODEL} cannot be imported.", *_said(problems), f"In this folder: {command}"]
    write_folder(folder, record, fill, [*note, f"To make it smaller: {smaller}"])
    return command


def _shape_words(name: str, shape: Sequence[int]) -> list[str]:
    return ["--input-shape", f"{name}:{','.join(map(str, shape))}"]


def _said(problems: Sequence[Diagnostic]) -> list[str]:
    """The problems as a person reads them."""
    return ["", *(str(each) for each in problems), ""]


def _reducing(source: str, options: CompileOptions | None, problem: Diagnostic) -> list[str]:
    """How the model is made smaller for as long as it fails so, where `catena reduce` compiles as was asked for."""
    if options is None or kind_of(source) is not SourceKind.MODEL:
        return []
    if options.fuse or options.mapping or options.calibrate or options.mode.value != "chain" or options.density:
        return []
    words = ["catena", "reduce", str(Path(source).resolve()), "--code", problem.code]
    words += [] if options.target is None else ["-t", TARGET]
    words += [word for key, value in options.settings.items() for word in ("--set", f"{key}={value}")]
    importing = options.importing
    words += [word for name, shape in importing.input_shapes.items() for word in _shape_words(name, shape)]
    words += [] if importing.batch is None else ["--batch", str(importing.batch)]
    return [f"To make the model smaller: {shlex.join(words)}"]


def _files_of(options: CompileOptions, *, is_from_ir: bool) -> dict[str, Callable[[Path], None]]:
    """The files that a compilation read besides its source, by their names in the folder, and how each is written."""
    files: dict[str, Callable[[Path], None]] = {}
    needs_target = stage_number(options.stop) >= stage_number(TARGET_STAGE)
    if needs_target and (options.target is not None or not is_from_ir):
        described = described_target(options.target or DEFAULT_TARGET)
        for name, text in copies(described, Path(TARGET).stem).items():
            files[name] = lambda place, text=text: write_text(place, text)
    for name, path in ((MAPPING, options.mapping), (SAMPLES, options.calibrate)):
        if path is not None:
            files[name] = lambda place, path=path: copied(Path(path), place)
    return files
