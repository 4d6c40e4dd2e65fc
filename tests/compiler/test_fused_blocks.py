"""Blocks of ResNet and MobileNet as fused groups, as a user has them: compiled, run, verified, written as text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.compiler.conftest import Cli
from tests.compiler.small_models import save_model
from tests.onnx_models import onnx_model, onnx_node

ROWS_AND_COLUMNS = ("eyeriss", "nlr", "systolic")
LINK = ("dram.input.read", "dram.kernel.read", "dram.extra.read", "dram.output.write")


def _convolution(
    constants: dict[str, np.ndarray], name: str, source: str, channels: tuple[int, int], size: int, **more: int
) -> onnx.NodeProto:
    """A convolution with a bias that keeps rows and columns, but for its stride."""
    inputs, outputs = channels
    group = more.get("group", 1)
    draw = np.random.default_rng(len(constants)).standard_normal
    constants[f"{name}.w"] = draw((outputs, inputs // group, size, size)).astype(np.float32)
    constants[f"{name}.b"] = draw(outputs).astype(np.float32)
    strides = [more.get("stride", 1)] * 2
    pads = [size // 2] * 4
    operands = f"{source} {name}.w {name}.b"
    return onnx_node("Conv", operands, name, name, pads=pads, strides=strides, group=group)


def resnet_block(source: str = "x") -> onnx.ModelProto:
    """The basic block of ResNet-18 and ResNet-34, perhaps behind a layer that makes what it reads."""
    constants: dict[str, np.ndarray] = {}
    nodes = [
        *([] if source == "x" else [onnx_node("Sin", "x", source)]),
        _convolution(constants, "conv1", source, (8, 8), 3),
        onnx_node("Relu", "conv1", "relu1"),
        _convolution(constants, "conv2", "relu1", (8, 8), 3),
        onnx_node("Add", f"conv2 {source}", "sum"),
        onnx_node("Relu", "sum", "y"),
    ]
    return onnx_model(nodes, {"x": (1, 8, 15, 14)}, "y", constants)


def mobilenet_block(stride: int) -> onnx.ModelProto:
    """An inverted residual of MobileNet-v2; what comes in is added where its rows and columns stay."""
    constants: dict[str, np.ndarray] = {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}
    nodes = [
        _convolution(constants, "expand", "x", (4, 24), 1),
        onnx_node("Clip", "expand low high", "wide"),
        _convolution(constants, "depth", "wide", (24, 24), 3, group=24, stride=stride),
        onnx_node("Clip", "depth low high", "deep"),
        _convolution(constants, "project", "deep", (24, 4), 1),
    ]
    if stride == 1:
        nodes.append(onnx_node("Add", "project x", "y"))
    return onnx_model(nodes, {"x": (1, 4, 15, 14)}, "y" if stride == 1 else "project", constants)


BLOCKS: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "resnet": (resnet_block, 'fuse "conv1", "conv2" { for H.opc 4 sequential {} }'),
    "resnet, kernels off-chip": (
        resnet_block,
        """fuse "conv1", "conv2" {
            store dram ["relu1.K", "y.K", "relu1.P0", "y.P0"]
            for H.opc 2
            for W.opc 5
            sequential {}
        }""",
    ),
    "resnet, behind another layer": (
        lambda: resnet_block("before"),
        'fuse "conv1", "conv2" { for H.opc 4 for W.opc 5 store glb ["before"] sequential {} }',
    ),
    "resnet, halo computed again": (
        resnet_block,
        'fuse "conv1", "conv2" { for H.opc 3 store glb [recompute "conv1"] sequential {} }',
    ),
    "mobilenet": (
        lambda: mobilenet_block(1),
        'fuse "expand", "depth", "project" { store dram ["wide.P0", "deep.P0", "y"] for H.opc 1 sequential {} }',
    ),
    "mobilenet, stride 2": (
        lambda: mobilenet_block(2),
        'fuse "expand", "depth", "project" { for W.opc 3 for H.opc 2 sequential {} }',
    ),
}


def blocks_on_targets() -> Iterator[object]:
    """Every block on every target; one of these in turn, as a rule, and the others in the exhaustive run."""
    for number, name in enumerate(BLOCKS):
        for index, target in enumerate(ROWS_AND_COLUMNS):
            is_usual = index == number % len(ROWS_AND_COLUMNS)
            yield pytest.param(name, target, marks=[pytest.mark.exhaustive] * (not is_usual))


@pytest.mark.parametrize(("name", "target"), list(blocks_on_targets()))
def test_blocks_are_fused_run_and_verified(name: str, target: str, tmp_path: Path, cli: Cli) -> None:
    block, groups = BLOCKS[name]
    source, mapping = save_model(block(), tmp_path / "block.onnx"), tmp_path / "mapping.toml"
    mapping.write_text(f"groups = '''\n{groups}\n'''\n")

    program, counted = tmp_path / "block.cat", tmp_path / "counted.json"

    def words(*options: object) -> int:
        """Compile the block, run it with counts as predicted, verify it; its words over the off-chip link."""
        done = cli("compile", source, "-t", target, "-o", program, "--no-cache", *options)
        assert done.code == 0, done.err
        assert cli("run", program, "--random", "--stats", counted).code == 0
        verified = cli("verify", program, "--model", source)
        assert verified.code == 0, verified.out
        predicted, emulated = (
            cli("report", program, "--json", *stats).json["result"]["totals"]["counts"]
            for stats in ((), ("--stats", counted))
        )
        assert predicted == emulated
        return sum(emulated[event] for event in LINK)

    fused = words("--mapping", mapping)
    listing, again = tmp_path / "block.s", tmp_path / "again.cat"
    assert cli("disasm", program, "-o", listing).code == 0
    assert cli("asm", listing, "-o", again).code == 0
    assert again.read_bytes() == program.read_bytes()
    if "off-chip" not in name:
        assert fused < words()


def test_kernels_come_in_pieces(tmp_path: Path, cli: Cli) -> None:
    """What the statements say is compiled, counted as predicted, verified and shown; no piece comes twice in a turn."""
    source, mapping = save_model(resnet_block(), tmp_path / "block.onnx"), tmp_path / "mapping.toml"
    program, counted = tmp_path / "block.cat", tmp_path / "counted.json"
    inside = "for H.opc 1, for W.opc 1, store rf [O], for C.ks 1, for H.ks 1, for W.ks 1, store rf [I, K]"

    def words(nest: str) -> tuple[int, int]:
        """Words of kernels over the off-chip link, and those that the tensors of the group take on the chip."""
        group = f'store glb ["relu1.K"] "relu1": <{nest}, {inside}>'
        mapping.write_text(f"groups = '''\nfuse \"conv1\", \"conv2\" {{ for H.opc 4 sequential {{ {group} }} }}\n'''\n")
        done = cli("compile", source, "-t", "generic", "-o", program, "--no-cache", "--mapping", mapping)
        assert done.code == 0, done.err
        assert cli("run", program, "--random", "--stats", counted).code == 0
        assert cli("verify", program, "--model", source).code == 0
        predicted, emulated = (
            cli("report", program, "--json", *stats).json["result"]["totals"]["counts"]
            for stats in ((), ("--stats", counted))
        )
        assert predicted == emulated
        explained = cli("explain", program, "conv1").out
        assert f'"relu1": <{nest}' in explained
        (held,) = re.findall(r"what is held for whole turns fills ([\d,]+) words of glb", explained)
        return emulated["dram.kernel.read"], int(held.replace(",", ""))

    whole, held = words("store glb [I, K, O]")
    in_pieces, left = words("store glb [I, O], for C.op 2, store glb [K]")
    assert in_pieces == whole == (4 + 1) * 8 * 8 * 9
    assert left == held - 8 * 8 * 9


def test_a_group_of_one_layer_is_told_in_the_singular(tmp_path: Path, cli: Cli) -> None:
    source, mapping = save_model(resnet_block(), tmp_path / "block.onnx"), tmp_path / "mapping.toml"
    mapping.write_text("groups = '''\nfuse \"conv1\" { for H.opc 4 sequential {} }\n'''\n")
    program = tmp_path / "block.cat"
    done = cli("compile", source, "-t", "generic", "-o", program, "--no-cache", "--mapping", mapping)
    assert done.code == 0, done.err
    assert ": 1 layer takes turns; what is held for whole turns fills " in cli("explain", program, "conv1").out
