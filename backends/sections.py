"""Files of named sections in which every byte is under a checksum: what a program file is made of.

All numbers are little-endian. Every part starts at a multiple of 64 bytes; the padding before the next one is zero.

Header, 128 bytes; these fields keep their places in every format version:

    offset  size
         0     8  magic 89 43 41 54 0d 0a 1a 0a
         8     2  format major: a reader refuses a newer one
        10     2  format minor: a newer one may only add sections that a reader can ignore
        12     4  number of sections
        16     8  size of the file in bytes
        24    32  SHA-256 of the section table and its padding
        56    40  zero
        96    32  SHA-256 of bytes 0 to 95

Section table, 80 bytes per section, in the order of the sections:

         0    32  name, ASCII, padded with zero bytes
        32     8  offset in the file
        40     8  size in bytes, without padding
        48    32  SHA-256 of the section and its padding

The header's own digest thus covers the whole file, as the root of a tree of digests does.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from dialects.diagnostics import CatenaError, Diagnostic

MAGIC = b"\x89CAT\r\n\x1a\n"
FORMAT_MAJOR = 1
FORMAT_MINOR = 0
ALIGNMENT = 64
HEADER = struct.Struct("<8sHHIQ32s40x32s")
HEADER_DIGEST_AT = 96
ENTRY = struct.Struct("<32sQQ32s")
NAME_BYTES = 32
MAX_SECTIONS = 4096

Buffer = bytes | memoryview


@dataclass(frozen=True)
class Section:
    """An entry of the section table."""

    name: str
    offset: int
    size: int
    digest: bytes


def write_sections(sections: Sequence[tuple[str, Iterable[Buffer]]], stream: BinaryIO) -> None:
    """Write a file of sections: the name of each, and its content in chunks, which stream through once."""
    # The table holds digests of what follows it, so its place is filled last.
    table_end = HEADER.size + _aligned(ENTRY.size * len(sections))
    stream.write(bytes(table_end))
    entries: list[Section] = []
    offset = table_end
    for name, chunks in sections:
        digest = hashlib.sha256()
        size = 0
        for chunk in chunks:
            digest.update(chunk)
            stream.write(chunk)
            size += len(chunk)
        padding = bytes(_aligned(size) - size)
        digest.update(padding)
        stream.write(padding)
        entries.append(Section(name, offset, size, digest.digest()))
        offset += size + len(padding)
    table = _table_bytes(entries)
    stream.seek(0)
    stream.write(_header_bytes(len(entries), offset, hashlib.sha256(table).digest()))
    stream.write(table)


def read_sections(data: Buffer, where: str) -> tuple[int, dict[str, memoryview]]:
    """The minor format version and the sections of a file by name, as views of it, after every checksum was checked.

    Raises `CatenaError`: CAT-P001 if it is no such file, CAT-P002 if a checksum does not match, CAT-P003 for a newer
    format version. `where` names the file in messages.
    """
    view = memoryview(data)
    minor, sections = _read_table(view, where)
    return minor, _verified_parts(view, sections, where)


def root_digest(data: Buffer) -> str:
    """The digest that covers all of a file, as hex digits, from its header; only `read_sections` checks it."""
    return bytes(data[HEADER_DIGEST_AT : HEADER.size]).hex()


def invalid(where: str, message: str, hint: str = "") -> CatenaError:
    """The error for a file that is not what it should be (CAT-P001)."""
    return CatenaError(Diagnostic("CAT-P001", message, where=where, hint=hint))


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _table_bytes(sections: Sequence[Section]) -> bytes:
    table = b"".join(ENTRY.pack(each.name.encode("ascii"), each.offset, each.size, each.digest) for each in sections)
    return table + bytes(_aligned(len(table)) - len(table))


def _header_bytes(count: int, size: int, table_digest: bytes) -> bytes:
    head = HEADER.pack(MAGIC, FORMAT_MAJOR, FORMAT_MINOR, count, size, table_digest, b"")[:HEADER_DIGEST_AT]
    return head + hashlib.sha256(head).digest()


def _read_table(view: memoryview, where: str) -> tuple[int, list[Section]]:
    """The minor version and the section table, with everything checked but the sections' contents."""
    head = bytes(view[: HEADER.size])
    if not head:
        raise invalid(where, "the file is empty")
    intact = _is_intact(MAGIC + head[len(MAGIC) :])
    if head[: len(MAGIC)] != MAGIC and not intact:
        hint = "`catena compile` makes a program of an ONNX model or of IR"
        raise invalid(where, "not a Catena program: the file does not start with the magic bytes", hint)
    if len(head) < HEADER.size:
        raise invalid(where, f"truncated: {len(head)} bytes, the header alone has {HEADER.size}")
    if head[: len(MAGIC)] != MAGIC or not intact:
        raise CatenaError(Diagnostic("CAT-P002", "the header is damaged", where=where))
    _, major, minor, count, size, table_digest, _ = HEADER.unpack(head)
    if major != FORMAT_MAJOR:
        raise CatenaError(
            Diagnostic(
                "CAT-P003",
                "the program has another format version",
                where=where,
                expected=f"{FORMAT_MAJOR}.x",
                found=f"{major}.{minor}",
                hint="use the version of catena that wrote it, or compile the model again",
            )
        )
    if len(view) != size:
        state = "truncated" if len(view) < size else "something follows the program"
        raise invalid(where, f"{state}: the file has {len(view)} bytes, the program {size}")
    table_end = HEADER.size + _aligned(ENTRY.size * count)
    if any(head[HEADER_DIGEST_AT - 40 : HEADER_DIGEST_AT]) or count > MAX_SECTIONS or table_end > size:
        raise invalid(where, "the header is not valid")
    table = bytes(view[HEADER.size : table_end])
    if hashlib.sha256(table).digest() != table_digest:
        raise CatenaError(Diagnostic("CAT-P002", "the section table is damaged", where=where))
    return minor, _read_entries(table, count, size, where)


