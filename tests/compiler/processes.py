"""Commands in processes of their own that share what is already imported, so that they can be killed and limited.

They are forked by a server that has no threads. A test has: of those that ONNX Runtime starts, one may hold a lock that
its copy in a forked process would wait for for ever.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from compiler.cli.main import execute

CANNOT_PREPARE = 99


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, negative for a signal, what it printed, and how long it ran in seconds."""

    code: int
    text: str
    seconds: float


_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.compiler.preloaded"])


def nothing() -> None:
    """What most commands need before they start."""


class Command:
    """`catena` in a process whose output comes through a pipe; `prepare`, which can be pickled, runs in it first."""

    def __init__(self, words: Sequence[object], prepare: Callable[[], object] = nothing):
        self._reading, writing = _SERVER.Pipe(duplex=False)
        arguments = [str(word) for word in words], writing, prepare, dict(os.environ)
        self._start = time.monotonic()
        self._process = _SERVER.Process(target=_run, args=arguments)
        self._process.start()
        writing.close()

    def kill_after(self, seconds: float) -> Ended:
        """Kill the process at that time after its start, unless it has ended by itself."""
        self._process.join(max(self._start + seconds - time.monotonic(), 0))
        self._process.kill()
        return self.wait()

    def wait(self) -> Ended:
        """The end of the process."""
        with os.fdopen(os.dup(self._reading.fileno()), "rb") as stream:
            text = stream.read().decode(errors="replace")
        self._reading.close()
        self._process.join()
        code = self._process.exitcode
        assert code is not None
        return Ended(code, text, time.monotonic() - self._start)


def _run(words: list[str], output: Connection, prepare: Callable[[], object], environment: Mapping[str, str]) -> None:
    """What the new process does, in the environment of the test."""
    code = CANNOT_PREPARE
    try:
        os.environ.clear()
        os.environ.update(environment)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        prepare()
        code = int(execute(words))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)
