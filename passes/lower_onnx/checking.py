"""Which ops of a module cannot be lowered, and why: all of them at once, without lowering anything."""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.dialects.builtin import ModuleOp

from dialects.diagnostics import Diagnostic, did_you_mean
from dialects.onnx import OnnxOp
from passes.lower_onnx.constraints import known_types
from passes.lower_onnx.lowering import NEWEST_OPSET
from passes.lower_onnx.node import Node
from passes.lower_onnx.table import LOWERINGS

STAGE = "gconv"


def unsupported(module: ModuleOp) -> list[Diagnostic]:
    """Everything in the way of lowering a module, in the order of its ops; empty if it can be lowered."""
    problems: list[Diagnostic] = []
    for op in module.walk():
        if isinstance(op, OnnxOp):
            problems += problems_of(op)
    return problems


def problems_of(op: OnnxOp) -> Iterator[Diagnostic]:
    """Why one op cannot be lowered: CAT-U001 (operator), CAT-U005 (version) or CAT-U002 (anything else)."""
    node = Node(op)
    lowering = LOWERINGS.get(op.op_type)
    if lowering is None:
        hint = did_you_mean(op.op_type, LOWERINGS) or "`catena ops` lists the supported operators"
        yield Diagnostic("CAT-U001", f"operator {op.op_type} is not supported", stage=STAGE, node=node.name, hint=hint)
        return
    if op.since_version > NEWEST_OPSET:
        yield Diagnostic(
            "CAT-U005",
            f"operator {op.op_type} is not supported in this version",
            stage=STAGE,
            node=node.name,
            expected=f"a version of opset {NEWEST_OPSET} or older",
            found=f"version {op.since_version}",
            hint="convert the model to an older opset",
        )
        return
    for rule in (known_types, *lowering.constraints):
        found = rule.violation(node)
        if found is not None:
            yield Diagnostic(
                "CAT-U002",
                f"operator {op.op_type} is not supported like this",
                stage=STAGE,
                node=node.name,
                expected=rule.doc,
                found=found,
                hint=rule.hint,
            )
            if rule is known_types:
                return
    for index, result in enumerate(op.results[lowering.results :], lowering.results):
        if result.uses.get_length():
            yield Diagnostic(
                "CAT-U002",
                f"operator {op.op_type} is not supported like this",
                stage=STAGE,
                node=node.name,
                expected=f"no use of its results after the first {lowering.results}",
                found=f"output {op.output_names[index]!r} is used",
            )
