"""What the tests of target descriptions share."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.targets import select_target
from dialects.diagnostics import CatenaError, Diagnostic


def problems(text: str, folder: Path, name: str = "chip.toml") -> tuple[Diagnostic, ...]:
    """Why a description is refused, written into a folder under a name."""
    path = folder / name
    path.write_text(text)
    with pytest.raises(CatenaError) as caught:
        select_target(str(path))
    return caught.value.diagnostics
