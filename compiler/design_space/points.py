"""The points of a space: one choice of everything that its file lists, in an order that is everywhere at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from compiler.design_space.space import AS_IT_IS, MOST_POINTS, STAGE, Setting, Space
from dialects.diagnostics import CatenaError, Diagnostic


@dataclass(frozen=True)
class Variant:
    """What is done to the network first: the share of weights that become zero, and the number format."""

    sparsity: float = 0.0
    scheme: str = AS_IT_IS

    @property
    def is_plain(self) -> bool:
        """Whether it is the network as it is."""
        return not self.sparsity and self.scheme == AS_IT_IS


@dataclass(frozen=True)
class Point:
    """A target with some keys set, and how the network is prepared and compiled for it.

    `mapped_for` is what mappings make least; None is what the target prefers.
    """

    target: str
    settings: tuple[Setting, ...]
    fuse: bool
    variant: Variant
    mapped_for: str | None

    @property
    def machine(self) -> str:
        """The target as people call it: a file without its folder."""
        return Path(self.target).name if self.target.endswith(".toml") else self.target

    @property
    def label(self) -> str:
        """The point in a line."""
        said = [f"{key}={value}" for key, value in self.settings]
        said += ["fused"] if self.fuse else []
        said += [f"{self.variant.sparsity:.0%} pruned"] if self.variant.sparsity else []
        said += [self.variant.scheme] if self.variant.scheme != AS_IT_IS else []
        said += [f"mapped for {self.mapped_for}"] if self.mapped_for else []
        return ", ".join([self.machine, *said])


def points_of(space: Space) -> list[Point]:
    """The points that are to be tried, shuffled by the seed of the space: whoever stops early has looked everywhere.

    Raises `CatenaError` (CAT-C003) if there are too many and the space does not say how many to draw.
    """
    grids = [_Grid(space, target, keys) for target, keys in space.settings.items()]
    total = sum(grid.size for grid in grids)
    if space.points is None and total > MOST_POINTS:
        hint = "points = N draws so many by chance"
        message, expected = "the space has too many points", f"at most {MOST_POINTS:,}"
        raise CatenaError(Diagnostic("CAT-C003", message, STAGE, expected=expected, found=f"{total:,}", hint=hint))
    count = total if space.points is None else min(space.points, total)
    return [_point(grids, place) for place in Random(space.seed).sample(range(total), count)]


class _Grid:
    """All points of one target; each has a number below `size`."""

    def __init__(self, space: Space, target: str, keys: Mapping[str, tuple[str, ...]]):
        self._target = target
        self._keys = tuple(keys)
        self._axes: list[Sequence[object]] = [
            *map(_distinct, keys.values()),
            _distinct(space.fuse),
            _distinct(space.sparsity),
            _distinct(space.schemes),
            _distinct(space.mapped_for) or (None,),
        ]
        self.size = math.prod(map(len, self._axes))

    def point(self, number: int) -> Point:
        chosen: list[object] = []
        for axis in reversed(self._axes):
            number, place = divmod(number, len(axis))
            chosen.append(axis[place])
        mapped_for, scheme, sparsity, fuse, *values = chosen
        settings = tuple(zip(self._keys, map(str, reversed(values)), strict=True))
        return Point(
            self._target,
            settings,
            bool(fuse),
            Variant(float(str(sparsity)), str(scheme)),
            None if mapped_for is None else str(mapped_for),
        )


def _distinct(values: Sequence[object]) -> tuple[object, ...]:
    return tuple(dict.fromkeys(values))


def _point(grids: Sequence[_Grid], number: int) -> Point:
    for grid in grids:
        if number < grid.size:
            return grid.point(number)
        number -= grid.size
    raise IndexError(number)
