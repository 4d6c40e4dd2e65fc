"""`catena compile`: from ONNX to a program, with every stop on the way."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compiler.cli.console import Console
from compiler.cli.options import (
    fallback_option,
    fuse_option,
    mode_option,
    model_options,
    parse_input_shapes,
    parse_settings,
    reproducer_option,
    search_options,
    target_options,
    zeros_options,
)
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb
from dialects.diagnostics import CatenaError, Diagnostic

if TYPE_CHECKING:
    from compiler.program_cache import Note

PROGRAM = "program"
"""The last stage (`compiler.stages`), which makes no IR."""


@verb("compile")
@click.argument("source", metavar="MODEL|IR")
@click.option("-o", "--output", metavar="FILE", help="Where the result goes. [default: MODEL.cat or MODEL.STAGE.mlir]")
@target_options
@mode_option
@fuse_option
@click.option("--mapping", metavar="FILE", help="Mappings of some layers, and shares of zeros in their data (TOML).")
@zeros_options
@click.option("--save-mapping", metavar="FILE", help="Write the mapping of every layer, to edit or to use again.")
@click.option("--from", "start", metavar="STAGE", help="Stage that the IR has passed. [default: what the IR says]")
@click.option("--to", "stop", default="program", metavar="STAGE", help="Last stage to run. [default: program]")
@click.option("--dump-ir", metavar="DIR", help="Write NN-STAGE.mlir after every stage, and the weights.")
@click.option("--dump-passes", metavar="DIR", help="Write the IR after every pass, and the weights.")
@click.option("--print-ir-after", metavar="PASS|all|changed", help="Print the IR after passes to standard error.")
@click.option("--timing", is_flag=True, help="Print the time of every pass.")
@search_options
@model_options
@fallback_option
@reproducer_option
def compile_model(
    session: Session,
    source: str,
    output: str | None,
    target: str | None,
    settings: tuple[str, ...],
    mode: str,
    fuse: bool,
    mapping: str | None,
    calibrate: str | None,
    density: float | None,
    save_mapping: str | None,
    start: str | None,
    stop: str,
    dump_ir: str | None,
    dump_passes: str | None,
    print_ir_after: str | None,
    timing: bool,
    input_shapes: tuple[str, ...],
    batch: int | None,
    fallback: str | None,
    reproducer: Path | None,
    **search: Any,
) -> Outcome:
    """Compile an ONNX MODEL into a program, or go on from an IR file that an earlier call wrote.

    Stages: import, gconv, fused, encoded, mapped, placed, program. `--to fused -o FILE` stops early and writes IR;
    `-o -` prints it. `catena compile DIR/03-fused.mlir` goes on from there.
    """
    from compiler.cache_folder import cache_folder
    from compiler.files import STANDARD_STREAM
    from compiler.program_cache import Request, kept_program
    from compiler.written_meanwhile import FileState

    path = _output_name(source, output, stop)
    prints = path == STANDARD_STREAM
    _require_different({"the source": source, "-o": path, "--save-mapping": save_mapping})
    if prints and stop == PROGRAM:
        raise click.UsageError("a program is not text: name a file with -o")
    changes, shapes = parse_settings(settings), parse_input_shapes(input_shapes)
    model = FileState.of(Path(source))
    kept = None
    folder = None if search["no_cache"] else cache_folder(search["cache_dir"])
    wants_more = [start, dump_ir, dump_passes, print_ir_after, save_mapping, timing, search["time_limit"]]
    wants_more += [calibrate is not None, density is not None]
    if folder is not None and stop == PROGRAM and not any(wants_more) and Path(source).suffix not in (".mlir", ".cat"):
        request = Request(source, target, changes, mode, fuse, mapping, search["objective"], shapes, batch, fallback)
        kept = kept_program(folder, request)
        if kept is not None and (note := kept.take(Path(path))) is not None:
            return _taken(path, note)

    from dataclasses import asdict

    from compiler.cli.interrupts import interrupts
    from compiler.cli.observers import StageLines, observers_for, timing_lines
    from compiler.cli.progress import activity
    from compiler.compilation import CompileOptions, compile_source, write_compiled
    from compiler.dumps import MappingDump
    from compiler.host_summary import describe_segments, segments_in_program
    from compiler.ir_text import print_module
    from compiler.modes import mode_named
    from compiler.pipeline_choice import remark_on
    from compiler.searching import search_options as parse_search
    from compiler.sources import ImportOptions
    from compiler.wide_weights import wide_weights_note
    from passes.searching.stopping import stopped
    from passes.searching.watching import Progress, watched

    options = CompileOptions(
        target=target,
        settings=changes,
        mode=mode_named(mode),
        fuse=fuse,
        start=start,
        stop=stop,
        mapping=mapping,
        calibrate=calibrate,
        density=density,
        search=parse_search(**search),
        importing=ImportOptions(
            shapes,
            batch,
            sha256=None if kept is None else kept.model_sha256,
            # The module lives as long as this command; a model that changes meanwhile is refused.
            maps_words=True,
            fallback=fallback,
        ),
        reproducer=reproducer,
    )
    observers = observers_for(dump_ir, dump_passes, print_ir_after, sys.stderr)
    if save_mapping is not None:
        observers.append(MappingDump(Path(save_mapping), options.mode))
    searches: list[Progress] = []

    with activity(session.console, f"compiling {source}") as shown, interrupts(session.console.is_quiet) as interrupted:

        def watch(progress: Progress) -> None:
            interrupted.begin()
            searches[:] = [progress] if progress.total else searches
            shown.show(f"compiling {source}: {progress}")
            if session.console.is_verbose:
                shown.say(str(progress))

        with watched(watch), stopped(interrupted.came), model.blamed():
            compiled = compile_source(source, options, [*observers, StageLines(shown.say)])
        if prints:
            model.require_unchanged()
        else:
            write_compiled(compiled, Path(path), model.require_unchanged)
    segments = () if compiled.program is None else segments_in_program(compiled.program)
    remarks = [describe_segments(segments)] if segments else []
    if compiled.program is not None and (note := wide_weights_note(compiled.module)):
        remarks.append(note)
    if compiled.program is not None and (note := remark_on(compiled.program, fuse=fuse)):
        remarks.append(note)
    remark = "\n".join(remarks)
    if kept is not None and not interrupted.came():
        kept.keep(Path(path), remark)

    def show(console: Console) -> None:
        if prints:
            console.out(print_module(compiled.module))
        if remark:
            console.out(remark)
        if interrupted.came():
            console.note("searches were interrupted: `catena report` says how far from the best their mappings may be")
        if timing or console.is_verbose:
            for run in compiled.runs:
                for line in timing_lines(run.passes):
                    console.note(line)

    result = {
        "output": None if prints else path,
        "ir": print_module(compiled.module) if prints else None,
        "stages": [
            {
                "stage": run.stage,
                "seconds": run.seconds,
                "passes": [
                    {"pass": step.spec, "seconds": step.seconds, "verify_seconds": step.verify_seconds}
                    for step in run.passes
                ],
            }
            for run in compiled.runs
        ],
        "searches": None if not searches else asdict(searches[0]),
        "is_interrupted": interrupted.came(),
        "is_from_cache": False,
    }
    return Outcome(result, show, "" if prints else path)


def _taken(path: str, note: Note) -> Outcome:
    """The outcome if the program was compiled before."""

    def show(console: Console) -> None:
        if note.remark:
            console.out(note.remark)
        if console.is_verbose:
            console.note("the program was compiled before and is taken from the cache; --no-cache compiles it again")

    result = {"output": path, "ir": None, "stages": [], "searches": None, "is_from_cache": True}
    return Outcome(result, show, f"{path} (from the cache)")


def _require_different(paths: dict[str, str | None]) -> None:
    """No result may take the place of the source or of another result."""
    seen: dict[Path, str] = {}
    for name, path in paths.items():
        if path is None or path == "-":
            continue
        first = seen.setdefault(Path(path).resolve(), name)
        if first != name:
            raise CatenaError(Diagnostic("CAT-C001", f"{first} and {name} are the same file", found=path))


def _output_name(source: str, output: str | None, stop: str) -> str:
    """Where the result goes: as asked, else beside nothing, in the current folder, named after the model."""
    if output is not None:
        return output
    stem = Path(source).name.split(".")[0] or "out"
    return f"{stem}.cat" if stop == PROGRAM else f"{stem}.{stop}.mlir"
