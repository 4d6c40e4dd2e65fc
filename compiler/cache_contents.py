"""What is in the cache: counted, and removed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from compiler.design_space.results import FOLDER as POINTS
from compiler.program_cache import FOLDER as PROGRAMS
from dialects.diagnostics import CatenaError, Diagnostic
from passes.searching.cache import FOLDER as MAPPINGS

_SEALED = re.compile(r"[0-9a-f]{2}/([0-9a-f]{62}\.json|[a-z0-9_]+\.tmp)")
KINDS = {
    MAPPINGS: _SEALED,
    POINTS: _SEALED,
    PROGRAMS: re.compile(r"[0-9a-f]{64}\.(cat|json)|\.[0-9a-f]{64}\.[a-z0-9_.]+\.tmp"),
}
"""The folders of the cache, and what the files are called that Catena puts there."""


@dataclass(frozen=True)
class Kept:
    """Files of one kind, and bytes in them."""

    kind: str
    files: int
    size: int


def contents(folder: Path) -> tuple[Kept, ...]:
    """What a cache holds. Raises `CatenaError` (CAT-C002) if it cannot be read."""
    found: list[Kept] = []
    for kind in KINDS:
        sizes: list[int] = []
        for path in _files(folder, kind):
            try:
                sizes.append(path.stat().st_size)
            except FileNotFoundError:
                continue  # another process has removed it
        found.append(Kept(kind, len(sizes), sum(sizes)))
    return tuple(found)


def clear(folder: Path) -> None:
    """Remove what Catena has put into a folder, and nothing else.

    Raises `CatenaError` (CAT-C002) if that is not allowed.
    """
    for kind in KINDS:
        for path in _files(folder, kind):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise _cannot("remove", path, error) from error


def _files(folder: Path, kind: str) -> Iterator[Path]:
    """The files of a kind, those that writers have left half done among them."""
    top = folder / kind
    try:
        for path in sorted(top.rglob("*")) if top.is_dir() else ():
            if KINDS[kind].fullmatch(path.relative_to(top).as_posix()) and path.is_file():
                yield path
    except OSError as error:
        raise _cannot("read", top, error) from error


def _cannot(action: str, path: Path, error: OSError) -> CatenaError:
    return CatenaError(Diagnostic("CAT-C002", f"cannot {action} {path}: {error.strerror or error}"))
