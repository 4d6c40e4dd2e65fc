"""Which scalar functions an arithmetic unit does in one step, and which take a division, a root or a series."""

from __future__ import annotations

from enum import StrEnum


class FunctionClass(StrEnum):
    """How hard a scalar function is for an ordinary processor."""

    SIMPLE = "simple"
    SPECIAL = "special"


SPECIAL_FUNCTIONS = frozenset((
    "sqrt", "rsqrt", "reciprocal", "power", "exp", "log", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh",
    "tanh", "asinh", "acosh", "atanh", "erf", "sigmoid", "elu", "selu", "celu", "swish", "gelu", "gelu_tanh",
    "softplus", "softsign", "mish", "over", "div", "rdiv", "pow", "rpow", "mod", "fmod",
))  # fmt: skip
"""Functions of class `SPECIAL`; all others are additions, multiplications, comparisons, selections and roundings."""


def function_class(name: str) -> FunctionClass:
    """The class of a scalar function."""
    return FunctionClass.SPECIAL if name in SPECIAL_FUNCTIONS else FunctionClass.SIMPLE
