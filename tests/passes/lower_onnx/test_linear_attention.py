"""LinearAttention and CausalConvWithState against ONNX's reference evaluator: ONNX Runtime has no kernels of them."""

from __future__ import annotations

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from tests.passes.lower_onnx.models import check_values, normal, one_node

BATCH, TIME, KEY, VALUE = 2, 3, 4, 5


def check(op_type, feeds, order, constants=(), links=None, **attributes):
    given = {name: array for name, array in feeds.items() if name not in constants}
    fixed = {name: feeds[name] for name in constants}
    names = [name if name in feeds else "" for name in order]
    model = one_node(op_type, given, fixed, opset=27, outputs=2, order=names, **attributes)
    wanted = dict(zip(("y0", "y1"), ReferenceEvaluator(model).run(None, given), strict=True))
    check_values(model, given, wanted, links)


ORDER = ("q", "k", "v", "past", "decay", "beta")


def operands(heads, groups, rule, *, past=True, decay_size=KEY, beta_heads=None):
    found = {
        "q": normal(BATCH, TIME, heads * KEY),
        "k": 0.5 * normal(BATCH, TIME, groups * KEY, seed=1),
        "v": normal(BATCH, TIME, groups * VALUE, seed=2),
    }
    if past:
        found["past"] = normal(BATCH, groups, KEY, VALUE, seed=3)
    if "gated" in rule:
        found["decay"] = -np.abs(normal(BATCH, TIME, groups * decay_size, seed=4))
    if "delta" in rule:
        found["beta"] = np.abs(normal(BATCH, TIME, beta_heads or groups, seed=5))
    return found


@pytest.mark.parametrize(
    ("rule", "once", "each"), [("linear", 2, 1), ("gated", 3, 1), ("delta", 1, 2), ("gated_delta", 2, 3)]
)
@pytest.mark.parametrize(("heads", "groups"), [(2, 2), (6, 2), (3, 1)])
@pytest.mark.parametrize("past", [True, False])
def test_rules(rule, once, each, heads, groups, past):
    attributes = {"q_num_heads": heads, "kv_num_heads": groups, "update_rule": rule}
    feeds = operands(heads, groups, rule, past=past)
    check("LinearAttention", feeds, ORDER, links=once + each * TIME, **attributes)


@pytest.mark.parametrize("changes", [{"decay_size": 1}, {"beta_heads": 1}])
def test_gates_that_several_share(changes):
    feeds = operands(4, 2, "gated_delta", **changes)
    check("LinearAttention", feeds, ORDER, q_num_heads=4, kv_num_heads=2, scale=0.3)


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("length", [1, 2, 6])
@pytest.mark.parametrize("past", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("constant", [True, False])
def test_causal_convolution(size, length, past, bias, constant):
    feeds = {"x": normal(2, 3, length), "w": normal(3, 1, size, seed=1)}
    feeds |= {"b": normal(3, seed=2)} if bias else {}
    feeds |= {"past": normal(2, 3, size - 1, seed=3)} if past else {}
    constants = [name for name in ("w", "b") if constant and name in feeds]
    activation = "silu" if length > 1 else "none"
    # The state is a part of the input, copied where the function returns it.
    check("CausalConvWithState", feeds, ("x", "w", "b", "past"), constants, links=2, activation=activation)
