"""`catena accuracy`: what crossbars with converters and physics do to the results of a network."""

from __future__ import annotations

from pathlib import Path

import click

from compiler.cli.console import Console
from compiler.cli.options import model_options, parse_input_shapes, parse_settings, reproducer_option, target_options
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb

TARGET = "generic"
"""A machine that computes in integers of all widths, for which the network is made a chain unless another is given."""


@verb("accuracy")
@click.argument("source", metavar="MODEL|IR")
@click.option(
    "--physics",
    required=True,
    metavar="FILE.toml",
    help="Crossbars: rows, columns, seed, and the tables weights, inputs, adc, physics.",
)
@click.option(
    "--samples",
    "samples",
    multiple=True,
    default=("random:1",),
    metavar="FILE.npz|random:N",
    help="Samples of the inputs by tensor name, with a leading dimension for several. [default: random:1]",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Seed of random:N. [default: 0]")
@target_options
@model_options
@reproducer_option
def accuracy(
    session: Session,
    source: str,
    physics: str,
    samples: tuple[str, ...],
    seed: int,
    target: str | None,
    settings: tuple[str, ...],
    input_shapes: tuple[str, ...],
    batch: int | None,
    reproducer: Path | None,
) -> Outcome:
    """Run a quantized network with the products of its layers made by crossbars, beside the exact run.

    Integer products with constants are made as the crossbars of FILE.toml make them, all else exactly; with a target
    that has crossbars (`-t rram`) it says their rows, columns, weights and pulses, and bits of converters
    (`crossbar.adc_bits`) unless FILE.toml does; FILE.toml says the rest. Printed are signal-to-noise ratios of every
    layer's sums, of its own error alone and with those of layers before it, of the outputs, and how often the largest
    output is the same.
    """
    from compiler.accuracy import accuracy as measured
    from compiler.cli.progress import activity
    from compiler.compilation import CompileOptions
    from compiler.sources import ImportOptions, SourceKind, kind_of

    chosen = target or (TARGET if kind_of(source) is SourceKind.MODEL else None)
    importing = ImportOptions(parse_input_shapes(input_shapes), batch)
    options = CompileOptions(
        target=chosen, settings=parse_settings(settings), importing=importing, reproducer=reproducer
    )
    with activity(session.console, f"running {source}"):
        found = measured(source, Path(physics), samples, options, seed=seed)

    def show(console: Console) -> None:
        console.table(found.table())
        for line in found.summary():
            console.out(line)

    return Outcome(found.json, show, source)
