"""Attention against ONNX Runtime, and against formulas where ONNX Runtime has no kernel."""

from __future__ import annotations

import numpy as np
import pytest

from dialects.diagnostics import CatenaError
from tests.passes.lower_onnx.models import check, check_values, links_in, lower, normal, one_node

pytest.importorskip("onnxruntime")

BATCH, QUERIES, KEYS, SIZE, VALUE_SIZE = 2, 3, 5, 4, 6


def tensors(heads: int = 4, groups: int = 2, *, packed: bool = False, past: int = 0) -> dict[str, np.ndarray]:
    """Query, key, value and, if there is a past, those of the past."""
    found = {
        "q": normal(BATCH, heads, QUERIES, SIZE),
        "k": normal(BATCH, groups, KEYS, SIZE, seed=1),
        "v": normal(BATCH, groups, KEYS, VALUE_SIZE, seed=2),
    }
    if packed:
        found = {name: array.swapaxes(1, 2).reshape(BATCH, array.shape[2], -1) for name, array in found.items()}
    if past:
        found["past_k"] = normal(BATCH, groups, past, SIZE, seed=3)
        found["past_v"] = normal(BATCH, groups, past, VALUE_SIZE, seed=4)
    return found


def boolean(*shape: int) -> np.ndarray:
    """A mask that lets every query attend its first key at least."""
    mask = normal(*shape, seed=9) > 0
    mask[..., 0] = True
    return mask


def model_of_attention(feeds, constants=(), outputs=1, opset=23, order=None, **attributes):
    order = list(feeds) if order is None else order
    order = [name if name in feeds else "" for name in order]
    while not order[-1]:
        order.pop()
    fixed = {name: feeds[name] for name in constants}
    given = {name: array for name, array in feeds.items() if name not in constants}
    return one_node("Attention", given, fixed, opset=opset, outputs=outputs, order=order, **attributes), given


ORDER = ("q", "k", "v", "mask", "past_k", "past_v", "count")


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 2), (6, 1), (1, 1)])
@pytest.mark.parametrize("packed", [True, False])
def test_heads(heads, groups, packed):
    attributes = {"q_num_heads": heads, "kv_num_heads": groups} if packed else {}
    model, feeds = model_of_attention(tensors(heads, groups, packed=packed), **attributes)
    check(model, feeds, links=5)


@pytest.mark.parametrize("attributes", [{"scale": 0.3}, {"softcap": 0.8}, {"scale": 0.5, "softcap": 2.0}])
def test_scale_and_cap_are_steps(attributes):
    model, feeds = model_of_attention(tensors(), **attributes)
    check(model, feeds, links=5)


@pytest.mark.parametrize("shape", [(QUERIES, KEYS), (BATCH, 1, QUERIES, KEYS), (BATCH, 4, QUERIES, KEYS)])
@pytest.mark.parametrize("kind", [np.float32, np.bool_])
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("causal", [0, 1])
def test_masks(shape, kind, constant, causal):
    mask = boolean(*shape) if kind == np.bool_ else normal(*shape, seed=9)
    feeds = tensors() | {"mask": mask}
    model, feeds = model_of_attention(feeds, ("mask",) if constant else (), is_causal=causal)
    # A mask computed at run time asks whether a query may attend any key; a boolean one becomes numbers.
    extra = 0 if constant else 1 + (kind == np.bool_) + causal
    check(model, feeds, links=5 + extra)


