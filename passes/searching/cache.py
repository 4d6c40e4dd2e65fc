"""Mappings that were found before, on disk: one file (`sealed_files`) for every search."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping as Items
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xdsl.context import Context
from xdsl.utils.exceptions import ParseError, VerifyException

from dialects.schedule import MappingAttr
from dialects.unicode_parser import UnicodeParser
from passes.searching.sealed_files import SealedFiles
from passes.searching.task import Found, Task

FOLDER = "mappings"


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
        self._files = SealedFiles(folder / FOLDER, "mapping")

    def get(self, key: str) -> Entry | None:
        """What is known of a search."""
        return self._files.get(key, _parsed)

    def put(self, key: str, entry: Entry) -> None:
        """Note what a search found."""
        found = entry.found
        items = {
            "mapping": str(found.mapping),
            "value": found.value,
            "bound": found.bound,
            "seconds": entry.seconds,
        }
        self._files.put(key, items)


def _parsed(items: Items[str, Any]) -> Entry:
    """Raises `ValueError`, `KeyError`, `TypeError` for anything that is no entry."""
    seconds = None if items["seconds"] is None else float(items["seconds"])
    try:
        mapping = MappingAttr(MappingAttr.parse_parameter(UnicodeParser(Context(), f"<{items['mapping']}>"))).data
    except (ParseError, VerifyException) as error:
        raise ValueError(str(error)) from error
    return Entry(Found(mapping, float(items["value"]), float(items["bound"]), seconds is not None), seconds)
