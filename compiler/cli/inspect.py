"""`catena inspect`: a summary of any file."""

from __future__ import annotations

import click

from compiler.cli.console import Console
from compiler.cli.options import model_options, parse_input_shapes
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb


@verb("inspect")
@click.argument("source", metavar="MODEL|IR|PROGRAM")
@model_options
def inspect(session: Session, source: str, input_shapes: tuple[str, ...], batch: int | None) -> Outcome:
    """Summarise an ONNX model, an IR file or a program."""
    from compiler.inspection import inspect_source
    from compiler.sources import ImportOptions
    from compiler.tables import table

    found = inspect_source(source, ImportOptions(parse_input_shapes(input_shapes), batch))

    def show(console: Console) -> None:
        console.table(table((found.kind.value, source), found.facts.items()))
        for each in found.tables:
            console.out("")
            console.table(each)

    tables = {
        each.title: [dict(zip((column.title for column in each.columns), row, strict=True)) for row in each.rows]
        for each in found.tables
    }
    return Outcome({"kind": found.kind.value, "facts": found.facts, **tables}, show)
