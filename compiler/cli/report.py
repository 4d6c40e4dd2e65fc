"""`catena report`: cycles, energy and traffic by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from compiler.cli.console import Console
from compiler.cli.options import (
    compile_options,
    fallback_option,
    fuse_option,
    mode_option,
    model_options,
    reproducer_option,
    search_options,
    target_options,
    zeros_options,
)
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb


@verb("report")
@click.argument("source", metavar="PROGRAM|MODEL|IR")
@click.option("--stats", metavar="FILE.json", help="Counts of an emulation, as catena run --stats writes them.")
@click.option(
    "-o", "--output", metavar="FILE.html", help="Write a page that shows them, the network, mappings and code."
)
@click.option("--timeline", metavar="FILE.json", help="What cores did in a run, for the page (catena run --timeline).")
@click.option(
    "--verified", metavar="FILE.json", help="Errors of layers, for the page: what catena verify --json printed."
)
@click.option("--trace", metavar="FILE.json", help="Write layers and their tiles over time, for Perfetto.")
@click.option("--model-explorer", metavar="DIR", help="Write the graph of layers and their costs for Model Explorer.")
@click.option("--events", is_flag=True, help="Print every event of every layer besides.")
@target_options
@mode_option
@fuse_option
@click.option("--mapping", metavar="FILE", help="Mappings to use for some layers, if a model is compiled.")
@zeros_options
@search_options
@model_options
@fallback_option
@reproducer_option
def report(
    session: Session,
    source: str,
    stats: str | None,
    output: str | None,
    timeline: str | None,
    verified: str | None,
    trace: str | None,
    model_explorer: str | None,
    events: bool,
    target: str | None,
    settings: tuple[str, ...],
    mode: str,
    fuse: bool,
    mapping: str | None,
    calibrate: str | None,
    density: float | None,
    input_shapes: tuple[str, ...],
    batch: int | None,
    fallback: str | None,
    reproducer: Path | None,
    **search: Any,
) -> Outcome:
    """Print a table of the layers: operations, cycles, array use, words moved at every level, energy.

    Array use, `util %`, is of the cycles in which the array works, stalls left out: the share of its elements'
    cycles with an operation; of several cores, of the crossbars or vector units of those that a layer is on. The
    figures are predicted from the mapping, or emulated if --stats is given; the title says which. With -o, one HTML
    file shows them as charts beside the network, with the mapping and the instructions of every layer; if a model or
    IR is compiled, with the IR after every pass and what each changed.
    Where several cores share layers, a second table says how: rings and their speed-up, signals, bus, buffers,
    crossbars, and what limits each layer.
    """
    from compiler.explanation.cores import cores_table
    from compiler.explanation.explaining import explain_program
    from compiler.explanation.json_data import explanations_json
    from compiler.files import write_text
    from compiler.pipeline_choice import remark_on
    from compiler.reporting import program_of, report_of
    from compiler.reports import access_table, layer_table, statistics_json
    from compiler.sources import SourceKind, kind_of
    from dialects.multicore_machine import MulticoreMachine

    for option, file in (("--timeline", timeline), ("--verified", verified)):
        if file is not None and output is None:
            raise click.UsageError(f"{option} is for the page: name its file with -o")
    options = compile_options(
        target, settings, mode, fuse, mapping, input_shapes, batch, fallback, search, calibrate, density, reproducer
    )
    if output is None:
        program = program_of(source, options)
        found = report_of(program, stats)
    else:
        from compiler.ir_history import IrHistory
        from compiler.report_page import GroupTiles, page_of, render

        history, tiles = IrHistory(), GroupTiles()
        program = program_of(source, options, [history, tiles])
        found = report_of(program, stats)
        write_text(Path(output), render(page_of(program, stats, history, tiles, timeline, verified)))

    if trace is not None or model_explorer is not None:
        from compiler.explanation.groups import outer_words
        from compiler.layer_trace import layer_trace
        from compiler.model_explorer import write_model_explorer

        explained = explain_program(program, statistics=stats)
        if trace is not None:
            write_text(Path(trace), layer_trace(explained))
        if model_explorer is not None:
            words = {each.layer.entry.name: outer_words(each, explained) for each in explained.layers}
            write_model_explorer(Path(model_explorer), program, found, words)

    remark = remark_on(program, fuse=fuse and kind_of(source) is not SourceKind.PROGRAM)
    of_cores = explain_program(program) if isinstance(found.machine, MulticoreMachine) else None

    def show(console: Console) -> None:
        console.table(layer_table(found))
        if of_cores is not None:
            console.out("")
            console.table(cores_table(of_cores))
        if events or console.is_verbose:
            console.out("")
            console.table(access_table(found))
        if remark:
            console.out(remark)
        if output is not None:
            console.out(f"page: {output}")

    result = statistics_json(found)
    if of_cores is not None:
        result["cores"] = explanations_json(of_cores)["layers"]
    return Outcome(result, show)
