"""Listings: a whole program as assembly text and side files, written and read.

Directives, in the order in which the disassembler writes them; keys are the fields of the named record:

    .program     `Metadata` without description and its digest
    .target      entries of the target description; may be repeated
    .constants   `ConstantEntry` and sha256: the words are in the side file `<sha256>.bin`
    .layer       `LayerEntry`
    .group       `GroupEntry`
    .tensor      `TensorEntry`
    .core        index=N; the instructions that follow are those of core N = 0, 1, ...
    .region      layer, loops of a `DebugEntry`; it starts here and ends at the next .region, .endregion or .core
    .endregion   nothing; ends a region

`.program` and `.target` come before the first `.core`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from backends.assembly import Assembler
from backends.canonical_json import Record, build_record
from backends.container import ConstantEntry
from backends.disassembly import image_digest, listing_lines
from backends.files import mapped, replacing
from backends.isa import Instruction, Isa
from backends.problems import Problems
from backends.program import (
    ConstantImage,
    DebugEntry,
    GroupEntry,
    LayerEntry,
    Metadata,
    Program,
    TensorEntry,
    check_program,
    target_digest,
)
from backends.syntax import Statement, statements
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean

RecordT = TypeVar("RecordT", bound=Record)
IsaFinder = Callable[[Metadata], Isa]
ImageFinder = Callable[[str], memoryview]


@dataclass(frozen=True)
class ConstantsDirective(ConstantEntry):
    """The operands of `.constants`."""

    sha256: str

    def __post_init__(self) -> None:
        ConstantEntry.__post_init__(self)
        if len(self.sha256) != 64 or set(self.sha256) - set("0123456789abcdef"):
            raise ValueError("sha256 is not 64 lower-case hex digits")


@dataclass(frozen=True)
class CoreDirective(Record):
    """The operands of `.core`."""

    index: int


@dataclass(frozen=True)
class RegionDirective(Record):
    """The operands of `.region`."""

    layer: str
    loops: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class EndRegionDirective(Record):
    """The operands of `.endregion`."""


def write_listing(program: Program, isa: Isa, path: Path) -> None:
    """Write the listing of a program to `path` and its constants to side files in the same folder.

    Raises `CatenaError`: CAT-C002 if a file cannot be written, and what `disassemble` raises.
    """
    with replacing(path) as stream:
        stream.writelines(f"{line}\n".encode("ascii") for line in listing_lines(program, isa))
    for image in program.constants:
        words = image.array()
        with replacing(path.parent / side_file(image_digest(words))) as stream:
            stream.write(words.data)


def read_listing(path: Path, isa_of: IsaFinder) -> Program:
    """The program of a listing; constants are mapped from its side files.

    Raises `CatenaError`: CAT-C002 for a file that cannot be read, and what `assemble_program` raises.
    """
    data = mapped(path, "CAT-A001")
    try:
        text = bytes(data).decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 text: {error.reason} at byte {error.start}"
        raise CatenaError(Diagnostic("CAT-A001", problem, where=str(path))) from None

    def image_of(digest: str) -> memoryview:
        return mapped(path.parent / side_file(digest), "CAT-C002")

    return assemble_program(text, isa_of, image_of, str(path))


def side_file(digest: str) -> str:
    """The name of the file that holds a constant image."""
    return f"{digest}.bin"


def assemble_program(text: str, isa_of: IsaFinder, image_of: ImageFinder, origin: str = "listing") -> Program:
    """The program of a listing.

    `isa_of` gives the instruction set for the metadata; `image_of` the bytes of a constant image by their SHA-256.
    `origin` names the text in messages. Raises `CatenaError` with all problems: CAT-A001 for syntax, unknown names
    and inconsistent tables, CAT-A002 for a field out of range, CAT-P002 for constants with another digest, and what
    the two functions raise.
    """
    reader = _Reader(isa_of, image_of, origin)
    for statement in statements(text, origin, reader.problems):
        reader.read(statement)
    return reader.program()


class _Reader:
    """Collects the parts of a program statement by statement."""

    def __init__(self, isa_of: IsaFinder, image_of: ImageFinder, origin: str):
        self.problems = Problems()
        self._isa_of = isa_of
        self._image_of = image_of
        self._origin = origin
        self._metadata: dict[str, Any] | None = None
        self._metadata_place = origin
        self._description: dict[str, Any] = {}
        self._constants: list[ConstantImage] = []
        self._tensors: list[TensorEntry] = []
        self._layers: list[LayerEntry] = []
        self._groups: list[GroupEntry] = []
        self._debug: list[DebugEntry] = []
        self._cores: list[list[Instruction]] = []
        self._region: tuple[RegionDirective, int] | None = None
        self._built: tuple[Metadata, Isa, Assembler] | None = None
        self._directives: dict[str, Callable[[Statement], None]] = {
            ".program": self._read_program,
            ".target": self._read_target,
            ".constants": self._read_constants,
            ".layer": self._read_layer,
            ".group": self._read_group,
            ".tensor": self._read_tensor,
            ".core": self._read_core,
            ".region": self._read_region,
            ".endregion": self._read_endregion,
        }

    def read(self, statement: Statement) -> None:
        """Take in one statement."""
        if not statement.is_directive:
            self._read_instruction(statement)
            return
        action = self._directives.get(statement.name)
        if action is None:
            hint = did_you_mean(statement.name, self._directives)
            self._report(statement, f"unknown directive {statement.name!r}", hint)
            return
        try:
            action(statement)
        except CatenaError as error:
            for diagnostic in error.diagnostics:
                self.problems.add(diagnostic)

    def program(self) -> Program:
        """The program, after all statements."""
        self._close_region()
        if self._built is None and not self.problems.is_full:
            message = "no code: a listing has at least one .core directive"
            self.problems.add(Diagnostic("CAT-A001", message, where=self._origin))
        self.problems.raise_if_any()
        assert self._built is not None
        metadata, isa, _ = self._built
        program = Program(
            metadata,
            tuple(isa.encode(instructions) for instructions in self._cores),
            tuple(self._constants),
            tuple(self._tensors),
            tuple(self._layers),
            tuple(self._debug),
            tuple(self._groups),
        )
        problems = check_program(program, "CAT-A001", self._origin)
        if problems:
            raise CatenaError(problems)
        return program

    def _read_program(self, statement: Statement) -> None:
        if self._metadata is not None:
            self._report(statement, ".program is given twice")
            return
        self._metadata = self._items(statement)
        for key in self._metadata.keys() & {"description", "target_sha256"}:
            self._report(statement, f"{key!r} follows from .target")
        self._metadata_place = statement.place(self._origin)

    def _read_target(self, statement: Statement) -> None:
        if self._built is not None:
            self._report(statement, ".target comes before the first .core")
            return
        items = self._items(statement)
        for key in items.keys() & self._description.keys():
            self._report(statement, f"target entry {key!r} is given twice")
        self._description.update(items)

    def _read_constants(self, statement: Statement) -> None:
        entry = self._record(ConstantsDirective, statement)
        data = self._image_of(entry.sha256)
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            message = f"the constants of memory {entry.memory!r} do not have the digest given for them"
            raise CatenaError(Diagnostic("CAT-P002", message, where=statement.place(self._origin)))
        try:
            self._constants.append(entry.image(data))
        except ValueError as error:
            self._report(statement, str(error))

    def _read_layer(self, statement: Statement) -> None:
        self._layers.append(self._record(LayerEntry, statement))

    def _read_group(self, statement: Statement) -> None:
        self._groups.append(self._record(GroupEntry, statement))

    def _read_tensor(self, statement: Statement) -> None:
        self._tensors.append(self._record(TensorEntry, statement))

    def _read_core(self, statement: Statement) -> None:
        self._close_region()
        self._cores.append([])
        if self._record(CoreDirective, statement).index != len(self._cores) - 1:
            self._report(statement, f"the next core is {len(self._cores) - 1}")
        if self._built is None:
            self._built = self._build(statement)

    def _build(self, statement: Statement) -> tuple[Metadata, Isa, Assembler]:
        if self._metadata is None:
            message = ".program comes before the first .core"
            raise CatenaError(Diagnostic("CAT-A001", message, where=statement.place(self._origin)))
        try:
            digest = target_digest(self._description)
        except ValueError as error:
            raise CatenaError(Diagnostic("CAT-A001", f".target: {error}", where=self._origin)) from None
        items = {**self._metadata, "description": self._description, "target_sha256": digest}
        metadata = build_record(Metadata, items, self._metadata_place, "CAT-A001")
        isa = self._isa_of(metadata)
        return metadata, isa, Assembler(isa, self._origin, self.problems)

    def _read_region(self, statement: Statement) -> None:
        region = self._record(RegionDirective, statement)
        if self._is_in_core(statement):
            self._close_region()
            self._region = (region, len(self._cores[-1]))

    def _read_endregion(self, statement: Statement) -> None:
        self._record(EndRegionDirective, statement)
        if self._region is None:
            self._report(statement, ".endregion without .region")
        self._close_region()

    def _read_instruction(self, statement: Statement) -> None:
        if not self._is_in_core(statement) or self._built is None:
            return
        instruction = self._built[2].instruction(statement)
        if instruction is not None:
            self._cores[-1].append(instruction)

    def _is_in_core(self, statement: Statement) -> bool:
        if not self._cores:
            self._report(statement, f"{statement.name} before the first .core")
        return bool(self._cores)

    def _close_region(self) -> None:
        """Enter the open region in the debug map; one without instructions vanishes."""
        if self._region is None:
            return
        region, start = self._region
        end = len(self._cores[-1])
        if start < end:
            self._debug.append(DebugEntry(len(self._cores) - 1, start, end, region.layer, region.loops))
        self._region = None

    def _items(self, statement: Statement) -> dict[str, Any]:
        items: dict[str, Any] = {}
        for operand in statement.operands:
            if operand.key in items:
                self._report(statement, f"key {operand.key!r} is given twice")
            items[operand.key] = operand.value
        return items

    def _record(self, kind: type[RecordT], statement: Statement) -> RecordT:
        return build_record(kind, self._items(statement), statement.place(self._origin), "CAT-A001")

    def _report(self, statement: Statement, message: str, hint: str = "") -> None:
        where = statement.place(self._origin)
        self.problems.add(Diagnostic("CAT-A001", message, where=where, hint=hint))
