"""Where points are tried: in this process, in several, or on the workers of a Dask scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from compiler.design_space.evaluation import Evaluation
from compiler.design_space.variants import whole_model
from dialects.code_digest import code_digest
from dialects.diagnostics import CatenaError
from passes.searching.stopping import Asked
from passes.searching.task import Problems
from passes.searching.workers import (
    Budget,
    Results,
    as_they_come,
    in_process,
    other_version,
    scheduler,
)

Figures = dict[str, float | int]
_CODE = ("dialects", "passes", "backends", "compiler")


def evaluated(evaluations: Sequence[Evaluation], jobs: int, address: str | None, is_stopped: Asked) -> Results[Figures]:
    """The figures of points as they come, with their places.

    Raises `CatenaError` as `passes.searching.workers.scheduler` and `in_processes` do.
    """
    if address is not None and evaluations:
        return _on_scheduler(evaluations, address, is_stopped)
    if min(jobs, len(evaluations)) > 1:
        from passes.searching.processes import in_processes

        return in_processes(evaluations, Budget(None), jobs, is_stopped)
    return in_process(evaluations, Budget(None), is_stopped)


def _on_scheduler(evaluations: Sequence[Evaluation], address: str, is_stopped: Asked) -> Results[Figures]:
    """On workers that may have none of this machine's files: every variant of the network is sent to them once."""
    with scheduler(address) as (client, _):
        version = code_digest(*_CODE)
        sent = {
            path: client.scatter(whole_model(path).SerializeToString(), hash=False)
            for path in dict.fromkeys(each.model for each in evaluations)
        }
        futures = {
            client.submit(_evaluate_there, _without_files(each), sent[each.model], version, pure=False): place
            for place, each in enumerate(evaluations)
        }
        waiting = dict(futures)
        try:
            for future in as_they_come(waiting, is_stopped):
                yield waiting.pop(future), future.result()
        finally:
            client.cancel(list(futures))


def _without_files(evaluation: Evaluation) -> Evaluation:
    return replace(evaluation, model=Path(), cache_dir=None)


def _evaluate_there(evaluation: Evaluation, content: bytes, version: str) -> Figures | Problems:
    if version != code_digest(*_CODE):
        return other_version()
    try:
        return evaluation.of_content(content)
    except CatenaError as error:
        return error.diagnostics
