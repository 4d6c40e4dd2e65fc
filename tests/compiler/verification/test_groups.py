"""Fused groups against ONNX Runtime: what they make, also where that is a part of a tensor only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from backends.container import read_program
from tests.compiler.conftest import Cli
from tests.compiler.small_models import save_model


def fire() -> onnx.ModelProto:
    """image [1, 4, 8, 8] -> squeeze (4 channels) -> two expansions, joined: [1, 12, 8, 8], as in SqueezeNet."""
    random = np.random.default_rng(3)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def conv(source: str, result: str, channels: int, size: int) -> None:
        shape = (channels, 4, size, size)
        weights.append(numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), f"{result}.w"))
        pads = [size // 2] * 4
        nodes.append(helper.make_node("Conv", [source, f"{result}.w"], [result], name=result, pads=pads))

    conv("image", "squeeze", 4, 1)
    conv("squeeze", "narrow", 6, 1)
    conv("squeeze", "wide", 6, 3)
    nodes.append(helper.make_node("Concat", ["narrow", "wide"], ["joined"], name="join", axis=1))
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 8, 8])
        for name, channels in (("image", 4), ("joined", 12))
    ]
    graph = helper.make_graph(nodes, "fire", ports[:1], ports[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_group_that_fills_a_part_of_a_tensor_is_verified(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model, program = save_model(fire(), tmp_path / "fire.onnx"), tmp_path / "fire.cat"
    size = ("--set", "levels.glb.words=240")
    assert cli("compile", model, "-t", "generic", *size, "--fuse", "-o", program).code == 0
    read = read_program(program)
    group = next(each for each in read.groups if "joined" in each.outputs)
    assert any("joined" in layer.outputs for layer in read.layers if layer.name not in group.layers)
    ended = cli("verify", program, "--model", model)
    assert ended.code == 0, ended.err
    assert "3 of 3 layers" in ended.out
    exact = cli("verify", program, "--model", model, "--tolerance", "1e-12", "--json").json["result"]
    differing = [each["subject"] for each in exact["comparisons"] if not each["equal"]]
    assert "layer 'narrow'" in differing


def test_layers_whose_results_stay_on_the_chip_are_named_with_the_reason(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model, mapping = save_model(fire(), tmp_path / "fire.onnx"), tmp_path / "mapping.toml"
    names = ("squeeze", "narrow", "wide")
    statements = (f'fuse "{name}" {{ store glb [stay "squeeze"] sequential {{}} }}' for name in names)
    mapping.write_text("groups = '''\n" + "\n".join(statements) + "\n'''\n", encoding="utf-8")
    words = ("verify", model, "-t", "generic", "--mapping", mapping)
    said, as_json = cli(*words), cli(*words, "--json")
    assert (said.code, as_json.code) == (0, 0), said.err
    assert "1 of 3 layers and 1 outputs compared" in said.out
    reason = "what it makes stays on the chip, so that only the results of its group are compared"
    assert f"not compared by itself: layer 'squeeze' ({reason})" in said.out
    together = "what it makes of a tensor is compared with what other layers of its group make of it"
    assert as_json.json["result"]["not_compared"] == [
        {"subject": "layer 'squeeze'", "nodes": ["squeeze"], "reason": reason},
        {"subject": "layer 'narrow'", "nodes": ["narrow"], "reason": together},
    ]
