"""What attention adds to its scores: 0 where a query may attend a key, -inf where it may not, or a given mask.

Masks have four dimensions (batch, head, query, key) of extent 1 where they do not depend on one. What is known at
compile time is summed there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dialects.gconv import Dim, GConv, Reduce, Step
from dialects.gconv.scalar import Array
from passes.lower_onnx.broadcasting import binary, unary
from passes.lower_onnx.chain import Chain, dimension_names
from passes.lower_onnx.node import Node
from passes.lower_onnx.reduction import reduced
from passes.lower_onnx.tensor import Tensor

Bounds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Frontier:
    """The keys that a query may attend, by position: those up to `right` after it and down to `left` before it, None
    for no bound. `past` keys come before the first query."""

    queries: int
    keys: int
    past: int
    left: int | None
    right: int | None

    @classmethod
    def of(cls, node: Node, queries: int, keys: int, past: int) -> Frontier:
        """From `is_causal` and the window sizes of a node."""
        left, right = (node.integer(f"{side}_window_size", -1) for side in ("left", "right"))
        limits = [right] * (right >= 0) + [0] * bool(node.integer("is_causal"))
        return cls(queries, keys, past, left if left >= 0 else None, min(limits, default=None))

    @property
    def _ahead(self) -> Bounds:
        """How far a key lies behind a query of the same number: (query, key)."""
        return np.arange(self.keys, dtype=np.float64) - np.arange(self.queries)[:, np.newaxis]

    def allowed(self) -> npt.NDArray[np.bool_] | None:
        """Where every query may attend, (query, key); None if everywhere."""
        if self.left is None and self.right is None:
            return None
        distance = self._ahead - self.past
        low = -math.inf if self.left is None else -self.left
        high = math.inf if self.right is None else self.right
        return (distance >= low) & (distance <= high)

    def lengths(self) -> tuple[Bounds, Bounds | None]:
        """For a number n of keys that count, the last of them being that of the last query: a query may attend a key
        if low < n <= high. Both (query, key); high may be missing."""
        distance = self._ahead + self.queries
        inside = np.broadcast_to(np.arange(self.keys, dtype=np.float64), distance.shape)
        low = inside if self.right is None else np.maximum(inside, distance - self.right - 1)
        return low, None if self.left is None else distance + self.left


def bias_of(chain: Chain, node: Node, like: Tensor, frontier: Frontier) -> Tensor | None:
    """The sum of all masks of an Attention node in the element type of `like`, None if nothing is masked."""
    dtype = node.dtype(0)
    known: list[Array] = []
    computed: list[Tensor] = []
    allowed = frontier.allowed() if node.input(6) is None else None
    if allowed is not None:
        known.append(_additive(allowed, dtype))
    for constant, tensor in (_given(chain, node, frontier.keys), *_counted(chain, node, like, frontier)):
        known += [] if constant is None else [constant]
        computed += [] if tensor is None else [tensor]
    if known:
        computed.append(chain.constant(sum(known[1:], known[0]).astype(dtype)))
    if not computed:
        return None
    bias = computed[0]
    for other in computed[1:]:
        bias = binary(chain, "add", bias, other)
    return bias.with_rank(4)


def attending(chain: Chain, bias: Tensor) -> Tensor | None:
    """1 for a query that may attend a key, 0 for one that may attend none, (batch, head, query, 1); None if all may."""
    known = chain.constant_of(bias)
    if known is not None:
        some = known.max(axis=-1, keepdims=True) > -np.inf
        return None if some.all() else chain.constant(some.astype(known.dtype))
    return reduced(chain, bias, (3,), Reduce.MAX, post=(Step("isinf", (0.0, 1.0)), Step("not")))


def _additive(allowed: Array, dtype: np.dtype[np.generic]) -> Array:
    return np.where(allowed, 0.0, -np.inf).astype(dtype)


def _given(chain: Chain, node: Node, keys: int) -> tuple[Array | None, Tensor | None]:
    """The input `attn_mask`, as a constant or as a tensor; keys that it does not name are not attended."""
    mask, constant = chain.optional_input(node, 3), node.constant(3)
    if mask is None:
        return None, None
    missing = keys - mask.shape[-1]
    if constant is not None:
        constant = _additive(constant, node.dtype(0)) if constant.dtype == np.bool_ else constant
        widths = [(0, 0)] * (constant.ndim - 1) + [(0, missing)]
        return np.pad(constant, widths, constant_values=-np.inf), None
    if node.dtype(3).kind == "b":
        nowhere = chain.constant(np.full((1,) * mask.rank, -np.inf, node.dtype(0)))
        mask = binary(chain, "drop", nowhere, mask)
    if missing:
        names = dimension_names(mask.rank)
        extents = (*mask.shape[:-1], keys)
        dims = tuple(Dim(name, opc=n) for name, n in zip(names, extents, strict=True))
        mask = chain.link(GConv(dims, pad_value=-math.inf), mask)
    return None, mask


def _counted(chain: Chain, node: Node, like: Tensor, frontier: Frontier) -> list[tuple[Array | None, Tensor | None]]:
    """The masks from the input `nonpad_kv_seqlen`, the number of keys that count in every sequence."""
    numbers, constant = chain.optional_input(node, 6), node.constant(6)
    if numbers is None:
        return []
    low, high = frontier.lengths()
    if constant is not None:
        column = constant.reshape(-1, 1, 1, 1)
        allowed = (column > low) & (True if high is None else column <= high)
        return [(_additive(allowed, node.dtype(0)), None)]
    column = chain.reshape(unary(chain, numbers, (), like.element_type), (numbers.size, 1, 1, 1))
    found: list[tuple[Array | None, Tensor | None]] = []
    for function, bound in (("gt", low), ("le", high)):
        if bound is not None:
            table = chain.constant(bound.astype(node.dtype(0)))
            # The logarithms of 1 and 0 are 0 and -inf.
            found.append((None, binary(chain, function, column, table, (Step("log"),))))
    return found
