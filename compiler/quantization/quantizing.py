"""Quantization of a model from file to file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.arrays import Array
from compiler.displaying import Displayed, Part
from compiler.files import write_bytes
from compiler.onnx_runtime import require_onnx_runtime
from compiler.quantization.calibration import Source, read_samples
from compiler.quantization.fixed_point import with_fixed_point
from compiler.quantization.options import Format, QuantizeOptions
from compiler.quantization.preparation import PURPOSE, FloatModel, prepare_model
from compiler.quantization.quantizer import run_quantizer
from compiler.quantization.summary import OperatorSummary, OutputError, operator_summaries, output_errors
from compiler.tables import Table, number, table
from dialects.diagnostics import CatenaError, Diagnostic

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Quantized(Displayed):
    """A quantized model that has been written: its opset, what computes in integers, and the error of its outputs."""

    output: Path
    opset: int
    samples: int
    operators: tuple[OperatorSummary, ...]
    errors: tuple[OutputError, ...]

    def tables(self) -> tuple[Table, Table]:
        """The operators, and the errors of the outputs."""
        operators = ((row.operator, row.quantized or "", len(row.in_float) or "", row.reason) for row in self.operators)
        errors = ((each.name, f"{each.sqnr:.1f}", f"{each.largest:.4g}", f"{each.scale:.4g}") for each in self.errors)
        return (
            table(("operator", number("quantized"), number("in float"), "reason"), operators),
            table(("output", number("SQNR dB"), number("largest error"), number("largest value")), errors),
        )

    def displayed(self) -> Iterable[Part]:
        """What notebooks show."""
        return self.tables()


def quantize_model(
    model: Path,
    output: Path,
    calibrate: Sequence[Source],
    options: QuantizeOptions | None = None,
    *,
    seed: int = 0,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    batch: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Quantized:
    """Quantize the float model in a file with ranges from calibration data; equal arguments give equal files.

    `calibrate`, `seed`, `input_shapes` and `batch` are those of `compiler.quantization.calibration.read_samples`; `say`
    is told what has been done. Raises `CatenaError` as `read_samples`, `prepare_model`, `run_quantizer` and
    `with_fixed_point` do; CAT-Q001 if nothing in the model can be quantized; CAT-C002 if the file cannot be written.
    """
    options = options or QuantizeOptions()
    require_onnx_runtime(PURPOSE)
    source = prepare_model(model, options)
    samples = read_samples(calibrate, source.inputs, seed=seed, input_shapes=input_shapes, batch=batch)
    say(f"prepared {_count(len(source.prepared.graph.node), 'node')}, {_count(len(samples), 'calibration sample')}")
    quantized = run_quantizer(source.prepared, samples, options)
    if options.format is Format.FIXED16:
        quantized = with_fixed_point(quantized, _weights(source))
    _tidy(quantized)
    operators = operator_summaries(quantized, options)
    _require_some(operators)
    say("quantized; comparing with the float model")
    errors = output_errors(source.original, quantized, samples)
    write_bytes(output, quantized.SerializeToString(deterministic=True))
    (opset,) = (entry.version for entry in quantized.opset_import if not entry.domain)
    return Quantized(output, opset, len(samples), operators, errors)


def _weights(source: FloatModel) -> dict[str, Array]:
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in source.prepared.graph.initializer}


def _tidy(model: onnx.ModelProto) -> None:
    """Leave out operator sets that no node uses: ONNX Runtime lists all that it knows."""
    used = {"", *(node.domain for node in model.graph.node)}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _require_some(operators: Sequence[OperatorSummary]) -> None:
    if not any(row.quantized for row in operators):
        reasons = "; ".join(f"{row.operator}: {row.reason}" for row in operators)
        raise CatenaError(Diagnostic("CAT-Q001", "no node of the model can be quantized", found=reasons))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
