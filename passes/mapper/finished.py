"""A mapping that a search has finished, as a nest with one candidate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dialects.schedule import Mapping
from passes.mapper.nest import Column, Nest, mapping_of
from passes.mapper.partial import Parts
from passes.mapper.problem import Problem


@dataclass(frozen=True)
class Finished:
    """The nest of a mapping, with columns of a single tile for its nodes."""

    problem: Problem
    nest: Nest
    tiles: list[Column]

    @classmethod
    def of(cls, parts: Parts, row: int) -> Finished:
        """What one of some parts that lack nothing becomes."""
        one = parts.take(np.array([row]))
        return cls(one.problem, *one.nest())

    @property
    def mapping(self) -> Mapping:
        """The same as statements."""
        return mapping_of(self.problem, self.nest, self.tiles, 0)
