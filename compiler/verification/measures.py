"""How closely the tensors of a program are compared with the reference, and in which unit.

Floats: relative to the largest value of the tensor, or to what one rounding of the layer's largest input is worth if
that is more: a mean of numbers that cancel is no closer. Integers that count, index or select: exactly.

Quantized tensors, and floats that were dequantized from them: 1 LSB a layer with the reference's inputs. From end to
end they may differ by 2 LSB, or by as much as ONNX Runtime with all its optimizations differs from ONNX Runtime without
any; with 16-bit integers also by as much as it differs from itself in other orders of summation
(`compiler.verification.summation_orders`). An output that is computed in float from quantized tensors is given that in
LSB of the last of them, the largest if there are several: what stands behind a classifier's last
integers, a softmax for example, does not enlarge a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from compiler.arrays import Array
from compiler.verification.comparison import Measure, Unit, largest_error
from compiler.verification.quantized_tensors import QuantizedTensors

if TYPE_CHECKING:
    pass

RELATIVE = 1e-4
RELATIVE_HALF = 5e-3
"""For tensors that the reference computes in float16, which Catena widens to float32."""
LSB_OF_LAYER = 1.0
LSB_OF_OUTPUT = 2.0

_ROUNDING = float(np.finfo(np.float32).eps)
_ONE = np.ones(())


@dataclass(frozen=True)
class Tolerances:
    """What a user asks for; None stands for the constants of this module.

    `relative` is for floats, `lsb` for quantized tensors, of layers and outputs alike.
    """

    relative: float | None = None
    lsb: float | None = None


class Measures:
    """The measures for one model and its tensors as the reference, and the reference with optimizations, made them."""

    def __init__(
        self,
        reference: Mapping[str, Array],
        quantized: QuantizedTensors,
        optimized: Mapping[str, Array],
        tolerances: Tolerances,
    ):
        self._reference = reference
        self._quantized = quantized
        self._optimized = optimized
        self._tolerances = tolerances

    def of_layer(self, tensor: str, given: Set[str], dtype: np.dtype[Any], largest: float = 0.0) -> Measure:
        """For a tensor that a layer makes of the tensors `given`, whose largest absolute value is `largest`.

        `dtype` is that of a tensor that the model does not have.
        """
        allowed = self._lsb(LSB_OF_LAYER)
        measure = self._on_grid(tensor, allowed)
        if measure is None and self._quantized.rounds_between(tensor, given):
            measure = self._off_grid(tensor, allowed)
        measure = measure or self._plain(tensor, dtype)
        if measure.unit is not Unit.RELATIVE or not measure.tolerance:
            return measure
        return replace(measure, floor=largest * _ROUNDING / measure.tolerance)

    def of_output(self, name: str) -> Measure:
        """For an output of the model, from end to end."""
        allowed = self._lsb(LSB_OF_OUTPUT)
        measure = self._on_grid(name, allowed) or self._off_grid(name, allowed)
        measure = measure or self._plain(name, np.dtype(np.float32))
        if name not in self._optimized or self._tolerances.lsb is not None:
            return measure
        others, _ = largest_error(self._optimized[name], self._reference[name], measure)
        return replace(measure, tolerance=max(measure.tolerance, others))

    def widened(
        self,
        measure: Measure,
        name: str,
        error: float,
        pairs: Iterable[tuple[Mapping[str, Array], Mapping[str, Array]]],
    ) -> Measure:
        """The measure of an output that is off by `error`, if the reference's own results differ by more.

        `pairs` are results of the reference by name that are equally right; no more are taken than are needed.
        """
        if measure.unit is not Unit.LSB or not self._quantized.is_wide or self._tolerances.lsb is not None:
            return measure
        waiting = iter(pairs)
        while error > measure.tolerance and (pair := next(waiting, None)):
            found, _ = largest_error(pair[0][name], pair[1][name], measure)
            measure = replace(measure, tolerance=max(measure.tolerance, found))
        return measure

    def _on_grid(self, name: str, allowed: float) -> Measure | None:
        """For integers, and floats that were dequantized."""
        if name in self._quantized.integers:
            return Measure(Unit.LSB, allowed, _ONE)
        step = self._quantized.steps.get(name)
        return None if step is None else Measure(Unit.LSB, allowed, step, is_grid=True)

    def _off_grid(self, name: str, allowed: float) -> Measure | None:
        """For floats that were computed of quantized tensors."""
        if name not in self._quantized.behind or self._dtype(name) not in ("float16", "float32", "float64"):
            return None
        return Measure(Unit.LSB, allowed, np.asarray(self._quantized.behind[name]))

    def _plain(self, name: str, dtype: np.dtype[Any]) -> Measure:
        found = self._dtype(name) or dtype.name
        if not found.startswith(("float", "bfloat")):
            return Measure(Unit.EXACT, 0.0, _ONE)
        tolerance = self._tolerances.relative
        if tolerance is None:
            tolerance = RELATIVE_HALF if found == "float16" else RELATIVE
        return Measure(Unit.RELATIVE, tolerance)

    def _dtype(self, name: str) -> str:
        return self._reference[name].dtype.name if name in self._reference else ""

    def _lsb(self, default: float) -> float:
        return default if self._tolerances.lsb is None else self._tolerances.lsb
