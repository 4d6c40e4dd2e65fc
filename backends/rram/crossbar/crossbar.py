"""Products of integer vectors and a matrix that lies in the cells of a crossbar."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from pydantic import BaseModel, ConfigDict

from backends.rram.crossbar.converters import Adc, AdcRange, Conversion, Reals, Subtraction
from backends.rram.crossbar.physics import Physics
from backends.rram.crossbar.programming import deviations, programmed, steps, target
from backends.rram.crossbar.wires import effective
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.dtypes import narrowest
from dialects.encodings.cells import InputFormat, Integers, WeightEncoding, WeightFormat, Whole
from dialects.gconv.contraction import Factor, product

_READS = 3
"""The stream of random numbers for reads; programming has those before."""

IDEAL_ADC, IDEAL_PHYSICS = Adc(), Physics()


class Format(BaseModel, frozen=True):
    """How weights lie in cells and how inputs drive rows."""

    model_config = ConfigDict(extra="forbid")

    weights: WeightFormat
    inputs: InputFormat = InputFormat()


class Crossbar:
    """A matrix of weights (rows, columns) in cells, with what it takes to multiply it.

    The matrix is as large as the crossbar: `rows` drive it together, and a converter's range is made for them
    (`array_rows`, if the array has more). Equal arguments and equal calls give equal results; calls draw their read
    noise one after the other. Raises `CatenaError` (CAT-U006) for weights out of range.
    """

    def __init__(
        self,
        weights: Integers,
        format: Format,
        adc: Adc = IDEAL_ADC,
        physics: Physics = IDEAL_PHYSICS,
        seed: int = 0,
        array_rows: int | None = None,
    ):
        self.format, self.adc, self.physics = format, adc, physics
        self._array_rows = array_rows or weights.shape[0]
        format.weights.check(weights)
        self._whole = narrowest(weights)
        self._seed = seed
        self._reads = np.random.default_rng((seed, _READS))
        self._conversions: list[list[Conversion]] | None = None
        _check(adc, self._is_signed)

    @property
    def is_exact(self) -> bool:
        """Whether products are those of integers: nothing is converted, and cells and wires are ideal."""
        return self.adc.is_ideal and self.physics.is_ideal

    def multiply(self, inputs: Integers) -> Whole:
        """Products of inputs (vectors, rows): (vectors, columns), rounded to whole numbers.

        Raises `CatenaError` (CAT-U006) for inputs out of range.
        """
        if self.is_exact:
            low, high = self.format.inputs.range
            if not inputs.size or (low <= int(inputs.min()) and int(inputs.max()) <= high):
                return product(Factor(inputs, np.int64), self._weights, inputs.shape[1])
        pulses = self.format.inputs.encode(inputs)
        return self._recombined(self._sums(pulses, self._currents(pulses)), inputs)

    def calibrate(self, inputs: Integers) -> None:
        """Set the converters' ranges to the currents of these inputs (vectors, rows), for each slice by itself."""
        currents = self._currents(self.format.inputs.encode(inputs))
        least = (1 - self.adc.coverage) / 2
        self._conversions = []
        for side in currents:
            found: list[Conversion] = []
            for each in np.moveaxis(side, 2, 0):
                if self._is_signed:
                    high = float(np.quantile(np.abs(each), self.adc.coverage))
                    low = -high
                else:
                    low, high = (float(np.quantile(each, share)) for share in (least, 1 - least))
                found.append(Conversion(self.adc.bits, low, high, self._is_signed))
            self._conversions.append(found)

    @cached_property
    def _weights(self) -> Factor:
        return Factor(self._whole, np.int64)

    @property
    def _has_difference(self) -> bool:
        """Whether converters see differences of currents."""
        return self.format.weights.encoding.is_differential and self.adc.subtraction is Subtraction.ANALOG

    @property
    def _is_signed(self) -> bool:
        """Whether converters see currents of both signs."""
        return self._has_difference or self.format.inputs.sends_both_signs

    @cached_property
    def _analog(self) -> tuple[list[Reals], list[Reals]]:
        """Conductances (rows, slices * columns) that make the currents in front of converters, for each of them.

        Beside them the variances from one read to the next, if there are any.
        """
        weights, physics = self.format.weights, self.physics
        cells = programmed(target(weights.encode(self._whole), weights.slices, physics), physics, self._seed)
        if physics.wire:
            cells = _behind_wires(cells, weights.encoding, physics.wire)
        noise = physics.read_noise
        variances = [] if noise is None else _flat(deviations(cells, noise, physics) ** 2)
        conductances = _flat(cells)
        if self._has_difference:
            positive, negative = conductances
            return [positive - negative], [variances[0] + variances[1]] if variances else []
        return conductances, variances

    def _currents(self, pulses: Whole) -> list[Reals]:
        """What converters see, for pulses (pulses, vectors, rows): (pulses, vectors, slices, columns) for each side.

        The noise of a column is drawn at once: it is normal, with the variances of its cells added up.
        """
        heights = pulses.astype(np.float64)
        shape = (*pulses.shape[:2], len(self.format.weights.slices), self._whole.shape[1])
        matrices, variances = self._analog
        currents = [(heights @ matrix).reshape(shape) for matrix in matrices]
        for current, variance in zip(currents, variances, strict=False):
            spread = np.sqrt((heights**2) @ variance).reshape(shape)
            # Vector by vector, so that it does not matter how many are multiplied at a time.
            drawn = self._reads.standard_normal((shape[1], shape[0], *shape[2:]))
            current += spread * np.swapaxes(drawn, 0, 1)
        return currents

    def _sums(self, pulses: Whole, currents: list[Reals]) -> Reals:
        """Sums of levels (pulses, vectors, slices, columns) that digital logic takes currents for."""
        lowest = np.zeros(()) if self._has_difference else self.physics.g_min * pulses.sum(axis=2)[:, :, None]
        for side, current in enumerate(currents):
            for position, step in enumerate(steps(self.format.weights.slices, self.physics)):
                sums = current[:, :, position]
                conversion = self._conversion(side, position)
                if conversion is not None:
                    sums[...] = conversion(sums)
                sums -= lowest
                sums /= step
                if conversion is not None and conversion.step <= step:
                    np.rint(sums, out=sums)  # it tells all levels apart, so that only whole sums of them are meant
        return currents[0] - currents[1] if len(currents) == 2 else currents[0]

    def _conversion(self, side: int, position: int) -> Conversion | None:
        """The converter of a slice, None if it is ideal."""
        if self.adc.is_ideal:
            return None
        if self._conversions is not None:
            return self._conversions[side][position]
        if self.adc.range is AdcRange.CALIBRATED:
            raise CatenaError(
                Diagnostic("CAT-C003", "a calibrated range needs inputs to calibrate it", hint='or say range = "max"')
            )
        differs = self._has_difference and self.adc.range is not AdcRange.COLUMN
        span = self.physics.g_max - (self.physics.g_min if differs else 0)
        high = self._array_rows * (2 ** max(self.format.inputs.widths) - 1) * span
        return Conversion(self.adc.bits, -high if self._is_signed else 0.0, high, self._is_signed)

    def _recombined(self, sums: Reals, inputs: Integers) -> Whole:
        """Products of whole inputs and weights: parts shifted and added, and what their encodings added taken off."""
        pulse_factors = np.array(self.format.inputs.factors, np.float64)
        slice_factors = np.array(self.format.weights.factors, np.float64)
        found = np.rint(np.einsum("p,s,pvsc->vc", pulse_factors, slice_factors, sums, optimize=True)).astype(np.int64)
        whole = inputs.astype(np.int64)
        found += self.format.weights.constant * whole.sum(axis=1, keepdims=True)
        if self.format.inputs.constant:
            # Parts are of x - a and w - b: their product and b x + a (w - b) make x w.
            bare = self._weights.words.sum(axis=0) - self.format.weights.constant * whole.shape[1]
            found += self.format.inputs.constant * bare
        return found


