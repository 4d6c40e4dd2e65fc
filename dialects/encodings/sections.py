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
