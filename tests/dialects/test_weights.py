"""Weights: named by content, kept in a store that never shows a partial or damaged file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from xdsl.dialects.builtin import ModuleOp, TensorType, f32, f64
from xdsl.utils.exceptions import ParseError, VerifyException

from dialects.diagnostics import CatenaError
from dialects.gconv import View, ViewOp
from dialects.spatial import BufferOp, Role
from dialects.weights import (
    Blob,
    ConstantOp,
    WeightRef,
    WeightStore,
    bind_weights,
    constant_value,
    digest_of,
    save_weights,
)
from tests.examples import examples
from tests.filechecking import parse_module, print_module

DTYPES = ("float16", "float32", "float64", "bool", "int8", "int32", "int64", "uint8", "uint64")
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal type, shape and bits."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@settings(max_examples=examples(100), derandomize=True, deadline=None)
@given(array=ARRAYS)
def test_what_is_put_is_what_is_got(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    store = WeightStore(tmp_path_factory.mktemp("store"))
    blob = Blob(array)
    store.put(blob)
    found = store.get(blob.digest)
    assert found is not None
    assert found == blob
    assert same(found.array, array)
    assert not found.array.flags.writeable
    assert [path.name for path in store.folder.iterdir()] == [f"{blob.digest}.safetensors"]


def test_the_digest_is_that_of_type_shape_and_bytes() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert digest_of(array) == hashlib.sha256(b"<f4(2, 3)" + array.tobytes()).hexdigest()
    others = [array.reshape(3, 2), array.astype(np.float64), array.astype(np.int32), array + 1, array.reshape(-1)]
    assert len({digest_of(each) for each in (array, *others)}) == 6
    assert digest_of(np.zeros((0, 3), np.float32)) != digest_of(np.zeros((3, 0), np.float32))


def test_memory_layout_and_byte_order_do_not_matter(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    store = WeightStore(tmp_path)
    for other in (np.asfortranarray(array), np.repeat(array, 2, axis=0)[::2], array.astype(">f4")):
        assert Blob(other) == Blob(array)
        store.put(Blob(other))
        found = store.get(digest_of(array))
        assert found is not None
        assert same(found.array, array)


def test_signs_of_zero_and_payloads_of_nan_are_content() -> None:
    assert digest_of(np.array([0.0])) != digest_of(np.array([-0.0]))
    quiet, other = np.array([0x7FC00000, 0x7FC00001], np.uint32).view(np.float32)
    assert digest_of(np.array(quiet)) != digest_of(np.array(other))


def test_a_blob_needs_words_or_a_name() -> None:
    with pytest.raises(ValueError, match="an array or a digest"):
        Blob()
    unbound = Blob(digest="0" * 64)
    assert not unbound.is_bound
    with pytest.raises(CatenaError, match="weight 0000000000000000 is not at hand") as caught:
        _ = unbound.array
    assert caught.value.diagnostics[0].code == "CAT-R004"
    assert unbound == Blob(digest="0" * 64)
    assert unbound != Blob(digest="1" * 64)
    assert len({unbound, Blob(digest="0" * 64)}) == 1
    assert unbound != "0" * 64


def test_a_store_without_the_blob_has_none(tmp_path: Path) -> None:
    assert WeightStore(tmp_path / "nowhere").get("0" * 64) is None


ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


def stored(folder: Path) -> tuple[WeightStore, Blob, Path]:
    store, blob = WeightStore(folder), Blob(ARRAY)
    store.put(blob)
    return store, blob, store.path_of(blob.digest)


def expect_damage(store: WeightStore, digest: str) -> None:
    with pytest.raises(CatenaError) as caught:
        store.get(digest)
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.where) == ("CAT-R004", str(store.path_of(digest)))


def test_a_flipped_bit_anywhere_is_detected(tmp_path: Path) -> None:
    store, blob, path = stored(tmp_path)
    whole = path.read_bytes()
    unnoticed = 0
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        if is_damaged(store, blob.digest):
            continue
        found = store.get(blob.digest)
        assert found is not None
        assert same(found.array, ARRAY)
        unnoticed += 1
    assert unnoticed <= 8  # blanks that fill the header


def is_damaged(store: WeightStore, digest: str) -> bool:
    try:
        store.get(digest)
    except CatenaError as error:
        return {each.code for each in error.diagnostics} == {"CAT-R004"}
    return False


@pytest.mark.parametrize("length", [0, 1, 7, 8, 20, -1, -24])
def test_a_truncated_file_is_detected(tmp_path: Path, length: int) -> None:
    store, blob, path = stored(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    expect_damage(store, blob.digest)


@pytest.mark.parametrize(
    "tensors",
    [{"data": ARRAY + 1}, {"data": ARRAY.reshape(3, 2)}, {"data": ARRAY.view(np.int32)}, {"other": ARRAY}, {}],
)
def test_another_content_under_the_name_is_detected(tmp_path: Path, tensors: dict[str, Any]) -> None:
    store, blob, path = stored(tmp_path)
    path.write_bytes(safetensors.numpy.save(tensors))
    expect_damage(store, blob.digest)


def test_nothing_is_written_twice(tmp_path: Path) -> None:
    store, blob, path = stored(tmp_path)
    before = path.stat()
    store.put(Blob(ARRAY.copy()))
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert after.st_mode & 0o777 == 0o644
    assert blob == store.get(blob.digest)


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: str, target: Path) -> None:
        assert Path(source).read_bytes()
        assert Path(source).parent == target.parent
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dialects.weights.os.replace", fail)
    with pytest.raises(CatenaError, match="No space left on device") as caught:
        WeightStore(tmp_path).put(Blob(ARRAY))
    assert caught.value.diagnostics[0].code == "CAT-C002"
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dialects.weights.os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        WeightStore(tmp_path).put(Blob(ARRAY))
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CatenaError, match="cannot write") as caught:
        WeightStore(tmp_path / "file").put(Blob(ARRAY))
    assert caught.value.diagnostics[0].code == "CAT-C002"


def module() -> ModuleOp:
    """A module with the same constant twice, another one, and a buffer that holds one."""
    return ModuleOp(
        [
            ConstantOp.of(ARRAY),
            ConstantOp.of(ARRAY.copy()),
            ConstantOp.of(np.array([1, 2], np.int64)),
            BufferOp.of(Role.CONSTANT, 0, TensorType(f32, [2, 3]), value=WeightRef.of(ARRAY)),
        ]
    )


def test_text_names_weights_and_a_store_brings_them_back(tmp_path: Path) -> None:
    original = module()
    save_weights(original, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    text = print_module(original)
    assert text.count(digest_of(ARRAY)) == 3
    again = parse_module(text)
    assert not any(op.value.data.is_bound for op in again.ops if isinstance(op, ConstantOp))
    assert print_module(again) == text
    bind_weights(again, tmp_path)
    again.verify()
    found = [op.value.data.array for op in again.ops if isinstance(op, ConstantOp | BufferOp) and op.value is not None]
    assert len(found) == 4
    assert same(found[0], ARRAY)
    assert found[0] is found[1]  # read once
    assert same(found[2], np.array([1, 2], np.int64))
    assert print_module(again) == text


def test_a_bound_weight_is_not_read_again(tmp_path: Path) -> None:
    original = module()
    save_weights(original, tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"damaged")
    bind_weights(original, tmp_path)
    with pytest.raises(CatenaError, match="damaged"):
        bind_weights(parse_module(print_module(original)), tmp_path)


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64])
def test_a_name_is_a_digest(digest: str) -> None:
    with pytest.raises(ParseError, match="64 lower-case hex digits"):
        parse_module(f'%0 = weights.constant <"{digest}"> : tensor<2xf32>')


@pytest.mark.parametrize("kind", ["tensor<3x2xf32>", "tensor<2x3xf64>", "tensor<6xf32>", "tensor<2x3xi32>"])
def test_words_have_the_type_that_the_op_says(kind: str) -> None:
    text = f'%0 = weights.constant <"{digest_of(ARRAY)}"> : {kind}'
    parse_module(text).verify()  # without words there is nothing to compare
    with pytest.raises(VerifyException, match="the op says"):
        parse_module(text, [ARRAY]).verify()


def test_the_value_of_a_constant() -> None:
    constant = ConstantOp.of(ARRAY)
    words = constant_value(constant.result)
    assert words is not None
    assert same(words, ARRAY)
    assert constant.result.type == TensorType(f32, [2, 3])
    assert constant_value(ViewOp.of(constant.result, View.dense((6,))).result) is None


def test_an_array_of_no_known_type_is_no_constant() -> None:
    with pytest.raises(TypeError, match="complex64"):
        ConstantOp.of(np.zeros(2, np.complex64))
    assert ConstantOp.of(np.zeros(2)).result.type == TensorType(f64, [2])
