"""Masks for contractions of (min, max): +inf lets a word through, -inf leaves it out whatever it holds."""

from __future__ import annotations

import math

from dialects.gconv import Step

FROM_SIGN = (Step("affine", (1.0, 0.5)), Step("affine", (math.inf, 0.0)))
"""A whole number becomes -inf if it is negative, else +inf."""

FROM_CHOICE = (Step("affine", (1.0, -0.5)), Step("affine", (math.inf, 0.0)))
"""0 becomes -inf, 1 becomes +inf."""
