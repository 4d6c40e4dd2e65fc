"""Element types of tensors: the pairs of MLIR type and NumPy dtype that Catena knows."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import (
    Float4E2M1FNType,
    Float8E4M3FNType,
    Float8E4M3FNUZType,
    Float8E5M2FNUZType,
    Float8E5M2Type,
    Float8E8M0FNUType,
    Float16Type,
    Float32Type,
    Float64Type,
    IntegerType,
    Signedness,
    TensorType,
    f16,
    f32,
    f64,
    i1,
)
from xdsl.ir import Attribute

from dialects.dtypes import dtype_named

_INTEGER_DTYPES: dict[tuple[int, Signedness], str] = {
    (2, Signedness.SIGNLESS): "int2",
    (4, Signedness.SIGNLESS): "int4",
    (2, Signedness.UNSIGNED): "uint2",
    (4, Signedness.UNSIGNED): "uint4",
    (8, Signedness.SIGNLESS): "int8",
    (16, Signedness.SIGNLESS): "int16",
    (32, Signedness.SIGNLESS): "int32",
    (64, Signedness.SIGNLESS): "int64",
    (8, Signedness.UNSIGNED): "uint8",
    (16, Signedness.UNSIGNED): "uint16",
    (32, Signedness.UNSIGNED): "uint32",
    (64, Signedness.UNSIGNED): "uint64",
}

_NARROW_FLOATS: dict[str, Attribute] = {
    "float8_e4m3fn": Float8E4M3FNType(),
    "float8_e4m3fnuz": Float8E4M3FNUZType(),
    "float8_e5m2": Float8E5M2Type(),
    "float8_e5m2fnuz": Float8E5M2FNUZType(),
    "float8_e8m0fnu": Float8E8M0FNUType(),
    "float4_e2m1fn": Float4E2M1FNType(),
}

_TYPE_OF_DTYPE: dict[str, Attribute] = {
    "float16": f16,
    "float32": f32,
    "float64": f64,
    "bool": i1,
    **_NARROW_FLOATS,
    **{name: IntegerType(width, sign) for (width, sign), name in _INTEGER_DTYPES.items()},
}


@lru_cache(1 << 6)
def element_type_of(dtype: npt.DTypeLike) -> Attribute:
    """The MLIR element type of a NumPy dtype (signed integers are signless, unsigned ones `ui`).

    Raises `TypeError` for a dtype outside float, integer and bool.
    """
    name = np.dtype(dtype).name
    if name not in _TYPE_OF_DTYPE:
        raise TypeError(f"no element type for dtype {name}")
    return _TYPE_OF_DTYPE[name]


@lru_cache(1 << 6)
def numpy_dtype_of(element_type: Attribute) -> np.dtype[np.generic]:
    """The NumPy dtype of an MLIR element type.

    Raises `TypeError` for a type outside float, integer and i1.
    """
    match element_type:
        case Float16Type():
            return np.dtype(np.float16)
        case Float32Type():
            return np.dtype(np.float32)
        case Float64Type():
            return np.dtype(np.float64)
        case IntegerType(width=width) if width.data == 1:
            return np.dtype(np.bool_)
        case IntegerType(width=width, signedness=sign):
            name = _INTEGER_DTYPES.get((width.data, sign.data))
            if name is not None:
                return dtype_named(name)
        case _:
            for name, narrow in _NARROW_FLOATS.items():
                if narrow == element_type:
                    return dtype_named(name)
    raise TypeError(f"no dtype for element type {element_type}")


@lru_cache(1 << 12)
def tensor_type(element_type: Attribute, shape: tuple[int, ...]) -> TensorType[Attribute]:
    """The type of a tensor; many tensors of a network have the same, which is made and checked once."""
    return TensorType(element_type, shape)
