"""The digest of the code: another one for every change in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dialects.code_digest import code_digest
from passes.searching.version import search_version


def test_the_digest_changes_with_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "part" / "inner").mkdir(parents=True)
    module = tmp_path / "part" / "inner" / "module.py"
    monkeypatch.setattr("dialects.code_digest.__file__", str(tmp_path / "dialects" / "code_digest.py"))
    seen: set[str] = set()
    for name, text in (("module.py", "1"), ("module.py", "2"), ("other.py", "2")):
        module.unlink(missing_ok=True)
        module = module.with_name(name)
        module.write_text(text)
        seen.add(code_digest.__wrapped__("part"))
        assert code_digest.__wrapped__("part") in seen
    assert len(seen) == 3


def test_the_search_is_known_by_its_code() -> None:
    assert search_version() == search_version()
    assert code_digest("passes/mapping") != code_digest("passes/mapper")
