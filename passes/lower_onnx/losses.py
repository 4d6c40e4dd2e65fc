"""Losses of classification: what a target class selects along the class dimension, weighted and reduced."""

from __future__ import annotations

import numpy as np

from dialects.element_types import numpy_dtype_of
from dialects.gconv import Dim, GConv, Reduce, Step
from passes.lower_onnx.broadcasting import binary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import attribute_is, floating
from passes.lower_onnx.lowering import lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.post import Post
from passes.lower_onnx.reduction import reduced
from passes.lower_onnx.softmax import log_softmax_over
from passes.lower_onnx.tensor import Tensor

_EVERYWHERE = (0, 1, 2)
_REDUCTION = attribute_is("reduction", "mean", "sum", "none")
_NEGATIVE = Step("affine", (-1.0, 0.0))


@lowering("NegativeLogLikelihoodLoss", constraints=(floating(), _REDUCTION))
def negative_log_likelihood(node: Node, chain: Chain) -> Tensor:
    """two links: where the target is which class, the values there; one more for a mean with `ignore_index`; with
    weights three, four for a sum, five for a mean"""
    return _loss(node, chain, chain.input(node, 0))


@lowering("SoftmaxCrossEntropyLoss", constraints=(floating(), _REDUCTION), results=2)
def softmax_cross_entropy(node: Node, chain: Chain) -> list[Tensor]:
    """the links of LogSoftmax, then those of NegativeLogLikelihoodLoss"""
    logarithms = log_softmax_over(chain, chain.input(node, 0), (1,))
    return [_loss(node, chain, logarithms), logarithms]


def _loss(node: Node, chain: Chain, x: Tensor) -> Tensor:
    """The loss for log-probabilities (batch, class, ...), in dimensions batch, class, position."""
    batch, classes = x.shape[:2]
    positions = x.size // (batch * classes)
    x = chain.reshape(x, (batch, classes, positions))
    target = chain.reshape(chain.input(node, 1), (batch, 1, positions))
    chosen = _chosen(node, chain, target, x)
    reduction, weights = node.text("reduction", "mean"), chain.optional_input(node, 2)
    if weights is not None:
        weights = _selected(chain, weights.expand((batch, positions, classes)).permute((0, 2, 1)), chosen)
    if reduction == "none" or weights is not None:
        loss = _selected(chain, x, chosen, Post().then(_NEGATIVE).combined("mul", weights))
        if weights is None or reduction == "none":
            return loss
        post = Post()
        if reduction == "mean":
            post = post.combined("mul", reduced(chain, weights, _EVERYWHERE, Reduce.ADD, post=(Step("reciprocal"),)))
        return _total(chain, loss, None, post)
    post = Post().then(_NEGATIVE)
    if reduction == "mean" and node.has("ignore_index"):
        post = post.combined("mul", reduced(chain, chosen, _EVERYWHERE, Reduce.ADD, post=(Step("reciprocal"),)))
    elif reduction == "mean":
        post = Post().then(Step("affine", (-1.0 / (batch * positions), 0.0)))
    return _total(chain, x, chosen, post)


def _chosen(node: Node, chain: Chain, target: Tensor, x: Tensor) -> Tensor:
    """1 where the class is the target's and not ignored, else 0."""
    classes = np.arange(x.shape[1], dtype=numpy_dtype_of(target.element_type))
    if node.has("ignore_index"):
        # No target is -1 if a class is ignored: targets outside the classes equal `ignore_index`.
        classes[classes == node.integer("ignore_index")] = -1
    return binary(chain, "eq", target, chain.constant(classes[np.newaxis, :, np.newaxis]), element_type=x.element_type)


def _selected(chain: Chain, x: Tensor, chosen: Tensor, post: Post | None = None) -> Tensor:
    """The word of `x` at the chosen class, 0 if there is none, whatever is elsewhere: (batch, 1, position)."""
    post = post or Post()
    batch, classes, positions = x.shape
    dims = (Dim("N", g=batch), Dim("C", ks=classes), Dim("W", g=positions))
    return chain.link(GConv(dims, "keep", Reduce.ADD, post=post.steps), x, chosen, post.extras)


def _total(chain: Chain, x: Tensor, chosen: Tensor | None, post: Post) -> Tensor:
    """The sum of all chosen words, of all words if nothing is chosen."""
    dims = tuple(Dim(name, ks=n) for name, n in zip(("N", "C", "W"), x.shape, strict=True))
    main = "pass" if chosen is None else "keep"
    return chain.link(GConv(dims, main, Reduce.ADD, post=post.steps), x, chosen, post.extras)


LOSSES = (*negative_log_likelihood, *softmax_cross_entropy)
