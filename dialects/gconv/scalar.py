"""The scalar functions a general convolution can apply, each declared once.

`unary` functions are steps of `pre`, `mid` and `post`; `binary` ones are `main` operators and `post` steps with an
operand. In a binary function `x` is the value that flows through the link and `k` the kernel or the step's operand.
The `code` of a function is its number in instruction binaries and never changes meaning.

Functions work on arrays of the caller's dtype and keep it, except the casts; comparisons and predicates return 1 and 0
in the same dtype. They never warn: overflow, division by zero and invalid arguments follow IEEE 754.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from dialects.gconv.spec import BIT_CASTS, CASTS

Array = npt.NDArray[Any]


class Arity(StrEnum):
    """How many tensors a scalar function reads."""

    UNARY = "unary"
    BINARY = "binary"


@dataclass(frozen=True)
class ScalarFunction:
    """A scalar function: `parameters` names its compile-time constants, `evaluate` is its meaning on arrays."""

    name: str
    code: int
    arity: Arity
    parameters: tuple[str, ...]
    doc: str
    evaluate: Callable[..., Array]
    result: str | None = None
    """NumPy name of the type that a cast gives; None: the type of the first operand."""


FUNCTIONS: dict[str, ScalarFunction] = {}
BY_CODE: dict[int, ScalarFunction] = {}


def _declare(
    code: int, arity: Arity, doc: str, *parameters: str
) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    def register(evaluate: Callable[..., Array]) -> Callable[..., Array]:
        name = evaluate.__name__.strip("_")
        function = ScalarFunction(name, code, arity, parameters, doc, evaluate)
        if name in FUNCTIONS or code in BY_CODE:
            raise ValueError(f"scalar function {name} ({code}) is declared twice")
        FUNCTIONS[name] = BY_CODE[code] = function
        return evaluate

    return register


def _unary(code: int, doc: str, *parameters: str) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    return _declare(code, Arity.UNARY, doc, *parameters)


def _binary(code: int, doc: str) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    return _declare(code, Arity.BINARY, doc)


def apply(name: str, *operands: Array, parameters: tuple[float, ...] = ()) -> Array:
    """The function `name` on arrays, in the dtype of the first operand, without floating-point warnings."""
    function = FUNCTIONS[name]
    with np.errstate(all="ignore"):
        result = function.evaluate(*operands, *parameters)
        return np.asarray(result, operands[0].dtype if function.result is None else function.result)


def scalar_of(value: float, dtype: np.dtype[Any]) -> Array:
    """One number in a dtype; integers saturate, so that -inf is the smallest value of any dtype."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if value <= limits.min:
            return np.asarray(limits.min, dtype)
        if value >= limits.max:
            return np.asarray(limits.max, dtype)
    elif dtype.kind == "b":
        return np.asarray(value > 0, dtype)
    return np.asarray(value, dtype)


# Unary: arithmetic -------------------------------------------------------------------------------------------------


@_unary(1, "x * scale + offset", "scale", "offset")
def _affine(x: Array, scale: float, offset: float) -> Array:
    if x.dtype.kind in "iu" and float(scale).is_integer() and float(offset).is_integer():
        # Two's complement, as integer arithmetic has it: parameters wrap around like results.
        wide = x.astype(np.int64)
        return (wide * np.int64(int(scale)) + np.int64(int(offset))).astype(x.dtype)
    return x * scale + offset


@_unary(2, "min(max(x, low), high); NaN stays NaN", "low", "high")
def _clip(x: Array, low: float, high: float) -> Array:
    return np.minimum(np.maximum(x, low), high)


@_unary(3, "|x|")
def _abs(x: Array) -> Array:
    return np.abs(x)


@_unary(4, "-x")
def _neg(x: Array) -> Array:
    return np.negative(x)


@_unary(5, "-1, 0 or 1")
def _sign(x: Array) -> Array:
    return np.sign(x)


@_unary(6, "largest integer not above x")
def _floor(x: Array) -> Array:
    return np.floor(x)


@_unary(7, "smallest integer not below x")
def _ceil(x: Array) -> Array:
    return np.ceil(x)


@_unary(8, "nearest integer, ties to even")
def _round(x: Array) -> Array:
    return np.rint(x)


@_unary(9, "x without its fraction, towards zero")
def _trunc(x: Array) -> Array:
    return np.trunc(x)


