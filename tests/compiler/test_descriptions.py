"""Descriptions that start from others."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.descriptions import read_hierarchy
from dialects.diagnostics import CatenaError

BASE = 'name = "base"\nsummary = "s"\n[levels.dram]\nkind = "memory"\n[levels.rf]\nkind = "memory"\nwords = 8\n'


def test_what_differs_is_enough(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(BASE)
    (tmp_path / "more.toml").write_text('extends = "base.toml"\nname = "more"\n[levels.rf]\nwords = 16\n')
    machine = read_hierarchy(tmp_path / "more.toml", {"levels": {"rf": {"slides": True}}})
    assert (machine.name, machine.memory("rf").words, machine.memory("rf").slides) == ("more", 16, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('extends = "self.toml"', "extends itself"),
        ("extends = 3", "is the name of a file"),
        ('extends = "nowhere.toml"', "nowhere.toml"),
        ("name = ", "is not TOML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "self.toml").write_text(text)
    with pytest.raises(CatenaError) as caught:
        read_hierarchy(tmp_path / "self.toml")
    assert message in str(caught.value)
