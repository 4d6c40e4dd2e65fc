"""Mappings that were found before, on disk: one file for every search, named by a digest of all that it depends on.

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
from collections.abc import Mapping as Items
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from xdsl.context import Context
from xdsl.utils.exceptions import ParseError, VerifyException

from dialects.schedule import MappingAttr
from dialects.unicode_parser import UnicodeParser
from passes.searching.task import Found, Task

LOG = logging.getLogger("catena.cache")
FOLDER = "mappings"
SUFFIX = ".json"
MOST_IN_FOLDER = 256
"""Files that one of the 256 folders keeps; beyond, the ones that were not used for the longest time go."""
_ABANDONED = 3600.0
"""Seconds after which a temporary file has no writer any more."""


@dataclass(frozen=True)
class Entry:
    """What a search found; `seconds` is how long it was allowed to look, if that is why it ended."""

    found: Found
    seconds: float | None = None


def key_of(task: Task, machine: str, version: str) -> str:
    """The name of a search: 64 hex digits that change with anything it depends on.

    `machine` is a description of all that searches read of the machine.
    """
    content = json.dumps([version, machine, task.space, task.objective, task.signature], separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


class MappingCache:
    """The folder with the mappings. It never fails: what cannot be read or written is reported and done without."""

    def __init__(self, folder: Path):
        self._folder = folder / FOLDER
        self._is_writable = True

    def get(self, key: str) -> Entry | None:
        """What is known of a search."""
        path = self._path(key)
        try:
            content = path.read_bytes()
            entry = _parsed(content, key)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, ParseError, VerifyException) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            LOG.warning("ignored %s, which is no mapping as this cache holds them (%s)", path, reason)
            return None
        _touch(path)
        return entry

    def put(self, key: str, entry: Entry) -> None:
        """Note what a search found."""
        if not self._is_writable:
            return
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, _content(key, entry))
            _trim(path.parent)
        except OSError as error:
            self._is_writable = False
            LOG.warning("found mappings are not kept: cannot write %s: %s", path, error.strerror or error)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key[2:]}{SUFFIX}"


def _content(key: str, entry: Entry) -> bytes:
    found = entry.found
    items = {
        "key": key,
        "mapping": str(found.mapping),
        "value": found.value,
        "bound": found.bound,
        "seconds": entry.seconds,
    }
    return sealed(json.dumps(items, indent=1).encode())


def sealed(text: bytes) -> bytes:
    """A file that holds some text."""
    return hashlib.sha256(text).hexdigest().encode() + b"\n" + text + b"\n"


def _parsed(content: bytes, key: str) -> Entry:
    """Raises `ValueError`, `KeyError`, `TypeError`, `ParseError`, `VerifyException` for anything that is no entry."""
    digest, _, text = content.partition(b"\n")
    if hashlib.sha256(text.removesuffix(b"\n")).hexdigest().encode() != digest:
        raise ValueError("its checksum does not match")
    items = cast("Items[str, Any]", json.loads(text))
    if items["key"] != key:
        raise ValueError("it is of another search")
    seconds = None if items["seconds"] is None else float(items["seconds"])
    mapping = MappingAttr(MappingAttr.parse_parameter(UnicodeParser(Context(), f"<{items['mapping']}>"))).data
    return Entry(Found(mapping, float(items["value"]), float(items["bound"]), seconds is not None), seconds)


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