def _flat(cells: Reals) -> list[Reals]:
    """Every side as a matrix (rows, slices * columns)."""
    return [np.ascontiguousarray(np.moveaxis(side, 1, 0)).reshape(side.shape[1], -1) for side in cells]


def _behind_wires(cells: Reals, encoding: WeightEncoding, wire: float) -> Reals:
    """Effective conductances (sides, slices, rows, columns): the parts of a weight lie side by side in its crossbar."""
    sides, slices, rows, columns = cells.shape
    arrays = np.moveaxis(cells, (0, 1, 2, 3), (3, 2, 0, 1))  # rows, columns, slices, sides
    if encoding is WeightEncoding.DIFFERENTIAL_2XB:
        found = np.stack([effective(arrays[..., side].reshape(rows, -1), wire) for side in range(sides)], axis=-1)
    else:
        found = effective(arrays.reshape(rows, -1), wire)
    return np.moveaxis(found.reshape(rows, columns, slices, sides), (3, 2, 0, 1), (0, 1, 2, 3))


def _check(adc: Adc, is_signed: bool) -> None:
    if adc.bits == 1 and is_signed:
        raise CatenaError(
            Diagnostic(
                "CAT-C003",
                "converters of currents of both signs need a bit for the sign",
                expected="bits = 0 (ideal), or 2 and more",
                found="bits = 1",
            )
        )
