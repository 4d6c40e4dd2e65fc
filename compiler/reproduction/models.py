"""Models as files that can be taken to another place."""

from __future__ import annotations

from pathlib import Path, PurePath

from dialects.diagnostics import CatenaError


def external_data(model: Path) -> list[str]:
    """The files beside a model that hold its tensors and are there, as far as the model can be read."""
    from compiler.importer.external_files import external_files

    try:
        names = external_files(model)
    except CatenaError:
        return []
    return [name for name in names if _is_inside(PurePath(name)) and (model.parent / name).is_file()]


def _is_inside(path: PurePath) -> bool:
    return not path.is_absolute() and ".." not in path.parts
