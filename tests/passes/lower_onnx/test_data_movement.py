"""Operators that move words: views where a strided view can say it, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from dialects.diagnostics import CatenaError
from dialects.gconv import ViewOp
from passes.lower_onnx.gathering import even_runs
from tests.examples import examples
from tests.passes.lower_onnx.models import (
    check,
    check_values,
    concats_in,
    integers,
    links_in,
    lower,
    model_of,
    normal,
    one_node,
)

pytest.importorskip("onnxruntime")


def views_in(module):
    return [op for op in module.walk() if isinstance(op, ViewOp)]


def between_relus(op_type: str, inputs, constants=None, outputs: int = 1, opset: int = 17, **attributes):
    """A node that reads a Relu and is read by Relus, so that the views have something on both sides."""
    constants = constants or {}
    (name,) = inputs
    order = ["r", *constants]
    parts = [f"p{index}" for index in range(outputs)]
    nodes = [
        helper.make_node("Relu", [name], ["r"], "before"),
        helper.make_node(op_type, order, parts, "node", **attributes),
        *(helper.make_node("Relu", [part], [f"y{i}"], f"after{i}") for i, part in enumerate(parts)),
    ]
    return model_of(nodes, inputs, constants, [f"y{i}" for i in range(outputs)], opset)


@pytest.mark.parametrize(
    ("op_type", "opset", "constants", "attributes"),
    [
        ("Reshape", 7, {"s": integers(4, 6)}, {}),
        ("Reshape", 14, {"s": integers(0, -1)}, {}),
        ("Flatten", 9, {}, {"axis": 2}),
        ("Flatten", 13, {}, {}),
        ("Unsqueeze", 11, {}, {"axes": [0, 3]}),
        ("Unsqueeze", 13, {"a": integers(0, -1)}, {}),
        ("Identity", 13, {}, {}),
        ("Dropout", 7, {}, {}),
        ("Dropout", 13, {"ratio": np.float32(0.4)}, {}),
        ("Transpose", 13, {}, {}),
        ("Transpose", 13, {}, {"perm": [1, 0, 2]}),
        ("Expand", 13, {"s": integers(5, 1, 1, 1)}, {}),
    ],
)
def test_views_need_no_link_of_their_own(op_type, opset, constants, attributes):
    inputs = {"x": normal(2, 3, 4)}
    check(between_relus(op_type, inputs, constants, opset=opset, **attributes), inputs, links=2)


@pytest.mark.parametrize(
    ("opset", "attributes", "constants"), [(11, {"axes": [0, 2]}, {}), (13, {}, {"a": integers(0, 2)})]
)
def test_squeeze(opset, attributes, constants):
    inputs = {"x": normal(1, 3, 1, 4)}
    check(between_relus("Squeeze", inputs, constants, opset=opset, **attributes), inputs, links=2)


SLICES = (
    ((0,), (2,), None, None),
    ((1, -2), (3, 9), (0, 2), (1, 1)),
    ((-1,), (-9,), (1,), (-1,)),
    ((7,), (0,), (2,), (-3,)),
    ((0, 1), (9, -1), (-1, 0), (2, 1)),
    ((-100,), (100,), (2,), (2,)),
)


@pytest.mark.parametrize(("starts", "ends", "axes", "steps"), SLICES)
def test_slices_with_inputs(starts, ends, axes, steps):
    inputs = {"x": normal(4, 3, 5)}
    constants = {"s": integers(*starts), "e": integers(*ends)}
    constants |= {} if axes is None else {"a": integers(*axes), "t": integers(*steps)}
    check(between_relus("Slice", inputs, constants, opset=13), inputs, links=2)


def test_slices_with_attributes():
    inputs = {"x": normal(4, 3, 5)}
    model = between_relus("Slice", inputs, opset=9, starts=[1, -3], ends=[100, -1], axes=[0, 2])
    check(model, inputs, links=2)


def test_slices_computed_at_run_time_are_refused():
    inputs = {"x": normal(4), "s": integers(1), "e": integers(2)}
    with pytest.raises(CatenaError):
        lower(one_node("Slice", inputs))


@pytest.mark.parametrize(
    ("opset", "constants", "attributes"),
    [
        (11, {}, {"axis": 1}),
        (11, {}, {"axis": -2, "split": [2, 3, 1]}),
        (13, {"s": integers(1, 1, 4)}, {"axis": 1}),
        (18, {}, {"axis": 1, "num_outputs": 3}),
    ],
)
def test_splits_are_views(opset, constants, attributes):
    inputs = {"x": normal(2, 6, 3)}
    module = check(between_relus("Split", inputs, constants, 3, opset, **attributes), inputs, links=4)
    assert len(views_in(module)) == 3


@pytest.mark.parametrize(("opset", "axis"), [(7, 0), (7, 1), (11, 1), (11, -1), (13, 0), (13, -1)])
def test_concatenations(axis, opset):
    shapes = [[2, 3, 4] for _ in range(3)]
    for index, shape in enumerate(shapes):
        shape[axis] = index + 1
    inputs = {f"x{index}": normal(*shape, seed=index) for index, shape in enumerate(shapes)}
    module = check(one_node("Concat", inputs, opset=opset, axis=axis), inputs, links=0)
    (concat,) = concats_in(module)
    assert concat.tensor is not None
    assert concat.tensor.data == "y0"


def test_a_concatenation_of_one_is_the_operand_itself():
    inputs = {"x": normal(2, 3)}
    assert not concats_in(check(between_relus("Concat", inputs, axis=0), inputs, links=2))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(mode):
    inputs = {"x": normal(2, 12, 2, 3)}
    check(between_relus("DepthToSpace", inputs, blocksize=2, mode=mode), inputs, links=3)


def test_space_to_depth():
    inputs = {"x": normal(2, 3, 4, 6)}
    check(between_relus("SpaceToDepth", inputs, blocksize=2), inputs, links=3)


def test_channel_shuffle_is_one_copy():
    inputs, constants = {"x": normal(1, 6, 2, 2)}, {"s": integers(1, 2, 3, 2, 2), "t": integers(1, 6, 2, 2)}
    nodes = [
        helper.make_node("Reshape", ["x", "s"], ["a"], "split"),
        helper.make_node("Transpose", ["a"], ["b"], "swap", perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["b", "t"], ["c"], "merge"),
        helper.make_node("Relu", ["c"], ["y"], "relu"),
    ]
    module = check(model_of(nodes, inputs, constants, ["y"]), inputs, links=2)
    assert links_in(module)[0].tensor.data == "c"


@pytest.mark.parametrize(("repeats", "links"), [((1, 2, 3), 3), ((2, 1, 1), 2), ((1, 1, 1), 2)])
def test_tiles(repeats, links):
    inputs = {"x": normal(1, 3, 4)}
    check(between_relus("Tile", inputs, {"n": integers(*repeats)}), inputs, links=links)


@pytest.mark.parametrize("value", [None, 0.0, -3.5])
@pytest.mark.parametrize("pads", [(0, 1, 2, 1, 0, 3), (-1, 0, 2, 0, -1, 1), (0, -1, 0, -1, 0, 0), (0,) * 6])
@pytest.mark.parametrize("opset", [7, 11, 19])
def test_constant_padding(value, pads, opset):
    inputs = {"x": normal(3, 4, 2)}
    grows = max(pads) > 0
    if opset == 7:
        attributes = {} if value is None else {"value": value}
        model = between_relus("Pad", inputs, opset=7, pads=list(pads), **attributes)
    else:
        constants = {"p": integers(*pads)} | ({} if value is None else {"v": np.float32(value)})
        model = between_relus("Pad", inputs, constants, opset=opset)
    module = check(model, inputs, links=3 if grows else 2)
    if grows:
        assert links_in(module)[1].spec.padding == (value or 0.0)


@pytest.mark.parametrize("mode", ["edge", "reflect", "wrap"])
@pytest.mark.parametrize("pads", [(0, 1, 2, 0, 3, 1), (0, 2, 0, 0, 0, 0), (0, 0, 1, 0, 0, 0), (1, 0, 0, 1, -1, 0)])
def test_other_padding_is_views_side_by_side(mode, pads):
    inputs = {"x": normal(2, 4, 3)}
    if mode == "reflect":
        pads = (0, *pads[1:3], 0, *pads[4:])
    axes = sum(low > 0 or high > 0 for low, high in zip(pads[:3], pads[3:], strict=True))
    model = between_relus("Pad", inputs, {"p": integers(*pads)}, opset=19, mode=mode)
    assert len(concats_in(check(model, inputs, links=2))) == axes


def test_wrapping_more_than_once_around():
    inputs = {"x": normal(2, 3)}
    check(one_node("Pad", inputs, {"p": integers(0, 7, 0, 4)}, opset=19, mode="wrap"), inputs, links=0)


def test_padding_of_named_axes():
    inputs = {"x": normal(2, 3, 4)}
    constants = {"p": integers(1, 2, 0, 3), "v": np.float32(1), "a": integers(-1, 0)}
    check(one_node("Pad", inputs, constants, opset=19), inputs, links=1)


def test_reflection_beyond_the_input_is_refused():
    inputs = {"x": normal(2, 3)}
    with pytest.raises(CatenaError, match="3 words of padding for an extent of 3"):
        lower(one_node("Pad", inputs, {"p": integers(0, 3, 0, 0)}, mode="reflect"))


@pytest.mark.parametrize(
    ("indices", "links", "concats"),
    [
        (np.array(2), 2, 0),
        (np.array(-1), 2, 0),
        (np.array([3, 1]), 2, 0),
        (np.array([0, 2, 4]), 2, 0),
        (np.array([[0, 3], [1, 4], [2, 5]]), 2, 0),
        (np.array([0, 3, 1, 4, 2, 5]), 3, 0),
        (np.array([1, 1, 1]), 2, 0),
        (np.array([0, 1, 5, 4]), 2, 1),
        (np.array([[0, 1], [5, 4]]), 2, 1),
    ],
)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gathers_of_constant_places(indices, links, concats, axis):
    inputs = {"x": normal(6, 6, 6)}
    module = check(between_relus("Gather", inputs, {"i": indices.astype(np.int64)}, axis=axis), inputs)
    assert len(concats_in(module)) == concats
    # A grid read along the last dimension still needs its own shape where it is merged again.
    assert len(links_in(module)) <= links


@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=12))
def test_runs_spell_out_the_indices(indices):
    runs = even_runs(indices)
    assert [start + step * i for start, size, step in runs for i in range(size)] == indices
    assert all(size >= 1 and step != 0 for _, size, step in runs)


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot(axis):
    inputs = {"i": np.array([[0, 2], [-1, 7]], np.int64)}
    constants = {"d": np.array(4, np.int64), "v": np.array([-1, 3], np.float32)}
    check(one_node("OneHot", inputs, constants, axis=axis), inputs, links=4)


@pytest.mark.parametrize("attributes", [{"axis": 1}, {"axis": -1}, {}])
def test_compress(attributes):
    inputs = {"x": normal(3, 4)}
    condition = np.array([True, False, True, True, False, False, True][: 4 if attributes else 7])
    check(one_node("Compress", inputs, {"c": condition}, **attributes), inputs)


@pytest.mark.parametrize("index", [np.int8, np.uint8, np.int32, np.float32])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.int32, np.bool_])
def test_one_hot_of_any_type_with_values_computed_at_run_time(index, dtype):
    inputs = {"i": np.array([0, 2, 200 if index == np.uint8 else -1, 7]).astype(index), "v": np.array([0, 3], dtype)}
    model = one_node("OneHot", inputs, {"d": np.array(150, np.int64)}, order=["i", "d", "v"])
    expected = np.where(inputs["i"].astype(np.int64)[:, np.newaxis] % 150 == np.arange(150), *inputs["v"][::-1])
    if index == np.uint8:
        expected[2] = inputs["v"][0]
    check_values(model, inputs, {"y0": expected}, links=4 + (index != np.int32))


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize("pads", [(0, 1, 2, 1, 0, 3), (-1, 0, 2, 0, -1, 1), (0,) * 6])
def test_padding_with_a_value_computed_at_run_time(dtype, pads):
    inputs = {"x": (9 * normal(2, 3, 4)).astype(dtype), "v": np.array(5, dtype)}
    model = one_node("Pad", inputs, {"p": integers(*pads)}, opset=19, order=["x", "p", "v"])
    check(model, inputs, rtol=0, atol=0)


@pytest.mark.parametrize("target", [(5, 2, 7), (2, 2, 1), (6, 7, 8), (3, 4, 5)])
def test_center_crop_pad(target):
    x = normal(3, 4, 5)
    model = one_node("CenterCropPad", {"x": x}, {"s": integers(*target)}, opset=18)
    from onnx.reference import ReferenceEvaluator

    check_values(model, {"x": x}, {"y0": ReferenceEvaluator(model).run(None, {"x": x})[0]})


def test_a_view_as_the_result_of_the_model_is_copied_and_named():
    inputs = {"x": normal(2, 3, 4)}
    nodes = [helper.make_node("Relu", ["x"], ["r"], "relu"), helper.make_node("Transpose", ["r"], ["y"], "turn")]
    module = check(model_of(nodes, inputs, {}, ["y"]), inputs, links=2)
    assert [link.tensor.data for link in links_in(module)] == ["r", "y"]


def test_a_reshape_as_the_result_of_the_model_is_not_copied():
    inputs = {"x": normal(2, 3, 4)}
    nodes = [helper.make_node("Relu", ["x"], ["r"], "relu"), helper.make_node("Flatten", ["r"], ["y"], "flat")]
    check(model_of(nodes, inputs, {}, ["y"]), inputs, links=1)


def test_arguments_and_constants_are_copied_when_returned():
    inputs, constants = {"x": normal(2, 3)}, {"c": normal(4)}
    nodes = [helper.make_node("Identity", ["x"], ["y"], "a"), helper.make_node("Identity", ["c"], ["z"], "b")]
    module = check(model_of(nodes, inputs, constants, ["y", "z"]), inputs, links=2)
    assert {link.tensor.data for link in links_in(module)} == {"y", "z"}


def test_parts_without_elements_are_left_out():
    feeds = {"x": normal(2, 6)}
    nodes = [
        helper.make_node("Split", ["x", "sizes"], ["a", "b"], name="split", axis=1),
        helper.make_node("Relu", ["a"], ["r"], name="relu"),
        helper.make_node("Concat", ["b", "r"], ["y"], name="concat", axis=1),
    ]
    check(model_of(nodes, feeds, {"sizes": integers(6, 0)}, ["y"]), feeds)
