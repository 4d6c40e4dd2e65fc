"""The best few mappings that a search comes by, in the place of the best one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dialects.schedule import Mapping
from passes.mapper.finished import Finished
from passes.mapper.partial import Parts
from passes.mapper.pricing import Values
from passes.mapper.tree import Incumbent


@dataclass
class Several(Incumbent):
    """The best mappings found so far, at most `count` that differ; others must have less than `value`."""

    count: int = 1
    found: dict[Mapping, tuple[float, Finished]] = field(default_factory=dict[Mapping, tuple[float, Finished]])

    def offer(self, parts: Parts, values: Values) -> None:
        """Take the best of some parts that lack nothing, if they are better."""
        for row in np.argsort(values, kind="stable")[: self.count]:
            if values[row] >= self.value:
                break
            self.take(Finished.of(parts, int(row)), float(values[row]))

    def take(self, made: Finished, value: float) -> None:
        """Take a mapping, if it is better than the last one of the best."""
        if value >= self.value:
            return
        self.found.setdefault(made.mapping, (value, made))
        ranked = sorted(self.found.items(), key=lambda each: each[1][0])[: self.count]
        self.found = dict(ranked)
        self.made = ranked[0][1][1]
        if len(ranked) == self.count:
            self.value = ranked[-1][1][0]
