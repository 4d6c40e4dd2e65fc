"""Streams as sections, each in whole bytes: bitmaps, which have their first bit lowest, and little-endian words."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.encodings.format import Array, Mask, Stream


def malformed(encoding: str, where: str, message: str, expected: str = "", found: str = "") -> CatenaError:
    """The error of a stream that is none of its format; `where` names the section and the place in it."""
    return CatenaError(Diagnostic("CAT-P005", f"{encoding}: {message}", "", "", where, expected, found))


def bitmap_bytes(bits: Mask) -> Stream:
    """Bits, in row-major order, as a section."""
    return np.packbits(bits, bitorder="little")


def word_bytes(words: Array) -> Stream:
    """Words of any type as a section."""
    return np.ascontiguousarray(words, words.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)


class SectionReader:
    """Takes the sections of a stream one after the other; what is wrong is an error that says where."""

    def __init__(self, encoding: str, stream: Stream):
        self.encoding, self.stream, self.position = encoding, np.ascontiguousarray(stream, np.uint8).reshape(-1), 0

    def bits(self, section: str, count: int) -> Mask:
        """The next `count` bits. Raises `CatenaError` if they are not there, or if bits behind them are set."""
        taken = self._bytes(section, -(-count // 8))
        unpacked = np.unpackbits(taken, bitorder="little")
        if unpacked[count:].any():
            place = count + int(np.flatnonzero(unpacked[count:])[0])
            raise self.error(section, f"bit {place}", "a bit is set behind the last one", f"{count} bits")
        return unpacked[:count].view(np.bool_)

    def words(self, section: str, count: int, dtype: npt.DTypeLike) -> Array:
        """The next `count` words. Raises `CatenaError` if they are not there."""
        kind = np.dtype(dtype)
        taken = self._bytes(section, count * kind.itemsize)
        return np.frombuffer(taken.tobytes(), kind.newbyteorder("<")).astype(kind, copy=False)

    def values(self, count: int, dtype: npt.DTypeLike) -> Array:
        """The words that are stored. Raises `CatenaError` if they are not there or one of them is zero."""
        words = self.words("values", count, dtype)
        if not words.all():
            raise self.error("values", f"word {int(np.argmin(words != 0))}", "a zero is stored as a value")
        return words

    def compressed(self, section: str, rows: int, columns: int, position_bits: int, coordinate_bits: int) -> Mask:
        """Which of `columns` each of `rows` stores, from their ends and coordinates: [rows, columns].

        Raises `CatenaError` if positions do not rise from 0, or coordinates within a row, or they are too large.
        """
        prefix = f"{section}, " if section else ""
        given = self.words(f"{prefix}positions", rows + 1, f"u{position_bits // 8}")
        falls = np.concatenate((given[:1] != 0, given[1:] < given[:-1]))
        if falls.any() or int(given[-1]) > rows * columns:
            wrong = int(np.argmax(falls)) if falls.any() else rows
            expected, found = f"from 0 upwards, to {rows * columns} at most", str(int(given[wrong]))
            raise self.error(f"{prefix}positions", f"word {wrong}", "positions are no ends of rows", expected, found)
        positions = given.astype(np.int64)
        count = int(positions[-1])
        coordinates = self.words(f"{prefix}coordinates", count, f"u{coordinate_bits // 8}").astype(np.int64)
        follows = np.ones(count, np.bool_)
        follows[1:] = coordinates[1:] > coordinates[:-1]
        starts = positions[:-1]
        follows[starts[starts < count]] = True
        follows &= (coordinates >= 0) & (coordinates < columns)
        if not follows.all():
            wrong = int(np.argmin(follows))
            expected, found = f"upwards within a row, below {columns}", str(int(coordinates[wrong]))
            place = f"word {wrong}"
            raise self.error(f"{prefix}coordinates", place, "a coordinate is out of order", expected, found)
        stored = np.zeros(rows * columns, np.bool_)
        coordinates += np.repeat(np.arange(rows, dtype=np.int64) * columns, np.diff(positions))
        stored[coordinates] = True
        return stored.reshape(rows, columns)

    def end(self) -> None:
        """Raises `CatenaError` if anything is left."""
        left = self.stream.size - self.position
        if left:
            found = f"{left} more"
            raise malformed(
                self.encoding, f"byte {self.position}", "the stream goes on behind its end", "no more bytes", found
            )

    def error(self, section: str, place: str, message: str, expected: str = "", found: str = "") -> CatenaError:
        """The error that something in a section is wrong."""
        return malformed(self.encoding, f"{section}, {place}", message, expected, found)

    def _bytes(self, section: str, count: int) -> Stream:
        taken = self.stream[self.position : self.position + count]
        if taken.size != count:
            place = f"byte {self.stream.size} of the stream"
            raise self.error(section, place, "the stream ends too early", f"{count} bytes", f"{taken.size} bytes")
        self.position += count
        return taken
