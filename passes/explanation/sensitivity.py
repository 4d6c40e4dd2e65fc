"""What binds a layer: which capacity, axis or bandwidth, were it larger, would make it cheaper, and by how much.

Each is doubled by itself, or made as large as the rest of the description allows where that is less, and the best
mapping searched again. Energies per access are kept: that larger memories cost
more is left out of account. Of capacities that help, the smallest increase is looked for, by bisection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dialects.accelerator import Accelerator
from dialects.nest_machine import NestMachine
from dialects.schedule import Objective
from passes.explanation.facts import Facts
from passes.explanation.layer import facts_of
from passes.explanation.searching import best_for
from passes.explanation.variants import Fixed, Larger, Size, larger, resized, sizes
from passes.searching.objectives import objective_on
from passes.work import Work

_BETTER = 1e-9
"""By what share a value is lower, at least, that is not lower by rounding only."""
_BISECTIONS = 8


@dataclass(frozen=True)
class Growth:
    """The smallest increase of a capacity that was found to let a better mapping fit: from no better one to this."""

    without: int
    words: int


@dataclass(frozen=True)
class Doubled:
    """A layer on a machine with one size doubled: with its mapping kept, and with the best one there.

    `value` is what the size is there: less than twice as much where no description may say so. The best mapping is None
    if it was not searched in time. `gain` is the share of what the search makes least that the best mapping saves,
    `faster` that of the cycles which either saves; `growth` says how much less already saves some.
    """

    size: Size
    value: float
    kept: Facts
    best: Facts | None
    gain: float = 0.0
    growth: Growth | None = None
    faster: float = 0.0


@dataclass(frozen=True)
class Sensitivity:
    """The best mapping that a search finds on the machine as it is, and on those with one size doubled.

    `fixed` are the sizes that cannot be larger by themselves.
    """

    again: Facts
    doubled: tuple[Doubled, ...]
    objective: Objective
    fixed: tuple[Fixed, ...] = ()

    @property
    def slowing(self) -> tuple[Doubled, ...]:
        """What saves cycles, most first."""
        return tuple(sorted((each for each in self.doubled if each.faster > _BETTER), key=lambda each: -each.faster))

    @property
    def binding(self) -> tuple[Doubled, ...]:
        """What saves something, most first."""
        found = (each for each in self.doubled if each.gain > _BETTER)
        return tuple(sorted(found, key=lambda each: -each.gain))


def objective_of(machine: Accelerator) -> Objective:
    """What the mapper of a machine makes least unless it is told something else."""
    return objective_on(machine) if isinstance(machine, NestMachine) else Objective.EDP


def value_of(facts: Facts, objective: Objective) -> float:
    """What the search makes least."""
    match objective:
        case Objective.ENERGY:
            return facts.price.total_energy
        case Objective.LATENCY:
            return facts.price.cycles
        case Objective.EDP:
            return facts.price.total_energy * facts.price.cycles
        case Objective.TRAFFIC:
            return facts.words


def sensitivity(
    work: Work, facts: Facts, machine: Accelerator, objective: Objective, should_stop: Callable[[], bool]
) -> Sensitivity:
    """What binds a mapped layer, as far as there is time to find out; `facts` are those of its mapping."""
    search = _Search(work, facts, objective, should_stop)
    again = search.best_on(machine) or facts
    base = min(value_of(facts, objective), value_of(again, objective))
    found = [(size, larger(machine, size)) for size in sizes(machine)]
    doubled = [search.on_larger(size, each, base) for size, each in found if isinstance(each, Larger)]
    grown = [search.with_growth(machine, each, base) for each in doubled]
    return Sensitivity(again, tuple(grown), objective, tuple(each for _, each in found if isinstance(each, Fixed)))


class _Search:
    def __init__(self, work: Work, facts: Facts, objective: Objective, should_stop: Callable[[], bool]):
        self._work = work
        self._facts = facts
        self._objective = objective
        self._should_stop = should_stop

    def best_on(self, machine: Accelerator) -> Facts | None:
        """The facts of the best mapping on a machine, None if there is no time left."""
        if self._should_stop():
            return None
        mapping = best_for(self._work, machine, self._objective, self._should_stop)
        return None if mapping is None else facts_of(self._work, mapping, machine)

    def on_larger(self, size: Size, larger: Larger, base: float) -> Doubled:
        """The layer where a size is larger; `base` is what its search makes least on the machine as it is."""
        kept = facts_of(self._work, self._facts.mapping, larger.machine)
        best = self.best_on(larger.machine)
        # A search with limited effort may miss on the larger machine what it found on the smaller one.
        if best is not None and self._value(kept) < self._value(best):
            best = kept
        gain = 0.0 if best is None or base == 0 else 1 - self._value(best) / base
        cycles = min(each.price.cycles for each in (kept, best or kept))
        faster = 1 - cycles / self._facts.price.cycles if self._facts.price.cycles else 0.0
        return Doubled(size, larger.value, kept, best, max(gain, 0.0), faster=max(faster, 0.0))

    def with_growth(self, machine: Accelerator, doubled: Doubled, base: float) -> Doubled:
        """With the smallest increase that helps, if it is a capacity that does."""
        size = doubled.size
        if not size.memory or doubled.gain <= _BETTER or doubled.best is None:
            return doubled
        low, high = int(size.value), self._needed(doubled.best, size)
        for _ in range(_BISECTIONS):
            middle = (low + high) // 2 // size.step * size.step
            if middle <= low or self._should_stop():
                break
            best = self.best_on(resized(machine, size, middle))
            if best is not None and self._value(best) < base * (1 - _BETTER):
                high = min(middle, self._needed(best, size))
            else:
                low = middle
        growth = Growth((low - int(size.value)) * size.words, (high - int(size.value)) * size.words)
        return replace(doubled, growth=growth)

    def _needed(self, facts: Facts, size: Size) -> int:
        """How large the capacity must be for a mapping, in its own unit."""
        taken = sum(each.taken for each in facts.held if each.memory == size.memory)
        steps = -(-taken // (size.words * size.step))
        return max(int(size.value) + size.step, steps * size.step)

    def _value(self, facts: Facts) -> float:
        return value_of(facts, self._objective)
