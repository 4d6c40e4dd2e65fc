"""Fourier transforms as products with matrices of cosines and sines, in O(n * n) for every vector.

A matrix is a constant where the length of the transform is known or follows from the declared result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dialects.gconv import Dim, GConv, Reduce
from passes.lower_onnx.arithmetic import Value, side_by_side
from passes.lower_onnx.broadcasting import binary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import floating, table_within_limit
from passes.lower_onnx.declared_results import place_unless, unless
from passes.lower_onnx.gathering import looked_up
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Transform:
    """A transform of `length` points. What is missing of the input is 0; numbers are (real) or (real, imaginary)."""

    length: int
    inverse: bool
    onesided: bool

    def matrix(self, points: int, parts: int) -> Floats:
        """What each of the first `points` inputs of `parts` parts adds to the outputs: (input, part, output, part)."""
        outputs = self.length // 2 + 1 if self.onesided and not self.inverse else self.length
        # Exact multiples of a turn: the product of the numbers can be large.
        turns = np.outer(np.arange(points), np.arange(outputs)) % self.length / self.length
        angle = 2 * np.pi * turns * (1 if self.inverse else -1)
        real, imaginary = np.cos(angle), np.sin(angle)
        table = np.stack([np.stack([real, imaginary], -1), np.stack([-imaginary, real], -1)], 1)
        if self.inverse:
            table /= self.length
        if self.inverse and self.onesided:
            # The other half of the spectrum is the conjugate of this one: its terms count twice, all real.
            twice = np.arange(points) * 2 % self.length != 0
            table = table[..., :1] * np.where(twice, 2, 1)[:, np.newaxis, np.newaxis, np.newaxis]
        return table[:, :parts]


def _axis(node: Node) -> int | None:
    """The transformed dimension: an attribute of old versions, an input of newer ones; None if it is computed."""
    rank = len(node.shape(0))
    if node.version < 20:
        return node.integer("axis", 1) % rank
    if node.input(2) is None:
        return rank - 2
    given = node.constant_integers(2)
    return None if given is None else given[0] % rank


@constraint()
def signal_axis(node: Node) -> str | None:
    """`axis` is a constant and not the last dimension, which has the parts of numbers"""
    axis = _axis(node)
    if axis is None:
        return "axis is computed at run time"
    return "the last dimension" if axis == len(node.shape(0)) - 1 else None


def _transform_words(node: Node) -> int:
    """Words of the matrix of cosines and sines: of every pair of an input and a bin, real and imaginary parts."""
    axis = _axis(node)
    return 0 if axis is None else 4 * node.shape(0)[axis] * node.result_shape()[axis]


_MATRIX = "the matrix of cosines and sines"


@lowering(
    "DFT",
    constraints=(floating(), signal_axis, table_within_limit(_MATRIX, _transform_words)),
    declared_extents=True,
)
def fourier_transform(node: Node, chain: Chain) -> Tensor:
    """one link: a product with a constant matrix; a few more check a length computed at run time, or compute the matrix
    where the declared result leaves open whether the length is odd"""
    x, axis = chain.input(node, 0), _axis(node)
    assert axis is not None
    inverse, onesided = bool(node.integer("inverse")), bool(node.integer("onesided"))
    extent, parts = x.shape[axis], x.shape[-1]
    default = 2 * (extent - 1) if inverse and onesided else extent
    length = default if node.input(1) is None else (node.constant_integers(1) or (None,))[0]
    bins = node.result_shape()[axis]
    if length is None and onesided and not inverse:
        used = min(extent, 2 * bins - 1)
        computed, broken = _onesided_length(Value.input(chain, node, 1), bins)
        x = unless(chain, broken, x.slice(axis, 0, used))
        kernel = _computed_matrix(chain, computed, used, bins, parts)
    else:
        if length is None:
            length = bins
            x = unless(chain, 1 - Value.input(chain, node, 1).equals(length), x)
        used = min(extent, length // 2 + 1 if inverse and onesided else length)
        x = x.slice(axis, 0, used)
        kernel = chain.constant(_Transform(length, inverse, onesided).matrix(used, parts).astype(node.dtype(0)))
    dims = [Dim(f"X{a}", opc=n) for a, n in enumerate(x.shape)]
    dims[-1:] = [Dim("I", ks=parts), Dim("O", op=kernel.shape[3])]
    dims[axis : axis + 1] = [Dim("T", ks=used), Dim("F", op=kernel.shape[2])]
    # From (input, part, output, part) to the places of the dimensions T, F, I and O among the others.
    kernel = kernel.permute((0, 2, 1, 3))
    others = [place for place, dim in enumerate(dims) if dim.name not in ("T", "F", "I", "O")]
    return chain.link(GConv(tuple(dims), "mul", Reduce.ADD), x.insert(axis + 1, len(dims) - 1), kernel.insert(*others))


def _onesided_length(length: Value, bins: int) -> tuple[Value, Value]:
    """A length computed at run time, and 1 where half of its spectrum has other than `bins` bins."""
    length = length.at_least(1).at_most(2 * bins + 1)
    return length, 1 - (length / 2 + 1).equals(bins)


def _computed_matrix(chain: Chain, length: Value, points: int, bins: int, parts: int) -> Tensor:
    """As `_Transform.matrix`, of the first `bins` bins of a forward transform whose length a run has."""
    numbers = np.arange(points)
    turns = (Value(chain, np.outer(numbers, np.arange(bins)).astype(length.dtype)) % length).as_type(np.float32)
    turn = turns / length
    # Sines of at most a quarter of a turn: exact zeros stay that, which a rounded multiple of pi would not give.
    near = turn.at_most(1.0 - turn)
    real = ((0.25 - near) * (2 * np.pi)).apply("sin")
    imaginary = (near.at_most(0.5 - near) * (2 * np.pi)).apply("sin") * (turn - 0.5).apply("sign")
    exists = Value(chain, numbers.reshape(-1, 1).astype(length.dtype)) < length
    real, imaginary = ((part * exists).reshape(points, 1, bins, 1) for part in (real, imaginary))
    first = side_by_side(chain, [real, imaginary], 3)
    second = [side_by_side(chain, [imaginary * -1.0, real], 3)] if parts == 2 else []
    return side_by_side(chain, [first, *second], 1).tensor


@constraint()
def real_or_whole(node: Node) -> str | None:
    """the signal has three dimensions, and is real if `onesided` is 1"""
    shape = node.shape(0)
    if len(shape) != 3:
        return f"rank {len(shape)}"
    return "a complex signal" if shape[2] == 2 and node.integer("onesided", 1) else None


def _frame_words(node: Node) -> int:
    """As `_transform_words`, of a frame of at most the whole signal."""
    bins = node.result_shape()[2]
    return 4 * bins * min(2 * bins, node.shape(0)[1])


@lowering(
    "STFT",
    constraints=(floating(), real_or_whole, table_within_limit(_MATRIX, _frame_words)),
    declared_extents=True,
)
def short_time_transform(node: Node, chain: Chain) -> Tensor:
    """one link: a window that slides over the signal; one more for a window function computed at run time, a few where
    the step or the length of frames is"""
    x = chain.input(node, 0)
    batch, size, parts = x.shape
    frames, bins = node.result_shape()[1:3]
    kernel, length, broken = _frame_matrix(node, chain)
    points = kernel.shape[0]
    step = Value.input(chain, node, 1)
    outputs = (Dim("F", op=bins), Dim("O", op=2))
    if step.known is not None and broken.known is not None:
        stride = int(step.known[0]) if frames > 1 else 1
        dims = (Dim("N", opc=batch), Dim("T", opc=frames, ks=points, stride=stride), Dim("I", ks=parts), *outputs)
        return chain.link(GConv(dims, "mul", Reduce.ADD), x.insert(3, 4), kernel.insert(0))
    step = step.at_least(1).at_most(size)
    end = step * (frames - 1) + length
    broken = broken | 1 - (end <= size) | (end + step <= size)
    places = (step * np.arange(frames).reshape(-1, 1) + np.arange(points)).at_most(size - 1)
    x = looked_up(chain, x, 1, place_unless(broken, places).tensor)
    dims = (Dim("N", opc=batch), Dim("T", opc=frames), Dim("K", ks=points), Dim("I", ks=parts), *outputs)
    return chain.link(GConv(dims, "mul", Reduce.ADD), x.insert(4, 5), kernel.insert(0, 1))


def _frame_matrix(node: Node, chain: Chain) -> tuple[Tensor, Value, Value]:
    """The matrix of a frame's transform, the length of a frame, and 1 where that is no declared one.

    Words of the matrix beyond the length are 0.
    """
    window = chain.optional_input(node, 2)
    _, size, parts = node.shape(0)
    bins, onesided = node.result_shape()[2], bool(node.integer("onesided", 1))
    default = size if window is None else window.size
    length = Value(chain, np.array([default], np.int64))
    if node.input(3) is not None:
        length = Value.input(chain, node, 3)
    broken = Value(chain, np.zeros(1, length.dtype))
    if length.known is None and (window is not None or not onesided):
        # There is one length that fits the other tensors.
        only = bins if window is None else default
        length, broken = Value(chain, np.array([only], length.dtype)), 1 - length.equals(only)
    if length.known is None:
        length, broken = _onesided_length(length, bins)
        return _computed_matrix(chain, length, min(2 * bins - 1, size), bins, parts), length, broken
    points = int(length.known[0])
    matrix = _Transform(points, False, onesided).matrix(points, parts)
    known = node.constant(2)
    if known is not None:
        matrix = matrix * known.astype(np.float64).reshape(-1, 1, 1, 1)
    kernel = chain.constant(matrix.astype(node.dtype(0)))
    if window is not None and known is None:
        kernel = binary(chain, "mul", kernel, window.insert(1, 2, 3))
    return kernel, length, broken


SIGNAL = (*fourier_transform, *short_time_transform)
