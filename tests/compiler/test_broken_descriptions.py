"""Descriptions by levels that are wrong: every message says which key, where, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.targets import select_target
from dialects.diagnostics import CatenaError, Diagnostic

GOOD = """\
name = "chip"
clock_mhz = 100
word_bits = 16

[levels.dram]
kind = "memory"

[levels.glb]
kind = "memory"
words = 1024

[levels.pe]
kind = "axis"
size = 8
multicast = ["I"]

[accesses.dram]
energy = 100
events = { "dram.input.read" = 1 }

[dataflow]
nest = "for filters m, store glb [O] | par filters 1 on pe"
"""


def problems(text: str, folder: Path) -> tuple[Diagnostic, ...]:
    path = folder / "chip.toml"
    path.write_text(text)
    with pytest.raises(CatenaError) as caught:
        select_target(str(path))
    return caught.value.diagnostics


def test_the_good_one_is_good(tmp_path: Path) -> None:
    path = tmp_path / "chip.toml"
    path.write_text(GOOD)
    assert select_target(str(path)).backend.name == "generic"


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "hint"),
    [
        ("words = 1024", "wrods = 1024", 10, "levels.glb.wrods: Extra inputs", "did you mean 'words'?"),
        ("clock_mhz = 100", "clok_mhz = 100", 2, "clok_mhz: Extra inputs", "did you mean 'clock_mhz'?"),
        ('kind = "axis"\n', "", 12, "levels.pe: Unable to extract tag",
         'every level has kind = "memory" or kind = "axis"'),
        ('kind = "axis"', 'kind = "axes"', 12, "levels.pe: Input tag 'axes'",
         'every level has kind = "memory" or kind = "axis"'),
        ("size = 8", "size = 0", 14, "levels.pe.size: Input should be greater than or equal to 1", ""),
        ("size = 8\n", "", 12, "levels.pe.size: Field required", "every axis has size"),
        ('["I"]', '["X"]', 15, "levels.pe.multicast.0: Input should be 'I', 'K' or 'O'",
         "I is the input, K the kernel, O the output"),
        ("dram.input.read", "dram.input.raed", 19, "accesses.dram.events: nothing is counted as 'dram.input.raed'",
         "did you mean dram.input.read"),
        ("[levels.dram]", "[levels.dram]\nwords = 5", 5, "levels.dram: the first level is a memory without a capacity",
         "describe the off-chip memory first, without words"),
        ("energy = 100", "energy = -1", 18, "accesses.dram.energy: Input should be greater than or equal to 0", ""),
        ("store glb", "store gbl", 22, "dataflow.nest: there is no memory 'gbl'", "did you mean glb?"),
        ("on pe", "on", 22, "dataflow.nest: cannot read this", "for PART TILE, par PART TILE on AXIS"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found_where_it_is(
    old: str, new: str, line: int, message: str, hint: str, tmp_path: Path
) -> None:
    assert old in GOOD
    found = problems(GOOD.replace(old, new, 1), tmp_path)
    problem = next(each for each in found if each.message.startswith(message))
    assert problem.code == "CAT-C003"
    assert problem.where == f"{tmp_path / 'chip.toml'}, line {line}"
    assert problem.hint.startswith(hint)
    assert hint or not problem.hint


def test_changes_are_blamed_on_the_file_that_makes_them(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(GOOD)
    (problem,) = problems('extends = "base.toml"\n\n[levels.glb]\nwodrs = 3\n', tmp_path)
    assert problem.where == f"{tmp_path / 'chip.toml'}, line 4"
    assert problem.message.startswith("levels.glb.wodrs: ")


def test_text_that_is_no_toml(tmp_path: Path) -> None:
    (problem,) = problems(GOOD.replace('"chip"', "chip"), tmp_path)
    assert "at line 1" in problem.message


def test_a_whole_description_needs_a_clock(tmp_path: Path) -> None:
    (problem,) = problems(GOOD.replace("clock_mhz = 100\n", ""), tmp_path)
    assert problem.message == "clock_mhz: Field required"
