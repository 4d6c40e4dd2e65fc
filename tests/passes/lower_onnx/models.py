"""Tiny ONNX models, lowered and compared with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper
from xdsl.dialects.builtin import ModuleOp

from compiler.importer import import_model
from dialects.gconv import ConcatOp, LinkOp
from dialects.gconv.interpreter import Interpreter
from passes.verification import verify_module
from tests.filechecking import run_passes

Arrays = Mapping[str, np.ndarray]


def one_node(
    op_type: str,
    inputs: Arrays,
    constants: Arrays | None = None,
    *,
    opset: int = 17,
    outputs: int = 1,
    order: Sequence[str] | None = None,
    **attributes: object,
) -> onnx.ModelProto:
    """A model of one node. `order` are its inputs, '' for one left out; by default `inputs`, then `constants`."""
    constants = constants or {}
    names = [f"y{index}" for index in range(outputs)]
    node = helper.make_node(
        op_type, list(order if order is not None else [*inputs, *constants]), names, name="node", **attributes
    )
    return model_of([node], inputs, constants, names, opset)


def model_of(
    nodes: Sequence[onnx.NodeProto], inputs: Arrays, constants: Arrays, outputs: Sequence[str], opset: int = 17
) -> onnx.ModelProto:
    """A model of several nodes; the types of its outputs are inferred."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in inputs.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def lower(model: onnx.ModelProto) -> ModuleOp:
    """The verified chain of a model."""
    module = import_model(model)
    run_passes(module, "fold-constants,lower-onnx")
    verify_module(module)
    return module


def links_in(module: ModuleOp) -> list[LinkOp]:
    return [op for op in module.walk() if isinstance(op, LinkOp)]


def concats_in(module: ModuleOp) -> list[ConcatOp]:
    return [op for op in module.walk() if isinstance(op, ConcatOp)]


def check(
    model: onnx.ModelProto, feeds: Arrays, *, links: int | None = None, rtol: float = 1e-4, atol: float = 1e-5
) -> ModuleOp:
    """Lower a model, run it and ONNX Runtime, compare all outputs; `links` is how many links there must be."""
    import onnxruntime

    feeds = {name: np.asarray(array) for name, array in feeds.items()}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in model.graph.output]
    return check_values(model, feeds, dict(zip(names, session.run(names, feeds), strict=True)), links, rtol, atol)


def check_values(
    model: onnx.ModelProto,
    feeds: Arrays,
    expected: Arrays,
    links: int | None = None,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> ModuleOp:
    """Lower a model, run it and compare all outputs with given ones."""
    module = lower(model)
    if links is not None:
        assert len(links_in(module)) == links, str(module)
    results = Interpreter(module).run(feeds)
    assert set(results) == set(expected)
    for name, want in expected.items():
        got = results[name]
        assert got.shape == want.shape
        assert got.dtype == (np.float32 if want.dtype == np.float64 else want.dtype)
        np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=name)
    return module


def seven_bits(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Kernels for uint8 inputs: without VNNI, ONNX Runtime adds two products in 16 bits, and larger ones saturate."""
    return random.integers(-64, 63, shape, np.int8, endpoint=True)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Standard normal f32 values."""
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), np.float32)


def integers(*values: int) -> np.ndarray:
    """An i64 vector."""
    return np.array(values, np.int64)
