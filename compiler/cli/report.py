"""`catena report`: cycles, energy and traffic by layer."""

from __future__ import annotations

from typing import Any

import click

from compiler.cli.console import Console
from compiler.cli.options import (
    compile_options,
    fallback_option,
    fuse_option,
    mode_option,
    model_options,
    search_options,
    target_options,
)
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb


@verb("report")
@click.argument("source", metavar="PROGRAM|MODEL|IR")
@click.option("--stats", metavar="FILE.json", help="Counts of an emulation, as catena run --stats writes them.")
@click.option("--events", is_flag=True, help="Print every event of every layer besides.")
@target_options
@mode_option
@fuse_option
@click.option("--mapping", metavar="FILE", help="Mappings to use for some layers, if a model is compiled.")
@search_options
@model_options
@fallback_option
def report(
    session: Session,
    source: str,
    stats: str | None,
    events: bool,
    target: str | None,
    settings: tuple[str, ...],
    mode: str,
    fuse: bool,
    mapping: str | None,
    input_shapes: tuple[str, ...],
    batch: int | None,
    fallback: str | None,
    **search: Any,
) -> Outcome:
    """Print a table of the layers: operations, cycles, array use, words moved at every level, energy.

    The figures are predicted from the mapping, or emulated if --stats is given; the title says which.
    """
    from compiler.reporting import report_on
    from compiler.reports import access_table, layer_table, statistics_json

    options = compile_options(target, settings, mode, fuse, mapping, input_shapes, batch, fallback, search)
    found = report_on(source, stats, options)

    def show(console: Console) -> None:
        console.table(layer_table(found))
        if events or console.is_verbose:
            console.out("")
            console.table(access_table(found))

    return Outcome(statistics_json(found), show)
