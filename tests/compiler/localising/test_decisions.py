"""Faults in programs whose layers are fused, offloaded or quantized: what was decided for them is made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from backends.container import write_program
from backends.program import Program
from compiler.compilation import CompileOptions, compile_source
from compiler.execution import load_program
from compiler.localising.locating import Location, locate
from compiler.localising.recompiling import or_reason, recompiled
from compiler.modes import Mode
from compiler.verification.layers import verify_program
from dialects.diagnostics import CatenaError
from dialects.schedule import Objective
from passes.searching.options import SearchOptions
from tests.compiler.localising.faults import CONV, negate, other_constants
from tests.compiler.small_models import save_model, small_cnn
from tests.compiler.test_staying import STATEMENTS, network

pytest.importorskip("onnxruntime")

GROUP = """
fuse "conv1", "pool1" {
    for H.opc 1
    sequential {}
}
"""
DECIDED = {
    "fused for time": CompileOptions(target="generic", fuse=True, search=SearchOptions(Objective.LATENCY)),
    "fused for traffic": CompileOptions(target="eyeriss", fuse=True, search=SearchOptions(Objective.TRAFFIC)),
    "fused matrix products": CompileOptions(target="spots", fuse=True),
    "offloaded": CompileOptions(target="eyeriss", mode=Mode.OFFLOAD),
}


def quantized_pool() -> onnx.ModelProto:
    """x [1, 3, 6, 6] -> conv (1 x 1) -> pool -> flat -> y [1, 4], all int8; links fold names away."""
    stored = {
        "scale": np.float32(0.02),
        "zero": np.int8(0),
        "w": np.random.default_rng(3).integers(-90, 90, (4, 3, 1, 1), np.int8),
    }
    nodes = [helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["w_real"], name="w_DequantizeLinear")]

    def rounded(name: str) -> str:
        for operator, before, after in (("Quantize", name, f"{name}_q"), ("Dequantize", f"{name}_q", f"{name}_r")):
            inputs = [before, "scale", "zero"]
            nodes.append(helper.make_node(f"{operator}Linear", inputs, [after], name=f"{name}_{operator}Linear"))
        return f"{name}_r"

    nodes.append(helper.make_node("Conv", [rounded("x"), "w_real"], ["c"], name="conv"))
    nodes.append(helper.make_node("GlobalAveragePool", [rounded("c")], ["g"], name="pool"))
    nodes.append(helper.make_node("Flatten", [rounded("g")], ["f"], name="flat"))
    nodes.append(helper.make_node("Identity", [rounded("f")], ["y"], name="end"))
    graph = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def compiled(model: Path, options: CompileOptions) -> Program:
    program = compile_source(str(model), options).program
    assert program is not None
    return program


def located(program: Program, model: Path, weights: str) -> Location:
    """Where the program is found wrong if its weights are negated."""
    path = model.with_name("wrong.cat")
    write_program(other_constants(weights, negate)(program, model.parent), path)
    wrong, emulator = load_program(path)
    evidence = verify_program(wrong, emulator, model).evidence
    assert evidence is not None
    return locate(wrong, emulator, model, evidence)


@pytest.mark.parametrize("name", DECIDED)
def test_decisions_of_a_program_are_not_searched_again(name: str, tmp_path: Path) -> None:
    model = save_model(small_cnn(), tmp_path / "model.onnx")
    program = compiled(model, DECIDED[name])
    assert recompiled(program, model).code == program.code
    for constant in ("w1", "b1"):
        found = located(program, model, constant)
        assert (found.layer, found.remark) == (CONV, "")
        assert found.blame is not None
        # In groups what brings them on chip, not what takes them from there.
        assert found.blame.text.startswith("fetch") == bool(program.groups)
        assert f"word 0 of {constant!r}" in found.blame.reason


def test_groups_of_a_mapping_file_are_made_again(tmp_path: Path) -> None:
    (tmp_path / "groups.toml").write_text(f"groups = '''{GROUP}'''\n")
    model = save_model(small_cnn(), tmp_path / "model.onnx")
    program = compiled(model, CompileOptions(target="generic", mapping=str(tmp_path / "groups.toml")))
    assert [group.layers for group in program.groups] == [(CONV, "pool1")]
    found = located(program, model, "w1")
    assert found.layer == CONV
    assert found.blame is not None
    assert found.blame.text.startswith("fetch")


def test_groups_between_which_tensors_stay_are_made_again(tmp_path: Path) -> None:
    (tmp_path / "groups.toml").write_text(f"groups = '''{STATEMENTS}'''\n")
    model = save_model(network(), tmp_path / "model.onnx")
    program = compiled(model, CompileOptions(target="generic", mapping=str(tmp_path / "groups.toml")))
    again = recompiled(program, model)
    assert again.code == program.code
    assert again.groups == program.groups


@pytest.mark.parametrize("target", ["generic", "eyeriss", "spots"])
def test_layers_without_a_tensor_of_the_model_are_named_as_mapping_files_name_them(target: str, tmp_path: Path) -> None:
    model = save_model(quantized_pool(), tmp_path / "model.onnx")
    program = compiled(model, CompileOptions(target=target))
    assert any(layer.mapping and not layer.tensor for layer in program.layers)
    found = located(program, model, "w")
    assert "conv" in found.layer
    assert found.blame is not None, found.lines()
    assert "constants" in found.blame.reason


def test_dimensions_merge_when_they_did(tmp_path: Path) -> None:
    """Nothing is fused, but could have been: what the host executes was split off before dimensions merged."""
    model = save_model(quantized_pool(), tmp_path / "model.onnx")
    program = compiled(model, CompileOptions(target="eyeriss", mode=Mode.OFFLOAD, fuse=True))
    assert not program.groups
    with pytest.raises(CatenaError, match="loops of this layer have changed"):
        recompiled(program, model)
    again, reason = or_reason(program, model, {layer.name for layer in program.layers})
    assert again is not None, reason
    assert again.code == program.code


def test_layers_say_which_tensor_they_make(tmp_path: Path) -> None:
    """A part of a concatenation has a tensor of its own, which is not the one that holds it."""
    branches = [helper.make_node("Relu", ["x"], ["r"], name="relu"), helper.make_node("Neg", ["x"], ["n"], name="neg")]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width]) for name, width in (("x", 4), ("y", 8))]
    joined = helper.make_node("Concat", ["r", "n"], ["y"], name="joined", axis=1)
    graph = helper.make_graph([*branches, joined], "parts", ports[:1], ports[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    program = compiled(save_model(made, tmp_path / "model.onnx"), CompileOptions(target="generic"))
    assert [layer.tensor for layer in program.layers] == ["r", "n"]
    assert recompiled(program, tmp_path / "model.onnx").code == program.code
