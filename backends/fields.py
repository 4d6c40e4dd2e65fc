"""Field types of instructions: what a field may hold, its bits, its column, its text.

A field value has four forms. The *value* is what a person writes in Python (int, float, bool, enum member). The
*column* is a NumPy array of many values: int64 (uint64 for 64-bit unsigned fields), float32, bool, or the int64
codes of an enum. The *bits* are uint64 patterns as they stand in the instruction word. The *text* is assembly.
"""

from __future__ import annotations

import math
import re
import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field
from enum import Enum, IntEnum
from operator import index as index_of
from typing import Any, SupportsIndex, TypeVar

import numpy as np
import numpy.typing as npt


class OutOfRange(ValueError):
    """A text is well-formed, but its value does not fit the field; the message is the legal range."""


Array = npt.NDArray[Any]
Bits = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

METADATA_KEY = "catena.field"
"""The key under which a dataclass field's metadata holds its `FieldType`."""

MAX_BITS = 64

_QUIET = 0x400000
_FLOAT_TEXT = re.compile(
    r"[+-]?(?:(?P<inf>inf)|(?P<nan>nan)(?::0x(?P<payload>[0-9a-fA-F]{1,8}))?|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)",
    re.ASCII,
)


@dataclass(frozen=True)
class FieldType(ABC):
    """What one field of an instruction may hold; `bits` is its width in the instruction word (1 to 64)."""

    bits: int
    doc: str

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise ValueError(f"a field has 1 to {MAX_BITS} bits, not {self.bits}")

    @property
    @abstractmethod
    def type_name(self) -> str:
        """The type in the reference page, for example `u24`."""

    @property
    @abstractmethod
    def range_text(self) -> str:
        """The legal values, as a short phrase."""

    @property
    @abstractmethod
    def example(self) -> object:
        """A legal value, for the reference page."""

    @abstractmethod
    def to_column(self, values: Sequence[object]) -> tuple[Array, Mask]:
        """The column of `values`, and which of them are legal; the others have an arbitrary element."""

    @abstractmethod
    def to_values(self, column: Array) -> list[Any]:
        """The Python values of a column."""

    @abstractmethod
    def legal(self, column: Array) -> Mask:
        """Which elements of a column are legal."""

    @abstractmethod
    def to_bits(self, column: Array) -> Bits:
        """The bit patterns of a legal column, each below 2**bits."""

    @abstractmethod
    def from_bits(self, patterns: Bits) -> Array:
        """The column of bit patterns; check it with `legal`."""

    @abstractmethod
    def format(self, value: Any) -> str:
        """The assembly text of a legal value: no blanks, commas or semicolons; `parse` returns an equal value."""

    @abstractmethod
    def parse(self, text: str) -> Any:
        """The value of an assembly text.

        Raises `ValueError` whose message says what was expected, `OutOfRange` if only the range is wrong.
        """


@dataclass(frozen=True)
class IntegerField(FieldType):
    """An integer from `minimum` to `maximum`, two's complement if `signed`."""

    signed: bool
    minimum: int
    maximum: int

    def __post_init__(self) -> None:
        FieldType.__post_init__(self)
        lowest, highest = integer_range(self.bits, self.signed)
        if not lowest <= self.minimum <= self.maximum <= highest:
            raise ValueError(
                f"{self.minimum}..{self.maximum} is not a range within {self.bits} bits ({lowest}..{highest})"
            )

    @property
    def type_name(self) -> str:
        return f"{'i' if self.signed else 'u'}{self.bits}"

    @property
    def range_text(self) -> str:
        return f"{self.minimum}..{self.maximum}"

    @property
    def example(self) -> int:
        return min(max(self.minimum, 1), self.maximum)

    @property
    def _dtype(self) -> type[np.int64] | type[np.uint64]:
        return np.uint64 if self.bits == MAX_BITS and not self.signed else np.int64

    def to_column(self, values: Sequence[object]) -> tuple[Array, Mask]:
        # Without a dtype NumPy chooses one that loses nothing, or something else than an integer type.
        column = np.asarray(values) if values else np.zeros(0, self._dtype)
        if column.ndim == 1 and column.dtype.kind == "i":
            legal = self.legal(column)
            return np.where(legal, column, 0).astype(self._dtype), legal
        return self._to_column_one_by_one(values)

    def _to_column_one_by_one(self, values: Sequence[object]) -> tuple[Array, Mask]:
        column = np.zeros(len(values), self._dtype)
        legal = np.zeros(len(values), np.bool_)
        for index, value in enumerate(values):
            if isinstance(value, SupportsIndex) and not isinstance(value, (bool, np.bool_)):
                number = index_of(value)
                if self.minimum <= number <= self.maximum:
                    column[index] = number
                    legal[index] = True
        return column, legal

    def to_values(self, column: Array) -> list[int]:
        return column.tolist()

    def legal(self, column: Array) -> Mask:
        if column.dtype.kind == "u":
            return (column >= np.uint64(max(self.minimum, 0))) & (column <= np.uint64(max(self.maximum, 0)))
        highest = np.iinfo(np.int64).max
        return (column >= min(self.minimum, highest)) & (column <= min(self.maximum, highest))

    def to_bits(self, column: Array) -> Bits:
        return column.astype(self._dtype).view(np.uint64) & np.uint64((1 << self.bits) - 1)

    def from_bits(self, patterns: Bits) -> Array:
        if not self.signed:
            return patterns.astype(self._dtype)
        shift = np.int64(MAX_BITS - self.bits)
        return (patterns << np.uint64(shift)).view(np.int64) >> shift

    def format(self, value: int) -> str:
        return str(int(value))

    def parse(self, text: str) -> int:
        try:
            number = int(text, 0)
        except ValueError:
            raise ValueError(f"an integer, {self.range_text}") from None
        if not self.minimum <= number <= self.maximum:
            raise OutOfRange(self.range_text)
        return number


