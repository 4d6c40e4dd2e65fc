"""Words of memories as NumPy types."""

from __future__ import annotations

from typing import Any

import numpy as np

from backends.spatial.codes import Word
from dialects.dtypes import dtype_named

_DTYPES: dict[Word, str] = {
    Word.F32: "float32",
    Word.I1: "bool",
    Word.I2: "int2",
    Word.UI2: "uint2",
    Word.I4: "int4",
    Word.UI4: "uint4",
    Word.I8: "int8",
    Word.UI8: "uint8",
    Word.I16: "int16",
    Word.UI16: "uint16",
    Word.I32: "int32",
    Word.UI32: "uint32",
    Word.I64: "int64",
    Word.UI64: "uint64",
    Word.F8E4M3FN: "float8_e4m3fn",
    Word.F8E4M3FNUZ: "float8_e4m3fnuz",
    Word.F8E5M2: "float8_e5m2",
    Word.F8E5M2FNUZ: "float8_e5m2fnuz",
    Word.F8E8M0FNU: "float8_e8m0fnu",
    Word.F4E2M1FN: "float4_e2m1fn",
}
_WORDS = {name: word for word, name in _DTYPES.items()}


def dtype_of_word(word: Word) -> np.dtype[Any]:
    """The NumPy type of a word."""
    return dtype_named(_DTYPES[word])


def word_of_dtype(dtype: np.dtype[Any]) -> Word | None:
    """The word that holds a NumPy type; None if no word does."""
    return _WORDS.get(dtype.name)
