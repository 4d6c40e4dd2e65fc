"""Bugs outside of passes and runs, and IR that is no IR: the command itself, with copies of the files that it names."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from compiler.descriptions.copies import copies
from compiler.descriptions.files import described_target
from compiler.files import write_text
from compiler.ir_text import WEIGHTS_FOLDER
from compiler.reproduction.folder import AGAIN, copied, pointing_to, write_folder
from compiler.reproduction.models import external_data
from compiler.reproduction.record import Record, plain_diagnostics, versions
from dialects.diagnostics import CatenaError, Diagnostic

OPTION = "--reproducer"


def folder_of(words: Sequence[str]) -> Path | None:
    """The folder that a command line names for reproducers."""
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == OPTION and (equals or number + 1 < len(words)):
            return Path(value if equals else words[number + 1])
    return None


def keeping_command(words: Sequence[str], problems: Sequence[Diagnostic]) -> Sequence[Diagnostic]:
    """Write a reproducer of a command, if it names a folder and what ended it left none; the problems say so.

    That is a bug, or a file of IR that is wrong (CAT-R).
    """
    folder = folder_of(words)
    if folder is None or any(AGAIN in each.hint for each in problems):
        return problems
    is_bug = problems[0].code == "CAT-I001"
    files: dict[str, Path] = {}
    command = shlex.join(["catena", *_with_copies(words, files)])
    if not is_bug and not (problems[0].code.startswith("CAT-R") and files):
        return problems
    record = Record(
        command=command,
        source=shlex.join(["catena", *words]),
        stage="",
        diagnostics=plain_diagnostics(problems),
        versions=versions(),
    )

    def fill(place: Path) -> None:
        for name, path in files.items():
            _copy(path, place, name)

    culprit = "The command fails outside of the passes." if is_bug else "The IR is wrong before any pass."
    note = [culprit, "", *map(str, problems), "", f"In this folder: {command}"]
    try:
        write_folder(folder, record, fill, note)
    except CatenaError as error:
        return [*problems, *error.diagnostics]
    return pointing_to(problems, folder, command)


def _with_copies(words: Sequence[str], files: dict[str, Path]) -> Iterator[str]:
    """The words of a command with the names of copies, which are noted in `files`, and without the reproducer."""
    given = iter(words)
    for word in given:
        option, equals, value = word.rpartition("=")
        if word.partition("=")[0] == OPTION:
            _ = None if equals else next(given, None)
        elif _is_file(word):
            yield _named(Path(word), files)
        else:
            yield f"{option}={_named(Path(value), files)}" if equals and _is_file(value) else word


def _is_file(name: str) -> bool:
    with suppress(OSError, ValueError):
        return Path(name).is_file()
    return False


def _named(path: Path, files: dict[str, Path]) -> str:
    """A name for a copy that no other one has."""
    name, number = path.name, 1
    while files.setdefault(name, path).resolve() != path.resolve():
        number += 1
        name = f"{path.stem}-{number}{path.suffix}"
    return name


def _copy(path: Path, place: Path, name: str) -> None:
    """Copy a file, and what it reads beside itself: constants of IR, tensors of a model, what a target extends."""
    copied(path, place / name)
    if path.suffix == ".mlir" and (path.parent / WEIGHTS_FOLDER).is_dir():
        shutil.copytree(path.parent / WEIGHTS_FOLDER, place / WEIGHTS_FOLDER, dirs_exist_ok=True)
    elif path.suffix == ".onnx":
        for each in external_data(path):
            copied(path.parent / each, place / each)
    elif path.suffix == ".toml":
        # One that is no target stays as it is.
        with suppress(CatenaError):
            for each, text in copies(described_target(str(path)), Path(name).stem).items():
                write_text(place / each, text)
