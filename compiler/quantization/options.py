"""What a quantized model should look like: every choice, checked together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean


class Format(StrEnum):
    """How the integers are written down.

    `QDQ`: float operators between QuantizeLinear and DequantizeLinear. `QOPERATOR`: QLinearConv and QLinearMatMul.
    `FIXED16`: QDQ with 16-bit integers and scales that are powers of two, so that requantization is a shift.
    """

    QDQ = "qdq"
    QOPERATOR = "qoperator"
    FIXED16 = "fixed16"


class Method(StrEnum):
    """How the range of a tensor is made of its values in the calibration data."""

    MINMAX = "minmax"
    ENTROPY = "entropy"
    PERCENTILE = "percentile"


ACTIVATION_TYPES = ("int8", "uint8", "int16", "uint16")
WEIGHT_TYPES = ("int8", "uint8", "int16", "int4", "uint4")
"""What ONNX Runtime's quantizer offers, float8 aside."""
DEFAULT_TYPE = "int8"
FIXED_TYPE = "int16"


@dataclass(frozen=True)
class QuantizeOptions:
    """The choices; `activations` and `weights` of None stand for int8, or int16 in the format `fixed16`.

    `per_channel` gives every output channel of a weight its own scale. `symmetric` puts the zero points of activations
    and weights at zero; without it only signed weights have theirs there. `exclude` names nodes that stay in float.
    """

    format: Format = Format.QDQ
    activations: str | None = None
    weights: str | None = None
    per_channel: bool = False
    symmetric: bool = False
    method: Method = Method.MINMAX
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = tuple(self._problems())
        if problems:
            raise CatenaError(problems)

    @property
    def activation_type(self) -> str:
        """The NumPy name of the type of activations."""
        return self.activations or self._default_type

    @property
    def weight_type(self) -> str:
        """The NumPy name of the type of weights."""
        return self.weights or self._default_type

    @property
    def is_symmetric(self) -> bool:
        """Whether the zero points of activations are zero."""
        return self.symmetric or self.format is Format.FIXED16

    @property
    def _default_type(self) -> str:
        return FIXED_TYPE if self.format is Format.FIXED16 else DEFAULT_TYPE

    def _problems(self) -> Iterator[Diagnostic]:
        yield from _unknown("activations", self.activation_type, ACTIVATION_TYPES)
        yield from _unknown("weights", self.weight_type, WEIGHT_TYPES)
        pair = f"{self.activation_type} activations, {self.weight_type} weights"
        if self.format is Format.FIXED16 and {self.activation_type, self.weight_type} != {FIXED_TYPE}:
            yield _wrong("the format fixed16 has 16-bit integers only", "int16 activations and weights", pair)
        if self.format is Format.QOPERATOR and not {self.activation_type, self.weight_type} <= {"int8", "uint8"}:
            yield _wrong("the format qoperator has 8-bit integers only", "int8 or uint8", pair)
        if (self.activation_type, self.weight_type) == ("int8", "uint8"):
            yield _wrong("signed activations cannot be multiplied by unsigned weights", "weights of int8", pair)


def format_named(name: str) -> Format:
    """The format of that name. Raises `CatenaError` (CAT-C001) for a name that is none."""
    _require("format", name, tuple(Format))
    return Format(name)


def method_named(name: str) -> Method:
    """The method of that name. Raises `CatenaError` (CAT-C001) for a name that is none."""
    _require("method", name, tuple(Method))
    return Method(name)


def _require(what: str, name: str, known: tuple[str, ...]) -> None:
    for problem in _unknown(what, name, known):
        raise CatenaError(problem)


def _unknown(what: str, name: str, known: tuple[str, ...]) -> Iterator[Diagnostic]:
    if name not in known:
        hint = did_you_mean(name, known)
        yield Diagnostic("CAT-C001", f"unknown --{what} {name!r}", expected=" or ".join(known), hint=hint)


def _wrong(message: str, expected: str, found: str) -> Diagnostic:
    return Diagnostic("CAT-C001", message, expected=expected, found=found)
