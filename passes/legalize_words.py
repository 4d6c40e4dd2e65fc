"""Pass `legalize-words`: every tensor in a type of the machine's words; what the machine cannot express is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FunctionType, ModuleOp, StringAttr, f32
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, SSAValue
from xdsl.passes import ModulePass

from dialects.accelerator import Accelerator
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.dtypes import NARROW_DTYPES
from dialects.element_types import numpy_dtype_of, tensor_type
from dialects.gconv import LinkOp, Step, cast_of, element_type_of_value, shape_of
from dialects.gconv.interpreter import main_function
from dialects.gconv.scalar import Array
from dialects.locations import describe
from dialects.target import require_machine
from dialects.weights import ConstantOp, WeightRef

MOST_DIMENSIONS = 15
MOST_INDICES = (1 << 24) - 1
_CARRIED_AS_F32 = ("float16", "float64")


class LegalizeWordsPass(ModulePass):
    """Carry floats of other widths as f32, keep integers, booleans and narrow types, and refuse what does not fit.

    A link is refused if it has more dimensions, indices, post steps or operands than the machine takes, if it computes
    in a type that is not in the machine's `arithmetic`, and if a number of it would be rounded by the f32 fields of
    instructions where integers are computed. Function arguments and results remember the type that the user sees in
    `onnx.dtype`.
    """

    name = "legalize-words"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite @main. Raises `CatenaError` (CAT-U006) with everything that the machine cannot express."""
        machine = require_machine(op, "encoded")
        function = main_function(op)
        problems = [
            problem
            for link in function.walk()
            if isinstance(link, LinkOp)
            for problem in (*_limits(link, machine), *_types(link, machine), *_numbers(link))
        ]
        if problems:
            raise CatenaError(problems)
        _remember_types(function)
        for inner in function.walk():
            if isinstance(inner, ConstantOp) and inner.array.dtype.name in _CARRIED_AS_F32:
                inner.properties["value"] = WeightRef.of(_words(inner.array))
            elif isinstance(inner, LinkOp) and inner.acc is not None and numpy_dtype_of(inner.acc).kind == "f":
                inner.properties["acc"] = f32
        for inner in function.walk():
            for value in (*inner.results, *(argument for region in inner.regions for argument in region.block.args)):
                _retype(value)
        last = function.body.block.last_op
        assert last is not None
        types = FunctionType.from_lists(
            [value.type for value in function.args], [value.type for value in last.operands]
        )
        function.properties["function_type"] = types


def _retype(value: SSAValue) -> None:
    if _dtype(value).name in _CARRIED_AS_F32:
        value._type = tensor_type(f32, shape_of(value))  # pyright: ignore[reportPrivateUsage]


def _dtype(value: SSAValue) -> np.dtype[np.generic]:
    return numpy_dtype_of(element_type_of_value(value))


def _remember_types(function: FuncOp) -> None:
    """Note the types of arguments and results that are about to change, unless an earlier note says them."""
    last = function.body.block.last_op
    assert last is not None
    for key, values in (("arg_attrs", function.args), ("res_attrs", last.operands)):
        given = cast("ArrayAttr[DictionaryAttr] | None", function.properties.get(key))
        entries = [DictionaryAttr({}) for _ in values] if given is None else list(given)
        updated: list[Attribute] = []
        for entry, value in zip(entries, values, strict=True):
            changed = _dtype(value).name in _CARRIED_AS_F32 and "onnx.dtype" not in entry.data
            note = {"onnx.dtype": StringAttr(_dtype(value).name)} if changed else {}
            updated.append(DictionaryAttr({**entry.data, **note}))
        function.properties[key] = ArrayAttr(updated)


def _words(array: Array) -> Array:
    """An array as f32 words; doubles that are too large become infinite."""
    with np.errstate(all="ignore"):
        return array.astype(np.float32)


def _limits(link: LinkOp, machine: Accelerator) -> Iterator[Diagnostic]:
    """Sizes beyond what the machine takes."""
    spec = link.spec
    sizes = [
        ("dimensions of a link", MOST_DIMENSIONS, len(spec.dims)),
        ("scalar functions before a link", machine.limits.pre_steps, len(spec.pre)),
        ("scalar functions within a link", machine.limits.mid_steps, len(spec.mid)),
        ("scalar functions after a link", machine.limits.post_steps, len(spec.post)),
        ("tensors read by scalar functions after a link", machine.limits.post_operands, len(link.extras)),
    ]
    for dim in spec.dims:
        largest = max(dim.g, dim.op, dim.opc, dim.ks)
        sizes.append((f"indices of a loop of dimension {dim.name}", MOST_INDICES, largest))
    for what, most, size in sizes:
        if size > most:
            yield Diagnostic("CAT-U006", what, "encoded", describe(link), expected=f"at most {most}", found=str(size))


def _types(link: LinkOp, machine: Accelerator) -> Iterator[Diagnostic]:
    """Types that the machine does not compute in. What is only stored, moved or cast may be narrower."""
    wanted = {str(_carried(kind)) for kind in _computing_types(link)}
    missing = sorted(wanted - set(machine.arithmetic))
    if missing:
        yield Diagnostic(
            "CAT-U006",
            "a type that the machine does not compute in",
            "encoded",
            describe(link),
            expected=", ".join(machine.arithmetic),
            found=", ".join(missing),
            hint="let the target's arithmetic have it, or quantize the model to a type that is there",
        )


def _computing_types(link: LinkOp) -> Iterator[Attribute]:
    """The element types that a link computes in; a narrow input that is only moved counts for nothing."""
    spec = link.spec
    computes = spec.pre or spec.mid or spec.post or link.kernel is not None or any(dim.ks > 1 for dim in spec.dims)
    source = element_type_of_value(link.input)
    if computes or numpy_dtype_of(source).name not in NARROW_DTYPES:
        yield source if link.acc is None else link.acc


def _carried(element_type: Attribute) -> Attribute:
    return f32 if numpy_dtype_of(element_type).name in _CARRIED_AS_F32 else element_type


def _numbers(link: LinkOp) -> Iterator[Diagnostic]:
    """Numbers that f32 fields of instructions would round, where the link computes in integers."""
    spec = link.spec
    source = _dtype(link.input)
    acc = source if spec.acc is None else np.dtype(spec.acc)
    inexact = [*_rounded(spec.pre, source), *_rounded(spec.mid, acc), *_rounded(spec.post, acc)]
    if source.kind in "iu" and spec.pad_value is not None and not _is_f32(spec.pad_value):
        inexact.append(spec.pad_value)
    if inexact:
        yield Diagnostic(
            "CAT-U006",
            "an integer that the f32 fields of instructions do not hold exactly",
            "encoded",
            describe(link),
            expected=f"integers up to {1 << 24}, or multiples of powers of two",
            found=", ".join(f"{number:.0f}" for number in inexact),
        )


def _rounded(steps: Sequence[Step], dtype: np.dtype[np.generic]) -> Iterator[float]:
    """The parameters that would be rounded of steps on values that begin as `dtype`."""
    for step in steps:
        if dtype.kind in "iu":
            yield from (parameter for parameter in step.parameters if not _is_f32(parameter))
        result = cast_of(step)
        dtype = dtype if result is None else np.dtype(result)


def _is_f32(number: float) -> bool:
    return not math.isfinite(number) or float(np.float32(number)) == number
