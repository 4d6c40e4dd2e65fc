"""Every op of a function body names the ONNX node or tensor it came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation
from xdsl.traits import IsTerminator

from dialects.locations import names_a_node
from passes.verification.problems import Problem


def location_problems(ops: Iterable[Operation]) -> Iterator[Problem]:
    """One problem for each of `ops` in the body of a function that names no ONNX node; terminators need none.

    An op inside another op's region may leave its location to the op around it.
    """
    for op in ops:
        if not names_a_node(op.location) and isinstance(op.parent_op(), FuncOp) and not op.has_trait(IsTerminator):
            yield Problem(
                op,
                "CAT-R002",
                "the op does not say which ONNX node it came from",
                expected='a location such as loc("conv1")',
                found="no node name",
            )
