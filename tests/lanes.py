"""The backend that `catena new-backend lanes --level 1` writes, imported into this process."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from backends.api import Backend
from compiler.scaffold.project import write_project
from compiler.targets import Target, select_target

PACKAGE = "catena_lanes"


@contextmanager
def lanes_target(folder: Path) -> Iterator[Target]:
    """The target, from a package that is written to an empty folder and forgotten afterwards."""
    write_project("lanes", 1, folder)
    sys.path.insert(0, str(folder))
    try:
        backend = importlib.import_module(PACKAGE).BACKEND
        assert isinstance(backend, Backend)
        yield replace(select_target(str(backend.description())), backend=backend)
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]
