"""Programs and placed modules as text that is read again."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

from backends.container import program_bytes
from backends.disassembly import image_digest, listing_lines
from backends.isa import Isa
from backends.listing import assemble_program
from backends.program import Program
from tests.filechecking import new_ir_context, print_module


def assert_listing_assembles(program: Program, isa: Isa) -> None:
    """The listing of a program assembles to the same bytes."""
    images = {}
    for image in program.constants:
        words = image.array()
        images[image_digest(words)] = words.data.cast("B")
    text = "\n".join(listing_lines(program, isa))
    again = assemble_program(text, lambda _: isa, images.__getitem__)
    assert program_bytes(again) == program_bytes(program)


def read_again(module: ModuleOp) -> ModuleOp:
    """The module of a module's text, which is legal and has the same text."""
    text = print_module(module)
    again = Parser(new_ir_context(), text).parse_module()
    again.verify()
    assert print_module(again) == text
    return again
