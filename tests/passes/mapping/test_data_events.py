"""What depends on data: expected sizes of streams, and compressed words of layers against an emulator."""

from __future__ import annotations

import numpy as np
import pytest

from dialects.encodings.run_length import RunLengthCode
from passes.mapping.data_events import expected_link_words

CODE = RunLengthCode(run_bits=5, pairs_per_word=3, link_bits=64, word_bits=16)


@pytest.mark.parametrize("words", [1, 2, 3, 4, 31, 32, 33, 95, 96, 97, 1000])
def test_streams_without_zeros_and_without_anything_else_are_exact(words: int) -> None:
    assert expected_link_words(words, CODE, 0.0) == CODE.link_words(np.ones(words))
    assert expected_link_words(words, CODE, 1.0) == CODE.link_words(np.zeros(words))


@pytest.mark.parametrize("zeros", [0.1, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("words", [200, 1000])
def test_streams_with_random_zeros_are_as_long_as_expected(words: int, zeros: float) -> None:
    random = np.random.default_rng(0)
    drawn = [CODE.link_words(random.random(words) >= zeros) for _ in range(3000)]
    assert np.mean(drawn) == pytest.approx(expected_link_words(words, CODE, zeros), rel=0.01)
