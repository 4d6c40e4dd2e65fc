"""The meaning of the gconv dialect on NumPy arrays.

`evaluate` is the executable definition of a general convolution, vectorised; `dialects.gconv.loop_nest` is the literal
definition it is checked against. `Interpreter` runs a whole chain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial as with_first
from typing import Any, TypeAlias

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Operation, SSAValue

from dialects.diagnostics import CatenaError, Diagnostic, memory_for
from dialects.dtypes import as_storage, dtype_named
from dialects.element_types import numpy_dtype_of
from dialects.fused_attribute import FusedAttr
from dialects.gconv.contraction import Factor, product
from dialects.gconv.fused import FusedOp
from dialects.gconv.indexed import IndexProblem, OutOfRangeError
from dialects.gconv.indexed_ops import IndexedOp, ScatterOp
from dialects.gconv.narrow_sums import narrow_sums
from dialects.gconv.ops import ConcatOp, LinkOp, ViewOp, element_type_of_value, shape_of
from dialects.gconv.scalar import Array, apply, scalar_of
from dialects.gconv.spec import PASS, Dim, GConv, Reduce, Step
from dialects.gconv.view import View
from dialects.gemm_mapping import GemmAttr, GemmMapping
from dialects.host_segment import SegmentOp, execution_order, host_ports, segment_inputs, segment_outputs
from dialects.locations import describe
from dialects.weights import ConstantOp

_REDUCE = {Reduce.ADD: np.add, Reduce.MAX: np.maximum, Reduce.MIN: np.minimum, Reduce.MUL: np.multiply}
_CHUNK_WORDS = 1 << 24


Multiply: TypeAlias = Callable[[Array, Array], Array | None]
"""Makes the sums of products (groups, parallel kernels, outputs) of windows (groups, outputs, terms) and a kernel
(groups, parallel kernels, terms) in some way of its own; None: as the definition says."""


def evaluate(
    spec: GConv,
    input: Array,
    kernel: Array | None = None,
    extras: Sequence[Array] = (),
    dtype: np.dtype | None = None,
    multiply: Multiply | None = None,
) -> Array:
    """The output of a general convolution.

    `input` has, per dimension, g groups; `kernel` has extents g*op*ks; `extras` broadcast to the output shape.
    Types change as `dialects.gconv.spec` says; returns `dtype` (the input's unless given). `multiply` may take the
    place of the sums of products.
    """
    rank = len(spec.dims)
    windows = _windows(spec, _steps(spec.pre, input))  # (g..., opc..., ks...)
    acc = windows.dtype if spec.acc is None else np.dtype(spec.acc)
    partial = dtype_named(spec.partial_type(acc.name))
    if spec.main == PASS:
        terms = _steps(spec.mid, _cast(windows, partial)) if spec.mid else windows
        folded = _cast(_fold(spec, terms, tuple(range(2 * rank, 3 * rank)), partial), acc)
        shape = [dim.g for dim in spec.dims] + [1] * rank + [dim.opc for dim in spec.dims]
        repeated = [dim.g for dim in spec.dims] + [dim.op for dim in spec.dims] + [dim.opc for dim in spec.dims]
        result = np.broadcast_to(folded.reshape(shape), repeated)
    else:
        assert kernel is not None
        parts = kernel.reshape([n for dim in spec.dims for n in (dim.g, dim.op, dim.ks)])
        order = [3 * d + k for k in (0, 1, 2) for d in range(rank)]
        result = _combine(spec, windows, parts.transpose(order), partial, acc, multiply)  # (g..., op..., opc...)
    order = [k * rank + d for d in range(rank) for k in (0, 1, 2)]
    output = result.transpose(order).reshape(spec.output_shape)
    output = _steps(spec.post, output, extras)
    return np.ascontiguousarray(_cast(output, input.dtype if dtype is None else dtype))


def _cast(array: Array, dtype: np.dtype[Any]) -> Array:
    """Another dtype; values it cannot hold are whatever NumPy makes of them."""
    with np.errstate(all="ignore"):
        return array.astype(dtype, copy=False)


def _steps(steps: Sequence[Step], value: Array, extras: Sequence[Array] = ()) -> Array:
    for step in steps:
        operands = [value] if step.operand is None else [value, extras[step.operand]]
        value = apply(step.function, *operands, parameters=step.parameters)
    return value


def _windows(spec: GConv, input: Array) -> Array:
    """The input as an array indexed (g..., opc..., ks...), padding in place, without copying shared words."""
    padding = scalar_of(spec.padding, input.dtype)
    padded = input.reshape([n for dim, e in zip(spec.dims, input.shape, strict=True) for n in (dim.g, e // dim.g)])
    for d, dim in enumerate(spec.dims):
        padded = _padded(dim, padded, 2 * d + 1, padding)
    strides = padded.strides
    groups = [(dim.g, strides[2 * d]) for d, dim in enumerate(spec.dims)]
    outputs = [(dim.opc, strides[2 * d + 1] * dim.stride) for d, dim in enumerate(spec.dims)]
    kernels = [(dim.ks, strides[2 * d + 1] * dim.dilation) for d, dim in enumerate(spec.dims)]
    axes = groups + outputs + kernels
    return _strided(padded, [n for n, _ in axes], [s for _, s in axes])


def _padded(dim: Dim, array: Array, axis: int, value: Array) -> Array:
    """One axis brought to exactly the positions `dim.window` spans: dilated, padded, cropped."""
    low, high = dim.window
    extent = array.shape[axis]
    if (low, high, dim.up) == (0, extent - 1, 1):
        return array
    shape = list(array.shape)
    shape[axis] = high - low + 1
    result = np.full(shape, value, array.dtype)
    first = max(0, -(-low // dim.up))
    last = min(extent - 1, high // dim.up)
    if first <= last:
        target = [slice(None)] * array.ndim
        source = list(target)
        target[axis] = slice(first * dim.up - low, last * dim.up - low + 1, dim.up)
        source[axis] = slice(first, last + 1)
        result[tuple(target)] = array[tuple(source)]
    return result


def _fold(spec: GConv, values: Array, axes: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    if spec.reduce is Reduce.NONE:
        return values.reshape([n for axis, n in enumerate(values.shape) if axis not in axes])
    with np.errstate(all="ignore"):
        return _REDUCE[spec.reduce].reduce(values, axis=axes, dtype=dtype)


def _combine(
    spec: GConv,
    windows: Array,
    kernel: Array,
    partial: np.dtype[Any],
    acc: np.dtype[Any],
    multiply: Multiply | None,
) -> Array:
    """main, mid and reduce in `partial`, as `acc`; of windows (g..., opc..., ks...), a kernel (g..., op..., ks...)."""
    dims = spec.dims
    groups, ops = math.prod(d.g for d in dims), math.prod(d.op for d in dims)
    outs, terms = math.prod(d.opc for d in dims), math.prod(d.ks for d in dims)
    right = np.ascontiguousarray(kernel).reshape(groups, ops, terms)
    left = windows.reshape(groups, outs, terms)
    is_product = spec.is_multiply_accumulate and not spec.mid
    made = multiply(left, right) if multiply is not None and is_product else None
    result = _sums(spec, left, right, partial, acc) if made is None else _cast(made, acc)
    return result.reshape([d.g for d in dims] + [d.op for d in dims] + [d.opc for d in dims])


def _sums(spec: GConv, left: Array, right: Array, partial: np.dtype[Any], acc: np.dtype[Any]) -> Array:
    """Of windows (groups, outputs, terms) and a kernel (groups, parallel kernels, terms), in blocks."""
    (groups, outs, terms), ops = left.shape, right.shape[1]
    result = np.empty((groups, ops, outs), acc)
    if spec.is_multiply_accumulate and not spec.mid and terms > 1 and acc.kind in "fiu":
        for g in _blocks(groups, max(ops, outs) * terms):
            for o in _blocks(outs, terms):
                columns = Factor(left[g, o].transpose(0, 2, 1), partial)
                for p in _blocks(ops, terms):
                    result[g, p, o] = _cast(product(Factor(right[g, p], partial), columns, terms), acc)
    else:
        for g in _blocks(groups, ops * outs * terms):
            for p in _blocks(ops, outs * terms):
                part = _cast(right[g, p, None, :], partial)
                wide = np.broadcast_to(_cast(left[g, None], partial), (*part.shape[:2], outs, terms))
                values = _steps(spec.mid, apply(spec.main, wide, part))
                result[g, p] = _cast(_fold(spec, values, (3,), partial), acc)
    return result


def _blocks(count: int, words: int) -> Iterator[slice]:
    """`count` rows of `words` words each, as many at a time as `_CHUNK_WORDS` holds; one at least."""
    step = max(1, _CHUNK_WORDS // max(1, words))
    return (slice(start, start + step) for start in range(0, count, step))


def take_view(view: View, base: Array) -> Array:
    """The elements a view names, as a read-only array that shares the base's memory."""
    flat = np.ascontiguousarray(base).reshape(-1)
    strides = [stride * flat.itemsize for stride in view.strides]
    return _strided(flat[view.offset :], view.shape, strides)


def _strided(array: Array, shape: Sequence[int], strides: Sequence[int]) -> Array:
    """A read-only window on an array; strides in bytes."""
    return np.lib.stride_tricks.as_strided(as_storage(array), shape, strides, writeable=False).view(array.dtype)


def _scattered(op: ScatterOp, values: Mapping[SSAValue, Array]) -> Array:
    updates, index = values[op.updates], values[op.index]
    result = np.zeros(shape_of(op.result), updates.dtype) if op.data is None else np.array(values[op.data], order="C")
    try:
        op.view.scatter(result, index, updates, op.reduce.data)
        written = op.data is not None or np.unique(op.view.addresses(index)).size == result.size
    except OutOfRangeError as error:
        raise CatenaError(_out_of_range(op, error)) from error
    if not written:
        raise CatenaError(Diagnostic("CAT-C005", "the indices leave elements of a result unwritten", node=describe(op)))
    return result


def _out_of_range(op: IndexedOp | ScatterOp, error: OutOfRangeError) -> Diagnostic:
    problem = IndexProblem.of(error.extent, error.found)
    return Diagnostic(
        "CAT-C005",
        problem.message,
        node=describe(op),
        expected=problem.expected,
        found=problem.found,
        hint=problem.hint,
    )


def argument_names(function: FuncOp) -> list[str]:
    """The ONNX names of a function's arguments, in order."""
    return _names(function.arg_attrs, len(function.args))


def result_names(function: FuncOp) -> list[str]:
    """The ONNX names of a function's results, in order."""
    return _names(function.res_attrs, len(function.function_type.outputs))


def _names(attributes: ArrayAttr[DictionaryAttr] | None, count: int) -> list[str]:
    entries = [] if attributes is None else list(attributes)
    names: list[str] = []
    for index in range(count):
        named = entries[index].data.get("onnx.name") if index < len(entries) else None
        names.append(named.data if isinstance(named, StringAttr) else str(index))
    return names


def main_function(module: ModuleOp) -> FuncOp:
    """The function `main` of a module.

    Raises `CatenaError` (CAT-R003) if there is none.
    """
    for op in module.ops:
        if isinstance(op, FuncOp) and op.sym_name.data == "main":
            return op
    raise CatenaError(Diagnostic("CAT-R003", "the module has no function @main"))


LinkMultiply: TypeAlias = Callable[[LinkOp, Array, Array], Array | None]
"""`Multiply` for the links of a chain."""
HostCall: TypeAlias = Callable[[SegmentOp, Sequence[Array]], Sequence[Array]]
"""Executes a host segment: the tensors it makes for the chain, from those it reads from it."""


def _as_mapped(link: LinkOp, windows: Array, kernel: Array) -> Array | None:
    """Sums in the accumulators that a mapping names, of a link alone or in a group; None if it names none."""
    mapping, around = link.mapping, link.parent_op()
    nest = mapping.data if isinstance(mapping, GemmAttr) else None
    if isinstance(around, FusedOp) and isinstance(around.mapping, FusedAttr):
        nest = dict(around.mapping.data.branches).get(around.link_names[around.links.index(link)])
    if not isinstance(nest, GemmMapping) or nest.sums is None:
        return None
    return narrow_sums(windows, kernel, nest.sums.bits, nest.sums.shift)


class Interpreter:
    """Runs a gconv chain on NumPy arrays.

    `tensors` holds, after `run`, every result that an op names with its ONNX tensor name, in row-major order.
    `multiply` may make the sums of products of links in its own way; without, they are as wide as the link says, or
    as narrow as its mapping to matrix products does.
    """

    def __init__(self, module: ModuleOp, multiply: LinkMultiply | None = None):
        self._function = main_function(module)
        self._multiply = multiply or _as_mapped
        self.tensors: dict[str, Array] = {}

    def run(self, inputs: Mapping[str, Array], host: HostCall | None = None) -> dict[str, Array]:
        """The function's results by ONNX name; `host` executes host segments.

        Raises `CatenaError` for missing or misshapen inputs and indices out of range (CAT-C005), for ops of other
        dialects and host segments that nothing executes (CAT-R003).
        """
        values: dict[SSAValue, Array] = {}
        segment_results, segment_arguments = segment_inputs(self._function), segment_outputs(self._function)
        for name, argument in zip(argument_names(self._function), self._function.args, strict=True):
            if argument in segment_arguments.values():
                continue
            if name not in inputs or inputs[name].shape != shape_of(argument):
                found = f"shape {list(inputs[name].shape)}" if name in inputs else "nothing"
                raise CatenaError(
                    Diagnostic(
                        "CAT-C005",
                        f"input {name!r} does not fit",
                        expected=f"shape {list(shape_of(argument))}",
                        found=found,
                    )
                )
            values[argument] = _cast(inputs[name], numpy_dtype_of(element_type_of_value(argument)))
        for op in execution_order(self._function):
            if isinstance(op, ReturnOp):
                named = zip(
                    host_ports(self._function.res_attrs, op.operands),
                    result_names(self._function),
                    op.operands,
                    strict=True,
                )
                return {name: np.array(values[value]) for is_host, name, value in named if not is_host}
            if isinstance(op, SegmentOp) and host is not None:
                given = [values[segment_results[name]] for name in op.read_names]
                for name, array in zip(op.made_names, host(op, given), strict=True):
                    values[segment_arguments[name]] = array
                continue
            self._execute(op, values)
        raise CatenaError(Diagnostic("CAT-R003", "the function @main does not return"))

    def _execute(self, op: Operation, values: dict[SSAValue, Array]) -> None:
        """Add what an op makes to the values that are there."""
        if not isinstance(op, FusedOp):
            with memory_for(describe(op)):
                values[op.results[0]] = self._evaluate(op, values)
            return
        given = zip(op.body.block.args, op.inputs, strict=True)
        inner: dict[SSAValue, Array] = {argument: values[value] for argument, value in given}
        for each in op.body.block.ops:
            if each is not op.body.block.last_op:
                self._execute(each, inner)
        values.update((result, inner[value]) for result, value in zip(op.made, op.yielded, strict=True))

    def _evaluate(self, op: Operation, values: Mapping[SSAValue, Array]) -> Array:
        match op:
            case ConstantOp():
                return op.array
            case ViewOp():
                return take_view(op.view, values[op.base])
            case IndexedOp():
                try:
                    return op.view.gather(values[op.base], values[op.index])
                except OutOfRangeError as error:
                    raise CatenaError(_out_of_range(op, error)) from error
            case ScatterOp():
                result = _scattered(op, values)
            case ConcatOp():
                result = np.concatenate([values[part] for part in op.parts], axis=op.axis.value.data)
            case LinkOp():
                kernel = None if op.kernel is None else values[op.kernel]
                extras = [values[extra] for extra in op.extras]
                dtype = numpy_dtype_of(element_type_of_value(op.result))
                multiply = with_first(self._multiply, op)
                result = evaluate(op.spec, values[op.input], kernel, extras, dtype, multiply)
            case _:
                raise CatenaError(Diagnostic("CAT-R003", f"{op.name} is no op of a gconv chain", node=describe(op)))
        if op.tensor is not None:
            self.tensors[op.tensor.data] = result
        return result
