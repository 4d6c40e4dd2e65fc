"""Programs as assembly text and back: what `catena disasm` and `catena asm` do."""

from __future__ import annotations

from pathlib import Path

from backends.container import read_program, write_program
from backends.disassembly import disassemble
from backends.isa import Isa
from backends.listing import read_listing, write_listing
from backends.program import Metadata, Program
from backends.registry import find_backend


def program_backend_isa(metadata: Metadata) -> Isa:
    """The instruction set that a program is written in.

    Raises `CatenaError` (CAT-C001, CAT-C006) if its backend is not installed or cannot be loaded.
    """
    return find_backend(metadata.backend).isa()


def disassemble_program(path: Path) -> str:
    """The listing of a program file.

    Raises `CatenaError`: CAT-C002, CAT-P001 to CAT-P004.
    """
    program = read_program(path)
    return disassemble(program, program_backend_isa(program.metadata))


def write_disassembly(path: Path, output: Path) -> None:
    """Write the listing of a program, and its constants beside it. Raises `CatenaError` as `disassemble_program`."""
    program = read_program(path)
    write_listing(program, program_backend_isa(program.metadata), output)


def assemble_file(path: Path, output: Path) -> Program:
    """Assemble a listing into a program file; the constants are read from beside the listing.

    Raises `CatenaError`: CAT-C002, CAT-A001, CAT-A002, CAT-P002.
    """
    program = read_listing(path, program_backend_isa)
    write_program(program, output)
    return program
