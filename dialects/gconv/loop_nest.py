"""The definition of a general convolution and of computed addresses, word for word: loops over single elements.

Slow on purpose. It exists to check the vectorised interpreter and every other implementation.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from dialects.dtypes import dtype_named
from dialects.gconv.indexed import IndexedView
from dialects.gconv.scalar import Array, apply, scalar_of
from dialects.gconv.spec import PASS, Dim, GConv, Reduce, Step

_FOLD = {Reduce.ADD: "add", Reduce.MAX: "max", Reduce.MIN: "min", Reduce.MUL: "mul"}


def evaluate(
    spec: GConv, input: Array, kernel: Array | None = None, extras: Sequence[Array] = (), dtype: np.dtype | None = None
) -> Array:
    """The output of a general convolution, one element at a time, in `dtype` (the input's unless given)."""
    output = np.empty(spec.output_shape, input.dtype if dtype is None else dtype)
    acc = input.dtype if spec.acc is None else np.dtype(spec.acc)
    partial = dtype_named(spec.partial_type(acc.name))
    outer = [range(n) for dim in spec.dims for n in (dim.g, dim.op, dim.opc)]
    inner = [range(dim.ks) for dim in spec.dims]
    for flat in itertools.product(*outer):
        index = [flat[3 * d : 3 * d + 3] for d in range(len(spec.dims))]
        total: Array | None = None
        for ks in itertools.product(*inner):
            value = _read(spec, input, index, ks).astype(partial)
            if spec.main != PASS:
                assert kernel is not None
                position = tuple(
                    (g * dim.op + op) * dim.ks + k for dim, (g, op, _), k in zip(spec.dims, index, ks, strict=True)
                )
                value = apply(spec.main, value, kernel[position].reshape(1).astype(partial))
            value = _steps(spec.mid, value)
            total = value if total is None else apply(_FOLD[spec.reduce], total, value)
        assert total is not None
        place = tuple((g * dim.op + op) * dim.opc + opc for dim, (g, op, opc) in zip(spec.dims, index, strict=True))
        output[place] = _steps(spec.post, total.astype(acc), extras, place)[0]
    return output


def _read(spec: GConv, input: Array, index: Sequence[tuple[int, ...]], ks: Sequence[int]) -> Array:
    """pre(I[i]), or the padding value as it is."""
    position: list[int] = []
    for dim, extent, (g, _, opc), k in zip(spec.dims, input.shape, index, ks, strict=True):
        place = _input_position(dim, extent // dim.g, opc, k)
        if place is None:
            return scalar_of(spec.padding, input.dtype).reshape(1)
        position.append(g * (extent // dim.g) + place)
    return _steps(spec.pre, input[tuple(position)].reshape(1))


def _input_position(dim: Dim, extent: int, opc: int, ks: int) -> int | None:
    dilated = opc * dim.stride + ks * dim.dilation - dim.pad
    if dilated % dim.up or not 0 <= dilated // dim.up < extent:
        return None
    return dilated // dim.up


def _steps(steps: Sequence[Step], value: Array, extras: Sequence[Array] = (), place: tuple[int, ...] = ()) -> Array:
    for step in steps:
        operands = [value]
        if step.operand is not None:
            extra = extras[step.operand]
            where = tuple(0 if n == 1 else p for n, p in zip(extra.shape, place, strict=True))
            operands.append(extra[where].reshape(1))
        value = apply(step.function, *operands, parameters=step.parameters)
    return value


def gather(view: IndexedView, base: Array, index: Array) -> Array:
    """The elements of a row-major array that an indexed view names."""
    result = np.empty(view.shape, base.dtype)
    for position in np.ndindex(*view.shape):
        result[position] = base.reshape(-1)[_address(view, index, position)]
    return result


def scatter(view: IndexedView, data: Array, index: Array, updates: Array, reduce: Reduce) -> Array:
    """A row-major array whose elements that an indexed view names are combined with updates, in row-major order."""
    result = data.copy().reshape(-1)
    for position in np.ndindex(*view.shape):
        address = _address(view, index, position)
        update = updates[position].reshape(1)
        value = update if reduce is Reduce.NONE else apply(_FOLD[reduce], result[address].reshape(1), update)
        result[address] = value[0]
    return result.reshape(data.shape)


def _address(view: IndexedView, index: Array, position: tuple[int, ...]) -> int:
    where = tuple(0 if n == 1 else p for n, p in zip(index.shape[:-1], position, strict=True))
    address = view.plain.offset + sum(s * p for s, p in zip(view.plain.strides, position, strict=True))
    for component, (step, extent) in enumerate(view.terms):
        number = int(index[(*where, component)])
        assert -extent <= number < extent
        address += step * (number + extent if number < 0 else number)
    return address