@_unary(10, "x * x")
def _square(x: Array) -> Array:
    return np.square(x)


@_unary(11, "square root")
def _sqrt(x: Array) -> Array:
    return np.sqrt(x)


@_unary(12, "1 / sqrt(x)")
def _rsqrt(x: Array) -> Array:
    return 1 / np.sqrt(x)


@_unary(13, "1 / x")
def _reciprocal(x: Array) -> Array:
    return 1 / x


@_unary(14, "x to the power of exponent", "exponent")
def _power(x: Array, exponent: float) -> Array:
    return np.power(x, exponent)


@_unary(15, "exponential")
def _exp(x: Array) -> Array:
    return np.exp(x)


@_unary(16, "natural logarithm")
def _log(x: Array) -> Array:
    return np.log(x)


@_unary(17, "sine")
def _sin(x: Array) -> Array:
    return np.sin(x)


@_unary(18, "cosine")
def _cos(x: Array) -> Array:
    return np.cos(x)


@_unary(19, "tangent")
def _tan(x: Array) -> Array:
    return np.tan(x)


@_unary(20, "inverse sine")
def _asin(x: Array) -> Array:
    return np.arcsin(x)


@_unary(21, "inverse cosine")
def _acos(x: Array) -> Array:
    return np.arccos(x)


@_unary(22, "inverse tangent")
def _atan(x: Array) -> Array:
    return np.arctan(x)


@_unary(23, "hyperbolic sine")
def _sinh(x: Array) -> Array:
    return np.sinh(x)


@_unary(24, "hyperbolic cosine")
def _cosh(x: Array) -> Array:
    return np.cosh(x)


@_unary(25, "hyperbolic tangent")
def _tanh(x: Array) -> Array:
    return np.tanh(x)


@_unary(26, "inverse hyperbolic sine")
def _asinh(x: Array) -> Array:
    return np.arcsinh(x)


@_unary(27, "inverse hyperbolic cosine")
def _acosh(x: Array) -> Array:
    return np.arccosh(x)


@_unary(28, "inverse hyperbolic tangent")
def _atanh(x: Array) -> Array:
    return np.arctanh(x)


@_unary(29, "error function")
def _erf(x: Array) -> Array:
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), x.dtype)


@_unary(30, "x / divisor", "divisor")
def _over(x: Array, divisor: float) -> Array:
    return x / divisor


def _exponent(x: Array, rounded: Callable[[Array], Array]) -> Array:
    """x rounded to a power of two; the sign is dropped, zero stays."""
    return np.where(x == 0, x, np.exp2(rounded(np.log2(np.abs(x)))))


@_unary(31, "|x| rounded up to a power of two")
def _power_of_two_up(x: Array) -> Array:
    return _exponent(x, np.ceil)


@_unary(32, "|x| rounded down to a power of two")
def _power_of_two_down(x: Array) -> Array:
    return _exponent(x, np.floor)


@_unary(33, "|x| rounded to the nearest power of two, the larger one half way between the two")
def _power_of_two_nearest(x: Array) -> Array:
    low = _exponent(x, np.floor)
    return np.where(np.abs(x) >= 1.5 * low, 2 * low, low)


@_unary(34, "min(max(x, low), high); NaN becomes low", "low", "high")
def _saturate(x: Array, low: float, high: float) -> Array:
    return np.fmin(np.fmax(x, low), high)


@_unary(35, "x, or value where x is zero", "value")
def _nonzero_or(x: Array, value: float) -> Array:
    return np.where(x == 0, value, x)


# Unary: activations (ONNX operators of the same name) ---------------------------------------------------------------


@_unary(40, "max(x, 0)")
def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


@_unary(41, "x if x >= 0 else alpha * x", "alpha")
def _leaky_relu(x: Array, alpha: float) -> Array:
    return np.where(x >= 0, x, alpha * x)


@_unary(42, "1 / (1 + exp(-x))")
def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


@_unary(43, "x if x >= 0 else alpha * (exp(x) - 1)", "alpha")
def _elu(x: Array, alpha: float) -> Array:
    return np.where(x >= 0, x, alpha * np.expm1(x))


