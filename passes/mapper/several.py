"""The best few mappings that a search comes by, in the place of the best one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dialects.schedule import Mapping
from passes.mapper.nest import mapping_of
from passes.mapper.partial import Parts
from passes.mapper.pricing import Values
from passes.mapper.tree import Incumbent


@dataclass
class Several(Incumbent):
    """The best parts found so far, at most `count` that differ as mappings; others must have less than `value`."""

    count: int = 1
    found: dict[Mapping, tuple[float, Parts]] = field(default_factory=dict[Mapping, tuple[float, Parts]])

    def offer(self, parts: Parts, values: Values) -> None:
        """Take the best of some, if they are better."""
        for row in np.argsort(values, kind="stable")[: self.count]:
            if values[row] >= self.value:
                break
            one = parts.take(np.array([row]))
            self.found.setdefault(mapping_of(one.problem, *one.nest(), 0), (float(values[row]), one))
            ranked = sorted(self.found.items(), key=lambda each: each[1][0])[: self.count]
            self.found = dict(ranked)
            self.parts = ranked[0][1][1]
            if len(ranked) == self.count:
                self.value = ranked[-1][1][0]
