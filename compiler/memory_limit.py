"""A limit on the memory of this process, and of each that it starts."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module

from dialects.diagnostics import CatenaError, Diagnostic

LEAST = 128 << 20
"""Bytes that may be allowed, at least: importing the libraries takes nearly as many."""
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


def bytes_of(text: str) -> int:
    """The bytes of a size such as `4G`, `512 MiB` or `1000000`; units are powers of 1024.

    Raises `ValueError` for anything else, and for less than `LEAST`.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError("not a size")
    found = float(match[1]) * _UNITS[match[2].upper()]
    if not LEAST <= found < 1 << 63:
        raise ValueError(f"not a size of {LEAST >> 20} MiB or more")
    return int(found)


@contextmanager
def memory_limit(most: int | None) -> Generator[None]:
    """Let the block take at most so many bytes for its data; None: as many as before.

    What is mapped from files, such as weights and programs, does not count. Beyond, `MemoryError` is raised. Raises
    `CatenaError` (CAT-C001) where the system cannot limit a process.
    """
    if most is None:
        yield
        return
    try:
        import resource
    except ImportError as error:
        message = "memory cannot be limited on this system"
        raise CatenaError(Diagnostic("CAT-C001", message, hint="leave out --max-memory")) from error
    import_module("numpy")  # before: its BLAS ends the process where it finds no memory to begin with
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [each for each in (most, soft, hard) if each != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
