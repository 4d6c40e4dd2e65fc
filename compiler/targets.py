"""Targets: which machine to compile for, from a name or a TOML file, and which backend does it.

A description is TOML as the machines of `dialects.target` have it. It may start from another one with `extends =
"NAME"` (a target of an installed backend) or `extends = "other.toml"` (a file, relative to this one), and then gives
only what differs. The backend is the one at the end of that chain. One that has `levels` and extends nothing is a
machine of its own, of the generic backend.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from backends.api import Backend
from backends.registry import InstalledBackend, find_backend, installed_backends
from compiler.description_lines import located
from compiler.descriptions import EXTENDS, merged, read_description, wrong_description
from dialects.accelerator import Accelerator
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean
from dialects.target import MachineOp, parse_machine

DEFAULT_TARGET = "eyeriss"
GENERIC = "generic"
"""The backend of machines that are described by their levels."""


@dataclass(frozen=True)
class Target:
    """A machine, and the backend that compiles for it."""

    backend: Backend
    machine: Accelerator

    @cached_property
    def machine_op(self) -> MachineOp:
        """The machine as IR, in no module; clones of it share the description."""
        return MachineOp.of(self.machine)


def select_target(name: str, settings: Mapping[str, str] | None = None) -> Target:
    """The target of that name, or that a TOML file describes, with some keys set to other values.

    `settings` maps dotted keys such as `glb.banks` to values written as in TOML. Raises `CatenaError`: CAT-C001 for an
    unknown name, CAT-C002 for a file that cannot be read, CAT-C003 for a description or a setting that is not valid,
    CAT-C006 for a backend that cannot be loaded.
    """
    backend, description, files = _describe(name, Path(), ())
    for key, text in (settings or {}).items():
        _set(description, key, _toml_value(text))
    try:
        machine = parse_machine(description, where=name)
        backend.check(machine)
    except CatenaError as error:
        if (settings or {}) or not files:
            raise
        raise CatenaError([located(each, files) for each in error.diagnostics]) from error
    return Target(backend, machine)


def target_names(installed: InstalledBackend) -> tuple[str, ...]:
    """The targets of a backend: the one of its own name, then further ones. Raises `CatenaError` as loading it does."""
    return (installed.name, *installed.load().targets())


def _describe(name: str, folder: Path, seen: tuple[str, ...]) -> tuple[Backend, dict[str, Any], tuple[Path, ...]]:
    """The backend and the merged description of a target, and the files that it is made of, the changes first.

    `seen` are the descriptions that extend it.
    """
    path = folder / name
    if not (name.endswith(".toml") or path.is_file()):
        backend, path = _installed(name)
        _, description, files = _extended(path, backend, (*seen, str(path)))
        return backend, description, files
    if str(path) in seen:
        raise CatenaError(
            wrong_description(str(path), f"the description extends itself: {' -> '.join((*seen, str(path)))}")
        )
    return _extended(path, None, (*seen, str(path)))


def _extended(
    path: Path, backend: Backend | None, seen: tuple[str, ...]
) -> tuple[Backend, dict[str, Any], tuple[Path, ...]]:
    """The description of a file on top of the one that it extends."""
    description = read_description(path)
    base = description.pop(EXTENDS, None)
    if base is None and (backend is not None or "levels" in description):
        return backend or find_backend(GENERIC), description, (path,)
    if not isinstance(base, str):
        hint = f'start the file with {EXTENDS} = "{DEFAULT_TARGET}" or another target, or describe its levels'
        raise CatenaError(wrong_description(str(path), "the description does not say what it extends", hint))
    found, inherited, files = _describe(base, path.parent, seen)
    return found, merged(inherited, description), (path, *files)


def _installed(name: str) -> tuple[Backend, Path]:
    """The backend that offers a target, and its description."""
    known: list[str] = []
    for installed in installed_backends():
        if installed.name == name:
            backend = find_backend(name)
            return backend, backend.description()
        known.append(installed.name)
    for installed in installed_backends():
        try:
            targets = installed.load().targets()
        except CatenaError:
            continue  # listed by `catena targets`, with the reason
        if name in targets:
            return find_backend(installed.name), targets[name]
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
    except tomllib.TOMLDecodeError:
        return text
