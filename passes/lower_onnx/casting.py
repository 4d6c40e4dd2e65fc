"""Cast, CastLike and BitCast: the type of words changes on the way out of a link."""

from __future__ import annotations

from xdsl.ir import Attribute

from dialects.dtypes import NARROW_DTYPES
from dialects.element_types import numpy_dtype_of
from dialects.gconv import Dim, GConv, Step, element_type_of_value
from passes.lower_onnx.chain import Chain, dimension_names
from passes.lower_onnx.constraints import attribute_is
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor


def computing_dtype(element_type: Attribute) -> str:
    """The type in which words of an element type are computed with: their own, or f32 or i32 for narrow ones."""
    dtype = numpy_dtype_of(element_type)
    if dtype.name not in NARROW_DTYPES:
        return dtype.name
    return "int32" if "int" in dtype.name else "float32"


def converted(chain: Chain, x: Tensor, steps: tuple[Step, ...], element_type: Attribute) -> Tensor:
    """`steps` on every element of `x` in the type it is computed with, then the cast to another element type."""
    x = x.with_rank(max(1, x.rank))
    dims = tuple(Dim(name, opc=n) for name, n in zip(dimension_names(x.rank), x.shape, strict=True))
    acc = computing_dtype(x.element_type)
    own = numpy_dtype_of(x.element_type).name
    return chain.link(GConv(dims, post=steps, acc=acc if acc != own else None), x, element_type=element_type)


_LARGEST = {
    "float8_e4m3fn": 448.0,
    "float8_e4m3fnuz": 240.0,
    "float8_e5m2": 57344.0,
    "float8_e5m2fnuz": 57344.0,
    "float8_e8m0fnu": 2.0**127,
    "float4_e2m1fn": 6.0,
}
"""The largest finite number of each narrow float."""


def limits_of(element_type: Attribute) -> tuple[float, float]:
    """The smallest and largest number of an integer type or a narrow float."""
    name = numpy_dtype_of(element_type).name
    if name in _LARGEST:
        return -_LARGEST[name], _LARGEST[name]
    bits = int(name.removeprefix("u").removeprefix("int"))
    return (0.0, 2.0**bits - 1) if name.startswith("u") else (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)


@lowering("Cast", "CastLike", constraints=(attribute_is("round_mode", "up", "down", "nearest"),))
def cast(node: Node, chain: Chain) -> Tensor:
    """nothing if the type stays, else one link"""
    x, target = chain.input(node, 0), node.result_type()
    if x.element_type == target:
        return x
    return converted(chain, x, _steps(node, target), target)


def _steps(node: Node, target: Attribute) -> tuple[Step, ...]:
    """What a cast does before words take their new type: floats of 8 bits saturate, powers of two are rounded to."""
    dtype = numpy_dtype_of(target)
    saturates = bool(node.integer("saturate", 1))
    if dtype.name == "float8_e8m0fnu":
        mode = Step(f"power_of_two_{node.text('round_mode', 'up')}")
        return (mode, Step("clip", (2.0**-127, 2.0**127))) if saturates else (mode,)
    if dtype.name in NARROW_DTYPES and "float" in dtype.name and saturates:
        return (Step("clip", limits_of(target)),)
    return ()


@constraint(hint="cast between integers, or between f32 and integers of 32 bits")
def known_bits(node: Node) -> str | None:
    """both types are integers or bool, or both have 32 bits"""
    types = [numpy_dtype_of(kind) for kind in (element_type_of_value(node.required(0)), node.result_type())]
    if all(dtype.kind in "iub" for dtype in types) or all(dtype.itemsize == 4 for dtype in types):
        return None
    return " to ".join(dtype.name for dtype in types)


@lowering("BitCast", constraints=(known_bits,))
def bit_cast(node: Node, chain: Chain) -> Tensor:
    """nothing if the type stays, else one link; integers wrap around"""
    x, target = chain.input(node, 0), node.result_type()
    source, dtype = numpy_dtype_of(x.element_type), numpy_dtype_of(target)
    if source == dtype:
        return x
    steps: tuple[Step, ...] = ()
    if dtype.kind == "f":
        # Signed and unsigned words have the same bits.
        steps = (Step("to_int32"), Step("bits_to_float32"))
    elif source.kind == "f":
        steps = (Step("bits_to_int32"),)
    return converted(chain, x, steps, target)


CASTING = (*cast, *bit_cast)
