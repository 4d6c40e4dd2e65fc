"""Fourier transforms as products with matrices of cosines and sines, in O(n * n) for every vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dialects.gconv import Dim, GConv, Reduce
from passes.lower_onnx.broadcasting import binary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import constant_input, floating
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


@lowering("DFT", constraints=(floating(), constant_input(1, "dft_length"), signal_axis))
def fourier_transform(node: Node, chain: Chain) -> Tensor:
    """one link: a product with a constant matrix"""
    x, axis = chain.input(node, 0), _axis(node)
    assert axis is not None
    inverse, onesided = bool(node.integer("inverse")), bool(node.integer("onesided"))
    extent, parts = x.shape[axis], x.shape[-1]
    default = 2 * (extent - 1) if inverse and onesided else extent
    length = (node.constant_integers(1) or (default,))[0]
    used = min(extent, length // 2 + 1 if inverse and onesided else length)
    x = x.slice(axis, 0, used)
    matrix = _Transform(length, inverse, onesided).matrix(used, parts).astype(node.dtype(0))
    _, _, outputs, results = matrix.shape
    dims = [Dim(f"X{a}", opc=n) for a, n in enumerate(x.shape)]
    dims[-1:] = [Dim("I", ks=parts), Dim("O", op=results)]
    dims[axis : axis + 1] = [Dim("T", ks=used), Dim("F", op=outputs)]
    # From (input, part, output, part) to the places of the dimensions T, F, I and O among the others.
    kernel = chain.constant(matrix.transpose(0, 2, 1, 3))
    others = [place for place, dim in enumerate(dims) if dim.name not in ("T", "F", "I", "O")]
    return chain.link(GConv(tuple(dims), "mul", Reduce.ADD), x.insert(axis + 1, len(dims) - 1), kernel.insert(*others))


@constraint()
def real_or_whole(node: Node) -> str | None:
    """the signal has three dimensions, and is real if `onesided` is 1"""
    shape = node.shape(0)
    if len(shape) != 3:
        return f"rank {len(shape)}"
    return "a complex signal" if shape[2] == 2 and node.integer("onesided", 1) else None


@lowering(
    "STFT",
    constraints=(floating(), real_or_whole, constant_input(1, "frame_step"), constant_input(3, "frame_length")),
)
def short_time_transform(node: Node, chain: Chain) -> Tensor:
    """one link: a window that slides over the signal; a window function computed at run time takes one more"""
    x, window = chain.input(node, 0), chain.optional_input(node, 2)
    batch, _, parts = x.shape
    frames, bins = node.result_shape()[1:3]
    step = (node.constant_integers(1) or (1,))[0]
    default = x.shape[1] if window is None else window.size
    length = (node.constant_integers(3) or (default,))[0]
    matrix = _Transform(length, False, bool(node.integer("onesided", 1))).matrix(length, parts)
    known = node.constant(2)
    if known is not None:
        matrix = matrix * known.astype(np.float64).reshape(-1, 1, 1, 1)
    kernel = chain.constant(matrix.astype(node.dtype(0)))
    if window is not None and known is None:
        kernel = binary(chain, "mul", kernel, window.insert(1, 2, 3))
    dims = (
        Dim("N", opc=batch),
        Dim("T", opc=frames, ks=length, stride=step if frames > 1 else 1),
        Dim("I", ks=parts),
        Dim("F", op=bins),
        Dim("O", op=2),
    )
    return chain.link(GConv(dims, "mul", Reduce.ADD), x.insert(3, 4), kernel.insert(0))


SIGNAL = (*fourier_transform, *short_time_transform)