@_unary(44, "gamma * (x if x > 0 else alpha * (exp(x) - 1))", "alpha", "gamma")
def _selu(x: Array, alpha: float, gamma: float) -> Array:
    return gamma * np.where(x > 0, x, alpha * np.expm1(x))


@_unary(45, "max(0, x) + min(0, alpha * (exp(x / alpha) - 1))", "alpha")
def _celu(x: Array, alpha: float) -> Array:
    return np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha))


@_unary(46, "min(max(alpha * x + beta, 0), 1)", "alpha", "beta")
def _hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    return np.clip(alpha * x + beta, 0, 1)


@_unary(47, "x * min(max(x / 6 + 1/2, 0), 1)")
def _hard_swish(x: Array) -> Array:
    return x * np.clip(x / 6 + 0.5, 0, 1)


@_unary(48, "x * sigmoid(alpha * x)", "alpha")
def _swish(x: Array, alpha: float) -> Array:
    return x / (1 + np.exp(-alpha * x))


@_unary(49, "x/2 * (1 + erf(x / sqrt 2))")
def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + _erf(x * math.sqrt(0.5)))


@_unary(50, "x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))")
def _gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


@_unary(51, "log(1 + exp(x))")
def _softplus(x: Array) -> Array:
    return np.logaddexp(x, 0)


@_unary(52, "x / (1 + |x|)")
def _softsign(x: Array) -> Array:
    return x / (1 + np.abs(x))


@_unary(53, "x * tanh(log(1 + exp(x)))")
def _mish(x: Array) -> Array:
    return x * np.tanh(np.logaddexp(x, 0))


@_unary(54, "x if x > alpha else 0", "alpha")
def _thresholded_relu(x: Array, alpha: float) -> Array:
    return np.where(x > alpha, x, 0)


@_unary(55, "x + bias below -lambda, x - bias above lambda, else 0", "bias", "lambda")
def _shrink(x: Array, bias: float, lambd: float) -> Array:
    return np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0))


# Unary: casts -------------------------------------------------------------------------------------------------------


def _declare_cast(code: int, name: str, dtype: str) -> None:
    keeps_bits = name in BIT_CASTS
    doc = f"x as {dtype}; floats lose their fraction towards zero, integers that do not fit wrap around"
    if keeps_bits:
        doc = f"the 32 bits of x read as {dtype}"

    def evaluate(x: Array) -> Array:
        return x.view(dtype) if keeps_bits else x.astype(dtype)

    FUNCTIONS[name] = BY_CODE[code] = ScalarFunction(name, code, Arity.UNARY, (), doc, evaluate, dtype)


for _code, (_name, _dtype) in enumerate(CASTS.items(), 70):
    _declare_cast(_code, _name, _dtype)


# Unary: predicates --------------------------------------------------------------------------------------------------


@_unary(60, "1 if x is zero, else 0")
def _not(x: Array) -> Array:
    return np.equal(x, 0)


@_unary(61, "1 if x is not a number, else 0")
def _isnan(x: Array) -> Array:
    return np.isnan(x)


@_unary(62, "1 if x is infinite, else 0; positive and negative say which sign counts", "positive", "negative")
def _isinf(x: Array, positive: float, negative: float) -> Array:
    return ((x == np.inf) & bool(positive)) | ((x == -np.inf) & bool(negative))


@_unary(63, "1 if x is not zero, else 0")
def _nonzero(x: Array) -> Array:
    return np.not_equal(x, 0)


# Binary -------------------------------------------------------------------------------------------------------------


@_binary(100, "x + k")
def _add(x: Array, k: Array) -> Array:
    return x + k


@_binary(101, "x - k")
def _sub(x: Array, k: Array) -> Array:
    return x - k


@_binary(102, "k - x")
def _rsub(x: Array, k: Array) -> Array:
    return k - x


@_binary(103, "x * k")
def _mul(x: Array, k: Array) -> Array:
    return x * k


@_binary(104, "x / k; integers are rounded towards zero")
def _div(x: Array, k: Array) -> Array:
    if x.dtype.kind not in "iu":
        return x / k
    quotient = x // k
    return quotient + ((quotient < 0) & (quotient * k != x))


@_binary(105, "k / x; integers are rounded towards zero")
def _rdiv(x: Array, k: Array) -> Array:
    return _div(k, x)


@_binary(106, "the larger; NaN wins")
def _max(x: Array, k: Array) -> Array:
    return np.maximum(x, k)


