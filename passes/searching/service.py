"""Searching for the mappings of a chain: the distinct layers first, then what is known of them, then the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from dialects.accelerator import Accelerator
from passes.searching.cache import Entry, MappingCache, key_of
from passes.searching.options import SearchOptions
from passes.searching.sealed_files import LOG
from passes.searching.stopping import asked_to_stop
from passes.searching.task import Found, Result, Task
from passes.searching.version import search_version
from passes.searching.watching import Progress, tell
from passes.searching.workers import Budget, Results, in_process, on_scheduler

_SAID_ONLY = {"name", "summary", "sources", "figures", "host", "widths"}
"""What a machine says of itself that no search reads."""


def search_all(tasks: Sequence[Task], machine: Accelerator, options: SearchOptions) -> list[Result]:
    """What distinct searches on a machine end with, in their order; mappings are legal.

    Every search that ends is in the cache at once: an interrupt loses only those that run. Once `stopping` asks for it,
    they end with the best found. Raises `CatenaError` if there is nowhere to search, as the functions of `workers` and
    `processes` do.
    """
    if not tasks:
        return []
    service = _Service(tasks, machine, options)
    service.look_up()
    service.search()
    return service.results


class _Service:
    def __init__(self, tasks: Sequence[Task], machine: Accelerator, options: SearchOptions):
        self._tasks = tasks
        self._options = options
        self._cache = None if options.cache_dir is None else MappingCache(Path(options.cache_dir))
        self._keys = _keys(tasks, machine) if self._cache is not None else []
        self._known: dict[int, Entry] = {}
        self._results: dict[int, Result] = {}
        self._is_stopped = asked_to_stop()
        limit = options.time_limit
        self._allowed = None if limit is None else limit / -(-len(tasks) // options.jobs)
        """Seconds for one search if all are made."""

    @property
    def results(self) -> list[Result]:
        """The results of all tasks, in their order."""
        return [self._results[index] for index in range(len(self._tasks))]

    def look_up(self) -> None:
        """Take what the cache knows, if it is legal and no more time is allowed now."""
        if self._cache is None:
            return
        for index, (task, key) in enumerate(zip(self._tasks, self._keys, strict=True)):
            entry = self._cache.get(key)
            if entry is None:
                continue
            if task.violations(entry.found.mapping):
                LOG.warning("ignored a mapping of the cache that %s cannot have", task.node or "a layer")
                continue
            self._known[index] = entry
            if entry.seconds is None or (self._allowed is not None and self._allowed <= entry.seconds):
                self._results[index] = entry.found

    def search(self) -> None:
        """Search for what is missing."""
        cached = len(self._results)
        missing = [index for index in range(len(self._tasks)) if index not in self._results]
        tell(Progress(len(self._tasks), cached, 0))
        with closing(self._run([self._tasks[index] for index in missing])) as results:
            for number, (place, result) in enumerate(results, 1):
                self._results[missing[place]] = self._kept(missing[place], result)
                tell(Progress(len(self._tasks), cached, number))

    def _run(self, tasks: Sequence[Task]) -> Results[Found]:
        budget, options = Budget(self._options.time_limit), self._options
        if options.scheduler is not None and tasks:
            return on_scheduler(tasks, budget, options.scheduler, self._is_stopped)
        if min(options.jobs, len(tasks)) > 1:
            from passes.searching.processes import in_processes

            return in_processes(tasks, budget, options.jobs, self._is_stopped)
        kinds: dict[type[Task], None] = dict.fromkeys(type(task) for task in tasks)
        for kind in kinds if options.time_limit is None else ():
            tasks = kind.begun_together(tasks, self._is_stopped)
        return in_process(tasks, budget, self._is_stopped)

    def _kept(self, index: int, result: Result) -> Result:
        """A result, with what was known before; noted in the cache if it is legal."""
        if not isinstance(result, Found):
            return result
        known = self._known.get(index)
        found = result if known is None else known.found.merged(result)
        if problems := self._tasks[index].violations(found.mapping):
            return tuple(problems)
        if self._cache is not None:
            allowed = 0.0 if self._is_stopped() else self._allowed
            self._cache.put(self._keys[index], Entry(found, allowed if found.is_cut else None))
        return found


def description_of(machine: Accelerator) -> str:
    """All that searches read of a machine."""
    return json.dumps(machine.model_dump(mode="json", exclude=_SAID_ONLY), sort_keys=True)


def _keys(tasks: Sequence[Task], machine: Accelerator) -> list[str]:
    description, version = description_of(machine), search_version()
    return [key_of(task, description, version) for task in tasks]
