"""Where searches run: one after the other in this process, in several processes, or where a Dask scheduler says.

Every function here gives the results as they come, with the numbers of their tasks. What is found does not depend on
the place, unless time limits cut searches off.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.synchronize import Event
from time import monotonic
from typing import Any

from dialects.diagnostics import CatenaError, Diagnostic
from passes.searching.task import Result, Task, run
from passes.searching.version import search_version

Results = Generator[tuple[int, Result]]

_CONNECT_SECONDS = 10
"""How long a Dask scheduler has to answer."""


@dataclass
class Budget:
    """Wall seconds for all searches together, if there is a limit, of which each gets a fair share."""

    seconds: float | None
    _start: float = field(default_factory=monotonic)

    def share(self, left: int, workers: int) -> float | None:
        """Seconds for the next search if `left` of them, it included, have yet to begin."""
        if self.seconds is None:
            return None
        return max(0.0, self.seconds - (monotonic() - self._start)) / -(-left // workers)


def in_process(tasks: Sequence[Task], budget: Budget) -> Results:
    """One after the other, here."""
    for index, task in enumerate(tasks):
        yield index, run(task, budget.share(len(tasks) - index, 1))


def in_processes(tasks: Sequence[Task], budget: Budget, jobs: int) -> Results:
    """In up to `jobs` new processes. When the caller stops, searches that still run are cancelled.

    Raises `CatenaError` (CAT-I001) if a process ends too early.
    """
    jobs = min(jobs, len(tasks))
    context = multiprocessing.get_context("spawn")
    cancelled = context.Event()
    waiting = list(enumerate(tasks))[::-1]
    running: dict[Future[Result], int] = {}
    with ProcessPoolExecutor(jobs, context, _begin, (cancelled,)) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    seconds = budget.share(len(waiting), jobs)
                    index, task = waiting.pop()
                    running[pool.submit(_run_here, task, seconds)] = index
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield running.pop(future), future.result()
        except BrokenProcessPool as error:
            hint = "in a script, compile under `if __name__ == '__main__':`, or use one job"
            message = "a process that searched for mappings has ended before its time"
            raise CatenaError(Diagnostic("CAT-I001", message, "mapped", hint=hint)) from error
        finally:
            cancelled.set()


_cancelled: Event | None = None


def _begin(cancelled: Event) -> None:
    """Begin a process that searches. It is the parent that an interrupt from the terminal is for."""
    global _cancelled
    _cancelled = cancelled
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_here(task: Task, seconds: float | None) -> Result:
    assert _cancelled is not None
    return run(task, seconds, _cancelled.is_set)


def on_scheduler(tasks: Sequence[Task], budget: Budget, address: str) -> Results:
    """On the workers of a Dask scheduler, which have this version of Catena installed.

    Raises `CatenaError`: CAT-C004 if Dask is not installed, CAT-C001 if no scheduler with workers is at the address.
    """
    distributed = _distributed()
    try:
        client = distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise CatenaError(
            Diagnostic("CAT-C001", f"no Dask scheduler answers at {address}", "mapped", found=str(error))
        ) from error
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            hint = f"dask worker {address}"
            raise CatenaError(
                Diagnostic("CAT-C001", f"the Dask scheduler at {address} has no workers", "mapped", hint=hint)
            )
        seconds = budget.share(len(tasks), threads)
        futures = {
            client.submit(_run_there, task, seconds, search_version(), pure=False): index
            for index, task in enumerate(tasks)
        }
        try:
            for future in distributed.as_completed(list(futures), loop=client.loop):
                yield futures[future], future.result()
        finally:
            client.cancel(list(futures))


def _run_there(task: Task, seconds: float | None, version: str) -> Result:
    if version != search_version():
        message = "a Dask worker has another version of Catena"
        return (Diagnostic("CAT-C001", message, "mapped", hint="install the same version everywhere"),)
    return run(task, seconds)


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ImportError as error:
        hint = "pip install 'catena[dist]'"
        raise CatenaError(Diagnostic("CAT-C004", "a scheduler needs Dask", "mapped", hint=hint)) from error
