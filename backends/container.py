"""The program file (`.cat`): sections as `backends.sections` has them, one after the other in this order:

    metadata     canonical JSON of `Metadata`
    tensors      canonical JSON of `MemoryMap`: constant images and the tensor table
    debug        canonical JSON of `DebugMap`: layers, instruction ranges that belong to them, fused groups
    code.N       instruction words of core N, N = 0, 1, ...
    constants.N  words of constant image N, as the target stores them

Equal programs give equal bytes, and a file that loads is byte for byte what writing it again gives (unless its minor
version is newer): anything not in canonical form is refused.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
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
    GroupEntry,
    LayerEntry,
    Metadata,
    Program,
    TensorEntry,
    check_program,
)
from backends.sections import FORMAT_MINOR, Buffer, invalid, read_sections, write_sections
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.dtypes import dtype_named, little_endian

MAX_JSON_BYTES = 64 << 20


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
    groups: tuple[GroupEntry, ...] = ()


def write_program(program: Program, path: Path, require: Callable[[], None] = lambda: None) -> None:
    """Write a program file; a reader never sees a partial one, and equal programs give equal bytes.

    What `require` raises once all is read that is written keeps the file from its place. Raises `CatenaError`: CAT-C002
    if the file cannot be written, CAT-I001 if the program is inconsistent.
    """
    with replacing(path) as stream:
        _write(program, stream)
        require()


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
    minor, parts = read_sections(data, where)
    if minor > FORMAT_MINOR:
        parts = {name: part for name, part in parts.items() if _is_known(name)}
    fixed = ("metadata", "tensors", "debug")
    if tuple(parts)[: len(fixed)] != fixed:
        raise invalid(where, f"the sections do not start with {', '.join(fixed)}")
    for name in fixed:
        if len(parts[name]) > MAX_JSON_BYTES:
            raise invalid(where, f"section {name!r} is larger than {MAX_JSON_BYTES >> 20} MiB")
    metadata = parse_record(Metadata, bytes(parts["metadata"]), f"{where}: metadata")
    memory_map = parse_record(MemoryMap, bytes(parts["tensors"]), f"{where}: tensors")
    debug = parse_record(DebugMap, bytes(parts["debug"]), f"{where}: debug")
    code_count = sum(name.startswith("code.") for name in parts)
    expected = [*fixed, *_numbered("code", code_count), *_numbered("constants", len(memory_map.constants))]
    if list(parts) != expected:
        raise invalid(where, "the sections are not the ones the tensor table calls for, in their order")
    images: list[ConstantImage] = []
    for index, entry in enumerate(memory_map.constants):
        try:
            images.append(entry.image(parts[f"constants.{index}"]))
        except ValueError as error:
            raise invalid(f"{where}: constants.{index}", str(error)) from None
    program = Program(
        metadata,
        tuple(parts[name] for name in _numbered("code", code_count)),
        tuple(images),
        memory_map.tensors,
        debug.layers,
        debug.entries,
        debug.groups,
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


def _write(program: Program, stream: BinaryIO) -> None:
    problems = check_program(program, "CAT-I001", "program")
    if problems:
        raise CatenaError(problems)
    constants = tuple(ConstantEntry(image.memory, image.base, image.size, image.word) for image in program.constants)
    texts = {
        "metadata": canonical_record(program.metadata),
        "tensors": canonical_record(MemoryMap(constants, program.tensors)),
        "debug": canonical_record(DebugMap(program.layers, program.debug, program.groups)),
    }
    sections: list[tuple[str, Iterable[Buffer]]] = [
        *((name, (text,)) for name, text in texts.items()),
        *((f"code.{core}", (words,)) for core, words in enumerate(program.code)),
        *((f"constants.{index}", _image_bytes(image)) for index, image in enumerate(program.constants)),
    ]
    write_sections(sections, stream)


def _image_bytes(image: ConstantImage) -> Iterator[Buffer]:
    try:
        for run in image.runs():
            yield run.view(np.uint8).data
    except ValueError as error:
        problem = Diagnostic("CAT-I001", f"constants of memory {image.memory!r}: {error}")
        raise CatenaError(problem) from error
