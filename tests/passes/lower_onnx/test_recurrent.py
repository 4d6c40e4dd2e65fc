"""RNN, GRU and LSTM against ONNX Runtime."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dialects.diagnostics import CatenaError
from tests.passes.lower_onnx.models import check, check_values, links_in, lower, normal, one_node

pytest.importorskip("onnxruntime")

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
FUNCTIONS = {"RNN": 1, "GRU": 2, "LSTM": 3}
OUTPUTS = {"RNN": 2, "GRU": 2, "LSTM": 3}
STEPS, BATCH, INPUT, HIDDEN = 4, 3, 5, 6


def directions_of(direction: str) -> int:
    return 2 if direction == "bidirectional" else 1


def operands(op_type: str, direction: str, *, steps: int = STEPS, peepholes: bool = True) -> dict[str, np.ndarray]:
    """All inputs of a recurrent operator, in its order."""
    gates, directions = GATES[op_type], directions_of(direction)
    found = {
        "x": normal(steps, BATCH, INPUT),
        "w": 0.5 * normal(directions, gates * HIDDEN, INPUT, seed=1),
        "r": 0.5 * normal(directions, gates * HIDDEN, HIDDEN, seed=2),
        "b": normal(directions, 2 * gates * HIDDEN, seed=3),
        "lengths": np.array([steps, 1, steps - 1], np.int32),
        "h": normal(directions, BATCH, HIDDEN, seed=4),
    }
    if op_type == "LSTM":
        found["c"] = normal(directions, BATCH, HIDDEN, seed=5)
        if peepholes:
            found["p"] = normal(directions, 3 * HIDDEN, seed=6)
    return found


def model_and_feeds(op_type, given, left_out=(), constants=(), opset=17, outputs=None, **attributes):
    order = [name if name not in left_out else "" for name in given]
    feeds = {name: array for name, array in given.items() if name not in left_out and name not in constants}
    fixed = {name: given[name] for name in constants if name not in left_out}
    attributes = {"hidden_size": HIDDEN} | attributes
    outputs = OUTPUTS[op_type] if outputs is None else outputs
    return one_node(op_type, feeds, fixed, opset=opset, outputs=outputs, order=order, **attributes), feeds


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("opset", [7, 14, 22])
def test_everything_given(op_type, direction, constant, opset):
    constants = ("w", "r", "b", "lengths", "p") if constant else ()
    given = operands(op_type, direction)
    constants = tuple(name for name in constants if name in given)
    check(*model_and_feeds(op_type, given, constants=constants, opset=opset, direction=direction))


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize("direction", ["forward", pytest.param("bidirectional", marks=pytest.mark.exhaustive)])
def test_inputs_left_out(op_type, direction):
    optional = [name for name in operands(op_type, direction) if name not in ("x", "w", "r")]
    for count in range(len(optional) + 1):
        for left_out in itertools.combinations(optional, count):
            check(*model_and_feeds(op_type, operands(op_type, direction), left_out, direction=direction))


@pytest.mark.parametrize(("op_type", "links"), [("RNN", 1), ("GRU", 4), ("LSTM", 4)])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_few_links_a_step(op_type, links, direction):
    given = operands(op_type, direction, peepholes=False)
    model, feeds = model_and_feeds(op_type, given, ("lengths",), direction=direction)
    # Both directions run in the same links; what puts them side by side are no links here.
    check(model, feeds, links=1 + links * STEPS)


def test_peepholes_take_three_links_more_a_step():
    model, feeds = model_and_feeds("LSTM", operands("LSTM", "forward"), ("lengths",))
    check(model, feeds, links=1 + 7 * STEPS)


@pytest.mark.parametrize(("op_type", "states"), [("RNN", 1), ("GRU", 1), ("LSTM", 2)])
def test_sequence_lengths_take_one_link_more_a_state_and_step(op_type, states):
    given = operands(op_type, "forward", peepholes=False)
    without = links_in(lower(model_and_feeds(op_type, given, ("lengths", "h", "c"))[0]))
    with_lengths = links_in(lower(model_and_feeds(op_type, given, ("h", "c"))[0]))
    assert len(with_lengths) == len(without) + 1 + states * STEPS


@pytest.mark.parametrize("op_type", GATES)
def test_sequences_of_no_steps(op_type):
    given = operands(op_type, "bidirectional") | {"lengths": np.array([0, STEPS, 2], np.int32)}
    check(*model_and_feeds(op_type, given, direction="bidirectional"))


@pytest.mark.parametrize("op_type", GATES)
def test_constant_lengths_that_fill_the_tensor_cost_nothing(op_type):
    given = operands(op_type, "forward") | {"lengths": np.full(BATCH, STEPS, np.int32)}
    model, feeds = model_and_feeds(op_type, given, constants=("lengths",))
    without = links_in(lower(model_and_feeds(op_type, given, ("lengths",))[0]))
    check(model, feeds, links=len(without))


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("left_out", [(), ("b",)])
def test_linear_before_reset(direction, left_out):
    given = operands("GRU", direction)
    model, feeds = model_and_feeds("GRU", given, (*left_out, "lengths"), direction=direction, linear_before_reset=1)
    check(model, feeds, links=1 + 3 * STEPS)


@pytest.mark.parametrize("peepholes", [True, False])
def test_input_and_forget_gate_coupled(peepholes):
    given = operands("LSTM", "bidirectional", peepholes=peepholes)
    check(*model_and_feeds("LSTM", given, direction="bidirectional", input_forget=1))


@pytest.mark.parametrize("op_type", GATES)
def test_clip(op_type):
    check(*model_and_feeds(op_type, operands(op_type, "bidirectional"), direction="bidirectional", clip=0.3))


FUNCTION_NAMES = [
    "Relu", "Tanh", "Sigmoid", "Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu",
    "Softsign", "Softplus",
]  # fmt: skip


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize("name", FUNCTION_NAMES)
def test_every_activation(op_type, name):
    count = FUNCTIONS[op_type]
    names = [name, "Tanh", "Softsign"][:count]
    given = operands(op_type, "forward", peepholes=False)
    attributes = {"activations": names, "activation_alpha": [0.7], "activation_beta": [0.4]}
    if name in ("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus"):
        attributes = {"activations": names}
    elif name in ("LeakyRelu", "ThresholdedRelu", "Elu"):
        del attributes["activation_beta"]
    check(*model_and_feeds(op_type, given, **attributes))


def test_directions_with_activations_of_their_own():
    names = ["HardSigmoid", "Tanh", "LeakyRelu", "Sigmoid", "ScaledTanh", "Elu"]
    attributes = {"activation_alpha": [0.3, 0.02, 1.1, 0.9], "activation_beta": [0.4, 0.8]}
    given = operands("LSTM", "bidirectional")
    check(*model_and_feeds("LSTM", given, direction="bidirectional", activations=names, **attributes))


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("steps", [1, STEPS])
def test_batch_first(op_type, direction, steps):
    """ONNX Runtime does not know layout 1: the same numbers must come in another order."""
    given = operands(op_type, direction, steps=steps) | {"lengths": np.array([steps, 1, max(1, steps - 1)], np.int32)}
    module, feeds = model_and_feeds(op_type, given, direction=direction)
    from dialects.gconv.interpreter import Interpreter

    expected = Interpreter(lower(module)).run(feeds)
    turned = {name: np.moveaxis(array, 1, 0) if name in "xhc" else array for name, array in given.items()}
    model, feeds = model_and_feeds(op_type, turned, direction=direction, layout=1)
    wanted = {
        name: array.transpose(2, 0, 1, 3) if array.ndim == 4 else array.swapaxes(0, 1)
        for name, array in expected.items()
    }
    check_values(model, feeds, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("op_type", GATES)
def test_outputs_in_any_combination(op_type):
    given = operands(op_type, "bidirectional")
    whole = lower(model_and_feeds(op_type, given, direction="bidirectional")[0])
    from onnx import ModelProto

    for kept in itertools.product((True, False), repeat=OUTPUTS[op_type]):
        if not any(kept):
            continue
        model, feeds = model_and_feeds(op_type, given, direction="bidirectional")
        changed = ModelProto()
        changed.CopyFrom(model)
        names = [name if keep else "" for name, keep in zip(model.graph.node[0].output, kept, strict=True)]
        changed.graph.node[0].output[:] = names
        del changed.graph.output[:]
        changed.graph.output.extend(value for value in model.graph.output if value.name in names)
        module = check(changed, feeds)
        assert len(links_in(module)) <= len(links_in(whole))


def test_unknown_activations_are_refused():
    model, _ = model_and_feeds("LSTM", operands("LSTM", "forward"), activations=["Tanh", "Cosh", "Tanh"])
    with pytest.raises(CatenaError, match="Cosh"):
        lower(model)
    model, _ = model_and_feeds("RNN", operands("RNN", "forward"), activations=["Tanh", "Tanh"])
    with pytest.raises(CatenaError, match="2 names"):
        lower(model)
