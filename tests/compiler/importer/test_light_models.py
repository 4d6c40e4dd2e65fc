"""The topologies that the onnx package carries: their weights are constants made by nodes."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from compiler.importer import import_model
from passes.verification import verify_module
from tests.filechecking import parse_module, print_module
from tests.onnx_models import onnx_ops

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
USUAL = {"light_squeezenet", "light_shufflenet", "light_inception_v1", "light_resnet50"}


def light_models() -> list[object]:
    return [
        pytest.param(path, id=path.stem, marks=[pytest.mark.exhaustive] * (path.stem not in USUAL))
        for path in sorted(FOLDER.glob("*.onnx"))
    ]


def test_the_package_carries_them() -> None:
    assert len(light_models()) >= 9


@pytest.mark.parametrize("path", light_models())
def test_light_models_import(path: Path) -> None:
    module = import_model(path)
    verify_module(module, stage="import")
    assert not {"ConstantOfShape", "Constant", "Identity", "Dropout"} & {op.op_type for op in onnx_ops(module)}
    text = print_module(module)
    assert len(text) < 2000 * len(onnx_ops(module))
    assert print_module(parse_module(text)) == text
