"""`catena opt`: passes over IR text."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from compiler.cli.console import Console
from compiler.cli.options import model_options, parse_input_shapes, reproducer_option
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb


@verb("opt")
@click.argument("source", metavar="FILE|-")
@click.option("-p", "--passes", "pipeline", default="", metavar="PIPELINE", help="Passes: name{option=value},name...")
@click.option("-o", "--output", metavar="FILE", help="Write the IR there (weights beside it) instead of printing it.")
@click.option("--print-ir-after", metavar="PASS|all|changed", help="Print the IR after passes to standard error.")
@click.option("--changes", metavar="PASS|all", help="Print what passes changed, op by op, to standard error.")
@click.option("--dump-passes", metavar="DIR", help="Write the IR after every pass into a folder.")
@click.option("--timing", is_flag=True, help="Print the time of every pass.")
@click.option("--run-reproducer", is_flag=True, help="Run what failed when --reproducer wrote FILE.")
@model_options
@reproducer_option
def opt(
    session: Session,
    source: str,
    pipeline: str,
    output: str | None,
    print_ir_after: str | None,
    changes: str | None,
    dump_passes: str | None,
    timing: bool,
    run_reproducer: bool,
    input_shapes: tuple[str, ...],
    batch: int | None,
    reproducer: Path | None,
) -> Outcome:
    """Read IR text (FILE or - for standard input) or an ONNX model, run passes over it and print the IR.

    With --run-reproducer, FILE is the IR in a folder of --reproducer, and the passes are those that were left of the
    stage when one failed, with the options of that time.

    The IR is verified before the first pass and after every pass; the weight store is the folder `weights` beside
    the file.
    """
    from compiler.cli.changes import print_changes
    from compiler.cli.observers import observers_for, timing_lines
    from compiler.ir_history import IrHistory
    from compiler.ir_history.text import changes_json, selected, steps_json
    from compiler.ir_text import print_module, write_module
    from compiler.optimization import optimize
    from compiler.sources import ImportOptions

    options = ImportOptions(parse_input_shapes(input_shapes), batch)
    observers = observers_for(None, dump_passes, print_ir_after, sys.stderr)
    history = None if changes is None else IrHistory()
    observers += [] if history is None else [history]
    if run_reproducer:
        from compiler.reproduction.replaying import replay

        given = {"-p": pipeline, "--input-shape": input_shapes, "--batch": batch, "--reproducer": reproducer}
        if wrong := [option for option, value in given.items() if value]:
            raise click.UsageError(f"{', '.join(wrong)}: the reproducer says what is run")
        module, runs = replay(Path(source), observers)
    else:
        module, runs = optimize(source, pipeline, options=options, observers=observers, reproducer=reproducer)
    steps = [] if history is None or changes is None else selected(history.steps, changes)
    if output is not None:
        write_module(module, Path(output))
    text = print_module(module)

    def show(console: Console) -> None:
        print_changes(console, steps, stream=sys.stderr)
        if output is None:
            console.out(text)
        if timing:
            for line in timing_lines(runs):
                console.note(line)

    result = {
        "passes": [{"pass": run.spec, "seconds": run.seconds, "verify_seconds": run.verify_seconds} for run in runs],
        "output": output,
        "ir": text if output is None else None,
        **({"steps": steps_json(steps), "changes": changes_json(steps)} if changes is not None else {}),
    }
    return Outcome(result, show, output or "")
