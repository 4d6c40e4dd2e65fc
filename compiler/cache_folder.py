"""Where Catena keeps what it has found before."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "CATENA_CACHE_DIR"
"""The environment variable that names the folder; if it is empty, nothing is kept."""


def cache_folder(asked: str | None = None) -> Path | None:
    """The folder that is asked for, else that of the environment, else that of the platform; None for no folder."""
    given = asked if asked is not None else os.environ.get(VARIABLE)
    if given is not None:
        return Path(given) if given else None
    return _platform_folder() / "catena"


def _platform_folder() -> Path:
    """Where programs of this platform keep what they can make again."""
    home = Path.home()
    match sys.platform:
        case "win32":
            return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
        case "darwin":
            return home / "Library" / "Caches"
        case _:
            given = os.environ.get("XDG_CACHE_HOME", "")
            # The specification has relative paths ignored.
            return Path(given) if Path(given).is_absolute() else home / ".cache"
