"""The run-length code: streams come back, whatever they are; sizes as a literal encoder has them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.diagnostics import CatenaError
from dialects.encodings.run_length import RunLengthCode, through_pairs
from tests.examples import examples

CHIP = RunLengthCode(run_bits=5, pairs_per_word=3, link_bits=64, word_bits=16)
SMALL = RunLengthCode(run_bits=2, pairs_per_word=2, link_bits=16, word_bits=4)


def literal_pairs(stream: list[int], longest: int) -> list[tuple[int, int]]:
    """The pairs of a stream, word by word."""
    pairs: list[tuple[int, int]] = []
    run = 0
    for word in stream:
        if word == 0 and run < longest:
            run += 1
        else:
            pairs.append((run, word))
            run = 0
    return [*pairs, (run - 1, 0)] if run else pairs


@st.composite
def streams(draw: st.DrawFn, largest: int) -> list[int]:
    """Runs of zeros of all lengths with words between them."""
    stream: list[int] = []
    for _ in range(draw(st.integers(0, 6))):
        stream += [0] * draw(st.integers(0, 100))
        stream += draw(st.lists(st.integers(0, largest), max_size=4))
    return stream


def test_the_published_example() -> None:
    pairs = CHIP.pairs(np.array([0, 0, 12, 0, 0, 0, 0, 53, 0, 0, 22]))
    assert list(zip(pairs.runs.tolist(), pairs.words.tolist(), strict=True)) == [(2, 12), (4, 53), (2, 22)]


def test_a_word_of_the_link_bit_by_bit() -> None:
    (word,) = CHIP.encode(np.array([0, 0, 12, 0, 0, 0, 0, 53, 0, 0, 22], np.uint16)).tolist()
    assert word == (1 << 63) | (22 << 47) | (2 << 42) | (53 << 26) | (4 << 21) | (12 << 5) | 2


@pytest.mark.parametrize(("zeros", "pairs"), [(0, 0), (1, 1), (31, 1), (32, 1), (33, 2), (64, 2), (65, 3)])
def test_a_pair_covers_at_most_32_zeros(zeros: int, pairs: int) -> None:
    assert len(CHIP.pairs(np.zeros(zeros)).runs) == pairs
    assert CHIP.link_words(np.zeros(zeros)) == -(-pairs // 3)


@pytest.mark.parametrize(("code", "largest"), [(CHIP, 65535), (SMALL, 15)], ids=["chip", "small"])
@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(data=st.data())
def test_every_stream_comes_back(code: RunLengthCode, largest: int, data: st.DataObject) -> None:
    stream = data.draw(streams(largest))
    words = np.array(stream, np.uint16)
    pairs = code.pairs(words)
    expected = literal_pairs(stream, code.longest_run)
    assert list(zip(pairs.runs.tolist(), pairs.words.tolist(), strict=True)) == expected
    assert code.stream(pairs).tolist() == stream
    link = code.encode(words)
    assert len(link) == code.link_words(words) == -(-len(expected) // code.pairs_per_word)
    assert all(int(word) < 1 << code.link_bits for word in link)
    assert code.decode(link, len(stream)).tolist() == stream


@pytest.mark.parametrize("dtype", ["float32", "int8", "int16", "float16", "bool"])
def test_words_of_any_type_arrive_as_they_were_sent(dtype: str) -> None:
    stream = np.random.default_rng(0).integers(-3, 3, (4, 50)).clip(0).astype(dtype)
    arrived = through_pairs(CHIP, stream)
    assert (arrived.dtype, arrived.shape) == (stream.dtype, stream.shape)
    np.testing.assert_array_equal(arrived, stream)


def test_streams_that_do_not_end_where_they_should_are_refused() -> None:
    link = CHIP.encode(np.arange(1, 9, dtype=np.uint16))
    for damaged, count in ((link[:-1], 8), (link, 7), (link, 5), (link[::-1], 8), (np.append(link, link), 16)):
        with pytest.raises(CatenaError, match="word"):
            CHIP.decode(damaged, count)


@pytest.mark.parametrize("others", [[], [65535], [65536], [0, 131071], [70000, 200000], list(range(65530, 65545))])
@pytest.mark.parametrize("length", [200001, 65536, 131072])
def test_long_streams_are_encoded_in_parts_as_they_are_whole(others: list[int], length: int) -> None:
    words = np.zeros(length, np.uint16)
    words[[place for place in others if place < length]] = 7
    link = CHIP.encode(words)
    pairs = literal_pairs(words.tolist(), 31)
    padded = [*pairs, *[(0, 0)] * (-len(pairs) % 3)]
    expected = [
        sum((run | level << 5) << 21 * place for place, (run, level) in enumerate(padded[first : first + 3]))
        for first in range(0, len(padded), 3)
    ]
    expected[-1] |= 1 << 63
    assert link.tolist() == expected
    np.testing.assert_array_equal(CHIP.decode(link, length), words)
