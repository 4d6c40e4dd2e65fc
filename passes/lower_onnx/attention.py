"""Attention: scores, softmax, weighted sum, with the heads that share keys and values in loops of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xdsl.dialects.builtin import f16, f32
from xdsl.ir import Attribute

from dialects.gconv import Dim, GConv, Reduce, Step
from passes.lower_onnx.attention_masks import Frontier, attending, bias_of
from passes.lower_onnx.broadcasting import binary, unary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import floating
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.post import Post
from passes.lower_onnx.softmax import softmax_over
from passes.lower_onnx.tensor import Tensor

_CAPPED, _BIASED, _SOFTMAX = 1, 2, 3
"""Values of `qk_matmul_output_mode` after 0, the raw scores."""

_FLOAT, _DOUBLE = 1, 11
"""Element types of ONNX that `softmax_precision` may name and that are wider than float16."""

Order = tuple[int, int, int, int, int, int]

_HEADS_FIRST: Order = (0, 1, 2, 3, 4, 5)
_QUERIES_FIRST: Order = (0, 3, 1, 2, 4, 5)


@constraint(hint="give 3-D inputs the attributes q_num_heads and kv_num_heads")
def whole_heads(node: Node) -> str | None:
    """query, key and value have three or four dimensions, and key and value heads divide those of the query"""
    ranks = [len(node.shape(index)) for index in range(3)]
    if ranks not in ([3] * 3, [4] * 3):
        return f"ranks {', '.join(map(str, ranks))}"
    heads = _heads(node, 0), _heads(node, 1)
    if min(heads) < 1 or heads[0] % heads[1]:
        return f"{heads[0]} query heads, {heads[1]} key and value heads"
    return None


@constraint()
def one_kind_of_cache(node: Node) -> str | None:
    """`past_key` and `past_value` come together, and not with `nonpad_kv_seqlen`"""
    past = [node.input(index) is not None for index in (4, 5)]
    if past[0] != past[1]:
        return "one of past_key and past_value"
    return "past_key and nonpad_kv_seqlen" if past[0] and node.input(6) is not None else None


def _heads(node: Node, index: int) -> int:
    shape = node.shape(index)
    return shape[1] if len(shape) == 4 else node.integer("kv_num_heads" if index else "q_num_heads")


def split_heads(chain: Chain, x: Tensor, heads: int) -> Tensor:
    """(batch, sequence, heads * size) as (batch, head, sequence, size); four dimensions stay as they are."""
    if x.rank == 4:
        return x
    batch, sequence, width = x.shape
    return chain.reshape(x, (batch, sequence, heads, width // heads)).permute((0, 2, 1, 3))


@lowering("Attention", constraints=(floating(), whole_heads, one_kind_of_cache), results=4)
def attention(node: Node, chain: Chain) -> list[Tensor | None]:
    """five links: scores, softmax (three), weighted sum; masks computed at run time take up to four more, an output of
    scores one"""
    q, k, v = (split_heads(chain, chain.input(node, index), _heads(node, index)) for index in range(3))
    past_key, past_value = chain.optional_input(node, 4), chain.optional_input(node, 5)
    past = 0
    if past_key is not None and past_value is not None:
        past = past_key.shape[2]
        k, v = chain.concat([past_key, k], 2), chain.concat([past_value, v], 2)
    batch, heads, queries, _ = q.shape
    groups, keys = k.shape[1], k.shape[2]
    bias = bias_of(chain, node, q, Frontier.of(node, queries, keys, past))
    scores, exposed = _scores(node, chain, q, k, bias)
    weights = softmax_over(chain, scores, (4,))
    if weights.element_type != q.element_type:
        weights = unary(chain, weights, (), q.element_type)
    guard = None if bias is None else attending(chain, bias)
    guard = None if guard is None else _grouped(chain, guard, groups)
    mode = node.integer("qk_matmul_output_mode")
    if mode == _SOFTMAX and node.wants(3):
        # A query that may attend no key has weights of 0, not those of a softmax over nothing.
        exposed = weights = weights if guard is None else binary(chain, "keep", weights, guard)
    packed = len(node.shape(0)) == 3
    result = _weighted(chain, weights, v, guard, _QUERIES_FIRST if packed else _HEADS_FIRST)
    shape = (batch, heads, queries, keys)
    return [result, k, v, None if exposed is None else chain.reshape(exposed, shape)]


def _grouped(chain: Chain, x: Tensor, groups: int) -> Tensor:
    """(batch, head, ...) as (batch, group, head of the group, ...); a single head stands for all."""
    if x.shape[1] == 1:
        return x.insert(1)
    return chain.reshape(x, (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))


def _scores(node: Node, chain: Chain, q: Tensor, k: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Scaled, capped and masked products of queries and keys, (batch, group, head of the group, query, key), and what
    the node shows of them."""
    groups, size = k.shape[1], q.shape[3]
    scale = node.number("scale", 0.0) if node.has("scale") else 1 / math.sqrt(size)
    cap = node.number("softcap", 0.0)
    steps: list[Post] = [Post().then(Step("affine", (scale, 0.0)))]
    steps.append(Post().then(*_capping(cap)))
    steps.append(Post().combined("add", None if bias is None else _grouped(chain, bias, groups)))
    shown = node.integer("qk_matmul_output_mode") if node.wants(3) else _SOFTMAX
    first, rest = (_joined(part) for part in (steps[: shown + 1], steps[shown + 1 :]))
    scores = _products(chain, _grouped_queries(chain, q, groups), k, first)
    exposed = scores if shown < _SOFTMAX else None
    precise = _softmax_type(node, q)
    if rest.steps or precise != q.element_type:
        scores = unary(chain, scores, rest.steps, precise, rest.extras)
    return scores, exposed


