"""Element types of tensors: the pairs of MLIR type and NumPy dtype that Catena knows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import (
    Float16Type,
    Float32Type,
    Float64Type,
    IntegerType,
    Signedness,
    f16,
    f32,
    f64,
    i1,
)
from xdsl.ir import Attribute

_INTEGER_DTYPES: dict[tuple[int, Signedness], str] = {
    (8, Signedness.SIGNLESS): "int8",
    (16, Signedness.SIGNLESS): "int16",
    (32, Signedness.SIGNLESS): "int32",
    (64, Signedness.SIGNLESS): "int64",
    (8, Signedness.UNSIGNED): "uint8",
    (16, Signedness.UNSIGNED): "uint16",
    (32, Signedness.UNSIGNED): "uint32",
    (64, Signedness.UNSIGNED): "uint64",
}

_TYPE_OF_DTYPE: dict[str, Attribute] = {
    "float16": f16,
    "float32": f32,
    "float64": f64,
    "bool": i1,
    **{name: IntegerType(width, sign) for (width, sign), name in _INTEGER_DTYPES.items()},
}


def element_type_of(dtype: npt.DTypeLike) -> Attribute:
    """The MLIR element type of a NumPy dtype (signed integers are signless, unsigned ones `ui`).

    Raises `TypeError` for a dtype outside float, integer and bool.
    """
    name = np.dtype(dtype).name
    if name not in _TYPE_OF_DTYPE:
        raise TypeError(f"no element type for dtype {name}")
    return _TYPE_OF_DTYPE[name]


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
                return np.dtype(name)
        case _:
            pass
    raise TypeError(f"no dtype for element type {element_type}")
