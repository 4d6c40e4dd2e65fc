"""What operands read where no loop moves anything is what they read in each turn of tables that loops move."""

from __future__ import annotations

import random

import numpy as np

from passes.fusion.access import Window, accessed
from passes.fusion.region import Table, is_still
from tests.passes.fusion.groups import random_group


def _random_table(rng: random.Random, turns: int, count: int) -> Table:
    most = rng.choice((0.2, 0.7, 1.0))
    return np.array([[rng.random() < most for _ in range(count)] for _ in range(turns)])


def test_what_is_read_without_loops_is_what_is_read_in_each_turn() -> None:
    compared = 0
    for seed in range(60):
        rng = random.Random(seed)
        group = random_group(rng)
        for link in group.links:
            tile: list[Window] = [
                (_random_table(rng, 3, dim.output_extent), _random_table(rng, 3, dim.ks)) for dim in link.spec.dims
            ]
            for operand in link.operands:
                shape = group.tensor(operand.tensor).shape
                moving = accessed(operand, link, tuple(tile), shape)
                for turn in range(3):
                    window = tuple((results[turn], positions[turn]) for results, positions in tile)
                    still = accessed(operand, link, window, shape)
                    assert all(is_still(table) for table in still)
                    for table, expected in zip(still, moving, strict=True):
                        assert np.array_equal(table, np.broadcast_to(expected, (3, table.size))[turn])
                        compared += 1
    assert compared > 3000