class FloatField(FieldType):
    """An IEEE-754 binary32 number; values are rounded to nearest, NaN payloads are kept."""

    @property
    def type_name(self) -> str:
        return "f32"

    @property
    def range_text(self) -> str:
        return "a number within the range of f32, inf, -inf or nan"

    @property
    def example(self) -> float:
        return 1.0

    def to_column(self, values: Sequence[object]) -> tuple[Array, Mask]:
        numbers = np.zeros(len(values), np.float64)
        legal = np.ones(len(values), np.bool_)
        for index, value in enumerate(values):
            if isinstance(value, (float, int, np.floating, np.integer)) and not isinstance(value, bool):
                try:
                    numbers[index] = value
                    continue
                except OverflowError:
                    pass
            legal[index] = False
        column = narrow(numbers)
        overflow = np.isinf(column) & np.isfinite(numbers)
        return column, legal & ~overflow

    def to_values(self, column: Array) -> list[float]:
        return widen(column).tolist()

    def legal(self, column: Array) -> Mask:
        return np.ones(column.shape, np.bool_)

    def to_bits(self, column: Array) -> Bits:
        return np.ascontiguousarray(column, np.float32).view(np.uint32).astype(np.uint64)

    def from_bits(self, patterns: Bits) -> Array:
        return patterns.astype(np.uint32).view(np.float32)

    def format(self, value: float) -> str:
        if math.isnan(value):
            pattern = int(narrow(np.array([value], np.float64)).view(np.uint32)[0])
            sign = "-" if pattern >> 31 else ""
            payload = pattern & 0x7FFFFF
            return f"{sign}nan" if payload == _QUIET else f"{sign}nan:{payload:#x}"
        shortest = str(np.float32(value))
        # A shortest decimal that is read as f64 first may in principle fall on a tie; the f64 digits cannot.
        is_exact = struct.pack("<f", float(shortest)) == struct.pack("<f", value)
        return shortest if is_exact else repr(float(np.float32(value)))

    def parse(self, text: str) -> float:
        match = _FLOAT_TEXT.fullmatch(text)
        if match is None:
            raise ValueError("a decimal number, inf, nan, or nan:0xPAYLOAD with a payload of 1 to 23 bits")
        if match["nan"]:
            payload = int(match["payload"] or hex(_QUIET), 16)
            if not 0 < payload < 1 << 23:
                raise OutOfRange("a payload of 1 to 23 bits")
            pattern = (0xFF800000 if text.startswith("-") else 0x7F800000) | payload
            return float(widen(np.array([pattern], np.uint32).view(np.float32))[0])
        number = float(text)
        try:
            struct.pack("<f", number)
        except OverflowError:
            raise OutOfRange(self.range_text) from None
        if math.isinf(number) and not match["inf"]:
            raise OutOfRange(self.range_text)
        return number


class FlagField(FieldType):
    """A yes or no, written 1 or 0."""

    @property
    def type_name(self) -> str:
        return "flag"

    @property
    def range_text(self) -> str:
        return "0 or 1"

    @property
    def example(self) -> bool:
        return True

    def to_column(self, values: Sequence[object]) -> tuple[Array, Mask]:
        legal = np.fromiter((isinstance(value, (bool, np.bool_)) for value in values), np.bool_, len(values))
        return np.fromiter((value is True or value == 1 for value in values), np.bool_, len(values)), legal

    def to_values(self, column: Array) -> list[bool]:
        return column.astype(np.bool_).tolist()

    def legal(self, column: Array) -> Mask:
        return np.ones(column.shape, np.bool_)

    def to_bits(self, column: Array) -> Bits:
        return column.astype(np.bool_).astype(np.uint64)

    def from_bits(self, patterns: Bits) -> Array:
        return patterns.astype(np.bool_)

    def format(self, value: bool) -> str:
        return "1" if value else "0"

    def parse(self, text: str) -> bool:
        if text not in ("0", "1"):
            raise ValueError("0 or 1")
        return text == "1"


