"""The gconv dialect: its ops and attributes."""

from __future__ import annotations

from xdsl.ir import Dialect

from dialects.gconv.attributes import NestAttr, ReduceAttr, ScalarAttr, StepsAttr, StridedAttr, ZerosAttr
from dialects.gconv.fused import FusedOp, YieldOp
from dialects.gconv.indexed_ops import AddressingAttr, IndexedOp, ScatterOp
from dialects.gconv.ops import ConcatOp, LinkOp, ViewOp

GCONV = Dialect(
    "gconv",
    [LinkOp, ViewOp, ConcatOp, IndexedOp, ScatterOp, FusedOp, YieldOp],
    [NestAttr, StepsAttr, ScalarAttr, ReduceAttr, StridedAttr, AddressingAttr, ZerosAttr],
)