def _grouped_queries(chain: Chain, q: Tensor, groups: int) -> Tensor:
    return chain.reshape(q, (q.shape[0], groups, q.shape[1] // groups, *q.shape[2:]))


def _capping(cap: float) -> tuple[Step, ...]:
    return (Step("affine", (1 / cap, 0.0)), Step("tanh"), Step("affine", (cap, 0.0))) if cap > 0 else ()


def _joined(parts: Sequence[Post]) -> Post:
    """The steps of several, one after another; at most one of them has an operand."""
    steps = tuple(step for part in parts for step in part.steps)
    return Post(steps, tuple(extra for part in parts for extra in part.extras))


def _softmax_type(node: Node, q: Tensor) -> Attribute:
    """The element type of the softmax: `softmax_precision` where it is wider than the inputs."""
    wide = node.integer("softmax_precision") in (_FLOAT, _DOUBLE)
    return f32 if wide and q.element_type == f16 else q.element_type


def _products(chain: Chain, q: Tensor, k: Tensor, post: Post) -> Tensor:
    """q (batch, group, head, query, size) times k (batch, group, key, size)."""
    batch, groups, heads, queries, size = q.shape
    keys = k.shape[2]
    dims = (
        Dim("B", g=batch),
        Dim("G", g=groups),
        Dim("R", opc=heads),
        Dim("S", opc=queries),
        Dim("T", op=keys),
        Dim("K", ks=size),
    )
    spec = GConv(dims, "mul", Reduce.ADD, post=post.steps)
    result = chain.link(spec, q.insert(4), k.insert(2, 3), [extra.insert(5) for extra in post.extras])
    return chain.reshape(result, (batch, groups, heads, queries, keys))


def _weighted(chain: Chain, weights: Tensor, v: Tensor, guard: Tensor | None, order: Order) -> Tensor:
    """weights (batch, group, head, query, key) times v (batch, group, key, size), 0 where `guard` is 0; the result has
    the dimensions batch, group, head, query, 1, size in the given order."""
    batch, groups, heads, queries, keys = weights.shape
    dims = (
        Dim("B", g=batch),
        Dim("G", g=groups),
        Dim("R", opc=heads),
        Dim("S", opc=queries),
        Dim("T", ks=keys),
        Dim("V", op=v.shape[3]),
    )
    post = Post().combined("keep", None if guard is None else guard.insert(5).permute(order))
    spec = GConv(tuple(dims[axis] for axis in order), "mul", Reduce.ADD, post=post.steps)
    return chain.link(spec, weights.insert(5).permute(order), v.insert(2, 3).permute(order), post.extras)


ATTENTION = (*attention,)
