"""Descriptions of targets as they are written: files, what they extend, and settings on top; nothing is checked yet."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from backends.api import Backend
from backends.registry import InstalledBackend, InstalledTarget, find_installed, installed_backends, installed_targets
from compiler.descriptions.data import merged, read_description, wrong_description
from compiler.descriptions.lines import first_line_in, line_of, nearest_line
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean, nearest_key
from dialects.toml_text import EXTENDS, as_toml, dotted, key_parts, shortened

DEFAULT_TARGET = "eyeriss"
GENERIC = "generic"
"""The backend of machines that are described by their levels."""
_LONGEST_CHAIN = 32
"""Descriptions that may extend one another."""
_DEEPEST_KEY = 16
"""Parts of a key that are looked at; no key has as many."""
_WHAT_TO_EXTEND = "the name of a target, or a file relative to this one"


@dataclass(frozen=True)
class DescribedTarget:
    """A backend, and a description for it as plain data; `base` is what the file changes, if it extends another.

    `is_bundled` says whether the backend comes with Catena itself. With `settings` on top of the file, `as_written` is
    the target without them.
    """

    backend: Backend
    is_bundled: bool
    description: dict[str, Any]
    file: Path
    base: DescribedTarget | None = None
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    as_written: DescribedTarget | None = None

    @property
    def chain(self) -> tuple[DescribedTarget, ...]:
        """The description of its file, and of all that it is made of, the changes first."""
        return (self, *(self.base.chain if self.base else ()))


def described_target(name: str, settings: Mapping[str, str] | None = None) -> DescribedTarget:
    """The target of that name, or in that TOML file, with some keys set to other values.

    Raises `CatenaError`: CAT-C001 for an unknown name, CAT-C002 for a file that cannot be read, CAT-C003 for text that
    is no description, CAT-C006 for a backend that cannot be loaded.
    """
    found = _describe(name, Path(), ())
    if not settings:
        return found
    description = found.description
    for key, text in settings.items():
        description = _with(description, _settable(key), _toml_value(key, text), key)
    if problems := [*_set_nowhere(settings, found.description, description)]:
        raise CatenaError(problems)
    return replace(found, description=description, settings=settings, as_written=found)


def _set_nowhere(
    settings: Mapping[str, str], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[Diagnostic]:
    """Settings of levels, or kinds of accesses, that there are not; with all that they need, they are new ones."""
    for key in settings:
        tables, *inner = key_parts(key)
        known, needed = before.get(tables), {"levels": "kind", "accesses": "events"}.get(tables, "")
        if not needed or not inner or not isinstance(known, dict) or inner[0] in known:
            continue
        made = after[tables][inner[0]]
        if not isinstance(made, dict) or needed not in made:
            shown, names = dotted([tables, inner[0]]), [str(each) for each in cast("dict[str, object]", known)]
            what = "level" if tables == "levels" else "kind of access"
            hint = did_you_mean(inner[0], names) or f"known: {', '.join(names)}"
            message, expected = f"{shown}: there is no such {what}", f"a {what} that the description has"
            yield wrong_description(f"set by --set {shortened(key)}", message, expected, inner[0], hint)


def _settable(key: str) -> list[str]:
    """The parts of a key of a setting. Raises `CatenaError` (CAT-C003) if none such can be set."""
    parts = key_parts(key)
    if parts[0] == EXTENDS:
        where, hint = f"set by --set {shortened(key)}", f"name it with --target, or write a file with {EXTENDS} = ..."
        raise CatenaError(wrong_description(where, f"{EXTENDS}: cannot be set", "another key", key, hint))
    if len(parts) > _DEEPEST_KEY:
        message, hint = f"{shortened(key)}: there is no such key", "no key has more than four parts"
        expected, found = f"fewer than {_DEEPEST_KEY} parts", f"{len(parts)} parts"
        raise CatenaError(wrong_description(f"set by --set {shortened(key)}", message, expected, found, hint))
    return parts


def _describe(name: str, folder: Path, seen: tuple[Path, ...]) -> DescribedTarget:
    """The backend and the merged description of a target; `seen` are the descriptions that extend it."""
    path = folder / name
    if len(seen) >= _LONGEST_CHAIN:
        message = f"more than {_LONGEST_CHAIN} descriptions extend one another"
        expected, hint = f"at most {_LONGEST_CHAIN}", "put what they say together in fewer files"
        raise CatenaError(wrong_description("", message, expected, as_toml(name), hint))
    if not (name.endswith(".toml") or _is_file(path)):
        backend, path = _installed(name)
        return _extended(path, backend, (*seen, path))
    if _resolved(path) in map(_resolved, seen):
        chain = " -> ".join(map(str, (*seen, path)))
        message = f"the description extends itself: {chain}"
        raise CatenaError(wrong_description("", message, "another description", as_toml(name), _WHAT_TO_EXTEND))
    return _extended(path, None, (*seen, path))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long for one
        return False


def _resolved(path: Path) -> str:
    """A path by which files are the same, however they are named."""
    try:
        return os.path.realpath(path)
    except ValueError:  # no file has a name with a zero character
        return str(path)


def _extended(path: Path, backend: InstalledBackend | None, seen: tuple[Path, ...]) -> DescribedTarget:
    """The description of a file on top of the one that it extends; a `backend` that is given stays."""
    description = _read(path, seen)
    if EXTENDS in description:
        found = _changed(path, description.pop(EXTENDS), description, seen)
        return found if backend is None else replace(found, backend=backend.load(), is_bundled=backend.is_bundled)
    if backend is None and "levels" not in description:
        if problems := [*_nearly_named(path, description)]:
            raise CatenaError(problems)
        hint = f'start the file with {EXTENDS} = "{DEFAULT_TARGET}" or another target, or describe its levels'
        found = f"only {', '.join(description)}" if description else "nothing"
        message, expected = "the description does not say what it extends", f"{EXTENDS} = ..., or tables levels.NAME"
        raise CatenaError(wrong_description(f"{path}, line 1", message, expected, found, hint))
    own = backend or find_installed(GENERIC, installed_backends())
    return DescribedTarget(own.load(), own.is_bundled, description, path)


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """One file. That it cannot be read is said of the file, and of the line in it, that extends it."""
    try:
        return read_description(path)
    except CatenaError as error:
        extending = seen[-2:-1]
        if not extending or any(each.code != "CAT-C002" for each in error.diagnostics):
            raise
        raise CatenaError([_named_in(extending[0], each) for each in error.diagnostics]) from error


def _named_in(extending: Path, problem: Diagnostic) -> Diagnostic:
    """A file that cannot be read, at the line that names it."""
    found = f"{problem.found} ({problem.where})" if problem.where else problem.message.rpartition(": ")[2]
    return replace(
        problem,
        message=f"{EXTENDS}: {problem.message}",
        where=f"{extending}, line {line_of(EXTENDS, extending) or 1}",
        expected=problem.expected or "a target, or a TOML file that can be read",
        found=found,
        hint=problem.hint or _WHAT_TO_EXTEND,
    )


def _nearly_named(path: Path, description: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """Keys that are not called quite like one of those that say what a description is."""
    for key in description:
        if near := nearest_key(key, ("levels", EXTENDS)):
            shown = dotted([key])
            where, message = f"{path}, line {first_line_in(shown, path) or 1}", f"{shown}: there is no such key"
            yield wrong_description(where, message, "a key of a description", shown, f"did you mean {near!r}?")


def _changed(path: Path, name: object, changes: dict[str, Any], seen: tuple[Path, ...]) -> DescribedTarget:
    """The description that a file extends, with its changes. What is wrong with its name is said of the file."""
    where = f"{path}, line {line_of(EXTENDS, path) or 1}"
    if not isinstance(name, str):
        message = f"{EXTENDS}: must be a text"
        raise CatenaError(wrong_description(where, message, "a text", as_toml(name), _WHAT_TO_EXTEND))
    try:
        base = _describe(name, path.parent, seen)
    except CatenaError as error:
        raise CatenaError(
            [
                each
                if each.where
                else replace(each, message=f"{EXTENDS}: {each.message}", where=where, hint=each.hint or _WHAT_TO_EXTEND)
                for each in error.diagnostics
            ]
        ) from error
    if problems := [*_changes_of_kind(path, name, base.description, changes)]:
        raise CatenaError(problems)
    return replace(base, description=merged(base.description, changes), file=path, base=base)


def _changes_of_kind(
    path: Path, name: str, base: Mapping[str, Any], changes: Mapping[str, Any]
) -> Iterator[Diagnostic]:
    """What cannot be changed: the kind of a level, and the kind of machine."""
    levels = changes.get("levels")
    if levels is None:
        return
    inherited = base.get("levels")
    if inherited is None:
        message = f"levels: {name} is not described by levels, and cannot have any"
        hint = f"leave out {EXTENDS} to describe a machine by its levels, or change its keys: {', '.join(base)}"
        where, found = f"{path}, line {first_line_in('levels', path) or 1}", as_toml(levels)
        yield wrong_description(where, message, "no such table", found, hint)
        return
    if not (isinstance(inherited, dict) and isinstance(levels, dict)):
        return  # it is no table, which is said when the description is checked
    for level, own in cast("dict[str, Any]", levels).items():
        other = cast("dict[str, Any]", inherited).get(level)
        if isinstance(own, dict) and isinstance(other, dict):
            kinds = tuple(cast("dict[str, object]", each).get("kind") for each in (other, own))
            if kinds[1] is not None and kinds[0] != kinds[1]:
                key = dotted(("levels", level, "kind"))
                message = f"{key}: in {name} this level is of kind {as_toml(kinds[0])}"
                where = f"{path}, line {nearest_line(key, path) or 1}"
                expected, found = (as_toml(each) for each in kinds)
                hint = "a level of another kind needs a name of its own"
                yield wrong_description(where, message, expected, found, hint)


def _installed(name: str) -> tuple[InstalledBackend | None, Path]:
    """The backend that offers a target, None if it is only described, and its description."""
    # Looking through all distributions for backends takes its time: once is enough.
    backends = installed_backends()
    described = installed_targets()
    known = [each.name for each in (*backends, *described)]
    if name in known:
        installed = find_installed(name, (*backends, *described))
        return (None, installed.load()) if isinstance(installed, InstalledTarget) else _of_backend(installed)
    for each in backends:
        try:
            targets = each.load().targets()
        except CatenaError:
            continue  # listed by `catena targets`, with the reason
        if name in targets:
            return find_installed(each.name, backends), targets[name]
        known += targets
    raise CatenaError(
        Diagnostic(
            "CAT-C001",
            f"no target is called {shortened(name)!r}",
            expected="a target, or a TOML file",
            found=as_toml(name),
            hint=did_you_mean(name, known) or "catena targets lists those that there are",
        )
    )


def _of_backend(installed: InstalledBackend) -> tuple[InstalledBackend, Path]:
    return installed, installed.load().description()


def _with(description: Mapping[str, Any], path: list[str], value: object, key: str) -> dict[str, Any]:
    """A description with a value in a place; `key` is the whole path, as it was given."""
    name, *inner = path
    if not inner:
        return {**description, name: value}
    table = description.get(name, {})
    if not isinstance(table, dict):
        hint = f"set {name} itself, or a key of a table"
        message = f"{key}: {name!r} is a value, not a table"
        raise CatenaError(wrong_description(f"set by --set {key}", message, "a table", as_toml(table), hint))
    return {**description, name: _with(cast("dict[str, Any]", table), inner, value, key)}


def _toml_value(key: str, text: str) -> object:
    """The value of a setting; what is no TOML is text. Raises `CatenaError` (CAT-C003) for more than a value."""
    where = f"set by --set {shortened(key)}"
    try:
        found = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    except ValueError as error:
        message, hint = f"{key}: the number has too many digits", "no key takes a number of more than 64 bits"
        raise CatenaError(wrong_description(where, message, "at most 64 bits", text, hint)) from error
    if len(found) > 1:
        message, hint = f"{key}: more than a value follows", "give --set again for every key"
        raise CatenaError(wrong_description(where, message, "one value", text, hint))
    return found["value"]
