"""Pass `legalize-words`: give every tensor the machine's word type, and refuse what the machine cannot express."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FunctionType, ModuleOp, StringAttr, TensorType, f32
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, SSAValue
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.element_types import numpy_dtype_of
from dialects.gconv import GConv, LinkOp, element_type_of_value, shape_of
from dialects.gconv.interpreter import main_function
from dialects.locations import describe
from dialects.target import Machine, require_machine
from dialects.weights import ConstantOp, WeightRef

MOST_DIMENSIONS = 15
MOST_INDICES = (1 << 24) - 1
_ARITHMETIC = ("pass", "add", "sub", "rsub", "mul", "max", "min", "abs", "neg", "sign", "square", "relu", "clip")
_COMPARISONS = ("eq", "lt", "le", "gt", "ge", "and", "or", "xor", "keep", "drop", "not", "nonzero", "isnan", "isinf")
_ROUNDING = ("trunc", "floor", "ceil", "round")
_INTEGER_EXACT = frozenset((*_ARITHMETIC, *_COMPARISONS, *_ROUNDING))
"""Functions that f32 words compute exactly on integers of up to 24 bits."""


@dataclass(frozen=True)
class LegalizeWordsPass(ModulePass):
    """Retype every tensor to the machine's words (f32); integers and booleans are carried exactly or refused.

    Function arguments and results remember the type that the user sees in `onnx.dtype`.
    """

    name = "legalize-words"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_machine(op, "encoded")
        function = main_function(op)
        problems: list[Diagnostic] = []
        for link in function.body.block.ops:
            if isinstance(link, LinkOp):
                problems += _inexpressible(link, machine)
            elif isinstance(link, ConstantOp):
                problems += _inexact(link)
        if problems:
            raise CatenaError(problems)
        _remember_types(function)
        for value in function.args:
            _retype(value)
        for inner in function.body.block.ops:
            if isinstance(inner, ConstantOp) and inner.array.dtype != np.float32:
                inner.properties["value"] = WeightRef.of(inner.array.astype(np.float32))
            for value in inner.results:
                _retype(value)
        last = function.body.block.last_op
        assert last is not None
        types = FunctionType.from_lists(
            [value.type for value in function.args], [value.type for value in last.operands]
        )
        function.properties["function_type"] = types


def _retype(value: SSAValue) -> None:
    if element_type_of_value(value) != f32:
        value._type = TensorType(f32, shape_of(value))  # pyright: ignore[reportPrivateUsage]


def _remember_types(function: FuncOp) -> None:
    last = function.body.block.last_op
    assert last is not None
    for key, values in (("arg_attrs", function.args), ("res_attrs", last.operands)):
        given = cast("ArrayAttr[DictionaryAttr] | None", function.properties.get(key))
        entries = [DictionaryAttr({}) for _ in values] if given is None else list(given)
        updated: list[Attribute] = []
        for entry, value in zip(entries, values, strict=True):
            kind = element_type_of_value(value)
            dtype = {} if kind == f32 else {"onnx.dtype": StringAttr(str(numpy_dtype_of(kind)))}
            updated.append(DictionaryAttr({**entry.data, **dtype}))
        function.properties[key] = ArrayAttr(updated)


def _inexact(constant: ConstantOp) -> list[Diagnostic]:
    array = constant.array
    with np.errstate(all="ignore"):
        if array.dtype == np.float32 or np.array_equal(array.astype(np.float32).astype(array.dtype), array):
            return []
    if array.dtype.kind == "f":
        return []
    largest = int(np.abs(array).max())
    return [
        Diagnostic(
            "CAT-U006",
            f"a constant of type {array.dtype} does not fit the machine's f32 words exactly",
            "encoded",
            describe(constant),
            expected=f"integers up to {1 << 24}",
            found=f"up to {largest}",
        )
    ]


def _inexpressible(link: LinkOp, machine: Machine) -> list[Diagnostic]:
    spec, node = link.spec, describe(link)
    found: list[Diagnostic] = []

    def limit(what: str, most: int, value: int) -> None:
        if value > most:
            found.append(Diagnostic("CAT-U006", what, "encoded", node, expected=f"at most {most}", found=str(value)))

    limit("dimensions of a link", MOST_DIMENSIONS, len(spec.dims))
    limit("scalar functions after a link", machine.limits.post_steps, len(spec.post))
    limit("tensors read by scalar functions after a link", machine.limits.post_operands, len(link.extras))
    for dim in spec.dims:
        limit(f"indices of a loop of dimension {dim.name}", MOST_INDICES, max(dim.g, dim.op, dim.opc, dim.ks))
    integer = any(element_type_of_value(v) != f32 for v in (link.input, link.result))
    inexact = _functions(spec) - _INTEGER_EXACT if integer else frozenset[str]()
    if inexact and element_type_of_value(link.input) != f32:
        found.append(
            Diagnostic(
                "CAT-U006",
                "integer arithmetic that f32 words do not give exactly",
                "encoded",
                node,
                expected=", ".join(sorted(_INTEGER_EXACT)),
                found=", ".join(sorted(inexact)),
            )
        )
    return found


def _functions(spec: GConv) -> frozenset[str]:
    return frozenset((spec.main, *(step.function for step in (*spec.pre, *spec.mid, *spec.post))))
