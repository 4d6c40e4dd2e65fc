"""TfIdfVectorizer over integers: where every n-gram of the pool begins, with every distance between its words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dialects.element_types import element_type_of
from dialects.gconv import Dim, GConv, Reduce, Step, View
from dialects.gconv.scalar import Array
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import attribute_is, table_within_limit
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.post import Post
from passes.lower_onnx.tensor import Tensor


@dataclass(frozen=True)
class _Grams:
    """The n-grams of one length: words (gram, place), the output that each counts for, and its weight there."""

    words: Array
    outputs: tuple[int, ...]
    weights: tuple[float, ...]


@constraint(hint="map strings to integers before the network")
def integer_pool(node: Node) -> str | None:
    """the pool and the input are integers"""
    if node.dtype(0).kind not in "iu":
        return f"input of {node.dtype(0)}"
    return None if node.has("pool_int64s") else "a pool of strings"


def _pool(node: Node) -> Iterator[_Grams]:
    """The n-grams of the lengths that the node counts, shortest first."""
    words, starts, outputs = (node.integers(name) for name in ("pool_int64s", "ngram_counts", "ngram_indexes"))
    weights = node.numbers("weights") if node.text("mode") != "TF" else ()
    weights = weights or (1.0,) * len(outputs)
    first = 0
    for place, start in enumerate(starts):
        length = place + 1
        end = starts[length] if length < len(starts) else len(words)
        table = np.array(words[start:end], node.dtype(0)).reshape(-1, length)
        own = slice(first, first + len(table))
        first += len(table)
        if len(table) and node.integer("min_gram_length") <= length <= node.integer("max_gram_length"):
            yield _Grams(table, outputs[own], weights[own])


def _weights_words(node: Node) -> int:
    """Words of the matrix of weights, of n-grams and outputs."""
    return len(node.integers("ngram_indexes")) * node.result_shape()[-1]


@lowering(
    "TfIdfVectorizer",
    constraints=(
        integer_pool,
        attribute_is("mode", "TF", "IDF", "TFIDF"),
        table_within_limit("the matrix of the weights of n-grams", _weights_words),
    ),
)
def tf_idf(node: Node, chain: Chain) -> Tensor:
    """two links for every length of n-grams and distance between words, one for the weights of the outputs"""
    x = chain.input(node, 0)
    size = node.result_shape()[-1]
    x = chain.reshape(x, (x.size // x.shape[-1], x.shape[-1])) if x.rank else chain.reshape(x, (1, 1))
    pool = list(_pool(node))
    if not pool:
        return chain.constant(np.zeros((x.shape[0], size), np.float32))
    found = chain.concat([_counted(chain, x, grams, node.integer("max_skip_count")) for grams in pool], 1)
    outputs = [output for grams in pool for output in grams.outputs]
    table = np.zeros((1, len(outputs), size), np.float32)
    table[0, np.arange(len(outputs)), outputs] = [weight for grams in pool for weight in grams.weights]
    pre = (Step("clip", (0.0, 1.0)),) if node.text("mode") == "IDF" else ()
    dims = (Dim("N", opc=x.shape[0]), Dim("K", ks=len(outputs)), Dim("C", op=size))
    return chain.link(GConv(dims, "mul", Reduce.ADD, pre=pre), found.insert(2), chain.constant(table))


def _counted(chain: Chain, x: Tensor, grams: _Grams, skips: int) -> Tensor:
    """How often every n-gram occurs, in f32: (batch, gram)."""
    batch, length = x.shape
    count, places = grams.words.shape
    total: Tensor | None = None
    kernel = chain.constant(grams.words[np.newaxis, np.newaxis])
    for distance in range(1, 2 + (skips if places > 1 else 0)):
        starts = length - distance * (places - 1)
        if starts < 1:
            break
        over_batch, along = x.view.strides
        words = Tensor(
            x.base, View((batch, starts, 1, places), (over_batch, along, 0, distance * along), x.view.offset)
        )
        dims = (Dim("N", opc=batch), Dim("W", opc=starts), Dim("C", op=count), Dim("K", ks=places))
        begins = chain.link(GConv(dims, "eq", Reduce.MUL), words, kernel, element_type=element_type_of(np.float32))
        post = Post().combined("add", total)
        dims = (Dim("N", opc=batch), Dim("W", ks=starts), Dim("C", opc=count), Dim("K"))
        total = chain.link(GConv(dims, reduce=Reduce.ADD, post=post.steps), begins, None, post.extras)
    if total is None:
        return chain.constant(np.zeros((batch, count), np.float32))
    return chain.reshape(total, (batch, count))


NGRAMS = (*tf_idf,)
