"""Files read in two parts: the same model as in one, whatever the message looks like."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from compiler.importer import import_model, split_file
from compiler.importer.loading import read_split_model, with_words
from dialects.diagnostics import CatenaError
from tests.examples import examples
from tests.onnx_models import onnx_model, onnx_node, returned_arrays

LARGE = np.arange(3000, dtype=np.float32).reshape(30, 100)
SMALL = np.arange(5, dtype=np.float32)


def field(number: int, content: bytes) -> bytes:
    """A field of a message, of 128 to 16383 bytes."""
    return bytes([number << 3 | 2, len(content) & 0x7F | 0x80, len(content) >> 7]) + content


def model_with(*tensors: onnx.TensorProto) -> onnx.ModelProto:
    """A model that returns its initializers."""
    nodes = [onnx_node("Identity", tensor.name, f"y{index}") for index, tensor in enumerate(tensors)]
    model = onnx_model(nodes, {}, " ".join(f"y{index}" for index in range(len(tensors))))
    model.graph.initializer.extend(tensors)
    return model


def written(folder: Path, content: bytes) -> Path:
    path = folder / "m.onnx"
    path.write_bytes(content)
    return path


def test_only_large_words_are_missing_in_the_message(tmp_path: Path) -> None:
    tensors = (numpy_helper.from_array(SMALL, "small"), numpy_helper.from_array(LARGE, "large"))
    path = written(tmp_path, model_with(*tensors).SerializeToString())
    split = split_file.split_file(path)
    assert split is not None
    assert split.words[0] is None
    assert split.words[1] is not None
    assert split.words[1].tobytes() == LARGE.tobytes()
    assert len(split.message) < LARGE.nbytes
    for found, expected in zip(returned_arrays(import_model(path)), (SMALL, LARGE), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_words_put_back_make_the_model_of_the_file(tmp_path: Path) -> None:
    model = model_with(*(numpy_helper.from_array(LARGE + index, f"w{index}") for index in range(3)))
    loaded = read_split_model(written(tmp_path, model.SerializeToString()))
    assert set(loaded.words) == {"w0", "w1", "w2"}
    assert loaded.model != model
    assert with_words(loaded.model, loaded.words) == model


def test_arrays_are_aligned_and_read_only(tmp_path: Path) -> None:
    tensors = (numpy_helper.from_array(np.ones(4097, np.int8), "bytes"), numpy_helper.from_array(LARGE, "floats"))
    words = read_split_model(written(tmp_path, model_with(*tensors).SerializeToString())).words
    assert all(array.flags.aligned and not array.flags.writeable for array in words.values())


def test_mapped_words_are_those_that_are_read(tmp_path: Path) -> None:
    tensors = (numpy_helper.from_array(SMALL, "small"), numpy_helper.from_array(LARGE, "large"))
    path = written(tmp_path, model_with(*tensors).SerializeToString())
    split = split_file.split_file(path, maps_words=True)
    assert split is not None
    assert split.words[0] is None
    assert split.words[1] is not None
    assert split.words[1].base is not None
    assert split.words[1].tobytes() == LARGE.tobytes()
    for found, expected in zip(returned_arrays(import_model(path, maps_words=True)), (SMALL, LARGE), strict=True):
        np.testing.assert_array_equal(found, expected)
    small = written(tmp_path, model_with(tensors[0]).SerializeToString())
    assert split_file.split_file(small, maps_words=True) == split_file.split_file(small)


@pytest.mark.parametrize("name", ["bool", "uint8", "int16", "float16", "int64", "float64", "uint32"])
def test_plain_types_are_read_as_protobuf_reads_them(name: str, tmp_path: Path) -> None:
    array = (np.arange(5000) % 2).astype(name)
    path = written(tmp_path, model_with(numpy_helper.from_array(array, "w")).SerializeToString())
    (words,) = read_split_model(path).words.values()
    assert words.dtype == array.dtype
    np.testing.assert_array_equal(words, array)


@pytest.mark.parametrize("data_type", [TensorProto.BFLOAT16, TensorProto.INT4, TensorProto.FLOAT8E4M3FN])
def test_words_of_other_types_stay_in_the_message(data_type: int, tmp_path: Path) -> None:
    model = model_with(helper.make_tensor("w", data_type, [9000], np.ones(9000)))
    tensor = model.graph.initializer[0]
    if not tensor.raw_data:
        array = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(array, "w"))
    loaded = read_split_model(written(tmp_path, model.SerializeToString()))
    assert not loaded.words
    assert loaded.model == model


def test_words_that_do_not_fit_their_shape_are_refused_as_in_one_part(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(LARGE, "w")
    tensor.raw_data = tensor.raw_data[:-4]
    model = model_with(tensor)
    for source in (model, written(tmp_path, model.SerializeToString())):
        with pytest.raises(CatenaError, match="tensor 'w' is damaged: cannot reshape"):
            import_model(source)


@pytest.mark.parametrize("sizes", [(3000, 5000), (5000, 100), (100, 5000), (5000, 6000)])
def test_of_words_that_occur_twice_the_last_count(sizes: tuple[int, int], tmp_path: Path) -> None:
    """Protobuf lets a field be written again."""
    first = TensorProto(raw_data=b"\1" * sizes[0])
    second = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[sizes[1]], raw_data=bytes(sizes[1]))
    initializer = field(5, first.SerializeToString() + second.SerializeToString())
    model = model_with(second)
    graph = onnx.GraphProto.FromString(model.graph.SerializeToString())
    del graph.initializer[:]
    model.ClearField("graph")
    path = written(tmp_path, model.SerializeToString() + field(7, graph.SerializeToString() + initializer))
    np.testing.assert_array_equal(returned_arrays(import_model(path))[0], np.zeros(sizes[1], np.uint8))


def test_graphs_that_occur_in_pieces_are_one(tmp_path: Path) -> None:
    model = model_with(numpy_helper.from_array(LARGE, "a"), numpy_helper.from_array(LARGE + 1, "b"))
    rest, second = onnx.ModelProto(), onnx.ModelProto()
    rest.CopyFrom(model)
    second.graph.initializer.append(rest.graph.initializer.pop())
    path = written(tmp_path, rest.SerializeToString() + second.SerializeToString())
    for found, expected in zip(returned_arrays(import_model(path)), (LARGE, LARGE + 1), strict=True):
        np.testing.assert_array_equal(found, expected)


@settings(max_examples=examples(150), deadline=None, derandomize=True)
@given(st.data())
def test_damaged_files_are_read_as_in_one_part(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = bytearray(model_with(numpy_helper.from_array(LARGE, "w")).SerializeToString())
    for _ in range(data.draw(st.integers(0, 3))):
        # Words are most of the file; what is interesting is around them.
        where = data.draw(st.one_of(st.integers(0, 200), st.integers(len(content) - 200, len(content) - 1)))
        content[where] = data.draw(st.integers(0, 255))
    path = written(tmp_path_factory.mktemp("damaged"), bytes(content[: data.draw(st.integers(1, len(content)))]))

    def outcome(source: Path | onnx.ModelProto) -> object:
        try:
            return [array.tobytes() for array in returned_arrays(import_model(source))]
        except CatenaError as error:
            return [(each.code, each.message, each.hint) for each in error.diagnostics]

    try:
        whole = onnx.ModelProto.FromString(path.read_bytes())
    except DecodeError:
        whole = None
    found = outcome(path)
    if whole is None:
        message = "the file is not an ONNX model: its protobuf message is damaged or cut short"
        assert found == [("CAT-M001", message, "copy, download or export it again")]
    else:
        assert found == outcome(whole)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_read_in_one_part(tmp_path: Path) -> None:
    from threading import Thread

    path = tmp_path / "pipe"
    os.mkfifo(path)
    content = model_with(numpy_helper.from_array(LARGE, "w")).SerializeToString()
    writer = Thread(target=path.write_bytes, args=(content,))
    writer.start()
    found = returned_arrays(import_model(path))[0]
    writer.join()
    np.testing.assert_array_equal(found, LARGE)