@pytest.mark.parametrize("constant", [True, False])
def test_a_query_that_may_attend_nothing_gets_nothing(constant):
    mask = boolean(QUERIES, KEYS)
    mask[1] = False
    feeds = tensors() | {"mask": mask}
    model, given = model_of_attention(feeds, ("mask",) if constant else ())
    module = lower(model)
    from dialects.gconv.interpreter import Interpreter

    result = Interpreter(module).run(given)["y0"]
    assert np.isfinite(result).all()
    assert not result[:, :, 1].any()
    assert result[:, :, 0].any()


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("packed", [True, False])
def test_past_and_present(causal, packed):
    attributes = {"q_num_heads": 4, "kv_num_heads": 2} if packed else {}
    feeds = tensors(packed=packed, past=4) | {"mask": normal(QUERIES, KEYS + 4, seed=8)}
    model, feeds = model_of_attention(feeds, outputs=3, order=ORDER, is_causal=causal, **attributes)
    check(model, feeds)


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
@pytest.mark.parametrize("masked", [True, False])
def test_scores_shown(mode, masked):
    feeds = tensors() | ({"mask": normal(QUERIES, KEYS, seed=8)} if masked else {})
    model, feeds = model_of_attention(feeds, outputs=4, order=ORDER, qk_matmul_output_mode=mode, softcap=1.5)
    names = ["y0", "y3"]
    model.graph.node[0].output[:] = ["y0", "", "", "y3"]
    kept = [value for value in model.graph.output if value.name in names]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    check(model, feeds)


def attended(feeds: dict[str, np.ndarray], allowed: np.ndarray) -> np.ndarray:
    """Attention where `allowed` (batch, 1, query, key) says so."""
    groups = feeds["k"].shape[1]
    repeats = feeds["q"].shape[1] // groups
    k, v = (np.repeat(feeds[name], repeats, axis=1) for name in "kv")
    scores = feeds["q"] @ k.swapaxes(2, 3) / np.sqrt(SIZE)
    weights = np.where(allowed, np.exp(scores), 0)
    total = weights.sum(axis=-1, keepdims=True)
    return (weights / np.where(total == 0, 1, total)) @ v


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize(("left", "right"), [(-1, -1), (1, -1), (-1, 1), (0, 2), (2, 0)])
@pytest.mark.parametrize("counted", ["no", "constant", "computed"])
def test_windows_and_numbers_of_keys(causal, left, right, counted):
    feeds = tensors()
    numbers = np.array([KEYS - 1, QUERIES - 1], np.int64)
    offset = np.zeros(BATCH) if counted == "no" else numbers - QUERIES
    distance = np.arange(KEYS) - np.arange(QUERIES)[:, np.newaxis] - offset.reshape(-1, 1, 1, 1)
    allowed = distance <= 0 if causal else np.ones_like(distance, np.bool_)
    allowed = allowed & (distance >= -left if left >= 0 else True) & (distance <= right if right >= 0 else True)
    if counted != "no":
        allowed = allowed & (np.arange(KEYS) < numbers.reshape(-1, 1, 1, 1))
        feeds["count"] = numbers
    model, given = model_of_attention(
        feeds,
        ("count",) if counted == "constant" else (),
        opset=25,
        order=ORDER,
        is_causal=causal,
        left_window_size=left,
        right_window_size=right,
    )
    check_values(model, given, {"y0": attended(feeds, allowed).astype(np.float32)})


def test_a_mask_over_fewer_keys():
    feeds = tensors() | {"mask": normal(QUERIES, KEYS - 2, seed=7), "count": np.array([3, 2], np.int64)}
    for constants in ((), ("mask",), ("mask", "count")):
        model, given = model_of_attention(feeds, constants, opset=24, order=ORDER)
        bias = np.pad(feeds["mask"], ((0, 0), (0, 2)), constant_values=-np.inf)
        allowed = np.arange(KEYS) < feeds["count"].reshape(-1, 1, 1, 1)
        groups = feeds["k"].repeat(2, axis=1), feeds["v"].repeat(2, axis=1)
        scores = feeds["q"] @ groups[0].swapaxes(2, 3) / np.sqrt(SIZE) + np.where(allowed, bias, -np.inf)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        wanted = weights / weights.sum(axis=-1, keepdims=True) @ groups[1]
        check_values(model, given, {"y0": wanted.astype(np.float32)})


def test_causal_masks_known_at_compile_time_cost_no_link():
    model, feeds = model_of_attention(tensors(), is_causal=1)
    assert len(links_in(lower(model))) == 5
    check(model, feeds)


def test_heads_that_do_not_divide_are_refused():
    model, _ = model_of_attention(tensors(packed=True), q_num_heads=4, kv_num_heads=2)
    for attribute in model.graph.node[0].attribute:
        if attribute.name == "q_num_heads":
            attribute.i = 3
    with pytest.raises(CatenaError):
        lower(model)
