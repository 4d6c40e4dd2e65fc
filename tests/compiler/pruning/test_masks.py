"""Which weights stay: whole units, as many as asked, the smallest first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.pruning.masks import kept_weights
from compiler.pruning.options import PruneOptions, Structure
from dialects.diagnostics import CatenaError
from tests.examples import examples


def of(structure: str, sparsity: float = 0.5, group: int | None = None, block: tuple[int, int] | None = None):
    return PruneOptions(Structure(structure), sparsity, group, block)


def test_a_position_goes_throughout_a_group_of_filters() -> None:
    weights = np.array([[3, 1, 9], [1, 2, 9], [9, 8, 1], [9, 8, 1]], float).reshape(1, 4, 3, 1)
    kept = kept_weights(weights, of("group", 0.5, 2)).reshape(4, 3)
    assert kept.tolist() == [[False, False, True]] * 2 + [[True, True, False]] * 2


def test_blocks_and_channels_and_weights() -> None:
    weights = np.array([[1, 1, 5, 5], [1, 1, 5, 5], [9, 0, 2, 2]], float).reshape(1, 3, 2, 2)
    blocks = kept_weights(weights, of("block", 0.5, None, (2, 2))).reshape(3, 4)
    # Blocks of 4, 4, 2 and 2 weights with means 1, 5, 4.5 and 2: the first and the last are six of twelve.
    assert blocks.tolist() == [[False, False, True, True]] * 2 + [[True, True, False, False]]
    assert kept_weights(weights, of("channel")).reshape(3, 4).tolist() == [[False, False, True, True]] * 3
    single = kept_weights(weights, of("unstructured", 0.25)).reshape(3, 4)
    assert single.tolist() == [[False, False, True, True], [True] * 4, [True, False, True, True]]


@settings(max_examples=examples(80), derandomize=True, deadline=None)
@given(data=st.data(), structure=st.sampled_from(list(Structure)), sparsity=st.sampled_from((0.0, 0.3, 0.7, 0.95)))
def test_units_go_whole_and_no_larger_one_goes_first(
    data: st.DataObject, structure: Structure, sparsity: float
) -> None:
    shape = tuple(data.draw(st.integers(1, extent)) for extent in (3, 7, 5, 4))
    size = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    options = PruneOptions(
        structure,
        sparsity,
        size[0] if structure is Structure.GROUP else None,
        size if structure is Structure.BLOCK else None,
    )
    weights = np.random.default_rng(data.draw(st.integers(0, 99))).standard_normal(shape)
    kept = kept_weights(weights, options).reshape(shape[0], shape[1], -1)
    rows, columns = (shape[1], shape[3]) if structure is Structure.CHANNEL else options.unit
    means: dict[bool, list[float]] = {True: [], False: []}
    largest = 0
    for of_group, magnitudes in zip(kept, np.abs(weights).reshape(kept.shape), strict=True):
        for row in range(0, shape[1], rows):
            for column in range(0, kept.shape[2], columns):
                unit = of_group[row : row + rows, column : column + columns]
                assert unit.all() or not unit.any()
                means[bool(unit.all())].append(float(magnitudes[row : row + rows, column : column + columns].mean()))
                largest = max(largest, unit.size)
    assert not means[True] or not means[False] or max(means[False]) < min(means[True])
    assert abs((~kept).sum() - sparsity * kept.size) <= max(largest / 2, 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("group", 1.0), "no share of weights"),
        (("group", -0.1), "no share of weights"),
        (("group", float("nan")), "no share of weights"),
        (("group", 0.5, 0), "at least 1"),
        (("block", 0.5, None, (4, 0)), "at least 1"),
        (("block", 0.5, 4), "of no use"),
        (("channel", 0.5, None, (2, 2)), "of no use"),
    ],
)
def test_wrong_choices_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(CatenaError, match=message) as raised:
        of(*arguments)
    assert raised.value.diagnostics[0].code == "CAT-C001"
