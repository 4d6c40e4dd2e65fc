"""Commands in processes of their own that share what is already imported, so that they can be killed and limited."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from compiler.cli.main import execute

CANNOT_PREPARE = 99


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, negative for a signal, what it printed, and how long it ran in seconds."""

    code: int
    text: str
    seconds: float


class Command:
    """`catena` in a forked process, whose output comes through a pipe; `prepare` runs in it first."""

    def __init__(self, words: Sequence[object], prepare: Callable[[], object] = lambda: None):
        self._start = time.monotonic()
        self._reading, writing = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _run([str(word) for word in words], writing, prepare)
        os.close(writing)

    def kill_after(self, seconds: float) -> Ended:
        """Kill the process at that time after its start, unless it has ended by itself."""
        while time.monotonic() - self._start < seconds:
            if os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return self.wait()
            time.sleep(0.001)
        os.kill(self._pid, signal.SIGKILL)
        return self.wait()

    def wait(self) -> Ended:
        """The end of the process."""
        with os.fdopen(self._reading, "rb") as stream:
            text = stream.read().decode(errors="replace")
        _, status = os.waitpid(self._pid, 0)
        return Ended(os.waitstatus_to_exitcode(status), text, time.monotonic() - self._start)


def _run(words: list[str], output: int, prepare: Callable[[], object]) -> None:
    """What the new process does; it never returns into the test that forked it."""
    code = CANNOT_PREPARE
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        # The streams of the test belong to whoever captures them.
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        prepare()
        code = int(execute(words))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)
