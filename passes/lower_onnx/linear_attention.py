"""LinearAttention: a matrix of state for every head, one step after another, and all results at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dialects.gconv import Dim, GConv, Reduce, Step
from passes.lower_onnx.broadcasting import binary, unary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import attribute_is, floating
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.post import Post
from passes.lower_onnx.tensor import Tensor


@constraint()
def packed_heads(node: Node) -> str | None:
    """query, key and value have three dimensions, and `kv_num_heads` divides `q_num_heads`"""
    ranks = {len(node.shape(index)) for index in range(3)}
    heads, groups = node.integer("q_num_heads"), node.integer("kv_num_heads")
    if ranks != {3}:
        return f"ranks {', '.join(map(str, sorted(ranks)))}"
    return None if groups > 0 and heads > 0 and heads % groups == 0 else f"{heads} and {groups} heads"


@lowering(
    "LinearAttention",
    constraints=(
        floating(),
        attribute_is("update_rule", "gated_delta", "gated", "delta", "linear"),
        packed_heads,
    ),
    results=2,
)
def linear_attention(node: Node, chain: Chain) -> list[Tensor]:
    """one link for all results; linear and gated: one for all products of keys and values, one a step; delta: two a
    step, gated_delta: three; one for all gates"""
    heads, groups = node.integer("q_num_heads"), node.integer("kv_num_heads")
    q, k, v = (_heads(chain, chain.input(node, index), count) for index, count in enumerate((heads, groups, groups)))
    rule = _rule(node, chain, k.insert(4), v.insert(3))
    given = chain.optional_input(node, 3)
    if given is None:
        state = chain.constant(np.zeros((k.shape[0], 1, groups, k.shape[3], v.shape[3]), node.dtype(0)))
    else:
        state = given.insert(1)
    states: list[Tensor] = []
    for time in range(k.shape[1]):
        state = rule.step(time, state)
        states.append(state)
    scale = node.number("scale", 0.0) or 1 / math.sqrt(k.shape[3])
    return [_results(chain, q, chain.concat(states, 1), scale), state]


def _heads(chain: Chain, x: Tensor, heads: int) -> Tensor:
    """(batch, time, heads * size) as (batch, time, head, size)"""
    return chain.reshape(x, (*x.shape[:2], heads, x.shape[2] // heads))


def _results(chain: Chain, q: Tensor, states: Tensor, scale: float) -> Tensor:
    """q (batch, time, head, key) times the states (batch, time, group, key, value): (batch, time, head, value)."""
    batch, time, groups, size, width = states.shape
    heads = q.shape[2] // groups
    dims = (
        Dim("B", g=batch),
        Dim("T", g=time),
        Dim("G", g=groups),
        Dim("R", opc=heads),
        Dim("K", ks=size),
        Dim("V", op=width),
    )
    spec = GConv(dims, "mul", Reduce.ADD, post=(Step("affine", (scale, 0.0)),))
    q = chain.reshape(q, (batch, time, groups, heads, size)).insert(5)
    return chain.link(spec, q, states.insert(3))


@dataclass(frozen=True)
class _Rule:
    """How the state changes. All tensors have the dimensions batch, time, group, key, value, with extent 1 where they
    do not depend on one."""

    chain: Chain
    keys: Tensor
    values: Tensor
    decay: Tensor | None
    beta: Tensor | None
    products: Tensor | None

    def step(self, time: int, state: Tensor) -> Tensor:
        """The state after a step. `products` of keys and values are given unless the rule corrects the values."""
        if self.products is not None:
            post = Post().combined("mul", self._at(time, self.decay)).combined("add", self._at(time, self.products))
            return unary(self.chain, state, post.steps, extras=post.extras)
        decay = self._at(time, self.decay)
        if decay is not None:
            state = binary(self.chain, "mul", state, decay)
        values = self._corrected(time, state)
        keys = self.keys.slice(1, time, 1)
        return binary(self.chain, "mul", values, keys, (Step("add", operand=0),), [state])

    def _at(self, time: int, tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.slice(1, time, 1)

    def _corrected(self, time: int, state: Tensor) -> Tensor:
        """beta * (value - what the state gives for the key)"""
        batch, _, groups, size, width = state.shape
        dims = (Dim("B", g=batch), Dim("T"), Dim("G", g=groups), Dim("K", ks=size), Dim("V", opc=width))
        post = Post().combined("rsub", self._at(time, self.values)).combined("mul", self._at(time, self.beta))
        spec = GConv(dims, "mul", Reduce.ADD, post=post.steps)
        return self.chain.link(spec, state, self.keys.slice(1, time, 1), post.extras)


def _rule(node: Node, chain: Chain, keys: Tensor, values: Tensor) -> _Rule:
    groups = node.integer("kv_num_heads")
    decay, beta = chain.optional_input(node, 4), chain.optional_input(node, 5)
    if decay is not None:
        decay = _heads(chain, unary(chain, decay, (Step("exp"),)), groups).insert(4)
    if beta is not None:
        beta = beta.insert(3, 4)
    products = binary(chain, "mul", values, keys) if beta is None else None
    return _Rule(chain, keys, values, decay, beta, products)


@lowering(
    "CausalConvWithState", constraints=(floating(), attribute_is("activation", "none", "silu", "swish")), results=2
)
def causal_convolution(node: Node, chain: Chain) -> list[Tensor]:
    """one link: a depthwise convolution padded at the front; without `past_state` one more for a state that is longer
    than the input"""
    x, weights = chain.input(node, 0), chain.input(node, 1)
    bias, past = chain.optional_input(node, 2), chain.optional_input(node, 3)
    batch, channels, length = x.shape
    reach = weights.shape[2] - 1
    if past is not None and past.size:
        x = chain.concat([past, x], 2)
    missing = length + reach - x.shape[2]
    post = Post().combined("add", None if bias is None else bias.insert(0, 2))
    if node.text("activation", "none") != "none":
        post = post.then(Step("swish", (1.0,)))
    dims = (Dim("N", opc=batch), Dim("C", g=channels), Dim("W", opc=length, ks=reach + 1, pad=missing))
    kernel = chain.reshape(weights, (1, channels, reach + 1))
    result = chain.link(GConv(dims, "mul", Reduce.ADD, post=post.steps), x, kernel, post.extras)
    return [result, _last(chain, x, reach)]


def _last(chain: Chain, x: Tensor, size: int) -> Tensor:
    """The last `size` positions of (batch, channel, position), with zeros before the first."""
    start = x.shape[2] - size
    if start >= 0:
        return x.slice(2, start, size)
    dims = (Dim("N", opc=x.shape[0]), Dim("C", opc=x.shape[1]), Dim("W", opc=size, pad=-start))
    return chain.link(GConv(dims), x)


LINEAR_ATTENTION = (*linear_attention, *causal_convolution)
