"""The shortest formats of the tensors of a function, of those that a machine takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import cast

import numpy as np
from xdsl.dialects.builtin import TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Operation, SSAValue

from dialects.accelerator import Encodings
from dialects.encodings.attributes import encoded_type
from dialects.encodings.compressed_rows import CompressedRows
from dialects.encodings.format import Array, Format
from dialects.encodings.names import format_named
from dialects.encodings.spots_blocks import SpotsBlocks
from dialects.gconv import LinkOp, ViewOp, shape_of
from dialects.gconv.view import row_major
from dialects.weights import ConstantOp

_SAMPLE_WORDS = 1 << 16
"""Words of the tensors with zeros by chance on which formats of activations are compared."""


def encode(function: FuncOp, taken: Encodings, bits: int) -> None:
    """Set the types of constants and of the results of links, whose words have so many bits.

    Raises `CatenaError` (CAT-R004) for words that are not at hand.
    """
    weights, activations = (tuple(map(format_named, texts)) for texts in (taken.weights, taken.activations))
    for inner in function.walk():
        if isinstance(inner, ConstantOp) and weights:
            _encode(inner.result, _kernel_format(inner, weights, bits))
        elif isinstance(inner, LinkOp) and activations and _stays_on_device(inner.result):
            _encode(inner.result, _activation_format(inner, activations, bits))


def _encode(value: SSAValue, encoding: Format | None) -> None:
    if encoding is not None:
        kind = cast("TensorType[Attribute]", value.type)
        value._type = encoded_type(kind, encoding)  # pyright: ignore[reportPrivateUsage]


def _stays_on_device(value: SSAValue) -> bool:
    """Whether only other ops of the chain read a value: what leaves it goes to the user as it is."""
    return all(not isinstance(use.operation, ReturnOp) for use in value.uses)


def _shortest(formats: Iterable[Format], tensor: Array, bits: int) -> Format | None:
    """The format in which a tensor takes the fewest bits, the first of several; None if that is no fewer than dense."""
    best, fewest = None, tensor.size * bits
    for encoding in formats:
        if not encoding.problem(tensor.shape) and (size := encoding.size(tensor, bits).bits) < fewest:
            best, fewest = encoding, size
    return best


def _kernel_format(op: ConstantOp, formats: Sequence[Format], bits: int) -> Format | None:
    """The format of a constant that only links read, as their kernel. Raises `CatenaError` (CAT-R004)."""
    found: set[tuple[int, int] | None] = set()
    for user, value in _users(op):
        if not isinstance(user, LinkOp) or user.kernel is not value or value in (user.input, *user.extras):
            return None
        found.add(filters_of(user, value))
    rows = found.pop() if len(found) == 1 else None
    return _shortest(_with_rows(formats, rows), op.array, bits)


def _users(op: ConstantOp) -> Iterator[tuple[Operation, SSAValue]]:
    """The ops that read a constant, or a view of it, and what they read."""
    for use in op.result.uses:
        view = use.operation
        if isinstance(view, ViewOp):
            yield from ((each.operation, view.result) for each in view.result.uses)
        else:
            yield view, op.result


def _with_rows(formats: Iterable[Format], filters: tuple[int, int] | None) -> Iterator[Format]:
    """Formats, those of matrices with the dimension that their rows are, if there is one."""
    rows, inner = filters or (0, 1)
    for encoding in formats:
        match encoding:
            case SpotsBlocks():
                if filters is not None:
                    yield replace(encoding, rows=rows, inner=inner)
            case CompressedRows():
                if filters is not None and inner == 1:
                    yield replace(encoding, rows=rows)
            case _:
                yield encoding


def filters_of(link: LinkOp, kernel: SSAValue) -> tuple[int, int] | None:
    """The dimension of a constant that a link's filters are, and how many of its indices each has.

    It is that along which the link's `op` loop steps; `kernel` is the constant or a view of it. None if there are
    several such loops, or they step otherwise.
    """
    view = kernel.owner if isinstance(kernel.owner, ViewOp) else None
    shape = shape_of(kernel if view is None else view.base)
    strides = row_major(shape_of(kernel)) if view is None else view.view.strides
    steps = [
        (stride * dim.ks, dim.g * dim.op) for dim, stride in zip(link.spec.dims, strides, strict=True) if dim.op > 1
    ]
    if len(steps) != 1:
        return None
    (step, filters) = steps[0]
    for dim, (stride, extent) in enumerate(zip(row_major(shape), shape, strict=True)):
        if stride * extent == step * filters and step % stride == 0:
            return dim, step // stride
    return None


def _activation_format(link: LinkOp, formats: Sequence[Format], bits: int) -> Format | None:
    """The format of a link's result, by its share of zeros."""
    share = 0.0 if link.zeros is None else link.zeros.data.output
    return _shortest_by_chance(tuple(formats), shape_of(link.result), share, bits) if share else None


@lru_cache(1 << 10)
def _shortest_by_chance(formats: tuple[Format, ...], shape: tuple[int, ...], zeros: float, bits: int) -> Format | None:
    """The shortest format of tensors of a shape whose words are zero with some probability: that of a small one."""
    below = math.prod(shape[1:])
    part = (max(1, min(shape[0], _SAMPLE_WORDS // max(1, below))), *shape[1:]) if shape else ()
    return _shortest(formats, np.random.default_rng(0).random(part) >= zeros, bits)
