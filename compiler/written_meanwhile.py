"""Whether a file was written to while it was read in pieces, so that the pieces may be of two files."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from dialects.diagnostics import CatenaError, Diagnostic


@contextmanager
def refusing_changes_of(path: Path) -> Generator[None]:
    """Raises `CatenaError` (CAT-C002) behind the block if the file was written to within it.

    A file that took its place is another, as one has the old one's pages as long as one maps them.
    """
    before = _state(path)
    yield
    after = _state(path)
    if before and after and before[0] == after[0] and before != after:
        raise CatenaError(
            Diagnostic(
                "CAT-C002",
                "the file was changed while it was compiled, and nothing is written",
                where=str(path),
                expected="the same size and time of change as at the beginning",
                hint="compile it again once it is complete",
            )
        )


def _state(path: Path) -> tuple[tuple[int, int], int, int] | None:
    """Which file it is, its size and its time of change in ns; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino), status.st_size, status.st_mtime_ns
