"""Words of holds: elements, and sums that go on from turn to turn until they are elements."""

from __future__ import annotations

import numpy as np
import pytest

from backends.spatial.holds import HeldWords, HoldAxis, HoldState
from backends.spatial.memory import Fault

ADDRESSES = np.arange(10, 13)


def hold() -> HoldState:
    """Three bytes from address 10 on, of which nothing is there yet."""
    found = HoldState(0, 1, 0, 3, np.dtype(np.int8), 10, [HoldAxis(3, 0, 1, 3, 1)])
    found.bind(HeldWords("glb", 3))
    return found


def test_sums_are_kept_in_their_type_until_they_are_finished() -> None:
    made = hold()
    made.put_sums(ADDRESSES, np.array([1000, -2000, 3000], np.int32))
    np.testing.assert_array_equal(made.sums(ADDRESSES), [1000, -2000, 3000])
    made.scatter(ADDRESSES[:2], np.array([1, 2], np.int8))
    np.testing.assert_array_equal(made.gather(ADDRESSES[:2], np.dtype(np.int8)), [1, 2])
    with pytest.raises(Fault, match="whose sum is not finished") as caught:
        made.gather(ADDRESSES, np.dtype(np.int8))
    assert (caught.value.code, caught.value.found) == ("CAT-E002", "element [2]")


def test_sums_that_never_began_or_are_finished_do_not_go_on() -> None:
    made = hold()
    with pytest.raises(Fault, match="is not there"):
        made.sums(ADDRESSES)
    made.scatter(ADDRESSES, np.zeros(3, np.int8))
    with pytest.raises(Fault, match="a sum goes on in hold 0 in glb that is finished, or never began") as caught:
        made.sums(ADDRESSES)
    assert caught.value.code == "CAT-E002"
