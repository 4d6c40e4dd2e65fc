"""Options of a compilation, of the plain arguments that functions of the Python API take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compiler.compilation import CompileOptions
    from passes.searching.options import SearchOptions

FilePath = str | PathLike[str]
Shapes = Mapping[str, Sequence[int]]


def with_zeros(options: CompileOptions, calibrate: FilePath | None, density: float | None) -> CompileOptions:
    """Options by which zeros are measured on a file of inputs, or their share is stated."""
    from dataclasses import replace

    return replace(options, calibrate=None if calibrate is None else fspath(calibrate), density=density)


def folder_of(path: FilePath | None) -> Path | None:
    """A folder, if one is given."""
    return None if path is None else Path(path)


def options_of(
    target: FilePath | None,
    settings: Mapping[str, str] | None,
    input_shapes: Shapes | None,
    batch: int | None,
    mode: str = "chain",
    allow_fallback: str | None = None,
    mapping: FilePath | None = None,
    search: SearchOptions | None = None,
    *,
    fuse: bool = False,
) -> CompileOptions:
    """What decides a compilation; arguments as for `compiler.api.compile`."""
    from compiler.compilation import CompileOptions
    from compiler.modes import mode_named
    from compiler.sources import ImportOptions
    from passes.searching.options import SearchOptions

    return CompileOptions(
        target=None if target is None else fspath(target),
        settings=settings or {},
        mode=mode_named(mode),
        fuse=fuse,
        mapping=None if mapping is None else fspath(mapping),
        search=search or SearchOptions(),
        importing=ImportOptions(input_shapes or {}, batch, fallback=allow_fallback),
    )


def search_of(
    objective: str | None,
    time_limit: float | None,
    jobs: int,
    scheduler: str | None,
    cache_dir: FilePath | None,
    no_cache: bool,
) -> SearchOptions:
    """How mappings are searched; arguments as for `compiler.api.compile`."""
    from compiler.searching import search_options

    folder = None if cache_dir is None else fspath(cache_dir)
    return search_options(objective, time_limit, jobs, scheduler, folder, no_cache)
