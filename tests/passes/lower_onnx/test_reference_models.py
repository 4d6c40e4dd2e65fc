"""The chains of whole networks against stored outputs, where the folder of reference models is beside the checkout."""

from __future__ import annotations

import pytest

from compiler.importer import import_model
from dialects.diagnostics import CatenaError
from dialects.gconv.interpreter import Interpreter
from passes.verification import verify_module
from tests.filechecking import run_passes
from tests.reference_models import (
    by_size,
    reference_cases,
    reference_index,
    reference_shapes,
    reference_source,
    reference_tolerance,
    relative_errors,
)

QUANTIZED = {"mnist_quantized", "of_kws", "qat_mnv4s", "ort_qdq_multi"}
"""Compared in units of the last place instead, `tests/end_to_end/test_reference_models.py`."""
LOOSER = {
    "squeezenet_fp16": 5e-3,  # the reference rounds every tensor to float16
}

pytestmark = [
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.skipif(not reference_index(), reason="no reference models"),
]


def ids() -> list[str]:
    """The models with references in floats; a stand-in where the folder is missing."""
    entries = reference_index().items()
    return [name for name, entry in entries if entry.get("reference") and name not in QUANTIZED] or ["none"]


@pytest.mark.parametrize("name", by_size(ids()))
def test_outputs_match_the_reference(name: str) -> None:
    module = import_model(reference_source(name), input_shapes=reference_shapes(name))
    run_passes(module, "fold-constants,lower-onnx")
    verify_module(module)
    interpreter = Interpreter(module)
    for inputs, expected in reference_cases(name):
        found = interpreter.run(inputs)
        assert {output: found[output].shape for output in expected} == {o: a.shape for o, a in expected.items()}
        for output, error in relative_errors(found, expected).items():
            assert error <= LOOSER.get(name, reference_tolerance(name)), (output, error)


@pytest.mark.parametrize("name", [name for name, each in reference_index().items() if each["tier"] == "X"] or ["none"])
def test_models_with_foreign_operators_are_refused_at_import(name: str) -> None:
    with pytest.raises(CatenaError) as caught:
        import_model(reference_source(name))
    assert {problem.code for problem in caught.value.diagnostics} <= {"CAT-U001", "CAT-U003"}
