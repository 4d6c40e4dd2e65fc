"""`catena explain`: why layers cost what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from compiler.cli.console import Console
from compiler.cli.options import (
    Amount,
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


@verb("explain")
@click.argument("source", metavar="PROGRAM|MODEL|IR")
@click.argument("node", metavar="[NODE]", required=False)
@click.option("--stats", metavar="FILE.json", help="Counts of an emulation, as catena run --stats writes them.")
@click.option("--no-search", is_flag=True, help="Do not search for runners-up and for what binds a layer.")
@click.option(
    "--search-limit",
    type=Amount(min=0),
    default=60.0,
    metavar="SECONDS",
    help="How long to search for all layers together. [default: 60]",
)
@target_options
@mode_option
@fuse_option
@click.option("--mapping", metavar="FILE", help="Mappings to use for some layers, if a model is compiled.")
@zeros_options
@search_options
@model_options
@fallback_option
@reproducer_option
def explain(
    session: Session,
    source: str,
    node: str | None,
    stats: str | None,
    no_search: bool,
    search_limit: float,
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
    """Say why the layers of a program cost what they cost: where time and energy go, and what they are limited by.

    Without NODE, a table of all layers. With NODE (an ONNX node, a tensor, the number of a layer, or a pattern such as
    'conv*'), for each of these layers its loops, its mapping as a loop nest, memories, time, energy, and the distance
    to the least traffic and the least time that are possible; the next best mappings and what they would cost; and what
    binds the layer: capacities, axes and bandwidths are doubled one at a time, and the best mapping is searched again.
    """
    from compiler.cli.progress import activity
    from compiler.explanation.cores import core_tables, cores_table
    from compiler.explanation.explaining import explain_program
    from compiler.explanation.groups import group_tables
    from compiler.explanation.json_data import explanations_json
    from compiler.explanation.text import binding, heading, layer_tables, overview_table, proof, verdict
    from compiler.reporting import program_of

    options = compile_options(
        target, settings, mode, fuse, mapping, input_shapes, batch, fallback, search, calibrate, density, reproducer
    )
    seconds = 0.0 if no_search or node is None else search_limit
    with activity(session.console, f"searching for what binds {node}" if seconds else f"explaining {source}"):
        found = explain_program(program_of(source, options), node, stats, seconds)

    def show(console: Console) -> None:
        if node is None:
            console.table(cores_table(found) if found.has_cores else overview_table(found))
            for one in group_tables(found):
                console.out("")
                console.table(one)
            return
        for place, each in enumerate(found.layers):
            if place:
                console.out("")
            console.out(heading(each, found))
            if each.facts is not None:
                console.out(proof(each, found.machine))
                console.out(verdict(each.facts))
            if each.sensitivity is not None:
                console.out(binding(each.sensitivity))
            for one in core_tables(each.cores) if each.cores is not None else layer_tables(each, found.machine):
                console.out("")
                console.table(one)
        for one in group_tables(found):
            console.out("")
            console.table(one)

    return Outcome(explanations_json(found), show)
