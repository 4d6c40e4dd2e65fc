"""Writing a reproducer so that nobody ever takes half of one for whole."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from compiler.files import cannot, make_folder, write_text
from compiler.reproduction.record import NOTE, RECORD, Record
from dialects.diagnostics import CatenaError, Diagnostic

AGAIN = "to see it again: "
"""What stands before the command in a hint."""


def write_folder(folder: Path, record: Record, fill: Callable[[Path], None], note: Sequence[str]) -> None:
    """Write the files of a reproducer, those of `fill` first and the record last, and a note for people.

    A folder that is new appears with all of them in it. Raises `CatenaError` (CAT-C002) if that is impossible.
    """

    def write(place: Path) -> None:
        fill(place)
        write_text(place / NOTE, "\n".join([*note, ""]))
        write_text(place / RECORD, record.text())

    try:
        if folder.exists():
            # The record says that a folder is whole.
            (folder / RECORD).unlink(missing_ok=True)
            write(folder)
            return
        make_folder(folder.parent)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp") as temporary:
            place = Path(temporary) / "whole"
            place.mkdir()
            write(place)
            os.replace(place, folder)
    except OSError as error:
        raise CatenaError(cannot("write", str(folder), error)) from error


def copied(source: Path, place: Path) -> None:
    """Copy a file into the folder. Raises `OSError`."""
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)


def in_folder(folder: Path, command: str) -> str:
    """A command that is run in a folder."""
    return f"cd {shlex.quote(str(folder))} && {command}"


def pointing_to(problems: Sequence[Diagnostic], folder: Path, command: str) -> list[Diagnostic]:
    """The problems, the first of which say how to see them again."""
    first = problems[0]
    more = f"{AGAIN}{in_folder(folder, command)}"
    hint = f"{first.hint}; {more}" if first.hint else more
    alike = (first.code, first.message, first.hint)
    return [replace(each, hint=hint) if (each.code, each.message, each.hint) == alike else each for each in problems]
