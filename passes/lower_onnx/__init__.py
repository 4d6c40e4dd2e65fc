"""The pass lower-onnx: ONNX ops into the GCONV chain, one file for every family of operators.

`lowering` is how an operator is declared, `table` lists them all, `checking` says what is not supported,
`chain` builds the links, `tensor` keeps views until a link needs them.
"""

from passes.lower_onnx.checking import unsupported
from passes.lower_onnx.lowering import NEWEST_OPSET, Constraint, Lowering
from passes.lower_onnx.lowering_pass import LowerOnnxPass
from passes.lower_onnx.table import FAMILIES, LOWERINGS

__all__ = ["FAMILIES", "LOWERINGS", "NEWEST_OPSET", "Constraint", "LowerOnnxPass", "Lowering", "unsupported"]
