"""Calibration data: what is one sample, what is several, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from compiler.importer.inputs import DeclaredInput
from compiler.quantization.calibration import Source, read_samples
from dialects.diagnostics import CatenaError

IMAGE = DeclaredInput("image", TensorProto.FLOAT, (1, 2, 3))
ANY_BATCH = DeclaredInput("image", TensorProto.FLOAT, ("N", 2, 3))
TOKENS = DeclaredInput("tokens", TensorProto.INT64, (1, 4))


def zeros(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("declared", "shape", "count", "sample"),
    [
        (IMAGE, (1, 2, 3), 1, (1, 2, 3)),
        (IMAGE, (5, 1, 2, 3), 5, (1, 2, 3)),
        (IMAGE, (5, 2, 3), 5, (1, 2, 3)),
        (ANY_BATCH, (5, 2, 3), 1, (5, 2, 3)),
        (ANY_BATCH, (4, 5, 2, 3), 4, (5, 2, 3)),
        (DeclaredInput("image", TensorProto.FLOAT, None), (7,), 1, (7,)),
        (DeclaredInput("image", TensorProto.FLOAT, ()), (6,), 6, ()),
        (DeclaredInput("image", TensorProto.FLOAT, ()), (), 1, ()),
        (DeclaredInput("image", TensorProto.FLOAT, (4, 3)), (12, 3), 3, (4, 3)),
    ],
)
def test_samples_of_an_array(
    declared: DeclaredInput, shape: tuple[int, ...], count: int, sample: tuple[int, ...]
) -> None:
    array = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    found = read_samples([{"image": array}], [declared])
    assert len(found) == count
    assert {(each["image"].shape, each["image"].dtype.name) for each in found} == {(sample, "float32")}
    assert np.array_equal(np.concatenate([each["image"].reshape(-1) for each in found]), array.reshape(-1))


def test_files_and_random_samples_add_up(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=zeros(3, 1, 2, 3), tokens=zeros(3, 1, 4, dtype=np.int32))
    np.savez(tmp_path / "b.npz", image=zeros(1, 2, 3), tokens=zeros(1, 4, dtype=np.int64))
    found = read_samples([tmp_path / "a.npz", str(tmp_path / "b.npz"), "random:2"], [IMAGE, TOKENS], seed=3)
    assert [each["tokens"].dtype.name for each in found] == ["int64"] * 6
    assert [bool(each["image"].any()) for each in found] == [False] * 4 + [True] * 2
    again = read_samples(["random:2"], [IMAGE, TOKENS], seed=3)
    assert np.array_equal(again[1]["image"], found[5]["image"])
    assert not np.array_equal(again[0]["image"], again[1]["image"])


def test_random_samples_need_shapes() -> None:
    wide = DeclaredInput("image", TensorProto.FLOAT, ("N", "C"))
    (sample,) = read_samples(["random:1"], [wide], input_shapes={"image": (2, 5)})
    assert sample["image"].shape == (2, 5)
    (sample,) = read_samples(["random:1"], [ANY_BATCH], batch=3)
    assert sample["image"].shape == (3, 2, 3)
    assert codes(["random:1"], wide) == ["CAT-M002"]


def codes(sources: list[Source], *inputs: DeclaredInput) -> list[str]:
    with pytest.raises(CatenaError) as caught:
        read_samples(sources, inputs)
    return [each.code for each in caught.value.diagnostics]


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"picture": zeros(1, 2, 3)},
        {"image": zeros(1, 2, 4)},
        {"image": zeros(2, 3)},
        {"image": zeros(0, 1, 2, 3)},
        {"image": zeros(1, 2, 3, dtype=np.complex64)},
        {"image": np.full((1, 2, 3), np.nan, np.float32)},
        {"image": np.full((1, 2, 3), np.inf, np.float32)},
    ],
)
def test_data_that_does_not_fit(arrays: dict[str, np.ndarray]) -> None:
    assert set(codes([arrays], IMAGE)) == {"CAT-C005"}


def test_all_problems_of_all_files_are_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=zeros(3, 1, 2, 3), tokens=zeros(2, 1, 4, dtype=np.int64))
    np.savez(tmp_path / "b.npz", image=zeros(9))
    sources: list[Source] = [tmp_path / "a.npz", tmp_path / "b.npz", tmp_path / "none.npz", "random:x", "a.txt"]
    assert codes(sources, IMAGE, TOKENS) == ["CAT-C005"] * 3 + ["CAT-C002"] + ["CAT-C001"] * 2
    assert codes([], IMAGE) == ["CAT-C001"]


def test_floats_for_integers_are_refused() -> None:
    assert codes([{"tokens": zeros(1, 4)}], TOKENS) == ["CAT-C005"]


def test_too_many_random_samples_are_not_made() -> None:
    with pytest.raises(CatenaError) as caught:
        read_samples(["random:1000000000"], [IMAGE, TOKENS])
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.found) == ("CAT-C005", "10000000000 elements")