def _is_intact(head: bytes) -> bool:
    return hashlib.sha256(head[:HEADER_DIGEST_AT]).digest() == head[HEADER_DIGEST_AT:]


def _read_entries(table: bytes, count: int, file_size: int, where: str) -> list[Section]:
    sections: list[Section] = []
    offset = HEADER.size + len(table)
    for index in range(count):
        raw_name, found_offset, size, digest = ENTRY.unpack_from(table, index * ENTRY.size)
        name = raw_name.rstrip(b"\0")
        if not name.isascii() or not name or b"\0" in name:
            raise invalid(where, f"section {index} has no valid name")
        if found_offset != offset or size > file_size - offset:
            raise invalid(where, f"section {index} is not where it must be")
        sections.append(Section(name.decode("ascii"), offset, size, digest))
        offset += _aligned(size)
    names = [section.name for section in sections]
    if offset != file_size or any(table[count * ENTRY.size :]) or len(set(names)) != len(names):
        raise invalid(where, "the sections do not fill the file, or two have the same name")
    return sections


def _verified_parts(view: memoryview, sections: Sequence[Section], where: str) -> dict[str, memoryview]:
    parts: dict[str, memoryview] = {}
    damaged: list[Diagnostic] = []
    for section in sections:
        padded = view[section.offset : section.offset + _aligned(section.size)]
        parts[section.name] = padded[: section.size]
        if hashlib.sha256(padded).digest() != section.digest:
            message = f"section {section.name!r} is damaged: its checksum does not match"
            damaged.append(Diagnostic("CAT-P002", message, where=where))
        elif any(padded[section.size :]):
            damaged.append(Diagnostic("CAT-P001", f"the padding of section {section.name!r} is not zero", where=where))
    if damaged:
        raise CatenaError(damaged)
    return parts
