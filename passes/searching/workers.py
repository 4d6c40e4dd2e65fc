"""Where searches run: one after the other in this process, or where a Dask scheduler says; `processes` has several.

Every such function gives the results as they come, with the numbers of their tasks. What is found does not depend on
the place, unless time limits cut searches off.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from time import monotonic, sleep
from typing import Any

from dialects.diagnostics import CatenaError, Diagnostic
from passes.searching.stopping import Asked, never
from passes.searching.task import Found, FoundT, Job, Problems, Result, Task, run
from passes.searching.version import search_version

Results = Generator[tuple[int, FoundT | Problems]]

_CONNECT_SECONDS = 10
"""How long a Dask scheduler has to answer."""

_POLL_SECONDS = 0.05
"""How often is looked what has ended, and whether its searches are to end."""


@dataclass
class Budget:
    """Wall seconds for all searches together, if there is a limit, of which each gets a fair share.

    Searches that follow one another get what those before have left of theirs (`charge`). What one takes beyond its
    share is not taken from others, so that with a larger limit no search gets less. Of several at a time each gets its
    share of what is left by the clock, which hangs on when others end.
    """

    seconds: float | None
    _start: float = field(default_factory=monotonic)

    def next(self, left: int) -> float | None:
        """Seconds for the next of `left` searches that follow one another."""
        return None if self.seconds is None else self.seconds / left

    def charge(self, share: float | None, used: float) -> None:
        """Take what a search has used of its share from what is left."""
        if self.seconds is not None and share is not None:
            self.seconds -= min(share, used)

    def share(self, left: int, workers: int) -> float | None:
        """Seconds for the next search if `left` of them, it included, have yet to begin."""
        if self.seconds is None:
            return None
        return max(0.0, self.seconds - (monotonic() - self._start)) / -(-left // workers)


def in_process(jobs: Sequence[Job[FoundT]], budget: Budget, is_stopped: Asked = never) -> Results[FoundT]:
    """One after the other, here."""
    for index, job in enumerate(jobs):
        share, begun = budget.next(len(jobs) - index), monotonic()
        found = run(job, share, is_stopped)
        budget.charge(share, monotonic() - begun)
        yield index, found


@contextmanager
def scheduler(address: str) -> Generator[tuple[Any, int]]:
    """A client of the Dask scheduler at an address, and how many threads its workers have.

    Raises `CatenaError`: CAT-C004 if Dask is not installed, CAT-C001 if no scheduler with workers is at the address.
    """
    distributed = _distributed()
    try:
        client = distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        hint = "start one with `dask scheduler`, which prints its address, or search without --scheduler"
        raise CatenaError(
            Diagnostic("CAT-C001", f"no Dask scheduler answers at {address}", "mapped", found=str(error), hint=hint)
        ) from error
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            hint = f"dask worker {address}"
            raise CatenaError(
                Diagnostic("CAT-C001", f"the Dask scheduler at {address} has no workers", "mapped", hint=hint)
            )
        yield client, threads


def on_scheduler(tasks: Sequence[Task], budget: Budget, address: str, is_stopped: Asked = never) -> Results[Found]:
    """On the workers of a Dask scheduler, which have this version of Catena installed.

    What still runs there when searches are stopped is cancelled, and done here at once. Raises `CatenaError` as
    `scheduler` does.
    """
    with scheduler(address) as (client, threads):
        seconds = budget.share(len(tasks), threads)
        futures = {
            client.submit(_run_there, task, seconds, search_version(), pure=False): index
            for index, task in enumerate(tasks)
        }
        waiting = dict(futures)
        try:
            for future in as_they_come(waiting, is_stopped):
                yield waiting.pop(future), future.result()
            for future, index in waiting.items():
                client.cancel([future])
                yield index, run(tasks[index], None, is_stopped)
        finally:
            client.cancel(list(futures))


def as_they_come(waiting: Mapping[Any, int], is_stopped: Asked) -> Generator[Any]:
    """Futures of a scheduler as they are done, until `is_stopped`; whoever takes one removes it from `waiting`."""
    while waiting and not is_stopped():
        done = [future for future in waiting if future.done()]
        yield from done
        if not done:
            sleep(_POLL_SECONDS)


def _run_there(task: Task, seconds: float | None, version: str) -> Result:
    return run(task, seconds) if version == search_version() else other_version()


def other_version() -> Problems:
    """What a worker says that has another version of Catena than whoever asks it."""
    message = "a Dask worker has another version of Catena"
    return (Diagnostic("CAT-C001", message, "mapped", hint="install the same version everywhere"),)


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ImportError as error:
        hint = "pip install 'catena[dist]'"
        raise CatenaError(Diagnostic("CAT-C004", "a scheduler needs Dask", "mapped", hint=hint)) from error