@dataclass(frozen=True)
class EnumField(FieldType):
    """A member of an enumeration.

    The code of an `IntEnum` member is its value; members of any other enum are numbered from 0 in their order. The
    text of a member is its value if that is a string, else its name in lower case.
    """

    members: tuple[Enum, ...]
    codes: tuple[int, ...]

    def __post_init__(self) -> None:
        FieldType.__post_init__(self)
        texts = [self.format(member) for member in self.members]
        if not self.members or len(set(texts)) != len(texts):
            raise ValueError("an enumeration needs members with different texts")
        for text in texts:
            if not text or set(text) & set(" \t,;="):
                raise ValueError(f"{text!r} cannot be written in assembly")
        if min(self.codes) < 0 or max(self.codes) >= 1 << self.bits:
            raise ValueError(f"codes {sorted(self.codes)} do not fit {self.bits} bits")

    @property
    def type_name(self) -> str:
        return type(self.members[0]).__name__

    @property
    def range_text(self) -> str:
        return "one of " + ", ".join(self.format(member) for member in self.members)

    @property
    def example(self) -> Enum:
        return self.members[0]

    def to_column(self, values: Sequence[object]) -> tuple[Array, Mask]:
        code_of = dict(zip(self.members, self.codes, strict=True))
        member_type = type(self.members[0])
        found = [code_of[value] if isinstance(value, member_type) else -1 for value in values]
        column = np.asarray(found, np.int64)
        return column, column >= 0

    def to_values(self, column: Array) -> list[Enum]:
        member_of = dict(zip(self.codes, self.members, strict=True))
        return [member_of[code] for code in column.tolist()]

    def legal(self, column: Array) -> Mask:
        return np.isin(column, np.asarray(self.codes, np.int64))

    def to_bits(self, column: Array) -> Bits:
        return column.astype(np.uint64)

    def from_bits(self, patterns: Bits) -> Array:
        return patterns.astype(np.int64)

    def format(self, value: Enum) -> str:
        return value.value if isinstance(value.value, str) else value.name.lower()

    def parse(self, text: str) -> Enum:
        for member in self.members:
            if self.format(member) == text:
                return member
        raise ValueError(self.range_text)


def integer_range(bits: int, signed: bool) -> tuple[int, int]:
    """The smallest and largest integer of a width in bits."""
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def narrow(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """f64 to f32, rounded to nearest; a NaN keeps its sign and the upper 23 bits of its payload."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        result = numbers.astype(np.float32)
    nan = np.isnan(numbers)
    if nan.any():
        wide = numbers[nan].view(np.uint64)
        mantissa = (wide >> np.uint64(29)) & np.uint64(0x7FFFFF)
        # A payload only in the lower bits would turn the NaN into an infinity.
        mantissa = np.where(mantissa == 0, np.uint64(0x400000), mantissa)
        sign = (wide >> np.uint64(32)) & np.uint64(0x80000000)
        result.view(np.uint32)[nan] = (sign | np.uint64(0x7F800000) | mantissa).astype(np.uint32)
    return result


def widen(numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """f32 to f64, exact; a NaN keeps its sign and payload (a plain cast would make a signalling NaN quiet)."""
    with np.errstate(invalid="ignore"):
        result = numbers.astype(np.float64)
    nan = np.isnan(numbers)
    if nan.any():
        single = numbers[nan].view(np.uint32).astype(np.uint64)
        sign = (single & np.uint64(0x80000000)) << np.uint64(32)
        mantissa = (single & np.uint64(0x7FFFFF)) << np.uint64(29)
        result.view(np.uint64)[nan] = sign | np.uint64(0x7FF0000000000000) | mantissa
    return result


EnumT = TypeVar("EnumT", bound=Enum)


def unsigned(bits: int, doc: str, *, minimum: int = 0, maximum: int | None = None, default: int | None = None) -> int:
    """Declare an unsigned field of `bits` bits."""
    highest = integer_range(bits, signed=False)[1] if maximum is None else maximum
    return _declare(IntegerField(bits, doc, signed=False, minimum=minimum, maximum=highest), default)


def signed(
    bits: int, doc: str, *, minimum: int | None = None, maximum: int | None = None, default: int | None = None
) -> int:
    """Declare a two's-complement field of `bits` bits."""
    low, high = integer_range(bits, signed=True)
    kind = IntegerField(
        bits,
        doc,
        signed=True,
        minimum=low if minimum is None else minimum,
        maximum=high if maximum is None else maximum,
    )
    return _declare(kind, default)


def f32(doc: str, *, default: float | None = None) -> float:
    """Declare a 32-bit floating point field."""
    return _declare(FloatField(32, doc), default)


def flag(doc: str, *, default: bool | None = None) -> bool:
    """Declare a one-bit field that is true or false."""
    return _declare(FlagField(1, doc), default)


def enumeration(members: type[EnumT], bits: int, doc: str, *, default: EnumT | None = None) -> EnumT:
    """Declare a field of `bits` bits that holds a member of the enum `members`."""
    listed = tuple(members)
    codes = tuple(member.value if isinstance(member, IntEnum) else index for index, member in enumerate(listed))
    return _declare(EnumField(bits, doc, listed, codes), default)


def _declare(kind: FieldType, default: object) -> Any:
    return field(default=MISSING if default is None else default, metadata={METADATA_KEY: kind})
