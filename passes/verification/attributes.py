"""Discardable attributes: xDSL accepts any name, so a misspelt one would go unseen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Operation

from dialects.diagnostics import did_you_mean
from dialects.module_attributes import MODULE_ATTRIBUTES
from passes.verification.problems import Problem

PORT_PREFIX = "onnx."
"""Arguments and results of a function may carry attributes whose names start with this."""


def attribute_problems(ops: Iterable[Operation]) -> Iterator[Problem]:
    """One problem for each discardable attribute of an op that nobody declares."""
    for op in ops:
        if op.attributes:
            yield from _op_problems(op)
        # Comparing names is much cheaper than isinstance, and most ops are neither.
        if op.name == FuncOp.name and isinstance(op, FuncOp):
            for role, ports in (("argument", op.arg_attrs), ("result", op.res_attrs)):
                yield from _port_problems(op, role, ports)


def _op_problems(op: Operation) -> Iterator[Problem]:
    declared = MODULE_ATTRIBUTES if isinstance(op, ModuleOp) else {}
    for name, value in op.attributes.items():
        if name not in declared:
            yield _unknown(op, name, [*declared, *_inherent(op)])
        elif not isinstance(value, StringAttr) or not declared[name].allows(value.data):
            yield Problem(op, "CAT-R002", f"attribute {name!r} has a wrong value", found=str(value))


def _port_problems(op: FuncOp, role: str, ports: Attribute | None) -> Iterator[Problem]:
    if not isinstance(ports, ArrayAttr):
        return
    for index, port in enumerate(cast("ArrayAttr[Attribute]", ports)):
        for name in port.data if isinstance(port, DictionaryAttr) else ():
            if not name.startswith(PORT_PREFIX):
                yield Problem(op, "CAT-R002", f"{role} {index} has the unknown attribute {name!r}")


def _unknown(op: Operation, name: str, declared: list[str]) -> Problem:
    return Problem(op, "CAT-R002", f"unknown attribute {name!r}", hint=did_you_mean(name, declared))


def _inherent(op: Operation) -> list[str]:
    definition = getattr(type(op), "get_irdl_definition", None)
    return list(definition().properties) if definition is not None else list(op.properties)
