"""measure-skips: what zeros leave of mapped links, noted as measured on samples; and what is expected by chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from dialects.diagnostics import CatenaError
from dialects.gconv import LinkOp
from dialects.gemm_live import Live, LiveAttr
from dialects.gemm_mapping import GemmAttr
from passes.gemm.tiles import GemmTiles
from passes.gemm.zeros import expected_live, measure
from passes.map_gemm import MapGemmPass
from passes.measure_skips import MeasureSkipsPass
from passes.place_gemm import PlaceGemmPass
from tests.backends.spots.layers import machine
from tests.filechecking import match_checks, parse_module, print_module
from tests.passes.gemm.test_gemm_passes import module_of

TARGET = machine(array={"rows": 4, "cols": 2, "splits": [1, 2, 4]}, im2col={"skips": True})
SHAPE = (4, 10, 8)


def mapped() -> ModuleOp:
    module = module_of(im2col={"skips": True})
    MapGemmPass().apply(Context(), module)
    return module


def saved(folder: Path, words: np.ndarray) -> str:
    path = folder / "samples.npz"
    np.savez(path, x=words.astype(np.float32), w=np.ones((*words.shape[:-3], 20, 3, 3), np.float32))
    return str(path)


def of_channels(live: int) -> np.ndarray:
    """An input whose first channels have no zeros, and whose others have nothing else."""
    words = np.zeros(SHAPE)
    words[:live] = 1
    return words


def test_what_is_left_is_noted_and_goes_with_the_layer(tmp_path: Path) -> None:
    module = mapped()
    MeasureSkipsPass(saved(tmp_path, of_channels(1))).apply(Context(), module)
    # One of four channels is left: 9 indices for 5 kernels and 48 positions.
    match_checks(print_module(module), "// CHECK: live = #schedule.live<{{.*}} operations 2160, gated 0, samples 1>")
    PlaceGemmPass().apply(Context(), module)
    text = print_module(module)
    match_checks(
        text, "// CHECK: spatial.layer {{.*}} live = #schedule.live<{{.*}} operations 2160, gated 0, samples 1>"
    )
    assert print_module(parse_module(text)) == text


def test_of_several_samples_it_is_the_mean(tmp_path: Path) -> None:
    module = mapped()
    samples = np.stack([of_channels(1), of_channels(4)])
    MeasureSkipsPass(saved(tmp_path, samples)).apply(Context(), module)
    (link,) = (op for op in module.walk() if isinstance(op, LinkOp))
    assert isinstance(link.live, LiveAttr)
    assert (link.live.data.operations, link.live.data.samples) == ((2160 + 8640) // 2, 2)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatenaError) as caught:
        MeasureSkipsPass(str(tmp_path / "missing.npz")).apply(Context(), mapped())
    assert [each.code for each in caught.value.diagnostics] == ["CAT-C002"]


def tiles_of(module: ModuleOp) -> GemmTiles:
    (link,) = (op for op in module.walk() if isinstance(op, LinkOp))
    assert isinstance(link.mapping, GemmAttr)
    return GemmTiles(link.spec, link.mapping.data, SHAPE)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.9])
def test_by_chance_as_much_is_left_as_of_random_words_in_the_mean(zeros: float, rows: int) -> None:
    tiles, random = tiles_of(mapped()), np.random.default_rng(0)
    target = TARGET.model_copy(update={"im2col": TARGET.im2col.model_copy(update={"block_rows": rows})})
    expected = expected_live(tiles, target, zeros=zeros)
    found = [measure(tiles, target, random.random(SHAPE) >= zeros) for _ in range(40)]
    for name in ("cycles", "columns", "kernels", "operations"):
        mean = np.mean([getattr(each, name) for each in found])
        if rows == 1 or not zeros:
            assert getattr(expected, name) == pytest.approx(mean, rel=0.03 if zeros else 0), name
        assert getattr(expected, name) > 0.97 * mean, name  # indices of a bit share words, which count as several
    assert expected.gated == 0
    assert isinstance(expected, Live)
