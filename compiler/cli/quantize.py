"""`catena quantize`: a float model to integers."""

from __future__ import annotations

from pathlib import Path

import click

from compiler.cli.console import Console
from compiler.cli.options import bug_option, model_options, parse_input_shapes
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb
from dialects.diagnostics import CatenaError, Diagnostic


@verb("quantize")
@click.argument("model", metavar="MODEL")
@click.option("-o", "--output", metavar="FILE.onnx", help="Where the result goes. [default: MODEL.quantized.onnx]")
@click.option(
    "--calibrate",
    multiple=True,
    required=True,
    metavar="FILE.npz|random:N",
    help="Samples of the inputs by tensor name, with a leading dimension for several; may be repeated.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Seed of random:N. [default: 0]")
@click.option(
    "--format",
    "form",
    default="qdq",
    metavar="qdq|qoperator|fixed16",
    help="How integers are written down; fixed16: 16 bits, scales that are powers of two. [default: qdq]",
)
@click.option(
    "--activations", metavar="TYPE", help="int8, uint8, int16 or uint16. [default: int8, int16 in format fixed16]"
)
@click.option(
    "--weights", metavar="TYPE", help="int8, uint8, int16, int4 or uint4. [default: int8, int16 in format fixed16]"
)
@click.option("--per-channel", is_flag=True, help="Give every output channel of a weight its own scale.")
@click.option("--symmetric", is_flag=True, help="Make all ranges symmetric about zero, as in format fixed16.")
@click.option(
    "--method",
    default="minmax",
    metavar="minmax|entropy|percentile",
    help="How a tensor's range is made of its values. [default: minmax]",
)
@click.option("--exclude", multiple=True, metavar="NODE", help="A node that stays in float; may be repeated.")
@model_options
@bug_option
def quantize(
    session: Session,
    model: str,
    output: str | None,
    calibrate: tuple[str, ...],
    seed: int,
    form: str,
    activations: str | None,
    weights: str | None,
    per_channel: bool,
    symmetric: bool,
    method: str,
    exclude: tuple[str, ...],
    input_shapes: tuple[str, ...],
    batch: int | None,
) -> Outcome:
    """Quantize a float MODEL with ONNX Runtime's quantizer, for targets that compute in integers.

    The ranges of tensors are measured on the calibration data; what the result then loses against the float model on
    the same data is printed. Equal arguments give equal files.
    """
    from compiler.cli.progress import activity
    from compiler.quantization.options import QuantizeOptions, format_named, method_named
    from compiler.quantization.quantizing import quantize_model

    path = Path(output if output is not None else f"{Path(model).name.split('.')[0] or 'out'}.quantized.onnx")
    if path.resolve() == Path(model).resolve():
        raise CatenaError(Diagnostic("CAT-C001", "the model and -o are the same file", found=str(path)))
    options = QuantizeOptions(
        format_named(form), activations, weights, per_channel, symmetric, method_named(method), exclude
    )
    shapes = parse_input_shapes(input_shapes)
    with activity(session.console, f"quantizing {model}") as shown:
        done = quantize_model(
            Path(model), path, calibrate, options, seed=seed, input_shapes=shapes, batch=batch, say=shown.say
        )

    def show(console: Console) -> None:
        for each in done.tables():
            console.table(each)
        console.out(f"opset {done.opset}; errors against the float model on {done.samples} calibration samples")

    result = {
        "output": str(path),
        "opset": done.opset,
        "samples": done.samples,
        "operators": [
            {"operator": row.operator, "quantized": row.quantized, "in_float": row.in_float, "reason": row.reason}
            for row in done.operators
        ],
        "outputs": [
            {"name": each.name, "sqnr_db": each.sqnr, "largest_error": each.largest, "largest_value": each.scale}
            for each in done.errors
        ],
    }
    return Outcome(result, show, str(path))
