"""Whole networks: imported, printed, read back, and run again by ONNX Runtime with the same results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from compiler.importer import import_model
from dialects.diagnostics import CatenaError
from dialects.weights import bind_weights, save_weights
from passes.fold_constants import FoldConstantsPass
from passes.verification import verify_module
from tests.filechecking import new_ir_context, parse_module, print_module
from tests.onnx_models import exported_model, main_function
from tests.reference_models import by_size, reference_cases, reference_index, reference_shapes, reference_source

REFUSED = {"fns_candy": "CAT-U001", "espcn_quant_subpixel": "CAT-U003"}
HEAVY = {"light_bvlc_alexnet", "light_vgg19", "light_zfnet512", "light_resnet50"}
"""More than 100 MB of weights: imported without them, not run."""

pytestmark = [pytest.mark.models, pytest.mark.skipif(not reference_index(), reason="no reference models")]


def model_names() -> list[str]:
    return [name for name in reference_index() if name not in REFUSED] or ["none"]


def assert_text_is_stable(source: Path | onnx.ModelProto, shapes: dict[str, list[int]], folder: Path) -> None:
    module = import_model(source, input_shapes=shapes)
    verify_module(module, stage="import")
    text = print_module(module)
    again = parse_module(text)
    verify_module(again, stage="import")
    assert print_module(again) == text
    save_weights(module, folder)
    bind_weights(again, folder)
    FoldConstantsPass().apply(new_ir_context(), again)
    assert print_module(again) == text


@pytest.mark.slow
@pytest.mark.parametrize("name", by_size(model_names(), HEAVY - {"light_resnet50"}))
def test_the_text_of_every_model_is_stable(name: str, tmp_path: Path) -> None:
    """Byte-identical after parsing, and nothing is left to fold."""
    assert_text_is_stable(reference_source(name, filled=name not in HEAVY), reference_shapes(name), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", by_size(name for name in model_names() if name not in HEAVY))
def test_the_imported_model_computes_the_same(name: str) -> None:
    """float16 is widened, so that model is compared with less precision."""
    runtime = pytest.importorskip("onnxruntime")
    source = reference_source(name)
    module = import_model(source, input_shapes=reference_shapes(name))
    opset = reference_index()[name]["opset"]["ai.onnx"]
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    content = exported_model(module, opset).SerializeToString()
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    arguments = main_function(module).arg_attrs
    assert arguments is not None
    names = [port.data["onnx.name"].data for port in arguments]  # pyright: ignore[reportAttributeAccessIssue]
    tolerance = 5e-3 if name == "squeezenet_fp16" else 1e-5
    for feeds, expected in reference_cases(name):
        arrays = {f"t{index}": _single(feeds[each]) for index, each in enumerate(names)}
        for found, wanted in zip(session.run(None, arrays), expected.values(), strict=True):
            assert found.shape == wanted.shape
            scale = np.abs(wanted.astype(np.float64)).max(initial=0) + 1e-12
            assert np.abs(found.astype(np.float64) - wanted).max(initial=0) <= tolerance * scale


def _single(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == np.float16 else array


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_models_name_every_node(name: str) -> None:
    with pytest.raises(CatenaError) as caught:
        import_model(reference_source(name))
    assert {problem.code for problem in caught.value.diagnostics} == {REFUSED[name]}
    assert len(caught.value.diagnostics) > 1
    assert all(problem.node and problem.hint for problem in caught.value.diagnostics)


def test_a_skeleton_without_its_weights() -> None:
    with pytest.raises(CatenaError) as caught:
        import_model(reference_source("topo_resnet18", filled=False))
    assert {problem.code for problem in caught.value.diagnostics} == {"CAT-M004"}


def test_dynamic_models_say_what_they_need() -> None:
    with pytest.raises(CatenaError) as caught:
        import_model(reference_source("ppocr_cls"))
    (problem,) = caught.value.diagnostics
    assert problem.code == "CAT-M002"
    assert problem.hint.startswith("give it: --input-shape 'x:1,3,<p2o.DynamicDimension.1>,")
