"""Machines drawn as trees of text."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.registry import bundled_backends
from compiler.machine_drawing import drawing
from compiler.targets import select_target, target_names
from dialects.diagnostics import ExitCode
from tests.compiler.conftest import Cli

TARGETS = [name for backend in bundled_backends() for name in target_names(backend)]


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_can_be_drawn(name: str) -> None:
    lines = drawing(select_target(name).machine).splitlines()
    assert len(lines) >= 4
    assert not lines[0].startswith(" ")
    assert all("└─ " in line for line in lines[1:])
    assert all(line == line.rstrip() for line in lines)


def test_levels_lie_within_one_another_in_their_order() -> None:
    lines = drawing(select_target("gemmini").machine).splitlines()
    depths = [line.index("└─") if "└─" in line else -1 for line in lines]
    assert depths == sorted(set(depths))
    assert [line.split()[1] if index else line.split()[0] for index, line in enumerate(lines)] == [
        "dram",
        "scratchpad",
        "accumulator",
        "row",
        "col",
        "pe",
        "element",
    ]


def test_a_file_is_drawn_with_its_changes(tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "wide.toml"
    path.write_text('extends = "generic"\nname = "wide"\n[levels.row]\nsize = 77\n[levels.rf]\nword_bits = 8\n')
    done = cli("targets", path)
    assert done.code == ExitCode.OK
    assert "row x 77" in done.out
    assert "wide: " in done.out
    assert cli("targets", "nothing-like-it").code == ExitCode.USAGE
    assert cli("targets", "spots", "--json").json["result"]["drawing"][0].startswith("dram")
