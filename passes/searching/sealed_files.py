"""Small JSON files for a cache: one for every thing that was found, named by a digest of all that it depends on.

A file holds the SHA-256 of what follows it, then JSON. It appears at once, under its name, so that processes may share
the folder; one that is damaged, or that another program has put there, is reported, and written anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

LOG = logging.getLogger("catena.cache")
SUFFIX = ".json"
MOST_IN_FOLDER = 256
"""Files that one of the 256 folders keeps; beyond, the ones that were not used for the longest time go."""
_ABANDONED = 3600.0
"""Seconds after which a temporary file has no writer any more."""

_Parsed = TypeVar("_Parsed")


class SealedFiles:
    """A folder of such files, each of which holds a `kind` of thing, as messages call it.

    It never fails: what cannot be read or written is reported and done without.
    """

    def __init__(self, folder: Path, kind: str):
        self._folder = folder
        self._kind = kind
        self._is_writable = True

    def get(self, key: str, parse: Callable[[Mapping[str, Any]], _Parsed]) -> _Parsed | None:
        """What is kept under a key of 64 hex digits.

        `parse` raises `ValueError`, `KeyError` or `TypeError` for items that are none of the kind.
        """
        path = self._path(key)
        try:
            found = parse(_unsealed(path.read_bytes(), key))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            LOG.warning("ignored %s, which is no %s as this cache holds them (%s)", path, self._kind, reason)
            return None
        _touch(path)
        return found

    def put(self, key: str, items: Mapping[str, Any]) -> None:
        """Keep some items under a key."""
        if not self._is_writable:
            return
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, sealed(json.dumps({"key": key, **items}, indent=1).encode()))
            _trim(path.parent)
        except OSError as error:
            self._is_writable = False
            LOG.warning("found %ss are not kept: cannot write %s: %s", self._kind, path, error.strerror or error)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key[2:]}{SUFFIX}"


def sealed(text: bytes) -> bytes:
    """A file that holds some text."""
    return hashlib.sha256(text).hexdigest().encode() + b"\n" + text + b"\n"


def _unsealed(content: bytes, key: str) -> Mapping[str, Any]:
    """Raises `ValueError`, `KeyError`, `TypeError` for anything that is no such file of this key."""
    digest, _, text = content.partition(b"\n")
    if hashlib.sha256(text.removesuffix(b"\n")).hexdigest().encode() != digest:
        raise ValueError("its checksum does not match")
    items = cast("Mapping[str, Any]", json.loads(text))
    if items["key"] != key:
        raise ValueError("it is of something else")
    return items


def _write(path: Path, content: bytes) -> None:
    # Not settled on the disk, as outputs are: an entry that a power cut halves has a wrong checksum.
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _touch(path: Path) -> None:
    """Note that a file was used."""
    try:
        os.utime(path)
    except OSError:
        # Somebody else's cache, or gone meanwhile: then it is not for us to keep.
        return


def _trim(folder: Path) -> None:
    """Remove what was not used for the longest time, and what interrupted writers left."""
    kept: list[tuple[float, str]] = []
    for each in os.scandir(folder):
        try:
            used = each.stat().st_mtime
        except FileNotFoundError:
            continue
        if each.name.endswith(SUFFIX):
            kept.append((used, each.path))
        elif time.time() - used > _ABANDONED:
            Path(each.path).unlink(missing_ok=True)
    for _, path in sorted(kept)[: max(0, len(kept) - MOST_IN_FOLDER)]:
        Path(path).unlink(missing_ok=True)
