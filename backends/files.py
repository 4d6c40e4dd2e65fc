"""Files: written so that nobody ever sees half of one, read without copying."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.durable_files import put_in_place

_MOST_AT_ONCE = 1 << 30


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """A stream to a temporary file beside `path` that takes its place when the block ends without an error.

    A device or pipe is written directly: it cannot be replaced. Raises `CatenaError` (CAT-C002) if the file cannot be
    written; the old file, if any, is then untouched.
    """
    if path.exists() and not path.is_file():
        try:
            with path.open("wb") as stream:
                yield stream
        except OSError as error:
            raise _unwritable(path, error) from error
        return
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            put_in_place(stream, Path(temporary), path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise _unwritable(path, error) from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def copy_into(source: Path, stream: BinaryIO) -> None:
    """Write the bytes of a file to an open one, if possible without a detour through this process.

    Nothing may have been read or written in `stream` that is still in its buffer. Raises `OSError`.
    """
    with source.open("rb") as content:
        try:
            while os.copy_file_range(content.fileno(), stream.fileno(), _MOST_AT_ONCE):
                pass
        except (AttributeError, OSError):
            # Not on this system, or not between such files: both go on where they are.
            shutil.copyfileobj(content, stream)


def share(source: Path, path: Path) -> None:
    """Let `path` be another name of a file, if both are on one file system that can do that, else a copy of it.

    It appears at once, in the place of what was there. Raises `CatenaError` (CAT-C002) if it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        os.link(source, temporary)
        os.replace(temporary, path)
    except OSError:
        # Another file system, or one without links; or somebody may not make one of this file.
        with replacing(path) as stream:
            copy_into(source, stream)
    finally:
        temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> CatenaError:
    return CatenaError(
        Diagnostic("CAT-C002", f"cannot write {path}: {error.strerror or error}", hint=_way_out(path, error))
    )


def _way_out(path: Path, error: OSError) -> str:
    """What to do about a file that cannot be written, if that is known."""
    folder = path.parent
    if isinstance(error, FileNotFoundError) and not folder.exists():
        return f"make the folder first: {folder}"
    if isinstance(error, PermissionError):
        return f"this user may not write in {folder}: choose another folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"there is no room left for it in {folder}; nothing was written"
    return ""


def mapped(path: Path, code: str) -> memoryview:
    """The bytes of a regular file, mapped into memory and read-only.

    Raises `CatenaError`: CAT-C002 if the file cannot be read, `code` if it is not a regular file.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise CatenaError(Diagnostic(code, "not a regular file", where=str(path)))
        if status.st_size == 0:
            return memoryview(b"")
        with path.open("rb") as stream:
            return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        # ValueError: the path holds a zero byte, or the file shrank meanwhile.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CatenaError(Diagnostic("CAT-C002", f"cannot read {path}: {reason}")) from error
