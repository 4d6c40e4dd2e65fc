"""Verbs of the command line that are not about one network's program, as Python functions; see `compiler.api`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compiler.accuracy import Accuracy
    from compiler.cache_contents import Kept
    from compiler.health import Health
    from compiler.quantization.calibration import Source
    from compiler.tables import Table


def measure_accuracy(
    source: str | PathLike[str],
    physics: str | PathLike[str],
    samples: Source | Sequence[Source] = "random:1",
    *,
    seed: int = 0,
    target: str | PathLike[str] | None = None,
    settings: Mapping[str, str] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    batch: int | None = None,
) -> Accuracy:
    """What crossbars, which the TOML file `physics` describes, do to the results of a network: `catena accuracy`.

    `samples` are as `calibrate` of `quantize`; the other arguments as for `compile`. Raises `CatenaError`: CAT-U006 if
    crossbars can do no link.
    """
    from compiler.accuracy import accuracy
    from compiler.compilation import CompileOptions
    from compiler.sources import ImportOptions

    options = CompileOptions(
        target=None if target is None else fspath(target),
        settings=settings or {},
        importing=ImportOptions(input_shapes or {}, batch),
    )
    sources = [samples] if isinstance(samples, str | PathLike | Mapping) else samples
    return accuracy(fspath(source), Path(physics), sources, options, seed=seed)


def list_targets() -> Table:
    """The installed targets, as `catena targets`: name, array, buffer, clock, summary, distribution."""
    from compiler.listings import target_table

    return target_table()


def new_backend(name: str, level: int = 0, output: str | PathLike[str] | None = None) -> tuple[Path, ...]:
    """Write a Python package for a machine of your own; the files that were written.

    Level 0 is a described target, 1 a backend with instructions and an emulator; `output` is the folder (default:
    `catena-NAME`). Raises `CatenaError`: CAT-C001 for a name that cannot be used, CAT-C002 for a folder that is not
    empty or cannot be written.
    """
    from compiler.scaffold.project import default_folder, write_project

    folder = default_folder(name) if output is None else Path(output)
    return tuple(folder / path for path in write_project(name, level, folder))


def doctor() -> Health:
    """Versions, optional parts and plug-ins, and what of them has to be mended: `catena doctor`."""
    from compiler.health import examine

    return examine()


def cache(cache_dir: str | PathLike[str] | None = None, *, clear: bool = False) -> tuple[Kept, ...]:
    """How much is kept of earlier compilations, after removing it all with `clear`; nothing if nothing is kept.

    `cache_dir` is the folder (default: `compiler.cache_folder`). Raises `CatenaError` (CAT-C002) if it cannot be
    removed.
    """
    from compiler.cache_contents import clear as remove
    from compiler.cache_contents import contents
    from compiler.cache_folder import cache_folder

    folder = cache_folder(None if cache_dir is None else fspath(cache_dir))
    if folder is None:
        return ()
    if clear:
        remove(folder)
    return contents(folder)
