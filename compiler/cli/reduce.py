"""`catena reduce`: the smallest model that still fails."""

from __future__ import annotations

from pathlib import Path

import click

from compiler.cli.console import Console
from compiler.cli.options import Amount, model_options, parse_input_shapes, parse_settings, target_options
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb
from dialects.diagnostics import ExitCode


@verb("reduce")
@click.argument("model", metavar="MODEL")
@click.option("-o", "--output", metavar="FILE", help="Where the smallest model goes. [default: MODEL.reduced.onnx]")
@click.option("--code", metavar="CODE", help="The error code to keep. [default: that of the first problem]")
@click.option("--message", default="", metavar="TEXT", help="Text that the message of the error has to have.")
@click.option("--verify", is_flag=True, help="Run and compare with ONNX Runtime as well, as `catena verify` does.")
@click.option(
    "--command",
    metavar="COMMAND",
    help="Keep the exit code of a command of yours; {} in it is the model's file name. No shell executes it.",
)
@click.option(
    "--time-limit",
    type=Amount(min=0),
    metavar="SECONDS",
    help="Stop after so many seconds with the smallest model found; the exit code is then 6.",
)
@target_options
@model_options
def reduce_model(
    session: Session,
    model: str,
    output: str | None,
    code: str | None,
    message: str,
    verify: bool,
    command: str | None,
    time_limit: float | None,
    target: str | None,
    settings: tuple[str, ...],
    input_shapes: tuple[str, ...],
    batch: int | None,
) -> Outcome:
    """Shrink a model that fails to the smallest one that still fails.

    Nodes are left out, extents made smaller, constants made plain, attributes and inputs of nodes removed, for as long
    as the failure stays: an error code, a difference from ONNX Runtime, or the exit code of a command. The smallest
    model so far is in the output file at every moment; Ctrl-C stops with it, and with exit code 6.
    """
    from compiler.cli.progress import activity
    from compiler.compilation import CompileOptions
    from compiler.reduction.files import reduce_file
    from compiler.sources import ImportOptions

    if command is not None and (code or message or verify):
        raise click.UsageError("--command says what fails; leave out --code, --message and --verify")
    importing = ImportOptions(parse_input_shapes(input_shapes), batch)
    options = CompileOptions(target=target, settings=parse_settings(settings), importing=importing)
    with activity(session.console, f"reducing {model}") as shown:
        found = reduce_file(
            Path(model),
            None if output is None else Path(output),
            options,
            code=code,
            message=message,
            verify=verify,
            command=command,
            time_limit=time_limit,
            show=shown.show,
        )

    def show(console: Console) -> None:
        console.table(found.table())
        console.out(f"still fails: {found.failure}")
        if not found.is_finished:
            console.out("stopped before everything was tried")

    exit_code = ExitCode.OK if found.is_finished else ExitCode.PARTIAL
    return Outcome(found.json, show, str(found.output), (), exit_code)
