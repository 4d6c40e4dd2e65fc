"""verify: what is right passes, the first thing that is wrong is named."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from backends.container import write_program
from compiler.compilation import compile_source
from compiler.execution import load_program
from compiler.verification.layers import verify_program
from compiler.verification.programs import verify_source
from compiler.verification.result import Verification
from dialects.diagnostics import CatenaError
from tests.compiler.conftest import Cli
from tests.compiler.small_models import save_model, small_cnn

pytest.importorskip("onnxruntime")


def branching_model() -> onnx.ModelProto:
    """x -> two convolutions -> Concat -> Softmax: parts written in place, an operator of several layers."""
    random = np.random.default_rng(3)
    weights = [
        numpy_helper.from_array(random.standard_normal((2, 2, 1, 1)).astype(np.float32), name) for name in ("u", "v")
    ]
    nodes = [
        helper.make_node("Conv", ["x", "u"], ["left"], name="left"),
        helper.make_node("Conv", ["x", "v"], ["right"], name="right"),
        helper.make_node("Concat", ["left", "right"], ["both"], name="concat", axis=1),
        helper.make_node("Softmax", ["both"], ["y"], name="softmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "branching",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 4, 4])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def verify_as_if(compiled: Path, claimed: Path, folder: Path) -> Verification:
    """Verify the program of one model beside another model, by claiming that it was made from that one."""
    program = compile_source(str(compiled)).program
    assert program is not None
    digest = hashlib.sha256(claimed.read_bytes()).hexdigest()
    path = folder / "claimed.cat"
    write_program(replace(program, metadata=replace(program.metadata, model_sha256=digest)), path)
    return verify_program(*load_program(path), claimed)


def changed(model: onnx.ModelProto, name: str, factor: float) -> onnx.ModelProto:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), name))
    return model


def test_a_right_program_passes(cnn: Path) -> None:
    found = verify_source(str(cnn))
    assert found.is_equal
    assert found.first_wrong is None
    assert len(found.layers) == 3
    assert all(each.error is not None and each.error < 1e-6 for each in (*found.layers, *found.outputs))


def test_parts_of_a_concatenation_are_compared(tmp_path: Path) -> None:
    found = verify_source(str(save_model(branching_model(), tmp_path / "m.onnx")))
    assert found.is_equal
    compared = {node for each in found.layers if each.error is not None for node in each.nodes}
    assert {"left", "right", "softmax"} <= compared


@pytest.mark.parametrize(("weight", "node"), [("w1", "conv1"), ("b1", "conv1"), ("w2", "dense1")])
def test_the_wrong_layer_is_the_only_one_blamed(cnn: Path, tmp_path: Path, weight: str, node: str) -> None:
    wrong = save_model(changed(small_cnn(), weight, 1.01), tmp_path / "wrong.onnx")
    found = verify_as_if(wrong, cnn, tmp_path)
    assert not found.is_equal
    assert [each.nodes[0] for each in found.layers if not each.is_equal] == [node]
    assert found.first_wrong is not None
    assert node in found.first_wrong.nodes
    assert node in found.diagnostics()[0].node


def test_one_wrong_part_of_a_concatenation_is_blamed(tmp_path: Path) -> None:
    right = save_model(branching_model(), tmp_path / "right.onnx")
    wrong = save_model(changed(branching_model(), "v", 1.01), tmp_path / "wrong.onnx")
    found = verify_as_if(wrong, right, tmp_path)
    assert [each.nodes for each in found.layers if not each.is_equal] == [("right",)]


def test_the_command_ends_with_5(cli: Cli, cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("verify", cnn).code == 0
    wrong = save_model(changed(small_cnn(), "w1", 1.01), tmp_path / "wrong.onnx")
    verify_as_if(wrong, cnn, tmp_path)
    result = cli("verify", tmp_path / "claimed.cat", "--model", cnn)
    assert result.code == 5
    assert "WRONG" in result.out
    assert "first difference: layer 'conv1 + relu1'" in result.out
    assert "error[CAT-V001]" in result.err
    as_json = cli("verify", tmp_path / "claimed.cat", "--model", cnn, "--json")
    assert (as_json.code, as_json.json["result"]["first_wrong"]) == (5, "layer 'conv1 + relu1'")
    assert as_json.json["diagnostics"][0]["code"] == "CAT-V001"
    assert cli("verify", tmp_path / "claimed.cat", "--model", cnn, "--tolerance", "0.1").code == 0


def test_a_program_needs_its_own_model(cli: Cli, program: Path, tmp_path: Path) -> None:
    assert "--model" in cli("verify", program).err
    other = save_model(changed(small_cnn(), "w1", 2.0), tmp_path / "other.onnx")
    result = cli("verify", program, "--model", other)
    assert result.code == 2
    assert "was not compiled from" in result.err


def test_without_onnx_runtime_one_line_says_what_to_do(cli: Cli, cnn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = cli("verify", cnn)
    assert result.code == 2
    assert "CAT-C004" in result.err
    assert "pip install 'catena[verify]'" in result.err


def test_given_inputs_are_used(cli: Cli, cnn: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", image=np.zeros((1, 2, 6, 6), np.float32))
    assert cli("verify", cnn, "-i", tmp_path / "x.npz").code == 0
    np.savez(tmp_path / "x.npz", image=np.zeros((1, 2, 6, 5), np.float32))
    assert "CAT-C005" in cli("verify", cnn, "-i", tmp_path / "x.npz").err


def test_a_model_that_the_reference_refuses(cnn: Path, program: Path, tmp_path: Path) -> None:
    with pytest.raises(CatenaError) as caught:
        verify_program(*load_program(program), tmp_path / "none.onnx")
    assert caught.value.diagnostics[0].code == "CAT-C002"
