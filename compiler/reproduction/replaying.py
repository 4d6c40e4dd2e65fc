"""Running what a reproducer holds: the passes of the stage that failed, from the one that did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp

from compiler.compilation import resume_inside
from compiler.driver import Observer, PassRun, run_passes, without_garbage_collection
from compiler.ir_text import new_context, read_module
from compiler.pipelines import parse_passes
from compiler.reproduction.record import read_record
from passes.verification import Verifier


def replay(file: Path, observers: Sequence[Observer] = ()) -> tuple[ModuleOp, tuple[PassRun, ...]]:
    """Run the passes that were left when the IR in a file failed, with the options in the record beside it.

    The module that they make, if nothing fails any more, and the passes that ran. Raises `CatenaError` as the
    compilation did that left it, and as `read_record` and `read_module`.
    """
    record = read_record(file)
    if record.asked is not None:
        options = record.asked.options(file.parent)
        compiled = resume_inside(str(file), options, record.stage, record.done, observers)
        return compiled.module, tuple(run for stage in compiled.runs for run in stage.passes)
    passes = parse_passes(",".join(record.passes[record.done :]))
    context = new_context()
    with without_garbage_collection():
        parsed = read_module(str(file), context)
        verifier = Verifier()
        verifier.verify(parsed.module, positions=parsed.positions)
        return parsed.module, run_passes(parsed.module, passes, context, observers=observers, verifier=verifier)
