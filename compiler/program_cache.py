"""Whole programs that were compiled before, on disk: for the same model, target, options and code, the same file.

An entry is a program and beside it, written last, a note in JSON: the digest in the program's header, which covers all
of it, what to say about it, and the files with external data that the model had. The program is the file that was
written, under another name, where the file system can do that. It is copied out once all its checksums were checked;
whatever is damaged, or was changed under its other name, is as good as missing. Only programs of Catena's own backends
are kept: what others do may depend on anything.

This module is imported before the compiler, and needs none of it unless a program is missing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from backends.files import copy_into, mapped, replacing, share
from backends.sections import read_sections, root_digest
from compiler.descriptions.files import DEFAULT_TARGET, described_target
from dialects.code_digest import code_digest
from dialects.diagnostics import CatenaError

LOG = logging.getLogger("catena.cache")
FOLDER = "programs"
MOST_BYTES = 2 << 30
"""Bytes of all programs; beyond, the ones that were not used for the longest time go."""
_ABANDONED = 3600.0
"""Seconds after which a temporary file has no writer any more."""
_DEPENDENCIES = ("numpy", "onnx", "xdsl", "ml_dtypes")
_CODE = ("dialects", "passes", "backends", "compiler")


@dataclass(frozen=True)
class Request:
    """All that a program depends on, but for the contents of files and the code: as `CompileOptions` has it."""

    model: str
    target: str | None
    settings: Mapping[str, str]
    mode: str
    fuse: bool
    mapping: str | None
    objective: str | None
    input_shapes: Mapping[str, Sequence[int]]
    batch: int | None
    fallback: str | None


@dataclass(frozen=True)
class Note:
    """What is kept beside a program; `external` are digests of files beside the model, `remark` what users see."""

    digest: str
    external: Mapping[str, str]
    remark: str


def kept_program(folder: Path, request: Request) -> KeptProgram | None:
    """A program that the cache in a folder may hold; None if such programs are not kept, or something is wrong.

    What is wrong is for the compiler to say.
    """
    model, since = Path(request.model), time.time_ns()
    try:
        described = described_target(request.target or DEFAULT_TARGET, request.settings)
        if not described.is_bundled:
            return None
        read = [
            model,
            *(each.file for each in described.chain),
            *([] if request.mapping is None else [Path(request.mapping)]),
        ]
        files = {path: path.stat().st_mtime_ns for path in read}
        digests = {path: _digest(path) for path in read}
        content = {
            **asdict(request),
            "model": [model.stem, digests[model]],
            "target": [described.backend.name, described.description],
            "settings": [],
            "mapping": None if request.mapping is None else digests[Path(request.mapping)],
            "code": code_digest(*_CODE),
            "packages": [sys.version, *(f"{name} {version(name)}" for name in _DEPENDENCIES)],
        }
        # Values of TOML that JSON does not know are told apart by their text.
        key = hashlib.sha256(json.dumps(content, sort_keys=True, default=repr).encode()).hexdigest()
    except (OSError, ValueError, CatenaError):
        return None
    return KeptProgram(folder / FOLDER, key, model, digests[model], files, since)


@dataclass(frozen=True)
class KeptProgram:
    """A program that the cache may hold, by the digest of all it depends on.

    `files` were read for the digest when they had these times of change, `model` among them, from `since` on, in ns.
    The cache never fails: what cannot be read or kept is done without.
    """

    folder: Path
    key: str
    model: Path
    model_sha256: str
    files: Mapping[Path, int]
    since: int

    def take(self, output: Path) -> Note | None:
        """Write the program to a file, if it is there.

        Raises `CatenaError` (CAT-C002) if the output cannot be written.
        """
        try:
            note = _parsed(self._note.read_bytes())
            if any(_digest(self.model.parent / name) != digest for name, digest in note.external.items()):
                return None
            content = mapped(self._program, "CAT-P001")
            read_sections(content, str(self._program))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, CatenaError) as error:
            LOG.warning("ignored %s, which is no program as this cache holds them (%s)", self._program, error)
            return None
        if root_digest(content) != note.digest:
            LOG.warning("ignored %s: it is another program than its note says", self._program)
            return None
        with replacing(output) as stream:
            copy_into(self._program, stream)
        # Not the program, which may be somebody's output, too.
        _touch(self._note)
        return note

    def keep(self, output: Path, remark: str) -> None:
        """Keep the program that was written to a file, unless what it was made of has changed meanwhile."""
        try:
            external = self._external_digests()
            if external is None or not output.is_file() or output.stat().st_size > MOST_BYTES:
                return
            if any(path.stat().st_mtime_ns != changed for path, changed in self.files.items()):
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            note = Note(root_digest(mapped(output, "CAT-P001")), external, remark)
            share(output, self._program)
            with replacing(self._note) as stream:
                stream.write(json.dumps(asdict(note), indent=1).encode())
            self._trim()
        except OSError as error:
            reason = error.strerror or error
            LOG.warning("the program is not kept for the next time: cannot write %s: %s", self.folder, reason)
        except CatenaError as error:
            LOG.warning("the program is not kept for the next time: %s", error)

    @property
    def _program(self) -> Path:
        return self.folder / f"{self.key}.cat"

    @property
    def _note(self) -> Path:
        return self.folder / f"{self.key}.json"

    def _external_digests(self) -> dict[str, str] | None:
        """The files that hold tensors of the model, relative to it, with their digests; None if one just changed."""
        from compiler.importer.external_files import external_files

        paths = {name: self.model.parent / name for name in external_files(self.model)}
        if any(path.stat().st_mtime_ns >= self.since for path in paths.values()):
            return None
        return {name: _digest(path) for name, path in paths.items()}

    def _trim(self) -> None:
        """Remove what was not used for the longest time, this program aside, and what dead writers left."""
        for path in self.folder.glob(".*.tmp"):
            if time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink(missing_ok=True)
        others = [path for path in self.folder.glob("*.cat") if path != self._program]
        room = MOST_BYTES - self._program.stat().st_size
        for path in sorted(others, key=_last_use, reverse=True):
            room -= path.stat().st_size
            if room < 0:
                path.with_suffix(".json").unlink(missing_ok=True)
                path.unlink(missing_ok=True)


def _parsed(content: bytes) -> Note:
    """Raises `ValueError`, `KeyError`, `TypeError` for anything that is no note."""
    items = cast("dict[str, Any]", json.loads(content))
    external = {str(name): str(digest) for name, digest in dict(items["external"]).items()}
    return Note(str(items["digest"]), external, str(items["remark"]))


def _digest(path: Path) -> str:
    """SHA-256 of a file, from its own pages. Raises `CatenaError` if it cannot be read."""
    return hashlib.sha256(mapped(path, "CAT-C002")).hexdigest()


def _last_use(program: Path) -> int:
    """When a program was last kept or taken, in ns, as its note has it; 0 if it has none."""
    try:
        return program.with_suffix(".json").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:
        # Somebody else's cache, or gone meanwhile: then it is not for us to keep.
        return
