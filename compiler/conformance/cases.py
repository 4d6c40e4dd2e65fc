"""The cases of ONNX's own conformance suite, and those that are not asked of Catena."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests
from onnx.numpy_helper import to_array

from compiler.conformance import exclusions
from compiler.conformance.results import EXPANDED, NODE

KINDS = (NODE, "simple", "pytorch-converted", "pytorch-operator")
"""The groups of cases whose models and data are in the distribution of ONNX; the others are downloaded."""


@dataclass(frozen=True)
class Case:
    """One case: its name without `test_`, the operator it is about ("" for a model), and why it is excluded, if so."""

    name: str
    kind: str
    operator: str
    excluded: str = ""


@functools.cache
def conformance_cases() -> tuple[Case, ...]:
    """Every case, sorted by name. Making the data of the node cases takes some seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [case for kind in KINDS for case in load_model_tests(kind=kind)]
    operators = {case.name: _operator_of(_model_of(case)) for case in found if case.kind == NODE}
    made = (
        Case(
            case.name.removeprefix("test_"),
            case.kind,
            operators.get(EXPANDED.sub("", case.name), operators.get(case.name, "")),
            exclusion_of(_model_of(case), [] if case.data_sets is None else [each[0] for each in case.data_sets]),
        )
        for case in found
    )
    return tuple(sorted(made, key=lambda case: case.name))


def _model_of(case: TestCase) -> onnx.ModelProto:
    if case.model is not None:
        return case.model
    assert case.model_dir is not None, f"{case.name} has no model"
    return onnx.load(Path(case.model_dir) / "model.onnx")


def _operator_of(model: onnx.ModelProto) -> str:
    """The operator that a model is a test of: that of its last node, which earlier ones only make inputs for."""
    node = model.graph.node[-1]
    return f"{node.domain}.{node.op_type}" if node.domain else node.op_type


def exclusion_of(model: onnx.ModelProto, data_sets: Sequence[Sequence[object]] = ()) -> str:
    """Why a case with this model is excluded, "" if it counts; `data_sets` are the inputs it is run on."""
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.WhichOneof("value")
        is_string = value.type.tensor_type.elem_type == onnx.TensorProto.STRING
        reason = exclusions.TYPES.get("string" if is_string else str(kind))
        if reason is not None:
            return reason
    for node in nodes_of(model.graph.node):
        if node.op_type in exclusions.OPERATORS:
            return exclusions.OPERATORS[node.op_type]
    return exclusions.TRAINING if any(_trains(model, inputs) for inputs in data_sets or [()]) else ""


def nodes_of(nodes: Sequence[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Nodes, and those of the graphs in their attributes."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from nodes_of(graph.node)


def _trains(model: onnx.ModelProto, inputs: Sequence[object]) -> bool:
    """Whether a node is in training mode: BatchNormalization by an attribute, Dropout by an input."""
    names = [value.name for value in model.graph.input]
    values = dict(zip(names, inputs, strict=False))
    values.update((tensor.name, tensor) for tensor in model.graph.initializer)
    for node in nodes_of(model.graph.node):
        if any(each.name == "training_mode" and each.i for each in node.attribute):
            return True
        if node.op_type == "Dropout" and len(node.input) > 2:
            mode = values.get(node.input[2])
            if bool(to_array(mode) if isinstance(mode, onnx.TensorProto) else mode):
                return True
    return False
