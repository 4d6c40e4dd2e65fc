"""Descriptions whose keys are all right, but do not make a machine together: refused when they are read, at a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.targets import select_target
from dialects.diagnostics import CatenaError, Diagnostic

GOOD = """\
name = "chip"
clock_mhz = 100
word_bits = 16

[levels.host]
kind = "memory"

[levels.glb]
kind = "memory"
words = 1024
operands = ["I", "O"]
bypass = ["I"]

[levels.pe]
kind = "axis"
size = 8
multicast = ["I"]
loops = ["op"]

[levels.rf]
kind = "memory"
words = 4

[accesses.far]
energy = 100
events = { "host.input.read" = 1 }
"""


def problems(text: str, folder: Path) -> tuple[Diagnostic, ...]:
    path = folder / "chip.toml"
    path.write_text(text)
    with pytest.raises(CatenaError) as caught:
        select_target(str(path))
    return caught.value.diagnostics


def lines(found: tuple[Diagnostic, ...]) -> list[int]:
    return [int(each.where.rpartition("line ")[2]) for each in found]


@pytest.mark.parametrize("name", ["host", "operation", "static"])
def test_accesses_cannot_be_called_what_else_is_priced(name: str, tmp_path: Path) -> None:
    (problem,) = problems(GOOD.replace("accesses.far", f"accesses.{name}"), tmp_path)
    assert problem.message == f"accesses.{name}: energy of another kind is reported as {name!r}"
    assert problem.hint == f"call the table accesses.{name}_memory, say"
    assert lines((problem,)) == [24]
