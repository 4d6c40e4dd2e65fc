"""The program file (`.cat`): a header, a section table and sections.

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

Sections, one after the other in this order:

    metadata     canonical JSON of `Metadata`
    tensors      canonical JSON of `MemoryMap`: constant images and the tensor table
    debug        canonical JSON of `DebugMap`: layers, and instruction ranges that belong to them
    code.N       instruction words of core N, N = 0, 1, ...
    constants.N  words of constant image N, as the target stores them

Equal programs give equal bytes, and a file that loads is byte for byte what writing it again gives (unless its minor
version is newer): anything not in canonical form is refused. Every byte is under a checksum.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from backends.canonical_json import Record, canonical_record, parse_record
from backends.files import mapped, replacing
from backends.isa import Isa
from backends.program import (
    ConstantImage,
    DebugEntry,
    LayerEntry,
    Metadata,
    Program,
    TensorEntry,
    check_program,
)
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.dtypes import dtype_named, little_endian

MAGIC = b"\x89CAT\r\n\x1a\n"
FORMAT_MAJOR = 1
FORMAT_MINOR = 0
ALIGNMENT = 64
HEADER = struct.Struct("<8sHHIQ32s40x32s")
HEADER_DIGEST_AT = 96
ENTRY = struct.Struct("<32sQQ32s")
NAME_BYTES = 32
MAX_SECTIONS = 4096
MAX_JSON_BYTES = 64 << 20

Buffer = bytes | memoryview


@dataclass(frozen=True)
class ConstantEntry(Record):
    """What section `constants.N` holds: `size` words of type `word` from address `base` of a memory."""

    memory: str
    base: int
    size: int
    word: str

    def __post_init__(self) -> None:
        ConstantImage(self.memory, self.base, self.size, self.word, ())

    def image(self, data: Buffer) -> ConstantImage:
        """The image whose words are `data`, without a copy.

        Raises `ValueError` if `data` has not the right number of bytes.
        """
        dtype = little_endian(dtype_named(self.word))
        if self.size * dtype.itemsize != len(data):
            raise ValueError(f"{len(data)} bytes are not {self.size} words of {self.word}")
        words = np.frombuffer(data, dtype) if self.size else np.zeros(0, dtype)
        words.flags.writeable = False
        return ConstantImage(self.memory, self.base, self.size, self.word, ((self.base, words),))


@dataclass(frozen=True)
class MemoryMap(Record):
    """The section `tensors`."""

    constants: tuple[ConstantEntry, ...]
    tensors: tuple[TensorEntry, ...]


@dataclass(frozen=True)
class DebugMap(Record):
    """The section `debug`."""

    layers: tuple[LayerEntry, ...]
    entries: tuple[DebugEntry, ...]


@dataclass(frozen=True)
class Section:
    """An entry of the section table."""

    name: str
    offset: int
    size: int
    digest: bytes


def write_program(program: Program, path: Path) -> None:
    """Write a program file; a reader never sees a partial one, and equal programs give equal bytes.

    Raises `CatenaError`: CAT-C002 if the file cannot be written, CAT-I001 if the program is inconsistent.
    """
    with replacing(path) as stream:
        _write(program, stream)


def program_bytes(program: Program) -> bytes:
    """The program file in memory."""
    stream = io.BytesIO()
    _write(program, stream)
    return stream.getvalue()


def read_program(path: Path) -> Program:
    """Map and verify a program file; code and constants are views of the mapped file.

    Raises `CatenaError`: CAT-C002 if the file cannot be read, CAT-P001 if it is not a valid program, CAT-P002 if a
    checksum does not match, CAT-P003 for a newer format version.
    """
    return parse_program(mapped(path, "CAT-P001"), str(path))


def parse_program(data: Buffer, where: str) -> Program:
    """The program in a buffer; see `read_program`. `where` names it in messages."""
    view = memoryview(data)
    minor, sections = _read_table(view, where)
    parts = _verified_parts(view, sections, where)
    if minor > FORMAT_MINOR:
        parts = {name: part for name, part in parts.items() if _is_known(name)}
    fixed = ("metadata", "tensors", "debug")
    if tuple(parts)[: len(fixed)] != fixed:
        raise _invalid(where, f"the sections do not start with {', '.join(fixed)}")
    for name in fixed:
        if len(parts[name]) > MAX_JSON_BYTES:
            raise _invalid(where, f"section {name!r} is larger than {MAX_JSON_BYTES >> 20} MiB")
    metadata = parse_record(Metadata, bytes(parts["metadata"]), f"{where}: metadata")
    memory_map = parse_record(MemoryMap, bytes(parts["tensors"]), f"{where}: tensors")
    debug = parse_record(DebugMap, bytes(parts["debug"]), f"{where}: debug")
    code_count = sum(name.startswith("code.") for name in parts)
    expected = [*fixed, *_numbered("code", code_count), *_numbered("constants", len(memory_map.constants))]
    if list(parts) != expected:
        raise _invalid(where, "the sections are not the ones the tensor table calls for, in their order")
    images: list[ConstantImage] = []
    for index, entry in enumerate(memory_map.constants):
        try:
            images.append(entry.image(parts[f"constants.{index}"]))
        except ValueError as error:
            raise _invalid(f"{where}: constants.{index}", str(error)) from None
    program = Program(
        metadata,
        tuple(parts[name] for name in _numbered("code", code_count)),
        tuple(images),
        memory_map.tensors,
        debug.layers,
        debug.entries,
    )
    problems = check_program(program, "CAT-P001", where)
    if problems:
        raise CatenaError(problems)
    return program


def require_isa(program: Program, isa: Isa) -> None:
    """Check that a program is written in an instruction set.

    Raises `CatenaError` (CAT-P004) if its name, version or word width differs.
    """
    metadata = program.metadata
    found = (metadata.isa, metadata.isa_version, metadata.word_bits)
    expected = (isa.name, isa.version, isa.word_bits)
    if found != expected:
        raise CatenaError(
            Diagnostic(
                "CAT-P004",
                "the program is written for another instruction set",
                expected="{} version {} with words of {} bits".format(*expected),
                found="{} version {} with words of {} bits".format(*found),
                hint="compile the model again for this target",
            )
        )


def require_target(program: Program, name: str, digest: str) -> None:
    """Check that a program is for the target with this name and description digest.

    Raises `CatenaError` (CAT-P004) if it is not.
    """
    metadata = program.metadata
    if (metadata.target, metadata.target_sha256) != (name, digest):
        raise CatenaError(
            Diagnostic(
                "CAT-P004",
                "the program is for another target",
                expected=f"{name} ({digest[:16]})",
                found=f"{metadata.target} ({metadata.target_sha256[:16]})",
                hint="compile the model again for this target",
            )
        )


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}.{index}" for index in range(count)]


def _is_known(name: str) -> bool:
    return name in ("metadata", "tensors", "debug") or name.startswith(("code.", "constants."))


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _invalid(where: str, message: str) -> CatenaError:
    return CatenaError(Diagnostic("CAT-P001", message, where=where))


def _write(program: Program, stream: BinaryIO) -> None:
    problems = check_program(program, "CAT-I001", "program")
    if problems:
        raise CatenaError(problems)
    constants = tuple(ConstantEntry(image.memory, image.base, image.size, image.word) for image in program.constants)
    texts = {
        "metadata": canonical_record(program.metadata),
        "tensors": canonical_record(MemoryMap(constants, program.tensors)),
        "debug": canonical_record(DebugMap(program.layers, program.debug)),
    }
    sections: list[tuple[str, Iterator[Buffer]]] = [
        *((name, iter((text,))) for name, text in texts.items()),
        *((f"code.{core}", iter((words,))) for core, words in enumerate(program.code)),
        *((f"constants.{index}", _image_bytes(image)) for index, image in enumerate(program.constants)),
    ]
    # The table holds digests of what follows it, so its place is filled last; constants then stream through once.
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


def _image_bytes(image: ConstantImage) -> Iterator[Buffer]:
    try:
        for run in image.runs():
            yield run.view(np.uint8).data
    except ValueError as error:
        problem = Diagnostic("CAT-I001", f"constants of memory {image.memory!r}: {error}")
        raise CatenaError(problem) from error


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
        raise _invalid(where, "the file is empty")
    intact = _is_intact(MAGIC + head[len(MAGIC) :])
    if head[: len(MAGIC)] != MAGIC and not intact:
        raise _invalid(where, "not a Catena program: the file does not start with the magic bytes")
    if len(head) < HEADER.size:
        raise _invalid(where, f"truncated: {len(head)} bytes, the header alone has {HEADER.size}")
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
        raise _invalid(where, f"{state}: the file has {len(view)} bytes, the program {size}")
    table_end = HEADER.size + _aligned(ENTRY.size * count)
    if any(head[HEADER_DIGEST_AT - 40 : HEADER_DIGEST_AT]) or count > MAX_SECTIONS or table_end > size:
        raise _invalid(where, "the header is not valid")
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
            raise _invalid(where, f"section {index} has no valid name")
        if found_offset != offset or size > file_size - offset:
            raise _invalid(where, f"section {index} is not where it must be")
        sections.append(Section(name.decode("ascii"), offset, size, digest))
        offset += _aligned(size)
    names = [section.name for section in sections]
    if offset != file_size or any(table[count * ENTRY.size :]) or len(set(names)) != len(names):
        raise _invalid(where, "the sections do not fill the file, or two have the same name")
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
