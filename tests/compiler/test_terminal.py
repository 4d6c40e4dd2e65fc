"""On a terminal: progress, colour, tables that are drawn; checked through a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

CATENA = Path(sys.executable).parent / "catena"


def on_terminal(*words: object, **variables: str) -> tuple[int, str]:
    """Exit code and everything a command writes to a terminal."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", **variables}
    process = subprocess.Popen(
        [str(CATENA), *map(str, words)], stdout=slave, stderr=slave, stdin=slave, env=environment, close_fds=True
    )
    os.close(slave)
    written = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:
            break
        if not chunk:
            break
        written += chunk
    os.close(master)
    return process.wait(), written.decode()


def test_stage_lines_stand_above_the_spinner(cnn: Path, tmp_path: Path) -> None:
    code, text = on_terminal("compile", cnn, "-o", tmp_path / "x.cat")
    assert code == 0
    assert "[1/7] import" in text
    assert "[7/7] program" in text
    assert "\033[32mOK\033[0m" in text


def test_errors_are_coloured_unless_no_color_is_set(tmp_path: Path) -> None:
    _, coloured = on_terminal("check", tmp_path / "none.onnx")
    _, plain = on_terminal("check", tmp_path / "none.onnx", NO_COLOR="1")
    assert "\033[31merror[CAT-C002]" in coloured
    assert "error[CAT-C002]" in plain
    assert "\033[31m" not in plain


def test_tables_are_drawn(program: Path) -> None:
    code, text = on_terminal("report", program)
    assert code == 0
    assert "─" in text
    assert "conv1 + relu1" in text
    _, plain = on_terminal("report", program, NO_COLOR="1")
    assert "\033[" not in plain
    assert "-----" in plain


def test_numbers_are_never_folded(program: Path) -> None:
    _, text = on_terminal("report", program, COLUMNS="60")
    assert " 2,592 " in text


def test_no_progress_means_no_lines(cnn: Path, tmp_path: Path) -> None:
    _, text = on_terminal("compile", cnn, "-o", tmp_path / "x.cat", "--no-progress")
    assert "[1/7]" not in text
    assert "OK" in text
