"""What one may ask of the search for mappings, as options of a pass and as data."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.schedule import Objective


@dataclass(frozen=True)
class SearchOptions:
    """How mappings are searched.

    `objective` is what is made least (None: what the pass prefers). `time_limit` is wall seconds for all layers
    together; layers that are cut off have the best mapping found until then. `jobs` processes search, or the workers of
    the Dask scheduler at the address `scheduler`. Mappings that were found before are in the folder `cache_dir` (None:
    nowhere).
    """

    objective: Objective | None = None
    time_limit: float | None = None
    jobs: int = 1
    scheduler: str | None = None
    cache_dir: str | None = None

    def applied_to(self, step: ModulePass) -> ModulePass:
        """A pass with those of these options that it has, if it searches; what is not asked for stays as it is."""
        if not isinstance(step, ObjectivePass):
            return step
        return replace(step, **{name: value for name, value in self._asked().items() if hasattr(step, name)})

    def share(self, part: float) -> SearchOptions:
        """The options of one of several passes that search one after another, which gets a part of the time."""
        return self if self.time_limit is None else replace(self, time_limit=part * self.time_limit)

    @property
    def given(self) -> tuple[str, ...]:
        """The options that are asked for and change what is found or how long it takes, as on the command line."""
        return tuple(f"--{name.replace('_', '-')}" for name in self._asked() if name != "cache_dir")

    def _asked(self) -> dict[str, Any]:
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name)) != each.default}


@dataclass(frozen=True)
class ObjectivePass(ModulePass):
    """A pass that chooses mappings, which make an objective least."""

    objective: Literal["energy", "latency", "edp", "traffic"] = "energy"


@dataclass(frozen=True)
class SearchingPass(ObjectivePass):
    """A pass that searches for mappings for some time, with the options of `SearchOptions`."""

    time_limit: int | float | None = None
    jobs: int = 1
    scheduler: str | None = None
    cache_dir: str | None = None

    @property
    def options(self) -> SearchOptions:
        """The options as data. Raises `CatenaError` (CAT-C001) for values that make no sense."""
        problems = [
            Diagnostic("CAT-C001", f"{name} is too small", "mapped", expected=expected, found=str(value))
            for name, value, expected in (
                ("the number of jobs", self.jobs, "at least 1"),
                ("the time limit", 1 if self.time_limit is None else self.time_limit, "more than 0 seconds"),
            )
            if not value > 0
        ]
        if problems:
            raise CatenaError(problems)
        return SearchOptions(Objective(self.objective), self.time_limit, self.jobs, self.scheduler, self.cache_dir)
