"""Encodings as levels: tensors come back, and the named formats are what their levels say, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.diagnostics import CatenaError
from dialects.encodings.bitmap import Bitmap
from dialects.encodings.compressed_columns import CompressedColumns
from dialects.encodings.compressed_rows import CompressedRows
from dialects.encodings.format import Array, Format, words_of
from dialects.encodings.levels import PARAMETERS, Level, LevelKind, Levels
from dialects.encodings.run_length import RunLength
from dialects.encodings.spots_blocks import SpotsBlocks
from tests.examples import examples

DENSE, BITMAP, COMPRESSED, RUN_LENGTH = LevelKind
NARROW = (16, 8)
NAMED: tuple[tuple[Format, Levels], ...] = (
    (Bitmap(), Levels((Level((0, 1, 2), BITMAP),))),
    (CompressedRows(), Levels((Level((0,), DENSE), Level((1, 2), COMPRESSED, (32, 16))))),
    (CompressedColumns(*NARROW), Levels((Level((1, 2), DENSE), Level((0,), COMPRESSED, NARROW)))),
    (CompressedRows(*NARROW, rows=1), Levels((Level((1,), DENSE), Level((0, 2), COMPRESSED, NARROW)))),
    (RunLength(), Levels((Level((0, 1), DENSE), Level((2,), RUN_LENGTH, (5, 3, 64, 16))))),
    (SpotsBlocks(3), Levels((Level((1, 2), BITMAP), Level((0,), BITMAP, (), 3), Level((0,), DENSE, (), 3, True)))),
    (SpotsBlocks(2, 2), Levels((Level((0, 1), BITMAP), Level((2,), BITMAP, (), 2), Level((2,), DENSE, (), 2, True)))),
)


@st.composite
def tensors(draw: st.DrawFn, rank: int) -> Array:
    """Tensors with zeros, some of them in whole rows."""
    shape = tuple(draw(st.integers(0, 7)) for _ in range(rank))
    random = np.random.default_rng(draw(st.integers(0, 1 << 16)))
    words = random.integers(-100, 100, shape).astype(draw(st.sampled_from(("int8", "int16", "float32"))))
    words[random.random(shape) < draw(st.sampled_from((0.0, 0.5, 0.9, 1.0)))] = 0
    if rank:
        words[random.random(shape[0]) < 0.3] = 0
    return words


@st.composite
def encodings(draw: st.DrawFn, rank: int) -> Levels:
    """Any levels: dimensions in any order, alone, together, or in blocks."""
    kinds = st.sampled_from((DENSE, BITMAP, COMPRESSED))
    levels: list[Level] = []
    waiting: list[Level] = []
    left = list(draw(st.permutations(range(rank))))
    while left or waiting:
        if waiting and (not left or draw(st.booleans())):
            levels.append(waiting.pop())
            continue
        kind, parts = draw(kinds), draw(st.integers(1, len(left)))
        if parts == 1 and draw(st.booleans()):
            block, inner = draw(st.integers(1, 4)), draw(kinds)
            levels.append(Level((left[0],), kind, parameters(kind), block))
            waiting.append(Level((left[0],), inner, parameters(inner), block, True))
        else:
            levels.append(Level(tuple(left[:parts]), kind, parameters(kind)))
        left = left[parts:]
    if levels[-1].kind is DENSE and all(level.kind is DENSE for level in levels) and draw(st.booleans()):
        last = levels.pop()
        levels.append(Level(last.dims, RUN_LENGTH, parameters(RUN_LENGTH), last.block, last.inner))
    return Levels(tuple(levels))


def parameters(kind: LevelKind) -> tuple[int, ...]:
    return PARAMETERS[kind]


@pytest.mark.parametrize(("named", "levels"), NAMED, ids=[str(named) for named, _ in NAMED])
@settings(max_examples=examples(40), derandomize=True, deadline=None)
@given(tensor=tensors(rank=3))
def test_named_formats_are_their_levels(named: Format, levels: Levels, tensor: Array) -> None:
    stream = named.encode(tensor)
    np.testing.assert_array_equal(levels.encode(tensor), stream)
    assert levels.size(tensor) == named.size(tensor)
    assert levels.size(tensor, 16) == named.size(tensor, 16)
    for encoding in (named, levels):
        np.testing.assert_array_equal(encoding.decode(stream, tensor.shape, tensor.dtype), tensor)


@settings(max_examples=examples(150), derandomize=True, deadline=None)
@given(data=st.data())
def test_any_levels_give_the_tensor_back(data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 4))
    levels, tensor = data.draw(encodings(rank)), data.draw(tensors(rank))
    stream = levels.encode(tensor)
    found = levels.decode(stream, tensor.shape, tensor.dtype)
    np.testing.assert_array_equal(words_of(found), words_of(tensor))
    assert levels.size(tensor).bits == 8 * stream.size
    if stream.size:
        with pytest.raises(CatenaError):
            levels.decode(stream[:-1], tensor.shape, tensor.dtype)
        stream[data.draw(st.integers(0, stream.size - 1))] ^= 1 << data.draw(st.integers(0, 7))
        try:
            other = levels.decode(stream, tensor.shape, tensor.dtype)
        except CatenaError:
            return
        np.testing.assert_array_equal(levels.encode(other), stream)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((), "at least one level"),
        ((Level((0,), DENSE), Level((0,), BITMAP)), "every dimension"),
        ((Level((1,), DENSE),), "every dimension"),
        ((Level((0,), BITMAP, (), 4),), "has one within"),
        ((Level((0,), DENSE, (), 4, True), Level((0,), BITMAP, (), 4)), "comes after"),
        ((Level((0, 1), BITMAP, (), 4), Level((0, 1), DENSE, (), 4, True)), "of one dimension"),
        ((Level((0,), COMPRESSED),), "2 parameters"),
        ((Level((0,), COMPRESSED, (12, 8)),), "8, 16, 32 or 64"),
        ((Level((0,), BITMAP), Level((1,), RUN_LENGTH, (5, 3, 64, 16))), "after dense ones"),
        ((Level((0,), RUN_LENGTH, (5, 4, 64, 16)),), "holds its pairs"),
    ],
)
def test_levels_that_encode_nothing_are_refused(levels: tuple[Level, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Levels(levels)


def test_tensors_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="1 dimensions"):
        Levels((Level((0,), BITMAP),)).encode(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="too many words"):
        Levels((Level((0,), COMPRESSED, (8, 8)),)).encode(np.zeros(256))
