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
from dialects.gconv import GConv, LinkOp, Step, StepsAttr, element_type_of_value, shape_of
from dialects.gconv.interpreter import main_function
from dialects.gconv.scalar import Array
from dialects.locations import describe
from dialects.target import Machine, require_machine
from dialects.weights import ConstantOp, WeightRef

MOST_DIMENSIONS = 15
MOST_INDICES = (1 << 24) - 1
_ARITHMETIC = ("pass", "add", "sub", "rsub", "mul", "max", "min", "abs", "neg", "sign", "square", "relu", "clip")
_CHOICES = ("keep", "drop")
_PREDICATES = ("eq", "lt", "le", "gt", "ge", "and", "or", "xor", "not", "nonzero", "isnan", "isinf")
_ROUNDING = ("trunc", "floor", "ceil", "round")
_INTEGER_EXACT = frozenset((*_ARITHMETIC, *_CHOICES, *_PREDICATES, *_ROUNDING))
"""Functions that f32 words compute exactly on integers of up to 24 bits."""
_GROWING = frozenset(("add", "mul", "square", "abs"))
_SUBTRACTING = frozenset(("sub", "rsub", "neg"))


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
        for inner in function.body.block.ops:
            if isinstance(inner, LinkOp) and (post := _post_steps(inner)) != inner.spec.post:
                inner.properties["post"] = StepsAttr(post)
            elif isinstance(inner, ConstantOp) and inner.array.dtype != np.float32:
                inner.properties["value"] = WeightRef.of(_words(inner.array))
        for value in (*function.args, *(value for inner in function.body.block.ops for value in inner.results)):
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


def _words(array: Array) -> Array:
    """An array as words; doubles that are too large become infinite."""
    with np.errstate(all="ignore"):
        return array.astype(np.float32)


def _inexact(constant: ConstantOp) -> list[Diagnostic]:
    array = constant.array
    if array.dtype.kind == "f":
        return []
    with np.errstate(all="ignore"):
        if np.array_equal(_words(array).astype(array.dtype), array):
            return []
    largest = max(abs(int(array.min())), abs(int(array.max())))
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
    limit("scalar functions after a link", machine.limits.post_steps, len(_post_steps(link)))
    limit("tensors read by scalar functions after a link", machine.limits.post_operands, len(link.extras))
    for dim in spec.dims:
        limit(f"indices of a loop of dimension {dim.name}", MOST_INDICES, max(dim.g, dim.op, dim.opc, dim.ks))
    dtype = numpy_dtype_of(element_type_of_value(link.input))
    if dtype.kind != "f":
        inexact = _functions(spec) - _INTEGER_EXACT
        if inexact:
            message = "integer arithmetic that f32 words do not give exactly"
            found.append(_unlike(node, message, sorted(_INTEGER_EXACT), sorted(inexact)))
        overflowing = _functions(spec) & _overflowing(dtype)
        if overflowing:
            message = f"{dtype} arithmetic that wraps around where f32 words do not"
            found.append(_unlike(node, message, sorted(_INTEGER_EXACT - _overflowing(dtype)), sorted(overflowing)))
    return found


def _post_steps(link: LinkOp) -> tuple[Step, ...]:
    """The steps after a link, and the one that stands for its change of type: words keep fractions, integers do not."""
    post = link.spec.post
    source, result = (numpy_dtype_of(element_type_of_value(value)).kind for value in (link.input, link.result))
    folds = any(dim.ks > 1 for dim in link.spec.dims)
    last = post[-1].function if post else link.spec.main if not (folds or link.spec.mid) else ""
    if result == "b" and source != "b" and last not in _PREDICATES:
        return (*post, Step("nonzero"))
    if result in "iu" and source == "f" and last not in (*_PREDICATES, *_ROUNDING):
        return (*post, Step("trunc"))
    return post


def _overflowing(dtype: np.dtype[np.generic]) -> frozenset[str]:
    """Functions that can leave the range of an integer type with operands of up to 24 bits."""
    if dtype.kind == "b":
        return frozenset()
    if dtype.itemsize < 4:
        return _GROWING | _SUBTRACTING
    return _SUBTRACTING if dtype.kind == "u" else frozenset()


def _unlike(node: str, message: str, expected: list[str], found: list[str]) -> Diagnostic:
    return Diagnostic("CAT-U006", message, "encoded", node, expected=", ".join(expected), found=", ".join(found))


def _functions(spec: GConv) -> frozenset[str]:
    """Every scalar function of a link, and that of its reduction."""
    steps = (step.function for step in (*spec.pre, *spec.mid, *spec.post))
    folds = any(dim.ks > 1 for dim in spec.dims)
    return frozenset((spec.main, *steps, *([spec.reduce.value] if folds else [])))
