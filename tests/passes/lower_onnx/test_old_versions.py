"""Every version of every operator with a lowering, from opset 7 on, against ONNX Runtime.

The models are those of ONNX's own operator tests, which are of the newest version, put into the form of an older one:
attributes that it does not have are dropped, inputs that were attributes become attributes again. What ONNX or ONNX
Runtime do not take as that version is left out; what remains must be right, or refused with a reason. The mask of a
Dropout before version 12 is left out: ONNX Runtime makes zeros of it, ONNX's reference ones.
"""

from __future__ import annotations

import functools
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import defs, helper, numpy_helper
from onnx.backend.test.case.test_case import TestCase as OnnxCase

from compiler.importer import import_model
from compiler.onnx_backend.compile_time import compile_time_inputs
from compiler.onnx_runtime import runtime_errors
from dialects.diagnostics import CatenaError, ExitCode
from dialects.gconv.interpreter import Interpreter
from passes.lower_onnx import LOWERINGS
from tests.filechecking import run_passes

OLDEST = 7
NEGATIVE_AXES = 11
"""The opset from which on axes may count from the end."""

CASES = 4
"""So many cases of an operator are tried in every version."""

CONSTANT = {("Compress", "condition")}
"""Inputs that a lowering needs as constants."""

DEVIATING = {"test_maxunpool_export_with_output_shape": "ONNX Runtime reads the indices of the smaller shape"}
"""Cases in which ONNX Runtime does not make what ONNX's own test asks for."""

WITHOUT_CASES = {("GlobalLpPool", 7), ("MaxRoiPool", 7)}
"""Versions of operators that ONNX has no tests of."""

pytestmark = pytest.mark.slow


@functools.cache
def cases() -> Mapping[str, list[OnnxCase]]:
    """The cases of single nodes on arrays, by operator."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collected = collect_testcases()
    found: dict[str, list[OnnxCase]] = defaultdict(list)
    for case in collected:
        if case.model is not None and len(case.model.graph.node) == 1 and not case.model.graph.node[0].domain:
            found[case.model.graph.node[0].op_type].append(case)
    return found


def old_versions() -> Iterator[tuple[str, int]]:
    """Operators with a lowering, and their versions from opset 7 on but for the newest."""
    since: dict[str, list[int]] = defaultdict(list)
    for schema in defs.get_all_schemas_with_history():
        if not schema.domain and not schema.deprecated:
            since[schema.name].append(schema.since_version)
    for op_type in sorted(LOWERINGS):
        versions = sorted(since[op_type])
        # A version from before opset 7 is still the one of opset 7 if none came between.
        current = [version for version in versions if version >= OLDEST]
        before = [version for version in versions if version < OLDEST]
        if before and OLDEST not in current:
            current.insert(0, OLDEST)
        yield from ((op_type, version) for version in current[:-1])


OLD_VERSIONS = tuple(old_versions())


def in_version(case: OnnxCase, version: int) -> tuple[onnx.ModelProto, dict[str, np.ndarray]] | None:
    """The model of a case in the form of an opset, and its inputs; None if it has another kind of values."""
    values = [_array(value) for value in case.data_sets[0][0]]
    if any(value is None for value in values):
        return None
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    (node,) = model.graph.node
    arrays = {value.name: array for value, array in zip(model.graph.input, values, strict=True) if array is not None}
    newest, old = defs.get_schema(node.op_type), defs.get_schema(node.op_type, version, "")
    by_formal = {formal.name: name for formal, name in zip(newest.inputs, node.input, strict=False)}
    known = {name.lower(): name for name in old.attributes}
    for formal, name in by_formal.items():
        attribute = known.get(formal.lower())
        if attribute is not None and name in arrays:
            value = arrays.pop(name).reshape(-1).tolist()
            if formal == "axes" and version < NEGATIVE_AXES and any(axis < 0 for axis in value):
                return None
            if value or formal != "axes":
                node.attribute.append(_attribute(attribute, value, old.attributes[attribute].type.name))
    inputs = _inputs(node, newest, old, by_formal, arrays)
    attributes = [attribute for attribute in node.attribute if attribute.name in old.attributes]
    outputs = list(node.output)[: 1 if (node.op_type, version < 12) == ("Dropout", True) else old.max_output]
    old_node = helper.make_node(node.op_type, inputs, outputs)
    old_node.attribute.extend(attributes)
    model.graph.node[0].CopyFrom(old_node)
    fixed = {*compile_time_inputs(model), *(name for name in inputs if (node.op_type, name) in CONSTANT)}
    fixed.update(name for name in inputs if name.startswith("empty."))
    ports = [value for value in model.graph.input if value.name in inputs and value.name not in fixed]
    graph = helper.make_graph(
        [old_node],
        "old",
        ports,
        [_output(name, case.model) for name in outputs if name],
        [numpy_helper.from_array(arrays[name], name) for name in inputs if name in fixed],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=8)
    return made, {value.name: arrays[value.name] for value in ports}


def _output(name: str, model: onnx.ModelProto) -> onnx.ValueInfoProto:
    """An output; with its type where the shape may be known from the model only."""
    (node,) = model.graph.node
    if LOWERINGS[node.op_type].declared_extents:
        return next(value for value in model.graph.output if value.name == name)
    return helper.make_empty_tensor_value_info(name)


def _array(value: object) -> np.ndarray | None:
    """A value that ONNX Runtime takes, as an array."""
    if isinstance(value, onnx.TensorProto):
        value = numpy_helper.to_array(value)
    if not isinstance(value, np.ndarray) and not np.isscalar(value):
        return None
    array = np.asarray(value)
    return array if array.dtype.kind in "fiub" else None


def _inputs(
    node: onnx.NodeProto,
    newest: defs.OpSchema,
    old: defs.OpSchema,
    by_formal: Mapping[str, str],
    arrays: dict[str, np.ndarray],
) -> list[str]:
    """The inputs of the old version: by formal name if it has the same names, else by position."""
    formals = [formal.name for formal in old.inputs]
    if set(formals) <= {formal.name for formal in newest.inputs} and len(formals) > 1:
        names = [by_formal.get(formal, "") for formal in formals]
    else:
        names = list(node.input)[: old.max_input]
    names = [name if name in arrays else "" for name in names]
    for index, (formal, name) in enumerate(zip(old.inputs, names, strict=False)):
        # What has become optional was an empty tensor.
        if not name and formal.option == defs.OpSchema.FormalParameterOption.Single:
            names[index] = f"empty.{index}"
            arrays[names[index]] = np.zeros(0, np.float32)
    while names and not names[-1]:
        names.pop()
    return names


def _attribute(name: str, value: list[float], kind: str) -> onnx.AttributeProto:
    single = kind in ("INT", "FLOAT")
    return helper.make_attribute(
        name, value[0] if single else value, attr_type=onnx.AttributeProto.AttributeType.Value(kind)
    )


def expected(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """What ONNX Runtime makes of a model, None if it is no model of that version for it or for ONNX."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        # Its Python interface gives words of eight-bit floats as integers.
        if any("float8" in output.type for output in session.get_outputs()):
            return None
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))
    except (onnx.shape_inference.InferenceError, *runtime_errors()):
        return None


