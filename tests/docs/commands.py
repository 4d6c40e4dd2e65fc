"""The commands that pages show: which tests execute them, and which are left to the reader, with the reason."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from compiler.cli.main import execute

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide"
EXECUTED = {
    ("README.md", "sh"),
    ("README.md", "console"),
    ("first-ten-minutes.md", "sh"),
    ("how-do-i.md", "sh"),
    ("exploring.md", "sh"),
    ("tutorial-backend.md", "console"),
}
"""Pages and languages of blocks whose commands tests execute, but for those that are left."""
_INSTALLS = "installs packages from a registry, which no test reaches"
LEFT = {
    "python3 tasks.py demo": "takes minutes and installs packages; the README does the same with ResNet-18",
    "python3 tasks.py test": "is what executes these",
    "python3 -m venv .venv && . .venv/bin/activate": _INSTALLS,
    "pip install -e '.[verify]'": _INSTALLS,
    "pip install -e catena-lanes": f"{_INSTALLS}; the test puts it on the path with its entry points",
    "catena new-backend lanes --level 1": "the fixture of the test of the tutorial writes it with these words",
    "catena conformance lanes": "takes a minute; the test of scaffolds runs the kit, whole in the exhaustive run",
}
"""Commands that are not executed as they stand."""


def shown(page: Path) -> dict[str, list[str]]:
    """The lines of a page's blocks of commands, by language; remarks are taken off."""
    found: dict[str, list[str]] = {}
    for language, block in re.findall(
        r"^```(sh|bash|console)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        found.setdefault(language, []).extend(line.partition("  # ")[0].rstrip() for line in block.splitlines())
    return found


def carry_out(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Execute a line that a page shows: what is for Catena alone in this process, anything else in a shell."""
    words = shlex.split(line)
    if words[0] == "catena" and not re.search(r"[|>]", line):
        code, errors = int(execute(words[1:])), capsys.readouterr().err
    else:
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        code, errors = done.returncode, done.stderr
    assert code == 0, (line, errors)
    assert line.startswith("! ") or "FAILED" not in errors, line
