"""Results whose extents the model declares: one chain for all values that keep to them, an error for the others."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from dialects.diagnostics import CatenaError
from dialects.gconv import IndexedOp
from dialects.gconv.interpreter import Interpreter
from tests.examples import examples
from tests.filechecking import check_ir
from tests.passes.lower_onnx.declaring import declaring
from tests.passes.lower_onnx.models import integers, lower, normal

onnxruntime = pytest.importorskip("onnxruntime")

OTHER_SHAPE = "the values of this run make a tensor of another shape than the model declares"


def run_runtime(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)[0]


def check_runs(
    model: onnx.ModelProto, *runs: dict[str, np.ndarray], atol: float = 1e-5, reference: bool = False
) -> None:
    """One chain gives in every run what ONNX Runtime, or ONNX's reference evaluator, gives; results differ."""
    chain = Interpreter(lower(model))
    results: list[np.ndarray] = []
    for feeds in runs:
        wanted = ReferenceEvaluator(model).run(None, feeds)[0] if reference else run_runtime(model, feeds)
        (found,) = chain.run(feeds).values()
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=atol)
        results.append(found)
    assert all(not np.array_equal(results[0], other) for other in results[1:])


def check_refused(model: onnx.ModelProto, *runs: dict[str, np.ndarray]) -> None:
    """The chain of a model refuses runs that make other shapes."""
    chain = Interpreter(lower(model))
    for feeds in runs:
        with pytest.raises(CatenaError, match=OTHER_SHAPE):
            chain.run(feeds)


# Slice ---------------------------------------------------------------------------------------------------------------


@st.composite
def slices(draw: st.DrawFn) -> tuple[np.ndarray, list[int], list[list[tuple[int, int, int]]]]:
    """A tensor, sliced axes, and two times start, end and step of each; at least the first time nothing is empty."""
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    axes = draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
    step = st.sampled_from([1, 1, 2, 3, -1, -2, 7])
    place = st.integers(-8, 8) | st.sampled_from([-(2**31), 2**31 - 1])

    def cuts() -> list[tuple[int, int, int]]:
        return [draw(st.tuples(place, place, step)) for _ in axes]

    first = [
        draw(st.tuples(place, place, step).filter(lambda cut, n=shape[axis]: sliced(np.arange(n), [0], [cut]).size))
        for axis in axes
    ]
    return normal(*shape), axes, [first, cuts()]


def sliced(x: np.ndarray, axes: list[int], cuts: list[tuple[int, int, int]]) -> np.ndarray:
    """As ONNX has it, which begins at the first word where Python begins before it."""
    for axis, (start, end, step) in zip(axes, cuts, strict=True):
        n = x.shape[axis]
        last, before = (n - 1, -1) if step < 0 else (n, 0)
        start, end = (place + n if place < 0 else place for place in (start, end))
        x = np.take(x, range(min(max(start, 0), last), min(max(end, before), last), step), axis)
    return x


@settings(max_examples=examples(120), derandomize=True, deadline=None)
@given(slices(), st.booleans(), st.sampled_from([np.int32, np.int64]))
def test_slices_from_computed_places(case, known_steps: bool, dtype: type) -> None:
    x, axes, runs = case
    names = ("starts", "ends", "steps")
    values = [{name: np.array([cut[i] for cut in cuts], dtype) for i, name in enumerate(names)} for cuts in runs]
    if known_steps:
        values[1]["steps"] = values[0]["steps"]
        runs[1] = [(a, b, c) for (a, b, _), (_, _, c) in zip(runs[1], runs[0], strict=True)]
    constants = {"axes": np.array(axes, dtype)} | ({"steps": values[0]["steps"]} if known_steps else {})
    inputs = {"x": x} | {name: values[0][name] for name in names if name not in constants}
    order = ["x", "starts", "ends", "axes", "steps"]
    model = declaring("Slice", inputs, sliced(x, axes, runs[0]).shape, constants, order=order)
    chain = Interpreter(lower(model))
    for cuts, feeds in zip(runs, values, strict=True):
        wanted = sliced(x, axes, cuts)
        feeds = {"x": x} | {name: feeds[name] for name in feeds if name not in constants}
        if wanted.shape == sliced(x, axes, runs[0]).shape:
            np.testing.assert_array_equal(chain.run(feeds)["y0"], wanted)
        else:
            with pytest.raises(CatenaError, match=OTHER_SHAPE):
                chain.run(feeds)


