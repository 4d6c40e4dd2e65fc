"""Copies of the files of a description, for another place where the same targets are installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from backends.registry import installed_targets
from compiler.descriptions.data import read_description
from compiler.descriptions.files import DescribedTarget
from dialects.diagnostics import CatenaError
from dialects.toml_text import EXTENDS, toml_key, written


def copies(described: DescribedTarget, stem: str) -> dict[str, str]:
    """The texts of the files down to the first that is installed, which is named, by the names that they extend.

    The first is `STEM.toml`; nothing that is set on top of it is in it. Of a target that is installed itself it only
    has the name.
    """
    installed = _installed(described)
    chain = [each.file for each in (described.as_written or described).chain]
    own = [file for number, file in enumerate(chain) if not set(chain[: number + 1]) & set(installed)]
    names = [f"{stem}.toml", *(f"{stem}-{number}.toml" for number in range(1, len(own)))]
    if not own:
        return {names[0]: f"{EXTENDS} = {written(installed[chain[0]])}\n"}
    extended = [*names[1:], *(installed[file] for file in chain[len(own) : len(own) + 1])]
    found: dict[str, str] = {}
    for number, (name, file) in enumerate(zip(names, own, strict=True)):
        content = read_description(file)
        if EXTENDS in content:
            content[EXTENDS] = extended[number]
        found[name] = "\n".join([*_lines(content), ""])
    return found


def _installed(described: DescribedTarget) -> dict[Path, str]:
    """The names of targets that descriptions of this backend may extend, by their files."""
    backend = described.backend
    further: dict[Path, str] = {}
    for each in installed_targets():
        # One that cannot be loaded is none that this description extends.
        with suppress(CatenaError):
            further[each.load()] = each.name
    return {
        **further,
        **{path: name for name, path in backend.targets().items()},
        backend.description(): backend.name,
    }


def _lines(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """The lines of a table: its values, then the tables in it, each under its name."""
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    yield from (f"{toml_key(key)} = {written(value)}" for key, value in table.items() if key not in inner)
    for key, value in inner.items():
        place = (*path, key)
        yield f"\n[{'.'.join(map(toml_key, place))}]"
        yield from _lines(cast("dict[str, Any]", value), place)
