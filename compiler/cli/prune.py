"""`catena prune`: a float model with many weights of zero."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from compiler.cli.console import Console
from compiler.cli.options import bug_option, model_options, parse_input_shapes
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb
from dialects.diagnostics import CatenaError, Diagnostic


@verb("prune")
@click.argument("model", metavar="MODEL")
@click.option("-o", "--output", metavar="FILE.onnx", help="Where the result goes. [default: MODEL.pruned.onnx]")
@click.option(
    "--structure",
    required=True,
    metavar="group|block|channel|unstructured",
    help="What is pruned as a whole: a position in a group of filters, a block, an input channel, a weight.",
)
@click.option(
    "--sparsity", type=float, required=True, metavar="X", help="Share of the weights of every layer that become zero."
)
@click.option("--group", type=int, metavar="N", help="Filters of a group, in structure group. [default: 8]")
@click.option("--block", metavar="FxP", help="Filters by positions of a block, in structure block. [default: 4x4]")
@click.option("--exclude", multiple=True, metavar="NODE", help="A node whose weights stay; may be repeated.")
@click.option(
    "--calibrate",
    multiple=True,
    metavar="FILE.npz|random:N",
    help="Samples of the inputs on which outputs are compared; may be repeated. [default: random:1]",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Seed of random:N. [default: 0]")
@model_options
@bug_option
def prune(
    session: Session,
    model: str,
    output: str | None,
    structure: str,
    sparsity: float,
    group: int | None,
    block: str | None,
    exclude: tuple[str, ...],
    calibrate: tuple[str, ...],
    seed: int,
    input_shapes: tuple[str, ...],
    batch: int | None,
) -> Outcome:
    """Set the smallest weights of a float MODEL to zero, layer by layer, for targets that leave zeros out.

    Weights are those of Conv, Gemm and MatMul; units go by the mean magnitude of their weights. Nothing is trained
    again: what the outputs lose against the model as it was is printed. Equal arguments give equal files.
    """
    from compiler.cli.progress import activity
    from compiler.pruning import PruneOptions, prune_model
    from compiler.pruning.options import parse_block, structure_named

    path = Path(output if output is not None else f"{Path(model).name.split('.')[0] or 'out'}.pruned.onnx")
    if path.resolve() == Path(model).resolve():
        raise CatenaError(Diagnostic("CAT-C001", "the model and -o are the same file", found=str(path)))
    options = PruneOptions(structure_named(structure), sparsity, group, parse_block(block), exclude)
    shapes = parse_input_shapes(input_shapes)
    with activity(session.console, f"pruning {model}") as shown:
        done = prune_model(
            Path(model),
            path,
            options,
            calibrate or ("random:1",),
            seed=seed,
            input_shapes=shapes,
            batch=batch,
            say=shown.say,
        )

    def show(console: Console) -> None:
        for each in done.tables():
            console.table(each)
        console.out(
            f"{done.zeros:.2%} of the weights of these layers are zero; outputs against the model as it was, "
            f"by ONNX Runtime on {done.samples} sample{'s' if done.samples > 1 else ''}, without training"
        )

    result = {
        "output": str(path),
        "samples": done.samples,
        "zeros": done.zeros,
        "layers": [asdict(row) for row in done.layers],
        "outputs": [asdict(each) for each in done.losses],
    }
    return Outcome(result, show, str(path))
