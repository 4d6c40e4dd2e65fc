"""`catena check`: what in a model is not supported."""

from __future__ import annotations

import click

from compiler.cli.console import Console
from compiler.cli.options import (
    bug_option,
    fallback_option,
    mode_option,
    model_options,
    parse_input_shapes,
    parse_settings,
    target_options,
)
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb
from dialects.diagnostics import ExitCode


@verb("check")
@click.argument("model", metavar="MODEL")
@target_options
@mode_option
@model_options
@fallback_option
@bug_option
def check(
    session: Session,
    model: str,
    target: str | None,
    settings: tuple[str, ...],
    mode: str,
    input_shapes: tuple[str, ...],
    batch: int | None,
    fallback: str | None,
) -> Outcome:
    """Say whether MODEL (ONNX) can be compiled for a target, and if not, name every node that stands in the way.

    Ends with exit code 3 if something is not supported.
    """
    from dataclasses import asdict

    from compiler.checking import check_model
    from compiler.compilation import CompileOptions
    from compiler.host_summary import describe_segments
    from compiler.modes import mode_named
    from compiler.sources import ImportOptions

    importing = ImportOptions(parse_input_shapes(input_shapes), batch, fallback=fallback)
    found = check_model(
        model, CompileOptions(target, parse_settings(settings), mode=mode_named(mode), importing=importing)
    )

    def show(console: Console) -> None:
        if found.operators:
            console.table(found.operator_table())
        if found.host_segments:
            console.out(describe_segments(found.host_segments))
        if found.is_supported:
            rest = "all" if not found.host_segments else "the other"
            console.out(f"{rest} {sum(found.operators.values())} nodes are supported on {found.target}")

    result = {
        "model": model,
        "target": found.target,
        "supported": found.is_supported,
        "operators": found.operators,
        "host_segments": [asdict(each) for each in found.host_segments],
    }
    exit_code = ExitCode.OK if found.is_supported else ExitCode.UNSUPPORTED
    return Outcome(result, show, model, found.problems, exit_code)
