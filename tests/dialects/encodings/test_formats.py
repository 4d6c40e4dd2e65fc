"""Formats: what is encoded decodes to the same bits, sizes are those of streams, and damaged streams are found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.diagnostics import CatenaError
from dialects.dtypes import dtype_named
from dialects.encodings.bitmap import Bitmap
from dialects.encodings.compressed_columns import CompressedColumns
from dialects.encodings.compressed_rows import CompressedRows
from dialects.encodings.format import Array, Format, words_of
from dialects.encodings.run_length import RunLength, RunLengthCode
from dialects.encodings.spots_blocks import SpotsBlocks
from tests.examples import examples

FORMATS: tuple[Format, ...] = (
    Bitmap(),
    CompressedRows(),
    CompressedRows(16, 8),
    CompressedColumns(),
    CompressedColumns(64, 32),
    RunLength(),
    RunLength(run_bits=3, pairs=1, link_bits=16, level_bits=8),
    SpotsBlocks(1),
    SpotsBlocks(3),
    SpotsBlocks(16),
)
DTYPES = ("float32", "float64", "float16", "int8", "int16", "uint8", "int64", "bool", "bfloat16", "int4", "float8_e5m2")


@st.composite
def tensors(draw: st.DrawFn) -> Array:
    """Tensors of any shape and type whose zeros lie by chance, in runs, or in whole rows and columns."""
    dtype = dtype_named(draw(st.sampled_from(DTYPES)))
    shape = tuple(draw(st.lists(st.integers(0, 9), max_size=4)))
    random = np.random.default_rng(draw(st.integers(0, 1 << 16)))
    if dtype.kind == "b":
        words: Array = random.random(shape) < 0.5
    elif dtype.name in ("int4", "float8_e5m2", "bfloat16"):
        words = random.integers(-7, 8, shape).astype(dtype)
    else:
        # All bit patterns: infinities, NaN with their payloads, negative zeros.
        size = int(np.prod(shape, dtype=int)) * dtype.itemsize
        words = np.frombuffer(random.bytes(size), dtype).reshape(shape).copy()
    if words.ndim == 0:
        return words if draw(st.booleans()) else np.zeros_like(words)
    bits = words_of(words).copy()
    bits[random.random(shape) < draw(st.sampled_from((0.0, 0.5, 0.9, 1.0)))] = 0
    if bits.size and draw(st.booleans()):
        matrix = bits.reshape(len(bits), -1)
        matrix[:, random.random(matrix.shape[1]) < 0.5] = 0
        matrix[random.random(len(matrix)) < 0.5] = 0
    return bits.view(dtype).reshape(shape)


@pytest.mark.parametrize("encoding", FORMATS, ids=str)
@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(tensor=tensors())
def test_every_tensor_comes_back_bit_for_bit(encoding: Format, tensor: Array) -> None:
    if encoding.problem(tensor.shape):
        with pytest.raises(ValueError, match="too many words"):
            encoding.encode(tensor)
        return
    stream = encoding.encode(tensor)
    found = encoding.decode(stream, tensor.shape, tensor.dtype)
    assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
    np.testing.assert_array_equal(words_of(found), words_of(tensor))
    assert encoding.size(tensor).bits == 8 * stream.size


@pytest.mark.parametrize("encoding", FORMATS, ids=str)
@settings(max_examples=examples(40), derandomize=True, deadline=None)
@given(tensor=tensors(), data=st.data())
def test_a_stream_that_is_cut_or_goes_on_is_refused(encoding: Format, tensor: Array, data: st.DataObject) -> None:
    if encoding.problem(tensor.shape):
        return
    stream = encoding.encode(tensor)
    longer = np.append(stream, np.zeros(data.draw(st.integers(1, 9)), np.uint8))
    refused(encoding, longer, tensor)
    if stream.size:
        refused(encoding, stream[: data.draw(st.integers(0, stream.size - 1))], tensor)


@pytest.mark.parametrize("encoding", FORMATS, ids=str)
@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(tensor=tensors(), data=st.data())
def test_a_damaged_stream_is_refused_or_is_that_of_another_tensor(
    encoding: Format, tensor: Array, data: st.DataObject
) -> None:
    """No stream but the one that the encoder makes stands for a tensor: what decodes encodes to the same bytes."""
    if encoding.problem(tensor.shape):
        return
    stream = encoding.encode(tensor)
    if not stream.size:
        return
    stream[data.draw(st.integers(0, stream.size - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        other = encoding.decode(stream, tensor.shape, tensor.dtype)
    except CatenaError:
        refused(encoding, stream, tensor)
    else:
        np.testing.assert_array_equal(encoding.encode(other), stream)
        assert (words_of(other) != words_of(tensor)).any()


def refused(encoding: Format, stream: Array, tensor: Array) -> None:
    with pytest.raises(CatenaError) as raised:
        encoding.decode(stream, tensor.shape, tensor.dtype)
    (problem,) = raised.value.diagnostics
    assert (problem.code, bool(problem.where)) == ("CAT-P005", True)


def test_the_sections_of_spots_bit_by_bit() -> None:
    matrix = np.array([[1, 0, 0, 0], [0, 0, 0, 2], [0, 0, 0, 0], [3, 0, 0, 0], [4, 0, 5, 0]], np.uint8)
    parts = SpotsBlocks(2).split(matrix)
    assert parts.columns.tolist() == [True, False, True, True]
    assert parts.blocks.tolist() == [[True, True, True], [False, False, True], [True, False, False]]
    assert parts.values.tolist() == [1, 0, 0, 3, 4, 5, 0, 2]
    stream = SpotsBlocks(2).encode(matrix)
    assert stream.tolist() == [0b1101, 0b01100111, 0b0, *parts.values.tolist()]
    size = SpotsBlocks(2).size(matrix)
    assert (size.metadata, size.values, size.padding) == (4 + 9, 8 * 8, 4 + 7)


def test_the_sections_of_compressed_rows_and_columns() -> None:
    matrix = np.array([[0, 7, 0], [0, 0, 0], [5, 0, 6]], np.uint8)
    assert CompressedRows(8, 8).encode(matrix).tolist() == [0, 1, 1, 3, 1, 0, 2, 7, 5, 6]
    assert CompressedColumns(8, 8).encode(matrix).tolist() == [0, 1, 2, 3, 2, 0, 2, 5, 7, 6]
    assert Bitmap().encode(matrix).tolist() == [0b01000010, 0b1, 7, 5, 6]


MATRIX = np.array([[0, 7, 0], [0, 0, 0], [5, 0, 6]], np.uint8)


@pytest.mark.parametrize(
    ("encoding", "stream", "where", "message"),
    [
        (Bitmap(), [0b01000010, 0b11, 7, 5, 6], "bitmap, bit 9", "a bit is set behind"),
        (Bitmap(), [0b01000010, 0b1, 7, 0, 6], "values, word 1", "a zero is stored"),
        (Bitmap(), [0b01000010, 0b1, 7, 5], "values, byte 4", "ends too early"),
        (Bitmap(), [0b01000010, 0b1, 7, 5, 6, 0], "byte 5", "goes on"),
        (CompressedRows(8, 8), [0, 2, 1, 3, 1, 0, 2, 7, 5, 6], "positions, word 2", "no ends of rows"),
        (CompressedRows(8, 8), [1, 1, 1, 3, 1, 0, 2, 7, 5, 6], "positions, word 0", "no ends of rows"),
        (CompressedRows(8, 8), [0, 1, 1, 10, 1, 0, 2, 7, 5, 6], "positions, word 3", "no ends of rows"),
        (CompressedRows(8, 8), [0, 1, 1, 3, 1, 0, 3, 7, 5, 6], "coordinates, word 2", "out of order"),
        (CompressedRows(8, 8), [0, 1, 1, 3, 1, 2, 2, 7, 5, 6], "coordinates, word 2", "out of order"),
        (CompressedColumns(8, 8), [0, 1, 2, 3, 2, 9, 2, 5, 7, 6], "coordinates, word 1", "out of order"),
        (SpotsBlocks(2), [0b1111, 0, 0], "M1, bit 3", "a bit is set behind"),
        (SpotsBlocks(2), [0b111, 0b001001, 7, 5, 0, 6], "M2, column 2", "nothing"),
        (SpotsBlocks(2), [0b1, 0b11, 0, 0, 6], "values, block 0", "nothing"),
        (SpotsBlocks(2), [0b1, 0b11, 1, 0, 0], "values, block 1", "nothing"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    encoding: Format, stream: Sequence[int], where: str, message: str
) -> None:
    with pytest.raises(CatenaError) as raised:
        encoding.decode(np.array(stream, np.uint8), MATRIX.shape, MATRIX.dtype)
    (problem,) = raised.value.diagnostics
    assert problem.where.startswith(where)
    assert message in problem.message


@pytest.mark.parametrize(
    ("words", "where", "message"),
    [
        ([(1 << 63) | 1 << 5 | 3], "word 0", "another number of words"),
        ([1 << 5], "word 0", "marked"),
        ([(1 << 63) | 1 << 5, (1 << 63) | 1 << 5], "word 0", "marked"),
        ([(1 << 63) | 1 << 5 | 1 << 5 + 21, 0], "word 0", "marked"),
        ([(1 << 63) | 0 << 5 | 1 << 5 + 21], "word 0", "before it is full"),
    ],
)
def test_words_of_the_link_that_no_encoder_makes(words: Sequence[int], where: str, message: str) -> None:
    with pytest.raises(CatenaError) as raised:
        RunLengthCode().decode(np.array(words, np.uint64), 2)
    (problem,) = raised.value.diagnostics
    assert problem.where.startswith(where)
    assert message in problem.message


def test_widths_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="8, 16, 32 or 64 bits"):
        CompressedRows(12, 8)
    with pytest.raises(ValueError, match="at least one filter"):
        SpotsBlocks(0)
    with pytest.raises(ValueError, match="holds its pairs"):
        RunLength(pairs=4)
