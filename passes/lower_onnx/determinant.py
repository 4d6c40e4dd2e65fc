"""Det: Bird's algorithm, which divides by nothing and needs no pivots.

With mu(F) the part of F above the diagonal, and on the diagonal minus the sum of F's diagonal below each place, the
determinant of A (n x n) is (-1)^(n - 1) times the first word of F_n, where F_1 = A and F_(k + 1) = mu(F_k) A
(Bird, A simple division-free algorithm for computing determinants, Information Processing Letters 111, 2011).
"""

from __future__ import annotations

import numpy as np

from dialects.element_types import numpy_dtype_of
from dialects.gconv import Dim, GConv, Reduce, Step, View
from passes.lower_onnx.broadcasting import binary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import floating
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor

_LARGEST = 8
"""Sums of products grow with n: beyond this size too many digits of f32 are lost in their differences."""


@constraint(hint="compute determinants of large matrices outside of the network")
def small_matrices(node: Node) -> str | None:
    """the matrices have at most 8 rows"""
    rows = node.shape(0)[-1]
    return None if rows <= _LARGEST else f"{rows} rows"


@lowering("Det", constraints=(floating(), small_matrices))
def determinant(node: Node, chain: Chain) -> Tensor:
    """two links for up to two rows, three more for each further row"""
    x = chain.input(node, 0)
    rows = x.shape[-1]
    matrices = chain.reshape(x, (x.size // rows**2, rows, rows))
    if rows == 1:
        return matrices
    power = matrices
    for _ in range(rows - 2):
        power = _next(chain, power, matrices)
    return _first_word(chain, power, matrices)


def _diagonal(x: Tensor) -> Tensor:
    """(batch, row)"""
    batch, rows, _ = x.shape
    over_batch, over_rows, over_columns = x.view.strides
    return Tensor(x.base, View((batch, rows), (over_batch, over_rows + over_columns), x.view.offset))


def _next(chain: Chain, power: Tensor, matrices: Tensor) -> Tensor:
    """mu(power) times the matrices."""
    batch, rows, _ = power.shape
    later = np.triu(np.ones((rows, rows)), 1)
    # (row, column, place of the diagonal): minus the places after the row, on the diagonal only.
    sums = -np.eye(rows)[:, :, np.newaxis] * later[:, np.newaxis, :]
    dims = (Dim("N", opc=batch), Dim("R", op=rows), Dim("C", op=rows), Dim("K", ks=rows))
    kernel = chain.constant(sums[np.newaxis].astype(numpy_dtype_of(power.element_type)))
    on_diagonal = chain.link(GConv(dims, "mul", Reduce.ADD), _diagonal(power).insert(1, 2), kernel)
    on_diagonal = chain.reshape(on_diagonal, power.shape)
    above = chain.constant(later.astype(np.bool_)[np.newaxis])
    upper = binary(chain, "keep", power, above, (Step("add", operand=0),), [on_diagonal])
    dims = (Dim("N", g=batch), Dim("R", opc=rows), Dim("K", ks=rows), Dim("C", op=rows))
    result = chain.link(GConv(dims, "mul", Reduce.ADD), upper.insert(3), matrices.insert(1))
    return chain.reshape(result, power.shape)


def _first_word(chain: Chain, power: Tensor, matrices: Tensor) -> Tensor:
    """The first word of mu(power) times the matrices, with the sign of the determinant."""
    batch, rows, _ = power.shape
    dims = (Dim("N", g=batch), Dim("K", ks=rows - 1))
    spec = GConv(dims, "mul", Reduce.ADD)
    corner = matrices.slice(1, 0, 1).slice(2, 0, 1).select(2, 0).expand((batch, rows - 1))
    below = chain.link(spec, _diagonal(power).slice(1, 1, rows - 1), corner)
    row, column = power.select(1, 0).slice(1, 1, rows - 1), matrices.select(2, 0).slice(1, 1, rows - 1)
    post = (Step("sub", operand=0), *((Step("neg"),) if rows % 2 == 0 else ()))
    return chain.link(GConv(dims, "mul", Reduce.ADD, post=post), row, column, [below])


DETERMINANT = (*determinant,)
