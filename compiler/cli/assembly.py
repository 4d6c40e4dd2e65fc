"""`catena disasm` and `catena asm`: programs as text and back."""

from __future__ import annotations

from pathlib import Path

import click

from compiler.cli.console import Console
from compiler.cli.options import bug_option
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb


@verb("disasm")
@click.argument("program", metavar="PROGRAM")
@click.option("-o", "--output", metavar="FILE", help="Write the listing there and the constants beside it.")
@bug_option
def disasm(session: Session, program: str, output: str | None) -> Outcome:
    """Disassemble a program: addresses, bytes, instructions, loops, layers and ONNX nodes.

    A listing that is written with -o assembles to the same bytes again.
    """
    from compiler.assembling import disassemble_program, write_disassembly

    if output is not None:
        write_disassembly(Path(program), Path(output))
        return Outcome({"output": output}, subject=output)
    text = disassemble_program(Path(program))

    def show(console: Console) -> None:
        console.out(text)

    return Outcome({"listing": text}, show)


@verb("asm")
@click.argument("listing", metavar="LISTING")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where the program goes.")
@bug_option
def asm(session: Session, listing: str, output: str) -> Outcome:
    """Assemble a listing, as `catena disasm -o` writes it, into a program."""
    from compiler.assembling import assemble_file

    program = assemble_file(Path(listing), Path(output))
    return Outcome({"output": output, "layers": len(program.layers)}, subject=output)
