"""The digest of the code: another one for every change in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dialects.code_digest import code_digest
from passes.searching.version import search_version


def test_the_digest_changes_with_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()
    for version, (name, text) in enumerate((("module.py", "1"), ("module.py", "2"), ("other.py", "2"))):
        inner = tmp_path / str(version) / "part" / "inner"
        inner.mkdir(parents=True)
        (inner / name).write_text(text)
        (inner / "notes.txt").write_text(str(version))
        monkeypatch.setattr("dialects.code_digest.__file__", str(tmp_path / str(version) / "dialects" / "it.py"))
        seen.add(code_digest.__wrapped__("part"))
        assert code_digest.__wrapped__("part") in seen
    assert len(seen) == 3


def test_the_search_is_known_by_its_code() -> None:
    assert search_version() == search_version()
    assert code_digest("passes/mapping") != code_digest("passes/mapper")
