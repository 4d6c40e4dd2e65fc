"""Completion in shells: the scripts, and what Click answers them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from dialects.diagnostics import ExitCode
from tests.compiler.conftest import Cli

CATENA = "import sys; sys.argv[0] = 'catena'; from compiler.cli import main; sys.exit(main())"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_of_the_shell(shell: str, cli: Cli) -> None:
    if shell == "bash" and shutil.which("bash") is None:
        pytest.skip("no bash")
    done = cli("completion", shell)
    assert done.code == ExitCode.OK
    assert f"_CATENA_COMPLETE={shell}_complete" in done.out
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.out, text=True, check=True)


def test_an_unknown_shell_is_refused(cli: Cli) -> None:
    assert cli("completion", "csh").code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("words", "found"), [("catena comp", {"compile", "completion"}), ("catena run --sta", {"--stats"})]
)
def test_commands_and_options_are_completed(words: str, found: set[str]) -> None:
    environment = {"_CATENA_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", CATENA], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == found, done.stderr
