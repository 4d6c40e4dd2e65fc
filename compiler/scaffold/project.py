"""A new package: a target that TOML describes (level 0), or a backend with instructions of its own (level 1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from backends.registry import installed_backends, installed_targets
from compiler.files import cannot, write_text
from dialects.diagnostics import CatenaError, Diagnostic

LEVELS = {0: ("described",), 1: ("described", "machine")}
"""The templates of each level; files of later ones take the place of earlier ones of the same name."""
_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
_SUFFIX = ".template"
_LONGEST = 64


def project_files(name: str, level: int) -> Mapping[str, str]:
    """The files of a new package by path, as text.

    Raises `CatenaError` (CAT-C001) for a name that no target can have, or that an installed one has.
    """
    _check_name(name)
    package = f"catena_{name.replace('-', '_')}"
    words = {"name": name, "package": package, "distribution": f"catena-{name.replace('_', '-')}"}
    found: dict[str, str] = {}
    for folder in LEVELS[level]:
        for path, text in _templates(files("compiler.scaffold") / "templates" / folder, ""):
            target = path.removesuffix(_SUFFIX).replace("test_package", f"test_{package}")
            found[re.sub(r"^package/", f"{package}/", target)] = Template(text).substitute(words)
    return dict(sorted(found.items()))


def _templates(folder: Traversable, path: str) -> Iterator[tuple[str, str]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _templates(each, f"{path}{each.name}/")
        elif each.name.endswith(_SUFFIX):
            yield path + each.name, each.read_text("utf-8")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        expected = "lower-case letters and digits, with single - or _ between"
        raise CatenaError(Diagnostic("CAT-C001", f"no target can be called {name!r}", expected=expected))
    for other in (*installed_backends(), *installed_targets()):
        if other.name == name:
            message = f"there is a target {name!r} already, of {other.distribution}"
            raise CatenaError(Diagnostic("CAT-C001", message, hint="choose another name"))


def default_folder(name: str) -> Path:
    """Where a package is written unless somebody says otherwise."""
    return Path(f"catena-{name.replace('_', '-')}")


def write_project(name: str, level: int, folder: Path) -> tuple[str, ...]:
    """Write a new package to a folder that is not there yet, or empty; the files by path.

    Raises `CatenaError`: CAT-C001 as `project_files`, CAT-C002 if the folder has something in it or cannot be written.
    """
    texts = project_files(name, level)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            hint = "name another folder with -o"
            raise CatenaError(Diagnostic("CAT-C002", f"{folder} is there already, and not empty", hint=hint))
        for path in texts:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CatenaError(cannot("write", str(folder), error)) from error
    for path, text in texts.items():
        write_text(folder / path, text)
    return tuple(texts)
