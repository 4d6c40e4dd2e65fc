"""`catena new-backend`: a package for a machine of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from compiler.cli.console import Console
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb


@verb("new-backend")
@click.argument("name", metavar="NAME")
@click.option(
    "--level",
    type=click.IntRange(0, 1),
    default=0,
    help="0: a target that a TOML file describes; 1: a backend with instructions and an emulator. [default: 0]",
)
@click.option("-o", "--output", metavar="DIR", help="The folder to write. [default: catena-NAME]")
def new_backend(session: Session, name: str, level: int, output: str | None) -> Outcome:
    """Write a Python package for a machine of your own, with its tests.

    It works as it is: install it with `pip install -e DIR`, and `catena conformance NAME` passes. Then change it.
    """
    from compiler.scaffold.project import default_folder, write_project

    folder = Path(output) if output else default_folder(name)
    written = write_project(name, level, folder)

    def show(console: Console) -> None:
        for path in written:
            console.out(str(folder / path))
        console.note(f"next: pip install -e {folder} && catena conformance {name}")

    return Outcome({"folder": str(folder), "level": level, "files": list(written)}, show, str(folder))
