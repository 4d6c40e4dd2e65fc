"""Trying the points of a space: what was found before is taken from the cache, the rest is tried until somebody stops.

Every point is in the cache as soon as it is done: whoever is interrupted, or killed, goes on where he was.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

from compiler.compilation import target_for
from compiler.descriptions.files import described_target
from compiler.design_space.evaluation import Evaluation
from compiler.design_space.explored import Explored, Tried
from compiler.design_space.places import evaluated
from compiler.design_space.points import Point, Variant, points_of
from compiler.design_space.results import Outcome, Results, key_of
from compiler.design_space.space import STAGE, Space
from compiler.design_space.variants import Network, Prepared, prepared
from compiler.importer.external_files import external_files
from compiler.sources import SourceKind, file_digest, kind_of
from dialects.accelerator import Accelerator
from dialects.diagnostics import CatenaError, Diagnostic


@dataclass(frozen=True)
class Progress:
    """How many points there are, how many the cache knew, how many were tried since, in so many seconds.

    `refused` are points whose target there is not: nobody need try them.
    """

    total: int
    cached: int = 0
    refused: int = 0
    tried: int = 0
    seconds: float = 0.0

    @property
    def done(self) -> int:
        """Points that need not be tried any more."""
        return self.cached + self.refused + self.tried

    @property
    def seconds_left(self) -> float | None:
        """What the rest will take if its points are like those until now."""
        return self.seconds / self.tried * (self.total - self.done) if self.tried else None

    def __str__(self) -> str:
        known = f", {self.cached} of them from the cache" if self.cached else ""
        left = self.seconds_left if self.done < self.total else None
        return f"{self.done} of {self.total} points{known}" + (f", about {_duration(left)} left" if left else "")


@contextmanager
def _folder_for(variants: Collection[Variant]) -> Generator[Path]:
    """A folder for networks that are pruned or quantized; who is killed leaves it, so there is none without need."""
    if all(variant.is_plain for variant in variants):
        yield Path()
        return
    with tempfile.TemporaryDirectory(prefix="catena-") as folder:
        yield Path(folder)


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


@dataclass(frozen=True)
class Places:
    """Where and how long points are tried: in `jobs` processes, or on the workers of a Dask `scheduler`.

    No point begins after `time_limit` seconds; what is found is kept in `cache_dir`, unless it is None.
    """

    jobs: int = 1
    scheduler: str | None = None
    time_limit: float | None = None
    cache_dir: Path | None = None


def explore_space(
    network: Network,
    space: Space,
    places: Places | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Explored:
    """Try the points of a space on a network; `watch` is told of each.

    An interrupt (`KeyboardInterrupt`) ends it with what was found by then. Raises `CatenaError`: CAT-C001 for a source
    that is no model, CAT-C002 if it cannot be read, and as `points_of` and `evaluated` do; what is wrong with a point
    is part of the result.
    """
    source = str(network.path)
    if kind_of(source) is not SourceKind.MODEL:
        raise CatenaError(Diagnostic("CAT-C001", "spaces are explored of ONNX models", STAGE, found=source))
    return _Exploration(network, space, places or Places(), watch).run()


@dataclass
class _Exploration:
    network: Network
    space: Space
    places: Places
    watch: Callable[[Progress], None]
    _outcomes: dict[int, Outcome] = field(default_factory=dict[int, Outcome])
    _cached: int = 0
    _refused: int = 0

    def run(self) -> Explored:
        self._start = monotonic()
        points = points_of(self.space)
        planned = self._planned(points)
        self._refused = len(self._outcomes)
        results = Results(self.places.cache_dir)
        keys = self._keys(points, planned)
        for place, key in keys.items():
            if (known := results.get(key)) is not None:
                self._outcomes[place] = known
        self._cached = len(self._outcomes) - self._refused
        self._tell(len(points))
        is_interrupted = False
        try:
            missing = [place for place in planned if place not in self._outcomes]
            with _folder_for({points[place].variant for place in missing}) as folder:
                self._try(points, {place: planned[place] for place in missing}, keys, results, folder)
        except KeyboardInterrupt:
            is_interrupted = True
        tried = tuple(Tried(place + 1, points[place], self._outcomes[place]) for place in sorted(self._outcomes))
        return Explored(str(self.network.path), self.space, tried, len(points), self._cached, is_interrupted)

    def _planned(self, points: Sequence[Point]) -> dict[int, Evaluation]:
        """What is to be done for every point whose target there is; that there is none is the outcome of the others."""
        planned: dict[int, Evaluation] = {}
        for place, point in enumerate(points):
            try:
                settings = dict(point.settings)
                target = target_for(point.target, settings, point.fuse)
                unfused = target_for(point.target, settings, fuse=False).machine if point.fuse else target.machine
            except CatenaError as error:
                self._outcomes[place] = error.diagnostics
                continue
            planned[place] = Evaluation(
                self.network.path,
                target.backend.name,
                _as_data(target.machine),
                point.fuse,
                point.mapped_for,
                self.network.input_shapes,
                self.network.batch,
                self.space.emulate,
                self.space.seed,
                None if self.places.cache_dir is None else str(self.places.cache_dir),
                None if unfused == target.machine else _as_data(unfused),
            )
        return planned

    def _keys(self, points: Sequence[Point], planned: dict[int, Evaluation]) -> dict[int, str]:
        """The names of points in the cache; those of backends that do not come along may depend on anything: none."""
        if self.places.cache_dir is None:
            return {}
        model = self.network.path
        paths = {"": model} | {name: model.parent / name for name in external_files(model)}
        digests = {name: file_digest(path) for name, path in paths.items()}
        samples = self.space.calibrate
        if not samples.startswith("random:") and not all(point.variant.is_plain for point in points):
            digests["samples"] = file_digest(Path(samples))
        bundled = {name: described_target(name).is_bundled for name in {points[place].target for place in planned}}
        return {
            place: key_of(evaluation, points[place], self.space, digests)
            for place, evaluation in planned.items()
            if bundled[points[place].target]
        }

    def _try(
        self,
        points: Sequence[Point],
        planned: dict[int, Evaluation],
        keys: dict[int, str],
        results: Results,
        folder: Path,
    ) -> None:
        variants = self._variants([points[place].variant for place in planned], folder)
        work: list[tuple[int, Evaluation, Prepared]] = []
        for place, evaluation in planned.items():
            variant = variants.get(points[place].variant)
            if isinstance(variant, Prepared):
                work.append((place, replace(evaluation, model=variant.path), variant))
            elif variant is not None:
                self._outcomes[place] = variant
        jobs, address = self.places.jobs, self.places.scheduler
        with closing(evaluated([each for _, each, _ in work], jobs, address, self._is_over)) as found:
            for number, outcome in found:
                if self._is_over():
                    return  # its searches may have been cut short
                place, _, variant = work[number]
                self._outcomes[place] = (
                    {**outcome, "error": variant.error} if isinstance(outcome, dict) else tuple(outcome)
                )
                if place in keys:
                    results.put(keys[place], self._outcomes[place])
                self._tell(len(points))

    def _variants(self, wanted: Sequence[Variant], folder: Path) -> dict[Variant, Prepared | tuple[Diagnostic, ...]]:
        """The network as points need it, or why it cannot be made so, as far as there is time."""
        made: dict[Variant, Prepared | tuple[Diagnostic, ...]] = {}
        for number, variant in enumerate(dict.fromkeys(wanted)):
            if self._is_over():
                break
            own = folder / str(number)
            try:
                if not variant.is_plain:
                    own.mkdir()
                made[variant] = prepared(self.network, variant, self.space, own)
            except CatenaError as error:
                made[variant] = error.diagnostics
        return made

    def _is_over(self) -> bool:
        limit = self.places.time_limit
        return limit is not None and monotonic() - self._start >= limit

    def _tell(self, total: int) -> None:
        tried = len(self._outcomes) - self._cached - self._refused
        self.watch(Progress(total, self._cached, self._refused, tried, monotonic() - self._start))


def _as_data(machine: Accelerator) -> dict[str, Any]:
    return machine.model_dump(mode="json", exclude_none=True)
