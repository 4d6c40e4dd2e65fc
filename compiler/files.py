"""Reading what a person names and writing files that are never half there."""

from __future__ import annotations

import codecs
import sys
from pathlib import Path

from backends.files import replacing
from dialects.diagnostics import CatenaError, Diagnostic

STANDARD_STREAM = "-"
"""The name of standard input and standard output."""


def read_bytes(name: str) -> bytes:
    """The content of a file, or of standard input for `-`.

    Raises `CatenaError` (CAT-C002) if it cannot be read.
    """
    if name == STANDARD_STREAM:
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except (OSError, ValueError) as error:
        raise CatenaError(cannot("read", name, error)) from error


def read_text(name: str, expected: str = "UTF-8 text") -> str:
    """The content of a UTF-8 text file, or of standard input for `-`; `expected` is what the file should be.

    Raises `CatenaError` (CAT-C002) if it cannot be read or is not text.
    """
    data = read_bytes(name)
    try:
        text, first = data.decode("utf-8"), data.find(b"\0")
    except UnicodeDecodeError as error:
        text, first = "", error.start
    if first < 0:
        return text
    line = data.count(b"\n", 0, first) + 1
    raise CatenaError(
        Diagnostic(
            "CAT-C002",
            f"{name} is not a text file",
            where=f"{name}, line {line}",
            expected=expected,
            found=_what_it_is(data, first),
            hint="save the file as UTF-8, or name another one",
        )
    )


def _what_it_is(data: bytes, first: int) -> str:
    """What a file may be whose first byte that is no UTF-8 text is known."""
    byte = f"byte 0x{data[first]:02x}"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return f"{byte}, with which UTF-16 text begins"
    if b"\0" in data:
        return f"{byte}: a binary file, or UTF-16 text"
    character = data[first : first + 1].decode("latin-1")
    return f"{byte}, which is {character} in Latin-1" if character.isprintable() else byte


def cannot(action: str, name: str, error: Exception) -> Diagnostic:
    """The diagnostic for a file that cannot be read or written."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    hint = ""
    if isinstance(error, IsADirectoryError):
        hint = "this is a folder: name a file"
    elif isinstance(error, PermissionError):
        hint = f"this user may not {action} it: name another file, or change its permissions"
    return Diagnostic("CAT-C002", f"cannot {action} {name}: {reason}", hint=hint)


def write_bytes(path: Path, data: bytes | bytearray | memoryview) -> None:
    """Write a file at once, as `backends.files.replacing` does."""
    with replacing(path) as stream:
        stream.write(data)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file at once, as `backends.files.replacing` does."""
    write_bytes(path, text.encode("utf-8"))


def make_folder(path: Path) -> None:
    """Create a folder and those above it. Raises `CatenaError` (CAT-C002) if that is impossible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CatenaError(cannot("create", str(path), error)) from error
