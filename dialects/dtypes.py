"""Element types by NumPy's names, those of `ml_dtypes` included; needs nothing of the IR."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

NARROW_DTYPES = frozenset(
    (
        "float8_e4m3fn",
        "float8_e4m3fnuz",
        "float8_e5m2",
        "float8_e5m2fnuz",
        "float8_e8m0fnu",
        "float4_e2m1fn",
        "int2",
        "int4",
        "uint2",
        "uint4",
    )
)
"""Types that tensors are stored in but nothing computes in; NumPy knows them through `ml_dtypes`."""


def dtype_named(name: str) -> np.dtype[Any]:
    """The NumPy dtype of that name.

    Raises `TypeError` for a name that is none.
    """
    if name in NARROW_DTYPES or name == "bfloat16":
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, name))
    return np.dtype(name)


def little_endian(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The same type with its lowest byte first."""
    return dtype if dtype.itemsize == 1 else dtype.newbyteorder("<")


def as_storage(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array with words of narrow types as bytes: NumPy's buffers and strided windows do not know those types."""
    return array.view(np.uint8) if _is_narrow(array.dtype) else array


@cache
def _is_narrow(dtype: np.dtype[Any]) -> bool:
    """Kept, because names of types are slow to make."""
    return dtype.name in NARROW_DTYPES


def narrowest(words: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Integers in the narrowest signed type of 8, 16 or 32 bits that holds them."""
    low, high = (int(words.min()), int(words.max())) if words.size else (0, 0)
    for dtype in (np.int8, np.int16):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return words.astype(dtype)
    return words.astype(np.int32)