def outcome(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> str:
    """`passed`, `refused` or what is wrong."""
    try:
        module = import_model(model)
        run_passes(module, "fold-constants,lower-onnx")
        results = Interpreter(module).run(feeds)
    except CatenaError as error:
        return "refused" if error.exit_code is ExitCode.UNSUPPORTED else f"error: {error.diagnostics[0]}"
    for name, want in wanted.items():
        got = results[name]
        if got.shape != want.shape:
            return f"{name}: shape {got.shape} for {want.shape}"
        tolerance = 1e-2 if want.dtype.name in ("float16", "bfloat16") else 1e-3
        scale = float(np.max(np.abs(want[np.isfinite(want)]), initial=0.0)) if want.dtype.kind == "f" else 0.0
        numbers = got.astype(np.float64), want.astype(np.float64)
        if not np.allclose(*numbers, rtol=tolerance, atol=1e-4 * scale + 1e-6, equal_nan=True):
            return f"{name}: {got.reshape(-1)[:4]} for {want.reshape(-1)[:4]}"
    return "passed"


def test_there_are_old_versions_to_test() -> None:
    assert len(OLD_VERSIONS) > 200


@pytest.mark.parametrize(("op_type", "version"), OLD_VERSIONS)
def test_an_old_version(op_type: str, version: int) -> None:
    outcomes: Counter[str] = Counter()
    for case in cases()[op_type]:
        found = in_version(case, version)
        wanted = None if found is None else expected(*found)
        if found is None or wanted is None or case.name in DEVIATING:
            continue
        outcomes[outcome(*found, wanted)] += 1
        if outcomes.total() == CASES:
            break
    assert set(outcomes) <= {"passed", "refused"}
    if (op_type, version) in WITHOUT_CASES:
        assert not outcomes
    else:
        assert outcomes["passed"]
