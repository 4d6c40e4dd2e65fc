"""Results of declared extents, from ONNX to one binary to several runs of the emulators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from backends.container import read_program
from backends.program import Program
from compiler.compilation import CompileOptions, compile_source, write_compiled
from compiler.targets import select_target
from dialects.diagnostics import CatenaError
from tests.passes.lower_onnx.declaring import declaring
from tests.passes.lower_onnx.models import integers, normal

Run = dict[str, np.ndarray]


def slices() -> tuple[onnx.ModelProto, list[Run], Run]:
    x = normal(6, 7)
    runs: list[Run] = [
        {"x": x, "s": integers(*s), "e": integers(*e)} for s, e in (((1, 6), (4, 2)), ((-3, 3), (9, -9)))
    ]
    model = declaring("Slice", runs[0], (3, 2), {"axes": integers(0, 1), "steps": integers(1, -2)})
    return model, runs, runs[0] | {"e": integers(5, 2)}


def scalings() -> tuple[onnx.ModelProto, list[Run], Run]:
    x = normal(1, 2, 4, 5)
    runs: list[Run] = [{"x": x, "s": np.array((1, 1, *s), np.float32)} for s in ((1.5, 0.8), (1.6, 0.9))]
    model = declaring("Resize", runs[0], (1, 2, 6, 4), order=["x", "", "s"], mode="linear")
    return model, runs, runs[0] | {"s": np.array((1, 1, 1.5, 1), np.float32)}


def ranges() -> tuple[onnx.ModelProto, list[Run], Run]:
    runs: list[Run] = [{"a": np.float32(a), "b": np.float32(b), "c": np.float32(1.5)} for a, b in ((1, 5), (2, 6))]
    return declaring("Range", {k: np.array(v) for k, v in runs[0].items()}, (3,)), runs, runs[0] | {"b": np.float32(9)}


CASES = {"Slice": slices, "Resize": scalings, "Range": ranges}


def compiled(model: onnx.ModelProto, folder: Path, target: str) -> Program:
    onnx.save(model, folder / "model.onnx")
    write_compiled(compile_source(str(folder / "model.onnx"), CompileOptions(target=target)), folder / "model.cat")
    return read_program(folder / "model.cat")


@pytest.mark.parametrize("target", ["eyeriss", "generic", "nlr", "systolic"])
@pytest.mark.parametrize("op_type", CASES)
def test_one_binary_takes_all_values_of_the_declared_shape(op_type: str, target: str, tmp_path: Path) -> None:
    model, runs, other = CASES[op_type]()
    program = compiled(model, tmp_path, target)
    emulator = select_target(target).backend.load(program, None)
    found = []
    for feeds in runs:
        feeds = {name: np.asarray(array) for name, array in feeds.items()}
        (wanted,) = ReferenceEvaluator(model).run(None, feeds)
        found.append(emulator.run(feeds)["y0"])
        np.testing.assert_allclose(found[-1], wanted, rtol=1e-4, atol=1e-5)
    assert not np.array_equal(*found)
    with pytest.raises(CatenaError) as caught:
        emulator.run({name: np.asarray(array) for name, array in other.items()})
    (problem,) = caught.value.diagnostics
    assert problem.code == "CAT-E001"
    assert "another shape than the model declares" in problem.message
    assert (problem.node, "--allow-fallback host" in problem.hint) == ("node", True)
