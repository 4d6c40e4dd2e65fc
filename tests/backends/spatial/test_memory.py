"""Memories: bounds of strided windows, words that were never written, constants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.spatial.memory import MOST_WORDS, Fault, MemoryBank, Segment
from dialects.diagnostics import CatenaError
from tests.examples import examples

SIZE = 24


def bank() -> MemoryBank:
    """Ten constants, then fourteen writable words."""
    constants = np.arange(10, dtype=np.float32)
    constants.flags.writeable = False
    writable = Segment(np.zeros(14, np.float32), 10, np.zeros(14, np.bool_))
    return MemoryBank("DRAM", 1000, [Segment(constants, 0, None), writable])


def blank() -> MemoryBank:
    """A buffer that holds nothing."""
    return MemoryBank.blank("the buffer", SIZE, np.dtype(np.float32))


def touched(address: int, shape: Sequence[int], strides: Sequence[int]) -> set[int]:
    """The addresses of a strided window, one by one."""
    return {address + sum(i * s for i, s in zip(index, strides, strict=True)) for index in np.ndindex(*shape)}


def fault_of(action: object, *arguments: object) -> Fault:
    """The fault that an access ends with."""
    assert callable(action)
    with pytest.raises(Fault) as caught:
        action(*arguments)
    return caught.value


@st.composite
def windows(draw: st.DrawFn) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """An address around the memory, with extents and strides of either sign or zero."""
    rank = draw(st.integers(0, 3))
    shape = tuple(draw(st.integers(1, 4)) for _ in range(rank))
    strides = tuple(draw(st.integers(-6, 6)) for _ in range(rank))
    return draw(st.integers(-3, SIZE + 2)), shape, strides


@settings(max_examples=examples(300), derandomize=True, deadline=None)
@given(windows(), st.sets(st.integers(0, SIZE - 1)))
def test_a_read_needs_every_word_to_exist_and_to_be_written(
    window: tuple[int, tuple[int, ...], tuple[int, ...]], written: set[int]
) -> None:
    memory = blank()
    for word in written:
        memory.window(word, (1,), (1,))[...] = word
    addresses = touched(*window)
    if not addresses <= set(range(SIZE)):
        assert fault_of(memory.read, *window).code == "CAT-E001"
    elif not addresses <= written:
        assert fault_of(memory.read, *window).code == "CAT-E002"
    else:
        address, shape, strides = window
        values = memory.read(*window)
        assert values.shape == shape
        for index in np.ndindex(*shape):
            assert values[index] == address + sum(i * s for i, s in zip(index, strides, strict=True))


@settings(max_examples=examples(300), derandomize=True, deadline=None)
@given(windows())
def test_a_write_reaches_the_words_of_its_window_and_no_others(
    window: tuple[int, tuple[int, ...], tuple[int, ...]],
) -> None:
    memory = blank()
    addresses = touched(*window)
    if not addresses <= set(range(SIZE)):
        assert fault_of(memory.window, *window).code == "CAT-E001"
        addresses = set()
    else:
        memory.window(*window)[...] = 7
    for word in range(SIZE):
        if word in addresses:
            assert memory.read(word, (1,), (1,)) == [7]
        else:
            assert fault_of(memory.read, word, (1,), (1,)).code == "CAT-E002"


def test_constants_are_there_and_stay() -> None:
    memory = bank()
    np.testing.assert_array_equal(memory.read(9, (2, 5), (-5, -1)), [[9, 8, 7, 6, 5], [4, 3, 2, 1, 0]])
    fault = fault_of(memory.window, 0, (1,), (1,))
    assert (fault.code, fault.message, fault.found) == ("CAT-E003", "constants of DRAM are written", "word 0")
    assert memory.read(0, (1,), (1,)) == [0]


@pytest.mark.parametrize("address", [-1, 24, 9])
def test_a_window_lies_in_one_segment(address: int) -> None:
    fault = fault_of(bank().read, address, (2,), (1,))
    assert fault.code == "CAT-E001"
    assert fault.message == "access outside of DRAM"
    assert fault.expected == "words 0 to 9 or words 10 to 23"
    assert fault.found == f"words {address} to {address + 1}"


def test_a_memory_without_words_has_no_place_for_any() -> None:
    fault = fault_of(MemoryBank("DRAM", 0, []).read, 0, (1,), (1,))
    assert (fault.code, fault.expected) == ("CAT-E001", "nothing")


def test_words_can_be_forgotten() -> None:
    memory = blank()
    memory.window(0, (SIZE,), (1,))[...] = 1
    memory.forget(5, 3)
    assert memory.read(0, (5,), (1,)).tolist() == [1] * 5
    assert memory.read(8, (SIZE - 8,), (1,)).tolist() == [1] * (SIZE - 8)
    for word in (5, 6, 7):
        assert fault_of(memory.read, word, (1,), (1,)).code == "CAT-E002"
    assert fault_of(memory.forget, SIZE - 1, 2).code == "CAT-E001"


def test_one_missing_word_among_many_is_found() -> None:
    memory = blank()
    memory.window(0, (SIZE,), (1,))[...] = 1
    memory.forget(13, 1)
    fault = fault_of(memory.read, 3, (2, 3), (4, 3))
    assert (fault.code, fault.found) == ("CAT-E002", "from 3")
    assert memory.read(3, (2, 2), (4, 3)).shape == (2, 2)


def test_reads_and_writes_share_the_words() -> None:
    memory = blank()
    memory.window(0, (4,), (1,))[...] = [1, 2, 3, 4]
    view = memory.read(0, (2, 2), (1, 2))
    assert view.tolist() == [[1, 3], [2, 4]]
    memory.window(1, (1,), (1,))[...] = 9
    assert view.tolist() == [[1, 3], [9, 4]]


def test_a_memory_that_is_too_large_is_not_made() -> None:
    for words in (MOST_WORDS + 1, 1 << 62):
        with pytest.raises(CatenaError) as caught:
            MemoryBank.blank("the buffer", words, np.dtype(np.float32))
        (problem,) = caught.value.diagnostics
        assert (problem.code, problem.message) == ("CAT-C007", "the buffer has too many words to be emulated")
        assert problem.found == f"{words} words"
