"""Positions of copies: together they are all of them, each once, and turns go through them in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.utils.exceptions import VerifyException

from dialects.multicore import VectorsOp
from dialects.vector_sets import VectorSet


@settings(deadline=None)
@given(rows=st.integers(1, 9), width=st.integers(1, 9), data=st.data())
def test_copies_share_all_positions(rows: int, width: int, data: st.DataObject) -> None:
    total = rows * width
    copies = data.draw(st.integers(1, total))
    abreast = data.draw(st.integers(1, 4))
    sets = [VectorSet.share(total, width, copies, copy, abreast) for copy in range(copies)]
    assert sorted(np.concatenate([each.numbers for each in sets]).tolist()) == list(range(total))
    for each in sets:
        turns = np.arange(each.turns)
        assert (each.of_turns(turns) == each.numbers).all()
        assert each.numbers[-1] == each.last
        assert each.sizes(turns).sum() == len(each)
        # Of a turn each position has a copy of its own.
        assert (each.copies(each.numbers) == np.arange(len(each)) % abreast).all()
        op = VectorsOp.of_set(each)
        assert isinstance(op, VectorsOp)
        assert (op.positions.of_turns(turns) == each.numbers).all()


def test_copies_go_row_by_row() -> None:
    """Rows of 4: the second of two copies does every second one, two positions at a time."""
    found = VectorSet.share(20, 4, 2, 1, 2)
    assert found.numbers.tolist() == [4, 5, 6, 7, 12, 13, 14, 15]
    assert found.of_turns(np.array([1, 2])).tolist() == [6, 7, 12, 13]


@pytest.mark.parametrize("wrong", [{"stretches": (3, 2)}, {"abreast": 0}, {"vectors": (0, 0)}])
def test_what_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    given: dict[str, object] = {"vectors": (0, 6), "stretches": (2, 3), **wrong}
    with pytest.raises(VerifyException):
        VectorsOp.of(**given).verify()  # pyright: ignore[reportArgumentType]
