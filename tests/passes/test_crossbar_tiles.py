"""The matrices of links, and the crossbars that they take."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.gconv import Dim, GConv, Reduce
from passes.crossbar_tiles import MatrixShape

SIZES = st.integers(1, 12)


@settings(deadline=None)
@given(groups=st.integers(1, 6), rows=SIZES, columns=SIZES, tall=SIZES, wide=SIZES)
def test_tiles_hold_every_weight_once_and_are_as_many_as_the_closed_form(
    groups: int, rows: int, columns: int, tall: int, wide: int
) -> None:
    shape = MatrixShape(groups, rows, columns, 1)
    covered = np.zeros((groups, rows, columns), int)
    found = list(shape.tiles(tall, wide))
    for tile in found:
        covered[np.ix_(tile.groups, tile.rows, tile.columns)] += 1
        assert len(tile.groups) * len(tile.rows) <= tall
        assert len(tile.groups) * len(tile.columns) <= wide
    assert (covered == 1).all()
    assert len(found) == shape.crossbars(tall, wide)


def convolution(channels: int, filters: int, kernel: int, size: int, groups: int = 1) -> GConv:
    image = {"opc": size, "ks": kernel, "pad": kernel // 2}
    dims = (Dim("C", g=groups, op=filters // groups, ks=channels // groups), Dim("H", **image), Dim("W", **image))
    return GConv(dims, main="mul", reduce=Reduce.ADD)


def test_the_matrix_of_a_convolution() -> None:
    shape = MatrixShape.of(convolution(64, 128, 3, 28))
    assert shape == MatrixShape(1, 576, 128, 784)
    assert (shape.crossbars(128, 128), shape.strips(128), shape.products(128)) == (5, 5, 5 * 784)
    assert shape.crossbars(64, 64) == 9 * 2


def test_depthwise_convolutions_lie_in_a_diagonal_or_dense() -> None:
    shape = MatrixShape.of(convolution(32, 32, 3, 14, groups=32))
    assert shape == MatrixShape(32, 9, 1, 196)
    assert shape.crossbars(128, 128) == math.ceil(32 / 14)
    assert shape.dense == MatrixShape(1, 288, 32, 196)
    assert (shape.dense.crossbars(128, 128), shape.dense.products(128)) == (3, 3 * 196)


@pytest.mark.parametrize(("rows", "cores", "conflicting"), [(32, 256, 16), (64, 64, 8), (128, 16, 4)])
def test_cores_of_the_papers_pointwise_layer(rows: int, cores: int, conflicting: int) -> None:
    """Pelke et al., VLSI-SoC 2023: 512 x 512 on 14 x 14 positions, with up to 16 conflicting cores."""
    shape = MatrixShape.of(convolution(512, 512, 1, 14))
    assert (shape.crossbars(rows, rows), shape.strips(rows)) == (cores, conflicting)
