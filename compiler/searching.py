"""How mappings are to be found, as a person says it."""

from __future__ import annotations

from compiler.cache_folder import cache_folder
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean
from dialects.schedule import Objective
from passes.searching.options import SearchOptions


def search_options(
    objective: str | None = None,
    time_limit: float | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    cache_dir: str | None = None,
    no_cache: bool = False,
) -> SearchOptions:
    """The options as data; without `no_cache`, mappings are kept in `cache_dir` or where `cache_folder` says.

    Raises `CatenaError` (CAT-C001) if there is no such objective.
    """
    known = [each.value for each in Objective]
    if objective is not None and objective not in known:
        hint = did_you_mean(objective, known)
        raise CatenaError(Diagnostic("CAT-C001", f"no objective is called {objective!r}", hint=hint))
    folder = None if no_cache else cache_folder(cache_dir)
    return SearchOptions(
        None if objective is None else Objective(objective),
        time_limit,
        jobs,
        scheduler,
        None if folder is None else str(folder),
    )
