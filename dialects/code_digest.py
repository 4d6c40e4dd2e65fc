"""Which code this is, for what is kept on disk from one version of it to the next."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path


@cache
def code_digest(*folders: str) -> str:
    """SHA-256 over all modules in some folders of Catena, such as `passes/mapping`, and what they are called."""
    # Paths are texts, and streams have no buffers: half the time, in the start of every command.
    root = os.fspath(Path(__file__).resolve().parents[1])
    digest = hashlib.sha256()
    for name in sorted(name for folder in folders for name in _modules(root, folder)):
        digest.update(f"{name} ".encode() + _digest(f"{root}/{name}"))
    return digest.hexdigest()


def _modules(root: str, folder: str) -> Iterator[str]:
    """All modules in a folder and those inside it, by their paths below the root."""
    # A fifth of the time of `rglob`.
    with os.scandir(f"{root}/{folder}") as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                yield f"{folder}/{entry.name}"
            elif entry.name != "__pycache__" and entry.is_dir():
                yield from _modules(root, f"{folder}/{entry.name}")


@cache
def _digest(path: str) -> bytes:
    # Folders that have modules in common are asked for one after the other.
    with open(path, "rb", buffering=0) as stream:
        return hashlib.sha256(stream.readall()).digest()
