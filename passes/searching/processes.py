"""Searches in several processes; see `workers`. A module of its own, because most compilations need none of it."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.synchronize import Event

from dialects.diagnostics import CatenaError, Diagnostic
from passes.searching.stopping import Asked, never
from passes.searching.task import FoundT, Job, Problems, run
from passes.searching.workers import Budget, Results

_POLL_SECONDS = 0.2
"""How often is looked whether searches are to end."""


def in_processes(tasks: Sequence[Job[FoundT]], budget: Budget, jobs: int, is_stopped: Asked = never) -> Results[FoundT]:
    """In up to `jobs` new processes. When the caller stops, or says so, searches that still run are cancelled.

    Raises `CatenaError` (CAT-I001) if a process ends too early.
    """
    jobs = min(jobs, len(tasks))
    context = multiprocessing.get_context("spawn")
    cancelled = context.Event()
    waiting = list(enumerate(tasks))[::-1]
    running: dict[Future[FoundT | Problems], int] = {}
    with ProcessPoolExecutor(jobs, context, _begin, (cancelled,)) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    seconds = budget.share(len(waiting), jobs)
                    index, task = waiting.pop()
                    with _deaf():
                        running[pool.submit(_run_here, task, seconds)] = index
                done, _ = wait(running, _POLL_SECONDS, FIRST_COMPLETED)
                if is_stopped():
                    cancelled.set()
                for future in done:
                    yield running.pop(future), future.result()
        except BrokenProcessPool as error:
            hint = "in a script, compile under `if __name__ == '__main__':`, or use one job"
            message = "a process that searched for mappings has ended before its time"
            raise CatenaError(Diagnostic("CAT-I001", message, "mapped", hint=hint)) from error
        finally:
            cancelled.set()


@contextmanager
def _deaf() -> Generator[None]:
    """Interrupts wait until the block has ended; processes that begin in it never get any."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_cancelled: Event | None = None


def _begin(cancelled: Event) -> None:
    """Begin a process that searches. It is the parent that an interrupt from the terminal is for."""
    global _cancelled
    _cancelled = cancelled
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_here(task: Job[FoundT], seconds: float | None) -> FoundT | Problems:
    assert _cancelled is not None
    return run(task, seconds, _cancelled.is_set)
