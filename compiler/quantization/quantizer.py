"""ONNX Runtime's static quantizer, called quietly and with the same result every time."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.onnx_runtime import require_onnx_runtime, runtime_errors
from compiler.quantization.calibration import Sample
from compiler.quantization.options import Format, Method, QuantizeOptions
from compiler.quantization.preparation import PURPOSE, STAGE
from dialects.diagnostics import CatenaError, Diagnostic

if TYPE_CHECKING:
    import onnx

_METHODS = {Method.MINMAX: "MinMax", Method.ENTROPY: "Entropy", Method.PERCENTILE: "Percentile"}
_STANDARD = frozenset(
    ("Conv", "MatMul", "MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Gather", "Relu", "Clip")
)
"""What the format `qoperator` writes with operators of ONNX; for others the quantizer has operators of its own."""

_WARNING, _FATAL = 2, 4
"""Severities of ONNX Runtime's log; the first is its default."""


def quantizable_operators(options: QuantizeOptions) -> frozenset[str]:
    """The ONNX operators that can be quantized in a format. Raises `CatenaError` as `run_quantizer`."""
    if options.format is Format.QOPERATOR:
        return _STANDARD
    require_onnx_runtime(PURPOSE)
    registry: Any = import_module("onnxruntime.quantization.registry")
    return frozenset((*registry.QLinearOpsRegistry, *registry.QDQRegistry))


def run_quantizer(model: onnx.ModelProto, samples: Sequence[Sample], options: QuantizeOptions) -> onnx.ModelProto:
    """The quantized model.

    Raises `CatenaError`: CAT-C004 if ONNX Runtime is not installed, CAT-Q001 if its quantizer fails.
    """
    import onnx

    require_onnx_runtime(PURPOSE)
    quantization: Any = import_module("onnxruntime.quantization")
    form = quantization.QuantFormat.QOperator if options.format is Format.QOPERATOR else quantization.QuantFormat.QDQ
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, result = Path(folder) / "float.onnx", Path(folder) / "quantized.onnx"
        onnx.save(model, source)
        try:
            quantization.quantize_static(
                str(source),
                str(result),
                _Reader(samples),
                quant_format=form,
                op_types_to_quantize=sorted(quantizable_operators(options)),
                per_channel=options.per_channel,
                activation_type=_quant_type(quantization, options.activation_type),
                weight_type=_quant_type(quantization, options.weight_type),
                nodes_to_exclude=list(options.exclude),
                calibrate_method=quantization.CalibrationMethod[_METHODS[options.method]],
                extra_options={
                    "ActivationSymmetric": options.is_symmetric,
                    "WeightSymmetric": True if options.is_symmetric else None,
                    # One sample at a time: with all of them at once every tensor of every sample is kept.
                    "CalibStridedMinMax": 1,
                },
            )
        except (*runtime_errors(), AssertionError, KeyError, NotImplementedError, TypeError) as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise CatenaError(
                Diagnostic("CAT-Q001", f"ONNX Runtime's quantizer does not take the model: {reason}", stage=STAGE)
            ) from error
        return onnx.load(result)


def _quant_type(quantization: Any, name: str) -> Any:
    """`QInt8` for int8, `QUInt8` for uint8."""
    return quantization.QuantType[f"Q{name.replace('uint', 'UInt').replace('int', 'Int')}"]


class _Reader:
    """Samples as the quantizer asks for them."""

    def __init__(self, samples: Sequence[Sample]):
        self._samples = samples
        self._next = 0
        self._end = len(samples)

    def __len__(self) -> int:
        return len(self._samples)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._next, self._end = start_index, end_index

    def get_next(self) -> Sample | None:
        if self._next >= self._end:
            return None
        self._next += 1
        return self._samples[self._next - 1]


@contextmanager
def _quiet() -> Generator[None]:
    """Without what the quantizer logs, warns of and prints, which is about its own options."""
    runtime, before = require_onnx_runtime(PURPOSE), logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    runtime.set_default_logger_severity(_FATAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        runtime.set_default_logger_severity(_WARNING)
