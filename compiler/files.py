"""Reading what a person names and writing files that are never half there."""

from __future__ import annotations

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


def read_text(name: str) -> str:
    """The content of a UTF-8 text file, or of standard input for `-`.

    Raises `CatenaError` (CAT-C002) if it cannot be read or is not text.
    """
    data = read_bytes(name)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CatenaError(
            Diagnostic(
                "CAT-C002",
                f"{name} is not a text file",
                where=f"byte {error.start}",
                expected="UTF-8 text",
                hint="save the file as UTF-8",
            )
        ) from error


def cannot(action: str, name: str, error: Exception) -> Diagnostic:
    """The diagnostic for a file that cannot be read or written."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Diagnostic("CAT-C002", f"cannot {action} {name}: {reason}")


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
