"""ONNX's own operator tests (`onnx.backend.test`): every data set of every operator that can be lowered.

Inputs after the first are tried as model inputs, then as constants. What a data set of a supported operator cannot
pass is listed here with its reason, so that a new failure, or one that has gone, is noticed.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.case.test_case import TestCase as OnnxCase

from compiler.importer import import_model
from dialects.diagnostics import CatenaError
from dialects.gconv.interpreter import Interpreter
from passes.lower_onnx import LOWERINGS
from passes.verification import verify_module
from tests.filechecking import run_passes

FOLDED = {"Constant", "ConstantOfShape", "EyeLike", "Range", "Shape", "Size"}
"""Operators that vanish by constant folding."""

DEVIATING = {
    "test_resize_downsample_scales_linear_align_corners": "extents as ONNX Runtime rounds them",
    "test_resize_downsample_scales_cubic_align_corners": "extents as ONNX Runtime rounds them",
}
REFUSED = {
    "test_batchnorm_example_training_mode": "training",
    "test_batchnorm_epsilon_training_mode": "training",
    "test_training_dropout_default": "training",
    "test_training_dropout_default_mask": "training",
    "test_training_dropout": "training",
    "test_training_dropout_mask": "training",
    "test_training_dropout_zero_ratio": "training",
    "test_training_dropout_zero_ratio_mask": "training",
    "test_equal_string": "strings",
    "test_equal_string_broadcast": "strings",
    **dict.fromkeys(
        (
            *(
                f"test_reduce_{name}_empty_set"
                for name in ["l1", "l2", "log_sum", "log_sum_exp", "max", "min", "prod", "sum", "sum_square"]
            ),
            "test_reduce_max_empty_set_bool",
            "test_reduce_sum_empty_set_non_reduced_axis_zero",
            "test_reshape_allowzero_reordered",
            "test_slice_start_out_of_bounds",
            "test_split_zero_size_splits_opset13",
            "test_split_zero_size_splits_opset18",
            "test_tril_zero",
            "test_triu_zero",
        ),
        "tensors without elements",
    ),
}

pytestmark = pytest.mark.slow


def operators_of(case: OnnxCase) -> set[str]:
    return {node.op_type for node in case.model.graph.node}


@pytest.fixture(scope="module")
def cases() -> list[OnnxCase]:
    """The data sets whose inputs and outputs are all arrays."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collected = collect_testcases()
    return [case for case in collected if case.model is not None and all(map(is_array, values_of(case)))]


def values_of(case: OnnxCase) -> Sequence[object]:
    return [value for group in case.data_sets[0] for value in group]


def is_array(value: object) -> bool:
    return isinstance(value, np.ndarray) or np.isscalar(value)


def with_constants(model: onnx.ModelProto, constants: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """The model with some of its inputs as initializers."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    kept = [value for value in model.graph.input if value.name not in constants]
    del changed.graph.input[:]
    changed.graph.input.extend(kept)
    changed.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    return changed


def run_case(case: OnnxCase) -> CatenaError | None:
    """Check a data set; the error if it is refused with and without constant inputs."""
    inputs, outputs = case.data_sets[0]
    arrays = {value.name: np.asarray(array) for value, array in zip(case.model.graph.input, inputs, strict=True)}
    refusal = None
    for fixed in ((), tuple(arrays)[1:]):
        feeds = {name: array for name, array in arrays.items() if name not in fixed}
        try:
            module = import_model(
                with_constants(case.model, {name: arrays[name] for name in fixed}),
                input_shapes={name: array.shape for name, array in feeds.items()},
            )
            run_passes(module, "fold-constants,lower-onnx")
        except CatenaError as error:
            refusal = error
            continue
        verify_module(module)
        results = Interpreter(module).run(feeds)
        for value, want in zip(case.model.graph.output, map(np.asarray, outputs), strict=True):
            compare(results[value.name], want, case)
        return None
    return refusal


def compare(got: np.ndarray, want: np.ndarray, case: OnnxCase) -> None:
    half = want.dtype.name in ("float16", "bfloat16")
    np.testing.assert_equal(got.shape, want.shape)
    assert got.dtype == want.dtype or (
        got.dtype == np.float32 and want.dtype.name in ("float16", "bfloat16", "float64")
    )
    rtol = max(case.rtol, 1e-2 if half else 1e-3)
    np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), rtol, 1e-5)


def outcome(case: OnnxCase) -> str:
    try:
        refusal = run_case(case)
    except AssertionError:
        return "deviates"
    return "passes" if refusal is None else "refused"


def expectation(name: str) -> str:
    return "deviates" if name in DEVIATING else "refused" if name in REFUSED else "passes"


@pytest.mark.parametrize("op_type", sorted(LOWERINGS))
def test_data_sets_of_one_operator(cases: list[OnnxCase], op_type: str) -> None:
    own = {case.name: case for case in cases if operators_of(case) == {op_type} and len(case.model.graph.node) == 1}
    found = {name: outcome(case) for name, case in own.items()}
    assert found == {name: expectation(name) for name in own}


def test_counts(cases: list[OnnxCase]) -> None:
    own = {case.name for case in cases if len(case.model.graph.node) == 1 and operators_of(case) <= set(LOWERINGS)}
    counts = Counter(map(expectation, own))
    assert counts["passes"] >= 700
    assert counts["refused"] + counts["deviates"] <= 40


def test_data_sets_of_functions_expanded_to_several_operators(cases: list[OnnxCase]) -> None:
    expanded = [
        case for case in cases if len(case.model.graph.node) > 1 and operators_of(case) <= set(LOWERINGS) | FOLDED
    ]
    outcomes = [(outcome(case), case.name) for case in expanded]
    assert not [name for result, name in outcomes if result == "deviates"]
    assert sum(result == "passes" for result, _ in outcomes) >= 300
    # Windows of run-time length, and splits into parts without elements.
    refused = [name for result, name in outcomes if result == "refused"]
    assert all("window" in name or "rotary" in name or "empty" in name or "kernel_size_one" in name for name in refused)
