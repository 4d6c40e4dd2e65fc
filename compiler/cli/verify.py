"""`catena verify`: every layer beside ONNX Runtime."""

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
    search_options,
    target_options,
)
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb
from dialects.diagnostics import ExitCode


@verb("verify")
@click.argument("source", metavar="MODEL|PROGRAM")
@click.option("--model", metavar="MODEL", help="The ONNX file that PROGRAM was compiled from.")
@click.option("-i", "--input", "inputs", multiple=True, metavar="FILE.npz|NAME=FILE.npy", help="Inputs, else random.")
@click.option("--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Seed of random inputs. [default: 0]")
@click.option(
    "--tolerance",
    type=Amount(min=0),
    metavar="X",
    help="Largest difference of floats, relative to the largest value of a tensor. [default: 1e-4, 5e-3 for float16]",
)
@click.option(
    "--lsb",
    type=Amount(min=0),
    metavar="X",
    help="Largest difference of quantized tensors. [default: 1 a layer; from end to end 2, or what ONNX Runtime's "
    "optimizations make]",
)
@click.option(
    "--reproducer",
    metavar="DIR",
    help="If a layer is wrong, write it there alone: model, inputs, program, and how to run them; the whole program, "
    "if the layer cannot run alone. If compiling fails, what shows that again.",
)
@target_options
@mode_option
@fuse_option
@click.option("--mapping", metavar="FILE", help="Mappings to use for some layers, if a model is compiled.")
@search_options
@model_options
@fallback_option
def verify(
    session: Session,
    source: str,
    model: str | None,
    inputs: tuple[str, ...],
    seed: int,
    tolerance: float | None,
    lsb: float | None,
    reproducer: str | None,
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
    """Run every layer of a program with the inputs that ONNX Runtime computes for it, then the whole program.

    The source is a PROGRAM, whose model --model names, or a MODEL, which is compiled first. Ends with exit code 5 if
    anything differs, and says in which layer, in which tile of it, and which instruction is to blame: in wrong code and
    constants, or executed wrong by the emulator, whatever engines have in common. Of an emulator, counts and times are
    not looked at, and waits and signals only by the words that are wrong after them; layers with computed addresses,
    kernels in blocks or narrow accumulators, and backends of two memories, are compared between engines, if at all.
    Layers of fused groups whose results stay on the chip are named: they are not compared by themselves, but what their
    group makes of them is.
    """
    from dataclasses import asdict

    from compiler.arrays import read_arrays
    from compiler.cli.progress import activity
    from compiler.host_summary import describe_segments
    from compiler.verification.measures import Tolerances
    from compiler.verification.programs import verify_source
    from compiler.verification.text import comparison_table, uncompared_lines

    folder = None if reproducer is None else Path(reproducer)
    options = compile_options(
        target, settings, mode, fuse, mapping, input_shapes, batch, fallback, search, reproducer=folder
    )
    arrays = read_arrays(inputs) if inputs else None
    with activity(session.console, f"verifying {source}"):
        found = verify_source(
            source,
            None if model is None else Path(model),
            arrays,
            seed=seed,
            tolerances=Tolerances(tolerance, lsb),
            options=options,
            reproducer=folder,
        )

    compared = [each for each in found.layers if each.error is not None]

    def show(console: Console) -> None:
        console.table(comparison_table((*found.layers, *found.outputs)))
        if found.host_segments:
            console.out(describe_segments(found.host_segments))
        console.out(
            f"{len(compared)} of {len(found.layers) + len(found.inside)} layers and {len(found.outputs)} outputs "
            "compared; relative errors are to the largest value of the tensor"
        )
        for line in uncompared_lines(found.not_compared):
            console.out(line)
        if found.first_wrong is not None:
            console.out(f"first difference: {found.first_wrong.subject}")
        for line in () if found.location is None else found.location.lines():
            console.out(line)
        if found.reproducer is not None and found.reproducer.command:
            console.out(f"to see it again: cd {reproducer} && {found.reproducer.command}")
        elif found.reproducer is not None:
            console.out(found.reproducer.remark)

    result = {
        "equal": found.is_equal,
        "host_segments": [asdict(each) for each in found.host_segments],
        "first_wrong": None if found.first_wrong is None else found.first_wrong.subject,
        "location": None if found.location is None else asdict(found.location),
        "reproducer": None if found.reproducer is None else [str(path) for path in found.reproducer.files],
        "comparisons": [
            {
                "subject": each.subject,
                "tensor": each.tensor,
                "nodes": each.nodes,
                "error": each.error,
                "unit": each.unit.value,
                "tolerance": each.tolerance,
                "equal": each.is_equal,
            }
            for each in (*found.layers, *found.outputs)
        ],
        "not_compared": [asdict(each) for each in found.not_compared],
    }
    exit_code = ExitCode.OK if found.is_equal else ExitCode.MISMATCH
    return Outcome(result, show, source, found.diagnostics(), exit_code)
