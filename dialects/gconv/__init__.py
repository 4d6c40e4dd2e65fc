"""The GCONV chain: every layer of a network as a general convolution.

`spec` is the general convolution as data, `interpreter` its vectorised meaning, `loop_nest` the literal definition,
`view` the algebra of strided views, `indexed` that of views at computed addresses, `scalar` the functions,
`attributes`, `ops` and `indexed_ops` the IR. `fused`, groups of links, and `dialect` are imported by themselves: they
know of schedules, which know of loops.
"""

from dialects.gconv.attributes import NestAttr, ReduceAttr, ScalarAttr, StepsAttr, StridedAttr, Zeros, ZerosAttr
from dialects.gconv.indexed import IndexedView
from dialects.gconv.indexed_ops import AddressingAttr, IndexedOp, ScatterOp
from dialects.gconv.ops import ConcatOp, LinkOp, ViewOp, element_type_of_value, gconv_of, shape_of
from dialects.gconv.spec import PASS, Dim, GConv, LoopKind, Reduce, Step, cast_of, cast_to
from dialects.gconv.view import View, row_major

__all__ = [
    "PASS",
    "AddressingAttr",
    "ConcatOp",
    "Dim",
    "GConv",
    "IndexedOp",
    "IndexedView",
    "LinkOp",
    "LoopKind",
    "NestAttr",
    "Reduce",
    "ReduceAttr",
    "ScalarAttr",
    "ScatterOp",
    "Step",
    "StepsAttr",
    "StridedAttr",
    "View",
    "ViewOp",
    "Zeros",
    "ZerosAttr",
    "cast_of",
    "cast_to",
    "element_type_of_value",
    "gconv_of",
    "row_major",
    "shape_of",
]
