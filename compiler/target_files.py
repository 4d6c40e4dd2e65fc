"""Descriptions of targets as they are written: files, what they extend, and settings on top; nothing is checked yet."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from backends.api import Backend
from backends.registry import InstalledBackend, find_installed, installed_backends
from compiler.descriptions import EXTENDS, merged, read_description, wrong_description
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean

DEFAULT_TARGET = "eyeriss"
GENERIC = "generic"
"""The backend of machines that are described by their levels."""


@dataclass(frozen=True)
class DescribedTarget:
    """A backend, and a description for it as plain data, with the files that it is made of, the changes first.

    `is_bundled` says whether the backend comes with Catena itself.
    """

    backend: Backend
    is_bundled: bool
    description: dict[str, Any]
    files: tuple[Path, ...]


def described_target(name: str, settings: Mapping[str, str] | None = None) -> DescribedTarget:
    """The target of that name, or in that TOML file, with some keys set to other values.

    Raises `CatenaError`: CAT-C001 for an unknown name, CAT-C002 for a file that cannot be read, CAT-C003 for text that
    is no description, CAT-C006 for a backend that cannot be loaded.
    """
    found = _describe(name, Path(), ())
    for key, text in (settings or {}).items():
        _set(found.description, key, _toml_value(text))
    return found


def _describe(name: str, folder: Path, seen: tuple[str, ...]) -> DescribedTarget:
    """The backend and the merged description of a target; `seen` are the descriptions that extend it."""
    path = folder / name
    if not (name.endswith(".toml") or path.is_file()):
        backend, path = _installed(name)
        return _extended(path, backend, (*seen, str(path)))
    if str(path) in seen:
        raise CatenaError(
            wrong_description(str(path), f"the description extends itself: {' -> '.join((*seen, str(path)))}")
        )
    return _extended(path, None, (*seen, str(path)))


def _extended(path: Path, backend: InstalledBackend | None, seen: tuple[str, ...]) -> DescribedTarget:
    """The description of a file on top of the one that it extends; a `backend` that is given stays."""
    description = read_description(path)
    base = description.pop(EXTENDS, None)
    if base is None and (backend is not None or "levels" in description):
        own = backend or find_installed(GENERIC, installed_backends())
        return DescribedTarget(own.load(), own.is_bundled, description, (path,))
    if not isinstance(base, str):
        hint = f'start the file with {EXTENDS} = "{DEFAULT_TARGET}" or another target, or describe its levels'
        raise CatenaError(wrong_description(str(path), "the description does not say what it extends", hint))
    found = _describe(base, path.parent, seen)
    extended = replace(found, description=merged(found.description, description), files=(path, *found.files))
    return extended if backend is None else replace(extended, backend=backend.load(), is_bundled=backend.is_bundled)


def _installed(name: str) -> tuple[InstalledBackend, Path]:
    """The backend that offers a target, and its description."""
    # Looking through all distributions for backends takes its time: once is enough.
    backends = installed_backends()
    known = [each.name for each in backends]
    if name in known:
        installed = find_installed(name, backends)
        return installed, installed.load().description()
    for each in backends:
        try:
            targets = each.load().targets()
        except CatenaError:
            continue  # listed by `catena targets`, with the reason
        if name in targets:
            return find_installed(each.name, backends), targets[name]
        known += targets
    raise CatenaError(Diagnostic("CAT-C001", f"no target is called {name!r}", hint=did_you_mean(name, known)))


def _set(description: dict[str, Any], key: str, value: object) -> None:
    *tables, last = key.split(".")
    place = description
    for table in tables:
        inner = place.setdefault(table, {})
        if not isinstance(inner, dict):
            raise CatenaError(wrong_description("--set", f"{key}: {table!r} is a value, not a table"))
        place = cast("dict[str, Any]", inner)
    place[last] = value


def _toml_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
