"""Every file of `benchmarks` is a command that says what it does, or a module that says whose."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.scripts import FOLDER, run


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_help(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(path, "--help")
    if "no command of its own" in path.read_text():
        assert "is a module of" in str(ended.value.code)
    else:
        assert ended.value.code == 0
        assert capsys.readouterr().out.startswith("usage: ")
