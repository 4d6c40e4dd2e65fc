"""Element types: MLIR types and NumPy dtypes in pairs."""

from __future__ import annotations

import numpy as np
import pytest
from xdsl.dialects.builtin import BFloat16Type, IndexType, IntegerType, Signedness, i1, i8, i32

from dialects.element_types import element_type_of, numpy_dtype_of

DTYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
)  # fmt: skip


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_has_a_type_and_back(name: str) -> None:
    kind = element_type_of(name)
    assert numpy_dtype_of(kind) == np.dtype(name)
    assert numpy_dtype_of(kind).isnative


def test_no_two_dtypes_share_a_type() -> None:
    assert len({element_type_of(name) for name in DTYPES}) == len(DTYPES)


def test_signed_integers_are_signless_and_unsigned_ones_say_so() -> None:
    assert element_type_of(np.int32) == i32
    assert element_type_of(np.uint8) == IntegerType(8, Signedness.UNSIGNED)
    assert str(element_type_of(np.uint8)) == "ui8"
    assert element_type_of(bool) == i1


def test_byte_order_does_not_matter() -> None:
    assert element_type_of(">i4") == element_type_of("<i4") == i32


@pytest.mark.parametrize("dtype", ["complex64", "U3", "datetime64[s]", "object"])
def test_other_dtypes_have_none(dtype: str) -> None:
    with pytest.raises(TypeError, match="no element type for dtype"):
        element_type_of(dtype)


@pytest.mark.parametrize("kind", [IndexType(), BFloat16Type(), IntegerType(3), IntegerType(8, Signedness.SIGNED)])
def test_other_types_have_none(kind: object) -> None:
    with pytest.raises(TypeError, match="no dtype for element type"):
        numpy_dtype_of(kind)  # pyright: ignore[reportArgumentType]


def test_eight_bits_are_not_a_boolean() -> None:
    assert numpy_dtype_of(i8) == np.dtype(np.int8)
