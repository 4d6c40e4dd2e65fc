"""The activation functions of recurrent operators, with the parameters that a node gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dialects.gconv import Step
from passes.lower_onnx.lowering import Constraint
from passes.lower_onnx.node import Node

Steps = tuple[Step, ...]


@dataclass(frozen=True)
class _Activation:
    """The steps of an activation; `alpha` and `beta` are the defaults of the parameters that it has."""

    steps: Callable[[float, float], Steps]
    alpha: float | None = None
    beta: float | None = None


_ACTIVATIONS = {
    "affine": _Activation(lambda alpha, beta: (Step("affine", (alpha, beta)),), 1.0, 0.0),
    "elu": _Activation(lambda alpha, _: (Step("elu", (alpha,)),), 1.0),
    "hardsigmoid": _Activation(lambda alpha, beta: (Step("hard_sigmoid", (alpha, beta)),), 0.2, 0.5),
    "leakyrelu": _Activation(lambda alpha, _: (Step("leaky_relu", (alpha,)),), 0.01),
    "relu": _Activation(lambda _, __: (Step("relu"),)),
    "scaledtanh": _Activation(
        lambda alpha, beta: (Step("affine", (beta, 0.0)), Step("tanh"), Step("affine", (alpha, 0.0))), 1.0, 1.0
    ),
    "sigmoid": _Activation(lambda _, __: (Step("sigmoid"),)),
    "softplus": _Activation(lambda _, __: (Step("softplus"),)),
    "softsign": _Activation(lambda _, __: (Step("softsign"),)),
    "tanh": _Activation(lambda _, __: (Step("tanh"),)),
    "thresholdedrelu": _Activation(lambda alpha, _: (Step("thresholded_relu", (alpha,)),), 1.0),
}
"""By name in small letters; defaults where ONNX has no operator of the name are those of ONNX Runtime."""


def activations_of(node: Node, default: tuple[str, ...], directions: int) -> list[tuple[Steps, ...]]:
    """The activations of every direction. Those with parameters take the next of the node's lists, in order."""
    names = node.texts("activations") or default * directions
    alphas, betas = iter(node.numbers("activation_alpha")), iter(node.numbers("activation_beta"))
    steps = [_steps(_ACTIVATIONS[name.lower()], alphas, betas) for name in names]
    count = len(default)
    return [tuple(steps[count * d : count * (d + 1)]) for d in range(directions)]


def _steps(activation: _Activation, alphas: Iterator[float], betas: Iterator[float]) -> Steps:
    alpha = 0.0 if activation.alpha is None else next(alphas, activation.alpha)
    beta = 0.0 if activation.beta is None else next(betas, activation.beta)
    return activation.steps(alpha, beta)


def known_activations(count: int) -> Constraint:
    """`activations`, if given, names `count` known functions for every direction."""

    def violation(node: Node) -> str | None:
        names = node.texts("activations")
        unknown = [name for name in names if name.lower() not in _ACTIVATIONS]
        if unknown:
            return f"{', '.join(unknown)}"
        directions = 2 if node.text("direction", "forward") == "bidirectional" else 1
        return f"{len(names)} names" if names and len(names) != count * directions else None

    return Constraint(f"`activations` names {count} of ONNX's activation functions a direction", violation)
