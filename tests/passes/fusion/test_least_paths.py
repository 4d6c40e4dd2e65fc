"""Paths of groups that are looked for again only behind what changed are those of looking at all of them anew."""

from __future__ import annotations

import random

from passes.fusion.canonical import numbered
from passes.fusion.least_paths import NEVER, Found, LeastPaths, Option, best_path
from passes.fusion.stretches import Part, Stretch
from tests.passes.fusion.groups import random_group

CUTS = 7
ALIKE = numbered(random_group(random.Random(0)))
NODES = {(cut, stays): number for number, (cut, stays) in enumerate((c, s) for c in range(CUTS + 1) for s in (0, 1))}
ENDS = NODES[0, 0], NODES[CUTS, 0]


def _random_options(rng: random.Random) -> list[Option]:
    options: list[Option] = []
    for first in range(CUTS):
        for end in range(first + 1, min(first + 3, CUTS) + 1):
            for before in (0, 1) if first else (0,):
                for behind in (0, 1):
                    part = Part(Stretch(first, end, frozenset(), frozenset()), ALIKE, frozenset(), 0)
                    least = rng.randint(1, 4) * (end - first), rng.randint(1, 2)
                    ends = NODES[first, before], NODES[end, behind]
                    options.append(Option(part, ends, (end - first) ** 3, least, least))
    return options


def _change(rng: random.Random, option: Option) -> None:
    """What a search may say, or that what it said is of no use."""
    match rng.randint(0, 3):
        case 0:
            option.found, option.cost = None, option.least
        case 1:
            option.cost = NEVER
            option.found = Found(0, NEVER, None, exact=True)
        case _:
            option.cost = option.least[0] + rng.randint(0, 3), option.least[1]
            option.found = Found(0, option.cost, None, exact=True)


def test_paths_are_those_of_looking_at_all_options_anew() -> None:
    some = without = 0
    for seed in range(60):
        rng = random.Random(seed)
        options = _random_options(rng)
        paths = LeastPaths(options, ENDS)
        for _ in range(60):
            for option in rng.sample(options, rng.randint(0, 4)):
                _change(rng, option)
                paths.changed(option.part.stretch.first)
            usable = [option for option in options if option.cost < NEVER]
            expected = best_path(usable, ENDS), best_path([each for each in usable if each.found], ENDS)
            found = paths.best(), paths.best_of_known()
            assert [path and list(map(id, path)) for path in found] == [
                path and list(map(id, path)) for path in expected
            ]
            some += sum(path is not None for path in found)
            without += sum(path is None for path in found)
    assert some > 1000
    assert without > 100
