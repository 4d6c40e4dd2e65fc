"""Powers of two for scales."""

from __future__ import annotations

import numpy as np
import pytest

from compiler.quantization.fixed_point import power_of_two


@pytest.mark.parametrize(
    ("scale", "expected"),
    [(1.0, 1.0), (0.5, 0.5), (0.6, 1.0), (3.0, 4.0), (2.0**-20 * 1.001, 2.0**-19), (1e-30, 2.0**-99)],
)
def test_a_scale_is_rounded_up(scale: float, expected: float) -> None:
    found = power_of_two(np.array([scale], np.float32))
    assert (found.dtype, found.tolist()) == (np.float32, [expected])
    assert scale <= expected < 2 * scale
