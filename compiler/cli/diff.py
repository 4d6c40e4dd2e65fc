"""`catena diff`: two compilations side by side."""

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
)
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb


@verb("diff")
@click.argument("first", metavar="PROGRAM|MODEL|IR|STATS")
@click.argument("second", metavar="PROGRAM|MODEL|IR|STATS")
@click.option("--all", "every", is_flag=True, help="Print the layers that are the same, too.")
@click.option("--html", metavar="FILE", help="Write a page that shows both side by side.")
@target_options
@mode_option
@fuse_option
@model_options
@search_options
@fallback_option
@reproducer_option
def diff(
    session: Session,
    first: str,
    second: str,
    every: bool,
    html: str | None,
    target: str | None,
    settings: tuple[str, ...],
    mode: str,
    fuse: bool,
    input_shapes: tuple[str, ...],
    batch: int | None,
    fallback: str | None,
    reproducer: Path | None,
    **search: Any,
) -> Outcome:
    """Compare two programs: time, energy, accesses, and layer by layer what came from the same ONNX nodes.

    Each is a program, a model or IR that is compiled for it, or statistics of an emulation, as catena run --stats
    writes them; two targets, two mappings, fused and not, two versions of Catena. Counts of programs are predicted
    from the mapping. Layers are paired by the ONNX nodes that they came from, so that a fused layer stands beside all
    those that do its work.
    """
    from compiler.reporting import report_on_any
    from compiler.reports.difference_tables import pair_table, total_table
    from compiler.reports.differences import differences

    options = compile_options(
        target, settings, mode, fuse, None, input_shapes, batch, fallback, search, reproducer=reproducer
    )
    found = differences(report_on_any(first, options), report_on_any(second, options))

    if html is not None:
        from compiler.files import write_text
        from compiler.report_page import difference_page, render_differences

        write_text(Path(html), render_differences(difference_page(found, (first, second))))

    def show(console: Console) -> None:
        console.table(total_table(found))
        console.out("")
        console.table(pair_table(found, every))
        if html is not None:
            console.out(f"page: {html}")

    return Outcome(found.json, show, f"{first}, {second}")
