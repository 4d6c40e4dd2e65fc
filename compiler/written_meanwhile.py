"""Whether a file was written to while it was read in pieces, so that the pieces may be of two files."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dialects.diagnostics import CatenaError, Diagnostic


@dataclass(frozen=True)
class FileState:
    """Which file a path led to, its size and its time of change in ns; None if there was none.

    A file that took its place is another: who maps the old one's pages has these as long as they are mapped.
    """

    path: Path
    file: tuple[int, int] | None = None
    size: int = 0
    changed: int = 0

    @classmethod
    def of(cls, path: Path) -> FileState:
        """The state of a file as it is now."""
        try:
            status = path.stat()
        except OSError:
            return cls(path)
        return cls(path, (status.st_dev, status.st_ino), status.st_size, status.st_mtime_ns)

    def require_unchanged(self) -> None:
        """Raise `CatenaError` (CAT-C002) if the file was written to since."""
        now = self.of(self.path)
        if self.file is not None and self.file == now.file and self != now:
            raise CatenaError(
                Diagnostic(
                    "CAT-C002",
                    "the file was changed while it was compiled, and nothing is written",
                    where=str(self.path),
                    expected="the same size and time of change as at the beginning",
                    hint="compile it again once it is complete",
                )
            )

    @contextmanager
    def blamed(self) -> Generator[None]:
        """If the block raises `CatenaError`, and the file was written to, that is what was wrong."""
        try:
            yield
        except CatenaError:
            self.require_unchanged()
            raise
