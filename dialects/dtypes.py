"""Element types by NumPy's names, those of `ml_dtypes` included; needs nothing of the IR."""

from __future__ import annotations

from typing import Any

import numpy as np

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