def test_a_slice_with_known_steps_is_one_copy() -> None:
    inputs = {"x": normal(6, 7), "starts": integers(1, 0), "ends": integers(4, 2)}
    module = lower(declaring("Slice", inputs, (3, 2), {"axes": integers(0, 1)}))
    assert sum(isinstance(op, IndexedOp) for op in module.walk()) == 1


def test_a_slice_at_computed_places_in_ir() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<8x5xf32> {onnx.name = "x"}, %s: tensor<1xi64> {onnx.name = "s"},
                        %e: tensor<1xi64> {onnx.name = "e"}) -> (tensor<3x5xf32> {onnx.name = "y"}) {
          %y = onnx.Slice(%x, %s, %e) {outputs = ["y"]}
            : (tensor<8x5xf32>, tensor<1xi64>, tensor<1xi64>) -> tensor<3x5xf32> loc("cut")
          func.return %y : tensor<3x5xf32>
        }
        """,
        "lower-onnx",
        """
        CHECK:      gconv.link %s : tensor<1xi64>
        CHECK-SAME: "lt" none
        CHECK:      [[B:%.*]] = gconv.link {{.*}} "or" none
        CHECK:      [[D:%.*]] = gconv.link {{.*}} by [[B]] : tensor<1xi64> <C> "drop" none
        CHECK-NEXT: gconv.view
        CHECK-NEXT: [[P:%.*]] = gconv.link {{.*}} by [[B]] : tensor<1xi64> with [[D]] : tensor<1xi64>
        CHECK-SAME: <C> "keep" none post <add[0]>
        CHECK-NEXT: [[I:%.*]] = gconv.view [[P]] <[0, 0, 0]> : tensor<1xi64> -> tensor<1x1x1xi64>
        CHECK-NEXT: [[G:%.*]] = gconv.indexed %x : tensor<8x5xf32> at [[I]] : tensor<1x1x1xi64> <[5, 1], 5 of 6>
        CHECK-SAME: -> tensor<3x5xf32>
        CHECK-NEXT: gconv.link [[G]] : tensor<3x5xf32> <N opc 3, C opc 5> "pass" none {tensor = "y"}
        """,
    )


def test_known_slices_stay_views() -> None:
    module = lower(declaring("Slice", {"x": normal(6)}, (3,), {"s": integers(1), "e": integers(4)}))
    assert not any(isinstance(op, IndexedOp) for op in module.walk())


def test_known_slices_of_another_extent_are_refused() -> None:
    # ONNX's inference gives up on this form, so that the declaration is all there is.
    with pytest.raises(CatenaError, match="0 words along axis 0 for 3"):
        lower(declaring("Slice", {"x": normal(6)}, (3,), opset=9, starts=[5], ends=[0], axes=[0]))


@pytest.mark.parametrize("shape", [("n",), (0,)])
def test_a_slice_of_an_undeclared_extent_is_refused_with_a_hint(shape: tuple[int | str, ...]) -> None:
    model = declaring("Slice", {"x": normal(6), "s": integers(1), "e": integers(2)}, shape)
    with pytest.raises(CatenaError) as caught:
        lower(model)
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.node) == ("CAT-U002", "node")
    assert "declare it (value_info of 'y0')" in problem.hint


def test_declared_extents_beyond_the_input_are_refused() -> None:
    feeds = {"x": normal(6), "s": integers(1), "e": integers(2)}
    with pytest.raises(CatenaError, match="7 words along axis 0, in steps of 1 through 6"):
        lower(declaring("Slice", feeds, (7,)))
    with pytest.raises(CatenaError, match="4 words along axis 0, in steps of -2 through 6"):
        lower(declaring("Slice", feeds, (4,), {"a": integers(0), "t": integers(-2)}, order=["x", "s", "e", "a", "t"]))


def test_other_counts_of_scales_are_refused() -> None:
    feeds = {"x": normal(1, 4), "s": np.ones(2, np.float32)}
    model = declaring("Resize", feeds, (1, 4), order=["x", "", "s"], axes=[1])
    with pytest.raises(CatenaError, match="2 numbers for 1 dimensions"):
        lower(model)


def test_a_declared_rank_that_cannot_be_is_refused() -> None:
    with pytest.raises(CatenaError, match="CAT-M003"):
        lower(declaring("Slice", {"x": normal(6), "s": integers(1), "e": integers(2)}, (1, 1)))


# Resize --------------------------------------------------------------------------------------------------------------

TRANSFORMATIONS = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")


def scales(*values: float) -> np.ndarray:
    return np.array((1, 1, *values), np.float32)


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize("nearest", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("runs", [((2.0, 3.0), (2.3, 3.2)), ((0.5, 0.6), (0.6, 0.7))])
def test_nearest_words_at_computed_scales(transformation: str, nearest: str, runs) -> None:
    x = normal(1, 2, 3 if runs[0][0] > 1 else 6, 4)
    shape = (1, 2, int(x.shape[2] * runs[0][0]), int(x.shape[3] * runs[0][1]))
    model = declaring(
        "Resize",
        {"x": x, "s": scales(*runs[0])},
        shape,
        order=["x", "", "s"],
        mode="nearest",
        coordinate_transformation_mode=transformation,
        nearest_mode=nearest,
    )
    chain = Interpreter(lower(model))
    for run in runs:
        feeds = {"x": x, "s": scales(*run)}
        np.testing.assert_array_equal(chain.run(feeds)["y0"], run_runtime(model, feeds))


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("runs", [((2.0, 3.0), (2.3, 3.2)), ((0.5, 0.6), (0.6, 0.7))])
def test_interpolation_at_computed_scales(transformation: str, mode: str, runs) -> None:
    x = normal(1, 2, 3 if runs[0][0] > 1 else 6, 4)
    shape = (1, 2, int(x.shape[2] * runs[0][0]), int(x.shape[3] * runs[0][1]))
    model = declaring(
        "Resize",
        {"x": x, "s": scales(*runs[0])},
        shape,
        order=["x", "", "s"],
        mode=mode,
        coordinate_transformation_mode=transformation,
    )
    chain = Interpreter(lower(model))
    found = []
    for run in runs:
        feeds = {"x": x, "s": scales(*run)}
        found.append(chain.run(feeds)["y0"])
        np.testing.assert_allclose(found[-1], run_runtime(model, feeds), rtol=1e-4, atol=1e-4)
    # Where corners are aligned, scales do not matter beyond the extents.
    assert np.array_equal(*found) == (transformation == "align_corners")


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("options", [{"antialias": 1}, {"exclude_outside": 1}, {"antialias": 1, "exclude_outside": 1}])
def test_options_at_computed_scales(mode: str, options: dict) -> None:
    x = normal(1, 1, 8, 9)
    runs = [{"x": x, "s": scales(*values)} for values in ((0.4, 0.6), (0.45, 0.65))]
    model = declaring("Resize", runs[0], (1, 1, 3, 5), order=["x", "", "s"], mode=mode, **options)
    check_runs(model, *runs, atol=1e-4, reference=True)


@pytest.mark.parametrize("value", [0.0, 7.0])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_a_region_computed_at_run_time(mode: str, value: float) -> None:
    x = normal(1, 1, 5, 5)
    regions = ((0, 0, 0.3, -0.2, 1, 1, 0.8, 1.3), (0, 0, 0.0, 0.1, 1, 1, 1.0, 0.7))
    runs = [{"x": x, "roi": np.array(region, np.float32)} for region in regions]
    model = declaring(
        "Resize",
        runs[0],
        (1, 1, 4, 6),
        {"sizes": integers(1, 1, 4, 6)},
        order=["x", "roi", "", "sizes"],
        mode=mode,
        coordinate_transformation_mode="tf_crop_and_resize",
        extrapolation_value=value,
    )
    check_runs(model, *runs, atol=1e-4)


def test_scales_of_some_axes() -> None:
    x = normal(1, 2, 6, 4)
    runs = [{"x": x, "s": np.array(values, np.float32)} for values in ((1.5, 0.5), (1.6, 0.6))]
    check_runs(declaring("Resize", runs[0], (1, 2, 3, 6), order=["x", "", "s"], axes=[3, 2], mode="linear"), *runs)


@pytest.mark.parametrize(("op_type", "opset"), [("Upsample", 9), ("Resize", 10)])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_old_versions_at_computed_scales(op_type: str, opset: int, mode: str) -> None:
    x = normal(1, 1, 4, 4)
    runs = [{"x": x, "s": scales(*values)} for values in ((2.0, 1.5), (2.2, 1.7))]
    check_runs(declaring(op_type, runs[0], (1, 1, 8, 6), opset=opset, mode=mode), *runs)


def test_shrinking_with_opset_10_at_computed_scales() -> None:
    x = normal(1, 1, 6, 6)
    runs = [{"x": x, "s": scales(*values)} for values in ((0.5, 0.7), (0.6, 0.67))]
    chain = Interpreter(lower(model := declaring("Resize", runs[0], (1, 1, 3, 4), opset=10, mode="nearest")))
    for feeds in runs:
        np.testing.assert_array_equal(chain.run(feeds)["y0"], run_runtime(model, feeds))


@pytest.mark.parametrize("transformation", ["half_pixel", "align_corners"])
def test_scales_that_make_other_extents_are_refused(transformation: str) -> None:
    x = normal(1, 1, 4, 4)
    others = ((2.0, 2.25), (1.9, 2.0), (-2.0, 2.0), (np.nan, 2.0), (np.inf, 2.0))
    model = declaring(
        "Resize",
        {"x": x, "s": scales(2.0, 2.0)},
        (1, 1, 8, 8),
        order=["x", "", "s"],
        mode="linear",
        coordinate_transformation_mode=transformation,
    )
    check_refused(model, *({"x": x, "s": scales(*other)} for other in others))


# Range, windows, OneHot ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.float32])
def test_ranges(dtype: type) -> None:
    bounds = [(1, 10, 3), (2, 13, 4), (0, -6, -2)]
    runs = [dict(zip("abc", (np.array(n, dtype) for n in each), strict=True)) for each in bounds]
    model = declaring("Range", runs[0], (3,), element_type=onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
    check_runs(model, *runs)
    others = [(1, 11, 3), (1, 7, 3), (10, 1, 3), (0, 3, 0)]
    check_refused(model, *(dict(zip("abc", (np.array(n, dtype) for n in each), strict=True)) for each in others))


def test_ranges_of_floats_count_as_doubles_do() -> None:
    # 0.3 and 0.1 in f32 are 3.00000007 steps, which a quotient of f32 would round to 3.
    def run(limit: float) -> dict[str, np.ndarray]:
        return dict(zip("abc", (np.array(n, np.float32) for n in (0, limit, 0.1)), strict=True))

    model = declaring("Range", run(0.3), (4,))
    (found,) = Interpreter(lower(model)).run(run(0.3)).values()
    np.testing.assert_allclose(found, run_runtime(model, run(0.3)), atol=1e-6)
    check_refused(model, run(0.29), run(0.41))


@pytest.mark.parametrize("operator", ["HannWindow", "HammingWindow", "BlackmanWindow"])
@pytest.mark.parametrize("periodic", [0, 1])
def test_windows(operator: str, periodic: int) -> None:
    model = declaring(operator, {"n": np.array(9, np.int32)}, (9,), periodic=periodic)
    chain = Interpreter(lower(model))
    (wanted,) = ReferenceEvaluator(model).run(None, {"n": np.array(9, np.int32)})
    np.testing.assert_allclose(chain.run({"n": np.array(9, np.int32)})["y0"], wanted, atol=1e-6)
    check_refused(model, {"n": np.array(8, np.int32)})


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_mel_filters(dtype: type) -> None:
    def run(bins: int, length: int, rate: int, low: float, high: float) -> dict[str, np.ndarray]:
        edges = {"low": np.array(low, np.float32), "high": np.array(high, np.float32)}
        counts = zip(("bins", "length", "rate"), (bins, length, rate), strict=True)
        return {name: np.array(number, dtype) for name, number in counts} | edges

    runs = [run(8, 32, 8192, 0, 4096), run(8, 32, 16000, 100, 7000), run(8, 33, 8192, 300, 3000)]
    model = declaring("MelWeightMatrix", runs[0], (17, 8))
    check_runs(model, *runs, reference=True)
    check_refused(model, run(9, 32, 8192, 0, 4096), run(8, 34, 8192, 0, 4096))


def test_one_hot() -> None:
    feeds = {"i": integers(0, -1, 3, 9), "d": np.array(4, np.int64), "v": np.array([0.5, 2], np.float32)}
    model = declaring("OneHot", feeds, (4, 4))
    check_runs(model, feeds, feeds | {"v": np.array([1, 3], np.float32)})
    check_refused(model, feeds | {"d": np.array(5, np.int64)})


# DFT and STFT --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [4, 6, 12])
def test_half_a_spectrum_of_a_computed_length(points: int) -> None:
    x = normal(2, points, 1)
    runs = [{"x": x, "n": np.array(n, np.int64)} for n in (8, 9)]
    model = declaring("DFT", runs[0], (2, 5, 2), {"axis": np.array(1, np.int64)}, onesided=1)
    check_runs(model, *runs, atol=1e-4, reference=True)
    check_refused(model, {"x": x, "n": np.array(7, np.int64)}, {"x": x, "n": np.array(10, np.int64)})


@pytest.mark.parametrize("inverse", [0, 1])
def test_a_whole_spectrum_of_a_computed_length(inverse: int) -> None:
    model = declaring(
        "DFT", {"x": normal(2, 6, 2), "n": np.array(5, np.int64)}, (2, 5, 2), {"a": np.array(1)}, inverse=inverse
    )
    feeds = [{"x": normal(2, 6, 2, seed=seed), "n": np.array(5, np.int64)} for seed in range(2)]
    check_runs(model, *feeds, atol=1e-4, reference=True)
    check_refused(model, feeds[0] | {"n": np.array(6, np.int64)})


def stft(window: bool, onesided: int, parts: int = 1) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    feeds = {"x": normal(2, 20, parts), "step": np.array(3, np.int64)}
    feeds |= {"w": normal(8, seed=1)} if window else {}
    feeds |= {"frame": np.array(8, np.int64)}
    order = ["x", "step", "w" if window else "", "frame"]
    shape = (2, 5, 5 if onesided else 8, 2)
    return declaring("STFT", feeds, shape, opset=17, order=order, onesided=onesided), feeds


def spectra(feeds: dict[str, np.ndarray], onesided: int) -> np.ndarray:
    x, frame, step = feeds["x"], int(feeds["frame"]), int(feeds["step"])
    signal = x[..., 0] + (1j * x[..., 1] if x.shape[2] == 2 else 0)
    frames = np.stack([signal[:, at : at + frame] for at in range(0, 21 - frame, step)], 1)
    result = np.fft.fft(frames * feeds.get("w", 1))
    result = result[..., : frame // 2 + 1] if onesided else result
    return np.stack([result.real, result.imag], -1)


@pytest.mark.parametrize(
    ("window", "onesided", "parts", "runs"),
    [(False, 1, 1, [(3, 8), (3, 8), (3, 8)]), (False, 1, 1, [(2, 9), (3, 8)]), (True, 1, 1, [(3, 8)]),
     (False, 0, 2, [(3, 8)])],
)  # fmt: skip
def test_frames_of_computed_steps_and_lengths(window: bool, onesided: int, parts: int, runs) -> None:
    model, feeds = stft(window, onesided, parts)
    chain = Interpreter(lower(model))
    for step, frame in runs:
        feeds |= {"step": np.array(step, np.int64), "frame": np.array(frame, np.int64)}
        wanted = spectra(feeds, onesided)
        if wanted.shape == (2, 5, 5 if onesided else 8, 2):
            np.testing.assert_allclose(chain.run(feeds)["y0"], wanted, rtol=1e-3, atol=1e-4)
        else:
            with pytest.raises(CatenaError, match=OTHER_SHAPE):
                chain.run(feeds)


def test_steps_may_differ_where_as_many_frames_fit() -> None:
    feeds = {"x": normal(1, 20, 1), "step": np.array(7, np.int64)}
    model = declaring("STFT", feeds, (1, 2, 5, 2), {"n": np.array(8)}, opset=17, order=["x", "step", "", "n"])
    chain = Interpreter(lower(model))
    for step in (7, 12, 10):
        feeds["step"] = np.array(step, np.int64)
        wanted = spectra(feeds | {"frame": np.array(8)}, 1)
        np.testing.assert_allclose(chain.run(feeds)["y0"], wanted, rtol=1e-3, atol=1e-4)
    check_refused(model, feeds | {"step": np.array(6, np.int64)}, feeds | {"step": np.array(13, np.int64)})
