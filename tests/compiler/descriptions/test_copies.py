"""Copies of descriptions describe the same machine, wherever the files that they were made of have gone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from compiler.descriptions.copies import copies
from compiler.descriptions.files import described_target
from compiler.targets import select_target


def written(folder: Path, texts: Mapping[str, str]) -> str:
    """Files in a folder of their own; the name of the first."""
    folder.mkdir()
    for name, text in texts.items():
        (folder / name).write_text(text)
    return str(folder / "t.toml")


@pytest.mark.parametrize("name", ["eyeriss", "eyeriss-256", "isca16-nlr", "gemmini", "spots", "rram-mesh"])
def test_a_target_that_is_installed_is_named(name: str, tmp_path: Path) -> None:
    texts = copies(described_target(name), "t")
    assert texts == {"t.toml": f'extends = "{name}"\n'}
    assert select_target(written(tmp_path / "copy", texts)).machine == select_target(name).machine


def test_files_that_extend_one_another_go_along_without_what_is_set(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.toml").write_text('name = "a"\nextends = "isca16-nlr"\n[levels.glb]\nwords = 70000\n')
    (tmp_path / "b.toml").write_text('extends = "sub/a.toml"\nname = "b"\nsummary = "\\"é\\" a.b"\n')
    texts = copies(described_target(str(tmp_path / "b.toml"), {"levels.glb.words": "9"}), "t")
    known = select_target(str(tmp_path / "b.toml"))
    assert [*texts] == ["t.toml", "t-1.toml"]
    (tmp_path / "b.toml").unlink()
    (tmp_path / "sub" / "a.toml").unlink()
    assert select_target(written(tmp_path / "copy", texts)).machine == known.machine


def test_a_machine_by_levels_extends_nothing(tmp_path: Path) -> None:
    source = described_target("generic").file.read_text("utf-8")
    (tmp_path / "own.toml").write_text(source.replace('name = "generic"', 'name = "own"'))
    texts = copies(described_target(str(tmp_path / "own.toml")), "t")
    assert "extends" not in texts["t.toml"]
    found, known = select_target(written(tmp_path / "copy", texts)), select_target(str(tmp_path / "own.toml"))
    assert (found.machine, found.backend) == (known.machine, known.backend)
