"""What is left of a layer that differs from its reference: what it was given, what it made, what it should make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from backends.program import LayerEntry, TensorEntry
from compiler.arrays import Array
from compiler.verification.comparison import Measure, errors


@dataclass(frozen=True, eq=False)
class Evidence:
    """A wrong result of a layer. Arrays have the shape of `tensor`; `given` are all tensors that the layer ran with.

    `reference` are all tensors of the model, `written` says which elements the layer makes, `measure` how closely they
    are compared.
    """

    layer: LayerEntry
    tensor: TensorEntry
    given: Mapping[str, Array]
    found: Array
    expected: Array
    written: Array
    measure: Measure
    reference: Mapping[str, Array]

    def is_wrong(self, found: Array) -> Array:
        """Which elements of another result are beyond the tolerance."""
        wrong = np.zeros(self.written.shape, np.bool_)
        expected = self.expected[self.written]
        if expected.size:
            measure = self.measure.of_part(self.written, self.expected.shape)
            wrong[self.written] = errors(found[self.written], expected, measure, self.expected) > measure.tolerance
        return wrong

    @property
    def wrong(self) -> Array:
        """Which elements of the result are beyond the tolerance."""
        return self.is_wrong(self.found)
