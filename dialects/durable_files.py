"""Putting a finished file in its place so that neither a crash nor a power cut leaves half of one there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

MODE = 0o644
"""Permissions of what is written: temporary files begin with fewer."""


def put_in_place(stream: BinaryIO, temporary: Path, path: Path) -> None:
    """Let a temporary file, whose stream is open, take the place of another one in its folder.

    The words reach the disk before the name does, and the name before this returns. Raises `OSError`.
    """
    stream.flush()
    os.fsync(stream.fileno())
    os.chmod(temporary, MODE)
    os.replace(temporary, path)
    _settle_folder(path.parent)


def _settle_folder(folder: Path) -> None:
    """Let the entries of a folder reach the disk, where folders can be asked for that."""
    if os.name != "posix":
        return
    # A folder that may not be read, or a file system that does not: the file itself is complete all the same.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
