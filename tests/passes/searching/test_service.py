"""Searching for many layers: what the cache knows, where the rest is searched, what limits and interrupts leave."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.schedule import Mapping, Objective, Search, Space
from passes.searching.cache import Entry, MappingCache, key_of
from passes.searching.options import SearchOptions
from passes.searching.processes import in_processes
from passes.searching.service import description_of, search_all
from passes.searching.task import Deadline, Found, Result, Task
from passes.searching.version import search_version
from passes.searching.watching import Progress, watched
from passes.searching.workers import Budget, in_process, on_scheduler
from tests.passes.mapping.machines import TINY, machine_like_eyeriss
from tests.passes.searching.small import NEST, nest, row_stationary

TASKS = [row_stationary(filters) for filters in (3, 4, 5, 8)]


def search(tasks: list[Task], **options: Any) -> tuple[list[Result], Progress]:
    """The results, and how far it was at the end."""
    told: list[Progress] = []
    with watched(told.append):
        found = search_all(tasks, TINY, SearchOptions(**options))
    assert [each.searched for each in told] == list(range(told[-1].searched + 1))
    return found, told[-1]


@pytest.fixture(scope="module")
def expected() -> list[Result]:
    return search_all(TASKS, TINY, SearchOptions())


def test_results_have_the_order_of_the_tasks(expected: list[Result]) -> None:
    assert expected == [task.look(Deadline()) for task in TASKS]


def test_what_was_found_is_found_again_in_the_cache(tmp_path: Path, expected: list[Result]) -> None:
    first, cold = search(TASKS[:3], cache_dir=str(tmp_path))
    second, warm = search(TASKS, cache_dir=str(tmp_path))
    assert (first, second) == (expected[:3], expected)
    assert (cold, warm) == (Progress(3, 0, 3), Progress(4, 3, 1))


def test_processes_find_the_same(tmp_path: Path, expected: list[Result]) -> None:
    found, progress = search(TASKS, jobs=2, cache_dir=str(tmp_path))
    assert found == expected
    assert progress == Progress(4, 0, 4)
    assert search(TASKS, cache_dir=str(tmp_path))[1] == Progress(4, 4, 0)


def test_processes_report_what_does_not_fit() -> None:
    small = machine_like_eyeriss(glb={"banks": 1, "bank_words": 1})
    tasks = [row_stationary(filters, machine=small) for filters in (3, 4)]
    alone, together = (search_all(tasks, small, SearchOptions(jobs=jobs)) for jobs in (1, 2))
    assert alone == together
    assert [[each.node for each in result] for result in alone if not isinstance(result, Found)] == [
        ["conv3"],
        ["conv4"],
    ]


def test_an_illegal_mapping_in_the_cache_is_ignored_with_a_warning(
    tmp_path: Path, expected: list[Result], caplog: pytest.LogCaptureFixture
) -> None:
    key = key_of(TASKS[0], description_of(TINY), search_version())
    MappingCache(tmp_path).put(key, Entry(Found(Mapping(()), 1.0, 1.0)))
    with caplog.at_level(logging.WARNING):
        found, progress = search(TASKS[:1], cache_dir=str(tmp_path))
    assert "conv3" in caplog.text
    assert (found, progress) == (expected[:1], Progress(1, 0, 1))
    assert search(TASKS[:1], cache_dir=str(tmp_path))[1] == Progress(1, 1, 0)


def test_a_time_limit_leaves_legal_mappings_and_gaps() -> None:
    eyeriss = machine_like_eyeriss()
    large = [replace(row_stationary(machine=eyeriss), spec=spec, input_shape=shape) for spec, shape in _large_layers()]
    for task, found in zip(large, search_all(large, eyeriss, SearchOptions(time_limit=1e-6)), strict=True):
        assert isinstance(found, Found)
        assert task.violations(found.mapping) == []
        assert found.is_cut
        assert 0 < task.mark(found).gap < 1


def test_searches_without_a_time_limit_are_begun_together(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []

    def together(_: type[Task], tasks: Sequence[Task], __: Callable[[], bool]) -> Sequence[Task]:
        begun.append(len(tasks))
        return tasks

    monkeypatch.setattr(type(TASKS[0]), "begun_together", classmethod(together))
    found = search_all(TASKS, TINY, SearchOptions())
    assert begun == [len(TASKS)]
    assert search_all(TASKS, TINY, SearchOptions(time_limit=600)) == found
    assert begun == [len(TASKS)]


def _large_layers() -> Iterator[tuple[Any, tuple[int, ...]]]:
    from dialects.gconv import Dim, GConv, Reduce

    for size in (14, 28):
        window = {"opc": size, "ks": 3, "pad": 1}
        dims = (Dim("C", op=256, ks=256), Dim("H", **window), Dim("W", **window))
        yield GConv(dims, "mul", Reduce.ADD), (256, size, size)


def test_what_was_cut_off_is_searched_again_if_more_time_is_allowed(tmp_path: Path) -> None:
    eyeriss = machine_like_eyeriss()
    spec, shape = next(_large_layers())
    task = replace(row_stationary(machine=eyeriss), spec=spec, input_shape=shape)

    def with_limit(limit: float | None) -> tuple[Found, int]:
        told: list[Progress] = []
        with watched(told.append):
            (found,) = search_all([task], eyeriss, SearchOptions(time_limit=limit, cache_dir=str(tmp_path)))
        assert isinstance(found, Found)
        return found, told[-1].searched

    cut, searched = with_limit(1e-6)
    assert (cut.is_cut, searched) == (True, 1)
    assert with_limit(1e-6) == (cut, 0)
    assert with_limit(1e-7) == (cut, 0)
    assert with_limit(2e-6)[1] == 1
    best, searched = with_limit(None)
    assert (best.is_cut, searched, best.bound) == (False, 1, best.value)
    # The best mapping does not depend on how long somebody would wait for it.
    assert with_limit(1e-6) == (best, 0)


def test_two_cut_searches_know_more_than_one() -> None:
    one, other = Found(Mapping(()), 10.0, 4.0, True), Found(row_stationary().look(Deadline()).mapping, 8.0, 3.0, True)
    assert one.merged(other) == Found(other.mapping, 8.0, 4.0, True)
    assert not replace(one, bound=8.0).merged(other).is_cut


def test_a_search_among_all_mappings_says_how_far_it_is_from_the_best() -> None:
    limited, whole = (search_all([nest(effort)], NEST, SearchOptions())[0] for effort in (30, float("inf")))
    assert isinstance(limited, Found)
    assert isinstance(whole, Found)
    assert nest().mark(limited).gap > 0
    assert nest().mark(whole) == Search(Objective.ENERGY, Space.ALL)
    assert limited.value >= whole.value >= limited.bound
    # Effort is no time: what it finds is always the same, and may be kept.
    assert not limited.is_cut


def test_gaps_are_rounded_up() -> None:
    assert row_stationary().mark(Found(Mapping(()), 1.0, 1 - 1e-9)).gap == 1e-4
    assert row_stationary().mark(Found(Mapping(()), 1.0, 1.0)).gap == 0
    assert row_stationary().mark(Found(Mapping(()), 1.0, -1.0)).gap == 1


def test_a_budget_is_shared_fairly() -> None:
    assert Budget(None).share(3, 1) is None
    assert Budget(12.0).share(3, 1) == pytest.approx(4.0, abs=0.1)
    assert Budget(12.0).share(5, 2) == pytest.approx(4.0, abs=0.1)
    assert Budget(1.0, time.monotonic() - 5).share(3, 1) == 0


@dataclass(frozen=True)
class Interrupted(Task):
    """Somebody presses Ctrl-C during this search."""

    @property
    def space(self) -> Space:
        return Space.ALL

    @property
    def signature(self) -> list[Any]:
        return ["interrupted"]

    def look(self, deadline: Deadline) -> Found:
        raise KeyboardInterrupt

    def violations(self, mapping: Mapping) -> list[Diagnostic]:
        return []


def test_an_interrupt_keeps_what_was_found(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        search_all(
            [*TASKS[:2], Interrupted(Objective.EDP, "x"), TASKS[3]], TINY, SearchOptions(cache_dir=str(tmp_path))
        )
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".json"] * 2
    assert search(TASKS, cache_dir=str(tmp_path))[1] == Progress(4, 2, 2)


@dataclass(frozen=True)
class Endless(Interrupted):
    """Goes on until it is told to stop."""

    def look(self, deadline: Deadline) -> Found:
        while not deadline():
            time.sleep(0.01)
        return Found(Mapping(()), 1.0, 0.0)


def test_processes_stop_when_nobody_waits_for_them() -> None:
    results = in_processes([TASKS[0], Endless(Objective.EDP, "x")], Budget(None), 2)
    assert next(results)[0] == 0
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 20


@dataclass(frozen=True)
class Deadly(Interrupted):
    """Ends its process."""

    def look(self, deadline: Deadline) -> Found:
        import os

        os._exit(3)


def test_a_process_that_dies_is_an_error() -> None:
    with pytest.raises(CatenaError, match="ended before its time"):
        list(in_processes([Deadly(Objective.EDP, "x"), TASKS[0]], Budget(None), 2))


def test_no_search_gets_less_of_a_larger_limit() -> None:
    """Whether searches end by themselves, are cut off in time, or stop late."""

    def shares(limit: float, needs: Sequence[float], late: Sequence[float]) -> list[float]:
        budget, found = Budget(limit), list[float]()
        for number, (need, more) in enumerate(zip(needs, late, strict=True)):
            share = budget.next(len(needs) - number)
            assert share is not None
            budget.charge(share, need if need <= share else min(need, share + more))
            found.append(share)
        assert sum(map(min, found, needs)) <= limit + 1e-9
        return found

    random = Random(0)
    for _ in range(200):
        number = random.randint(1, 8)
        needs = [random.choice([0.1, 1, 5]) * random.random() for _ in range(number)]
        lates = [[random.random() for _ in range(number)] for _ in range(2)]
        less, more = sorted(random.uniform(0.1, 20) for _ in range(2))
        before, after = shares(less, needs, lates[0]), shares(more, needs, lates[1])
        assert all(one <= other + 1e-9 for one, other in zip(before, after, strict=True))
    assert Budget(None).next(3) is None


def test_two_writers_at_once_do_no_harm(tmp_path: Path, expected: list[Result]) -> None:
    def work() -> None:
        for _ in range(5):
            for index, (_, result) in enumerate(in_process(TASKS, Budget(None))):
                assert isinstance(result, Found)
                cache = MappingCache(tmp_path)
                cache.put(f"{index:064x}", Entry(result))
                entry = cache.get(f"{index:064x}")
                assert entry is not None
                assert entry.found == result

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = [MappingCache(tmp_path).get(f"{index:064x}") for index in range(len(TASKS))]
    assert [entry.found for entry in kept if entry is not None] == expected


@pytest.mark.parametrize(
    ("options", "message"), [({"jobs": 0}, "number of jobs"), ({"time_limit": 0.0}, "the time limit")]
)
def test_senseless_options_are_refused(options: dict[str, Any], message: str) -> None:
    from passes.map_row_stationary import MapRowStationaryPass

    with pytest.raises(CatenaError, match=message):
        _ = MapRowStationaryPass(**options).options


def test_without_dask_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(CatenaError) as caught:
        search_all(TASKS, TINY, SearchOptions(scheduler="tcp://127.0.0.1:1"))
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.hint) == ("CAT-C004", "pip install 'catena[dist]'")


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


def test_a_dask_cluster_finds_the_same(scheduler: str, tmp_path: Path, expected: list[Result]) -> None:
    found, progress = search(TASKS, scheduler=scheduler, cache_dir=str(tmp_path))
    assert found == expected
    assert progress == Progress(4, 0, 4)
    # Nobody is asked for what is known.
    assert search(TASKS, scheduler="tcp://127.0.0.1:1", cache_dir=str(tmp_path)) == (expected, Progress(4, 4, 0))


def test_workers_of_another_version_are_refused(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = iter(["here", "there", "there"])
    monkeypatch.setattr("passes.searching.workers.search_version", lambda: next(versions))
    ((_, result),) = on_scheduler(TASKS[:1], Budget(None), scheduler)
    assert not isinstance(result, Found)
    assert "another version" in result[0].message
