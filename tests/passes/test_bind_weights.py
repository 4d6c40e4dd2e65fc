"""bind-weights: a folder brings back the words of the constants that lack them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dialects.diagnostics import CatenaError
from dialects.weights import Blob, ConstantOp, WeightStore, digest_of
from passes.bind_weights import BindWeightsPass
from tests.filechecking import check_ir, new_ir_context, parse_module

FIRST, SECOND = np.arange(4, dtype=np.float32), np.array([[1, 2], [3, 4]], np.int64)
TEXT = f"""
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {{
  %a = weights.constant <"{digest_of(FIRST)}"> : tensor<4xf32> loc("a")
  %b = weights.constant <"{digest_of(SECOND)}"> : tensor<2x2xi64> loc("b")
  %y = gconv.link %x : tensor<4xf32> by %a : tensor<4xf32> <C g 4> "mul" none -> tensor<4xf32> loc("y")
  func.return %y : tensor<4xf32>
}}
"""


def constants(module: object) -> list[ConstantOp]:
    return [op for op in module.walk() if isinstance(op, ConstantOp)]  # pyright: ignore


def test_every_constant_that_the_folder_holds_is_bound(tmp_path: Path) -> None:
    for array in (FIRST, SECOND):
        WeightStore(tmp_path).put(Blob(array))
    module = check_ir(
        TEXT,
        f'bind-weights{{folder="{tmp_path}"}}',
        f"""
        CHECK:      weights.constant <"{digest_of(FIRST)}"> : tensor<4xf32>
        CHECK-NEXT: weights.constant <"{digest_of(SECOND)}"> : tensor<2x2xi64>
        CHECK-NEXT: gconv.link %x
        """,
    )
    a, b = constants(module)
    np.testing.assert_array_equal(a.array, FIRST)
    np.testing.assert_array_equal(b.array, SECOND)


def test_other_constants_stay_as_they_are(tmp_path: Path) -> None:
    WeightStore(tmp_path).put(Blob(SECOND))
    module = parse_module(TEXT)
    BindWeightsPass(str(tmp_path)).apply(new_ir_context(), module)
    assert [op.value.data.is_bound for op in constants(module)] == [False, True]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(CatenaError, match="there is no folder") as caught:
            BindWeightsPass(str(folder)).apply(new_ir_context(), parse_module(TEXT))
        assert [d.code for d in caught.value.diagnostics] == ["CAT-C002"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    store = WeightStore(tmp_path)
    store.put(Blob(FIRST))
    path = store.path_of(digest_of(FIRST))
    path.write_bytes(path.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(CatenaError, match=path.name) as caught:
        BindWeightsPass(str(tmp_path)).apply(new_ir_context(), parse_module(TEXT))
    assert [(d.code, d.where) for d in caught.value.diagnostics] == [("CAT-R004", str(path))]
