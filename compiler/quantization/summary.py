"""What quantization did: which nodes compute in integers, which stayed in float and why, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compiler.arrays import Array
from compiler.onnx_runtime import Level, Session
from compiler.quantization.calibration import Sample
from compiler.quantization.options import QuantizeOptions
from compiler.quantization.preparation import PURPOSE
from compiler.quantization.quantizer import quantizable_operators

if TYPE_CHECKING:
    import onnx

_PAIR = frozenset(("QuantizeLinear", "DequantizeLinear"))
_PREFIX = "QLinear"


@dataclass(frozen=True)
class OperatorSummary:
    """The nodes of one operator: how many compute in integers, and the names of those in float with the reason."""

    operator: str
    quantized: int
    in_float: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class OutputError:
    """An output of the quantized model beside the float model, over all calibration samples.

    `sqnr` is the ratio of signal to quantization noise in dB, infinite without noise; `largest` the largest absolute
    difference and `scale` the largest absolute value.
    """

    name: str
    sqnr: float
    largest: float
    scale: float


def operator_summaries(model: onnx.ModelProto, options: QuantizeOptions) -> tuple[OperatorSummary, ...]:
    """The operators of a quantized model that compute with real numbers, most frequent first."""
    kinds, quantizable = _NodeKinds(model), quantizable_operators(options)
    quantized: dict[str, int] = {}
    in_float: dict[tuple[str, str], list[str]] = {}
    for node in model.graph.node:
        operator = node.op_type.removeprefix(_PREFIX)
        if node.op_type in _PAIR:
            continue
        if node.name not in options.exclude and kinds.is_quantized(node):
            quantized[operator] = quantized.get(operator, 0) + 1
        elif kinds.is_float(node):
            in_float.setdefault((operator, _reason(node, options, quantizable)), []).append(node.name)
    rows = [OperatorSummary(operator, count) for operator, count in quantized.items()]
    rows += [OperatorSummary(operator, 0, tuple(names), reason) for (operator, reason), names in in_float.items()]
    return tuple(sorted(rows, key=lambda row: (-row.quantized, -len(row.in_float), row.operator)))


def _reason(node: onnx.NodeProto, options: QuantizeOptions, quantizable: frozenset[str]) -> str:
    if node.name in options.exclude:
        return "excluded"
    if node.op_type not in quantizable:
        return f"not quantized in format {options.format}"
    return "beside nodes in float"


class _NodeKinds:
    """Which nodes of a quantized model compute in integers: those between DequantizeLinear and QuantizeLinear, too."""

    def __init__(self, model: onnx.ModelProto):
        from onnx import TensorProto, shape_inference

        graph = shape_inference.infer_shapes(model).graph
        floats = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
        types = {
            value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info, *graph.output)
        }
        self._floats = {name for name, kind in types.items() if kind in floats}
        self._integers: set[str] = set()
        self._dequantized: set[str] = set()
        self._users: dict[str, list[str]] = {}
        for node in graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node.op_type)
            if node.op_type == "DequantizeLinear":
                self._dequantized.add(node.output[0])
            elif node.op_type == "QuantizeLinear" or self._has_integers(node):
                self._integers.update(node.output)

    def is_quantized(self, node: onnx.NodeProto) -> bool:
        if self._has_integers(node):
            return True
        read = [name for name in node.input if name in self._floats or name in self._dequantized]
        made = [name for name in node.output if name in self._floats]
        return bool(read and made) and set(read) <= self._dequantized and all(map(self._is_quantized_again, made))

    def is_float(self, node: onnx.NodeProto) -> bool:
        return any(name in self._floats for name in node.output)

    def _has_integers(self, node: onnx.NodeProto) -> bool:
        return node.op_type.startswith(_PREFIX) or bool(node.input and node.input[0] in self._integers)

    def _is_quantized_again(self, name: str) -> bool:
        return set(self._users.get(name, [])) == {"QuantizeLinear"}


def output_errors(
    before: onnx.ModelProto, after: onnx.ModelProto, samples: Sequence[Sample]
) -> tuple[OutputError, ...]:
    """Every float output of two models on the same inputs, run by ONNX Runtime without optimizations.

    Raises `CatenaError` (CAT-V002) if it cannot run one of them.
    """
    sessions = [Session(model.SerializeToString(), Level.NONE, PURPOSE) for model in (before, after)]
    sums: dict[str, _Errors] = {}
    for sample in samples:
        expected, found = (session.run(sample) for session in sessions)
        for name, array in expected.items():
            if array.dtype.kind == "f":
                sums.setdefault(name, _Errors()).add(array, found[name])
    return tuple(errors.result(name) for name, errors in sums.items())


@dataclass
class _Errors:
    signal: float = 0.0
    noise: float = 0.0
    largest: float = 0.0
    scale: float = 0.0

    def add(self, expected: Array, found: Array) -> None:
        wanted = expected.astype(np.float64)
        difference = found.astype(np.float64) - wanted
        self.signal += float(np.sum(wanted**2))
        self.noise += float(np.sum(difference**2))
        self.largest = max(self.largest, float(np.max(np.abs(difference), initial=0.0)))
        self.scale = max(self.scale, float(np.max(np.abs(wanted), initial=0.0)))

    def result(self, name: str) -> OutputError:
        ratio = 10 * math.log10(self.signal / self.noise) if self.signal and self.noise else math.inf
        return OutputError(name, ratio, self.largest, self.scale)
