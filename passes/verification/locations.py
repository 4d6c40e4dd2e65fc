"""Every op of a function body names the ONNX node or tensor it came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation
from xdsl.traits import IsTerminator

from dialects.locations import names_a_node
from passes.verification.problems import Problem


def location_problems(ops: Iterable[Operation]) -> Iterator[Problem]:
    """One problem for each op in the body of a function of `ops` that names no ONNX node; terminators need none.

    An op inside another op's region may leave its location to the op around it.
    """
    for function in ops:
        # Comparing names is much cheaper than isinstance, and most ops are no functions.
        if function.name == FuncOp.name and isinstance(function, FuncOp):
            for block in function.body.blocks:
                for op in block.ops:
                    if not names_a_node(op.location) and not op.has_trait(IsTerminator):
                        yield Problem(
                            op,
                            "CAT-R002",
                            "the op does not say which ONNX node it came from",
                            expected='a location such as loc("conv1")',
                            found="no node name",
                        )
