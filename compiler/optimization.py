"""Running any passes over any module: what `catena opt` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp

from compiler.driver import (
    Failure,
    Observer,
    PassRun,
    run_passes,
    stage_of,
    watched_for_failure,
    without_garbage_collection,
)
from compiler.ir_text import new_context, read_module
from compiler.pipelines import parse_passes
from compiler.sources import ImportOptions, SourceKind, kind_of, load_model
from compiler.stages import IMPORT, STAGE_NAMES, stage_named
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.target import MachineOp
from passes.verification import verify_module


def optimize(
    source: str,
    pipeline: str = "",
    *,
    options: ImportOptions | None = None,
    observers: Sequence[Observer] = (),
    reproducer: Path | None = None,
) -> tuple[ModuleOp, tuple[PassRun, ...]]:
    """Read IR text (`-` for standard input) or an ONNX model, verify it, and run a pipeline of passes over it.

    IR that notes a stage must be legal there. `reproducer` is a folder that gets what shows a failing pass again.
    Raises `CatenaError` for unknown passes (CAT-C001), unreadable files (CAT-C002), IR that does not parse, verify or
    fit its stage (CAT-R001, CAT-R002, CAT-R003), and what passes raise.
    """
    if reproducer is not None:
        # most calls leave none
        from compiler.reproduction.keeping import keeping_failures

        with keeping_failures(reproducer, source, options or ImportOptions()) as recorder:
            return optimize(source, pipeline, options=options, observers=[recorder, *observers])
    passes = parse_passes(pipeline)
    context = new_context()
    with without_garbage_collection():
        module = load_module(source, options or ImportOptions(), observers)
        return module, run_passes(module, passes, context, observers=observers)


def load_module(source: str, options: ImportOptions, observers: Sequence[Observer] = ()) -> ModuleOp:
    """The module of an IR file or of an imported model, verified; observers are told if a model cannot be imported.

    Raises `CatenaError` as `optimize`.
    """
    kind = kind_of(source)
    if kind is SourceKind.PROGRAM:
        raise CatenaError(Diagnostic("CAT-C001", f"{source} is a program, not IR or a model", hint="see catena disasm"))
    if kind is SourceKind.MODEL:
        with watched_for_failure(observers, Failure(IMPORT.name, None)):
            module = load_model(source, options)
        verify_module(module, stage="import")
        return module
    parsed = read_module(source)
    stage = stage_of(parsed.module)
    legality = stage_named(stage).legality if stage in STAGE_NAMES else None
    if legality is not None:
        # Dumps of single passes hold the machine that is put in before the passes of the next stage.
        legality = replace(legality, ops=legality.ops | {MachineOp.name})
    verify_module(parsed.module, stage=stage or "", legality=legality, positions=parsed.positions)
    return parsed.module
