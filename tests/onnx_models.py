"""Small ONNX models for tests, and the way back: an imported module as an ONNX model that other tools can run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from xdsl.dialects.builtin import ModuleOp, NoneType
from xdsl.dialects.func import FuncOp, ReturnOp

from dialects.onnx import NoValueOp, OnnxOp
from dialects.onnx.translation import node_proto, value_type_of
from dialects.weights import ConstantOp


def onnx_node(op_type: str, inputs: str, outputs: str, name: str | None = None, **attributes: Any) -> onnx.NodeProto:
    """A node; inputs and outputs are separated by blanks, `-` is one that is left out."""
    names = [["" if word == "-" else word for word in words.split()] for words in (inputs, outputs)]
    return helper.make_node(op_type, *names, name=words_of(outputs) if name is None else name, **attributes)


def words_of(outputs: str) -> str:
    """The default name of a node: made from its first output."""
    return f"make {outputs.split()[0]}"


def onnx_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str | None] | None],
    outputs: str,
    constants: Mapping[str, Any] | None = None,
    *,
    opset: int = 13,
    element_type: int = TensorProto.FLOAT,
    functions: Sequence[onnx.FunctionProto] = (),
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """A model; output types are left open, constants become initializers."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(name, element_type, shape) for name, shape in inputs.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs.split()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, functions=functions, ir_version=8)


def main_function(module: ModuleOp) -> FuncOp:
    """The only function of an imported module."""
    (function,) = module.ops
    assert isinstance(function, FuncOp)
    return function


def onnx_ops(module: ModuleOp) -> list[OnnxOp]:
    """The ONNX ops of a module, in order."""
    return [op for op in module.walk() if isinstance(op, OnnxOp)]


def returned_arrays(module: ModuleOp) -> list[np.ndarray]:
    """The results of a module whose results are all constants."""
    function_return = main_function(module).get_return_op()
    assert isinstance(function_return, ReturnOp)
    arrays = []
    for value in function_return.arguments:
        assert isinstance(value.owner, ConstantOp)
        arrays.append(value.owner.array)
    return arrays


def exported_model(module: ModuleOp, opset: int) -> onnx.ModelProto:
    """An imported module as an ONNX model of the opset it came from; tensors are named `t0`, `t1` and so on."""
    function = main_function(module)
    names = {argument: f"t{index}" for index, argument in enumerate(function.args)}
    nodes: list[onnx.NodeProto] = []
    tensors: list[onnx.TensorProto] = []
    for op in function.body.block.ops:
        for result in op.results:
            names[result] = "" if isinstance(result.type, NoneType) else f"t{len(names)}"
        if isinstance(op, ConstantOp):
            tensors.append(numpy_helper.from_array(op.array, names[op.result]))
        elif isinstance(op, OnnxOp):
            node = node_proto(op)
            del node.input[:], node.output[:]
            node.input.extend(names[operand] for operand in op.operands)
            node.output.extend(names[result] for result in op.results)
            nodes.append(node)
        else:
            assert isinstance(op, NoValueOp | ReturnOp), op
    function_return = function.get_return_op()
    assert function_return is not None
    for index, value in enumerate(function_return.arguments):
        nodes.append(helper.make_node("Identity", [names[value]], [f"result{index}"]))
    graph = helper.make_graph(
        nodes,
        "exported",
        [_value_info(names[argument], argument.type) for argument in function.args],
        [_value_info(f"result{index}", value.type) for index, value in enumerate(function_return.arguments)],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _value_info(name: str, kind: Any) -> onnx.ValueInfoProto:
    known = value_type_of(kind)
    assert known is not None
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(known.dtype), known.shape)
