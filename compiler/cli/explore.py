"""`catena explore`: what a network moves by size of the buffer."""

from __future__ import annotations

from pathlib import Path

import click

from compiler.cli.console import Console
from compiler.cli.options import model_options, parse_input_shapes, parse_settings, target_options_with
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb


@verb("explore")
@click.argument("source", metavar="MODEL|IR")
@click.option(
    "--size",
    "sizes",
    type=click.IntRange(min=1),
    multiple=True,
    metavar="WORDS",
    help="A size of the buffer; may be repeated. [default: from 1/16 to 16 times the target's]",
)
@click.option("-o", "--output", metavar="FILE", help="Draw the fronts there, as SVG.")
@target_options_with("generic")
@model_options
def explore_model(
    session: Session,
    source: str,
    sizes: tuple[int, ...],
    output: str | None,
    target: str | None,
    settings: tuple[str, ...],
    input_shapes: tuple[str, ...],
    batch: int | None,
) -> Outcome:
    """Print the least words that a network moves over the off-chip link, by size of the buffer.

    Layer by layer, fused, and fused with tensors that stay in the buffer between groups, which no code is made of yet.
    Figures are those of the model of fused groups, which searches these at every size: layers alone cut by
    up to three loops, groups of up to three layers by up to two, of any kind. `catena compile --fuse` searches what
    code runs: loops that leave no sum unfinished between turns and, on machines of levels, layers alone as they are
    mapped there. So it may move more; `catena report` says how much.
    """
    from compiler.cli.progress import activity
    from compiler.compilation import CompileOptions
    from compiler.exploration import explore
    from compiler.files import write_text
    from compiler.sources import ImportOptions

    importing = ImportOptions(parse_input_shapes(input_shapes), batch)
    options = CompileOptions(target=target, settings=parse_settings(settings), importing=importing)
    with activity(session.console, f"exploring {source}") as shown:
        found = explore(source, options, sizes, shown.show)
    if output is not None:
        write_text(Path(output), found.chart().svg())

    def show(console: Console) -> None:
        console.table(found.table())
        if found.left_out:
            console.out(f"{found.left_out} layers cannot be fused and are left out")
        if output is not None:
            console.out(f"figure: {output}")

    return Outcome(found.json, show, source)
