"""What can be known of a tensor at compile time: its type, and its words if it is a constant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class ValueType:
    """Element type and static shape of a tensor."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype.name}{list(self.shape)}"


@dataclass(frozen=True)
class KnownValue:
    """A tensor: its type, and its words if it is a constant."""

    type: ValueType
    array: Array | None = None

    @classmethod
    def of(cls, array: Array) -> KnownValue:
        """A constant."""
        return cls(ValueType(array.dtype, array.shape), array)