@_binary(107, "the smaller; NaN wins")
def _min(x: Array, k: Array) -> Array:
    return np.minimum(x, k)


@_binary(108, "x to the power of k; integers are rounded towards zero, 0 to a negative power is 0")
def _pow(x: Array, k: Array) -> Array:
    if x.dtype.kind != "i" or not (k < 0).any():
        return np.power(x, k)
    # Of the negative powers of integers, those of 1 and -1 alone are not 0.
    return np.where((k < 0) & (np.abs(x) != 1), 0, np.power(x, np.abs(k)))


@_binary(109, "k to the power of x")
def _rpow(x: Array, k: Array) -> Array:
    return _pow(k, x)


@_binary(110, "remainder of x / k with the sign of k")
def _mod(x: Array, k: Array) -> Array:
    return np.mod(x, k)


@_binary(111, "remainder of x / k with the sign of x")
def _fmod(x: Array, k: Array) -> Array:
    return np.fmod(x, k)


@_binary(112, "x if x >= 0 else k * x")
def _prelu(x: Array, k: Array) -> Array:
    return np.where(x >= 0, x, k * x)


@_binary(113, "1 if x = k, else 0")
def _eq(x: Array, k: Array) -> Array:
    return np.equal(x, k)


@_binary(114, "1 if x < k, else 0")
def _lt(x: Array, k: Array) -> Array:
    return np.less(x, k)


@_binary(115, "1 if x <= k, else 0")
def _le(x: Array, k: Array) -> Array:
    return np.less_equal(x, k)


@_binary(116, "1 if x > k, else 0")
def _gt(x: Array, k: Array) -> Array:
    return np.greater(x, k)


@_binary(117, "1 if x >= k, else 0")
def _ge(x: Array, k: Array) -> Array:
    return np.greater_equal(x, k)


@_binary(118, "1 if both are not zero, else 0")
def _and(x: Array, k: Array) -> Array:
    return np.logical_and(x, k)


@_binary(119, "1 if one is not zero, else 0")
def _or(x: Array, k: Array) -> Array:
    return np.logical_or(x, k)


@_binary(120, "1 if exactly one is not zero, else 0")
def _xor(x: Array, k: Array) -> Array:
    return np.logical_xor(x, k)


@_binary(121, "x where k is not zero, else 0")
def _keep(x: Array, k: Array) -> Array:
    return np.where(k != 0, x, 0)


@_binary(122, "x where k is zero, else 0")
def _drop(x: Array, k: Array) -> Array:
    return np.where(k == 0, x, 0)


@_binary(128, "1 if x = k or both are NaN, else 0")
def _same(x: Array, k: Array) -> Array:
    return np.equal(x, k) | (np.isnan(x) & np.isnan(k))


# Bits, of integers only ----------------------------------------------------------------------------------------------


@_unary(64, "all bits of an integer inverted")
def _bit_not(x: Array) -> Array:
    return np.invert(x)


@_binary(123, "bits that both integers have")
def _bit_and(x: Array, k: Array) -> Array:
    return np.bitwise_and(x, k)


@_binary(124, "bits that one of two integers has")
def _bit_or(x: Array, k: Array) -> Array:
    return np.bitwise_or(x, k)


@_binary(125, "bits that exactly one of two integers has")
def _bit_xor(x: Array, k: Array) -> Array:
    return np.bitwise_xor(x, k)


def _shift_within(x: Array, k: Array) -> tuple[Array, Array]:
    """Where shift amounts are less than the number of bits (and not negative), and amounts that are."""
    within = (k >= 0) & (k < 8 * x.dtype.itemsize)
    return within, np.where(within, k, 0).astype(x.dtype)


@_binary(126, "bits of an integer moved up by k places, 0 unless 0 <= k < number of bits")
def _shift_left(x: Array, k: Array) -> Array:
    within, amount = _shift_within(x, k)
    return np.where(within, np.left_shift(x, amount), 0)


@_binary(127, "bits of an integer moved down by k places, the sign kept; only the sign unless 0 <= k < number of bits")
def _shift_right(x: Array, k: Array) -> Array:
    within, amount = _shift_within(x, k)
    return np.where(within, np.right_shift(x, amount), np.where(x < 0, -1, 0).astype(x.dtype))
