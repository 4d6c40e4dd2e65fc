"""An ONNX file read in two parts: the model without the words of large initializers, and those words.

Protobuf copies words twice on their way from a file to an array, which is most of what importing a large model costs.
A message is a row of fields, each a key (its number and the kind of its value) and a value. Here only the way to
`ModelProto.graph.initializer.raw_data` is followed, and everything else is passed on to protobuf as it is.
"""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

LARGE = 4096
"""Words of initializers that take at least so many bytes are read apart from the message."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WAY = tuple(number << 3 | _BYTES for number in (7, 5, 9))
"""The keys of `ModelProto.graph`, `GraphProto.initializer` and `TensorProto.raw_data`."""
_LONGEST_VARINT = 10
_ALIGNMENT = 64


@dataclass(frozen=True)
class SplitFile:
    """The bytes of a model's message, and the bytes that are missing in it.

    `words` has an entry for every initializer of the graph: the value of `raw_data`, None if it is in the message.
    """

    message: bytes
    words: tuple[npt.NDArray[np.uint8] | None, ...]


def split_file(path: Path, maps_words: bool = False) -> SplitFile | None:
    """The two parts of a file; None if it is no protobuf message, or no regular file.

    With `maps_words` the words stay in the file until they are used, which must not change as long as they live; they
    need not be aligned then.

    Raises `OSError`, and `ValueError` if the path is none.
    """
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        size = stream.seek(0, io.SEEK_END)
        splitter = _Splitter(stream)
        try:
            message = splitter.without_words(0, size, _WAY)
        except _NotAMessageError:
            return None
        bring = _map_all if maps_words else _read_all
        return SplitFile(message, bring(stream, splitter.words))


class _NotAMessageError(Exception):
    """The bytes are no row of fields."""


@dataclass
class _Splitter:
    stream: io.BufferedReader
    words: list[range | None] = field(default_factory=list["range | None"])
    """Where the words of each initializer are in the file, None if they stay in the message."""

    def without_words(self, start: int, end: int, way: tuple[int, ...]) -> bytes:
        """The bytes of a message between two places of the file, without large words at the end of the way."""
        wanted, *further = way
        parts: list[bytes] = []
        words: range | None = None
        for key, place, value in self._fields(start, end):
            if key != wanted:
                parts.append(self._bytes(range(place, value.stop)))
            elif further:
                inner = self.without_words(value.start, value.stop, tuple(further))
                parts += (_varint(key), _varint(len(inner)), inner)
            else:
                # Of a field that occurs several times the last one counts.
                words = value
        if not further:
            if words is not None and len(words) < LARGE:
                parts += (_varint(wanted), _varint(len(words)), self._bytes(words))
                words = None
            self.words.append(words)
        return b"".join(parts)

    def _fields(self, start: int, end: int) -> Iterator[tuple[int, int, range]]:
        """Key, place and place of the value of every field of a message."""
        place = start
        while place < end:
            self.stream.seek(place)
            key, at = self._read_varint(place)
            match key & 7:
                case 0:
                    _, stop = self._read_varint(at)
                case 1:
                    stop = at + 8
                case 2:
                    length, at = self._read_varint(at)
                    stop = at + length
                case 5:
                    stop = at + 4
                case _:
                    raise _NotAMessageError
            if stop > end:
                raise _NotAMessageError
            yield key, place, range(at, stop)
            place = stop

    def _read_varint(self, place: int) -> tuple[int, int]:
        """A number of seven bits to a byte, the lowest first, and the place after it."""
        number = 0
        for index in range(_LONGEST_VARINT):
            byte = self.stream.read(1)
            if not byte:
                break
            number |= (byte[0] & 0x7F) << 7 * index
            if byte[0] < 0x80:
                return number, place + index + 1
        raise _NotAMessageError

    def _bytes(self, where: range) -> bytes:
        self.stream.seek(where.start)
        return self.stream.read(len(where))


def _varint(number: int) -> bytes:
    groups = [number >> shift & 0x7F for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def _map_all(stream: io.BufferedReader, places: list[range | None]) -> tuple[npt.NDArray[np.uint8] | None, ...]:
    """What is at some places of a file, in the file's own pages."""
    if not any(places):
        return (None,) * len(places)
    whole = np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    return tuple(None if place is None else whole[place.start : place.stop] for place in places)


def _read_all(stream: io.BufferedReader, places: list[range | None]) -> tuple[npt.NDArray[np.uint8] | None, ...]:
    """What is at some places of a file, all in one block of memory, at addresses that suit any type."""
    sizes = [0 if place is None else -(-len(place) // _ALIGNMENT) * _ALIGNMENT for place in places]
    block = np.empty(sum(sizes), np.uint8)
    found: list[npt.NDArray[np.uint8] | None] = []
    start = 0
    for place, size in zip(places, sizes, strict=True):
        if place is None:
            found.append(None)
            continue
        part = block[start : start + len(place)]
        stream.seek(place.start)
        if stream.readinto(part.data) != len(place):
            raise OSError("the file became shorter while it was read")
        found.append(part)
        start += size
    return tuple(found)
