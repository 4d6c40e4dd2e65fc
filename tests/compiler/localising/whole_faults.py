"""Faults that no layer shows alone: tensors in the same words, code in another order, errors that add up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from backends.program import Program
from backends.registry import find_backend


def long_skip() -> onnx.ModelProto:
    """x -> stem -> s -> conv1 -> a -> conv2 -> b -> conv3 -> c; d = c + s (add1) -> conv4 -> e -> conv5 -> y."""
    random = np.random.default_rng(7)
    stored: list[onnx.TensorProto] = []

    def conv(name: str, given: str, made: str) -> onnx.NodeProto:
        weights = (random.standard_normal((4, 4, 3, 3)) * 0.3).astype(np.float32)
        stored.append(numpy_helper.from_array(weights, f"w_{name}"))
        return helper.make_node("Conv", [given, f"w_{name}"], [made], name=name, pads=[1, 1, 1, 1])

    nodes = [conv("stem", "x", "s"), conv("conv1", "s", "a"), conv("conv2", "a", "b"), conv("conv3", "b", "c")]
    nodes.append(helper.make_node("Add", ["c", "s"], ["d"], name="add1"))
    nodes += [conv("conv4", "d", "e"), conv("conv5", "e", "y")]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 6, 6]) for name in "xy"]
    graph = helper.make_graph(nodes, "skip", ports[:1], ports[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def difference() -> onnx.ModelProto:
    """y = conv1(x) - conv2(x), with kernels that differ by 1 %: what is wrong with one is a hundred times as large."""
    random = np.random.default_rng(9)
    weights = random.standard_normal((4, 4, 3, 3)).astype(np.float32)
    stored = [numpy_helper.from_array(weights * np.float32(factor), name) for name, factor in (("v", 1), ("w", 1.01))]
    nodes = [
        helper.make_node("Conv", ["x", "v"], ["a"], name="conv1"),
        helper.make_node("Conv", ["x", "w"], ["b"], name="conv2"),
        helper.make_node("Sub", ["a", "b"], ["y"], name="sub1"),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, n, n]) for name, n in (("x", 6), ("y", 4))]
    graph = helper.make_graph(nodes, "difference", ports[:1], ports[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def over(tensor: str, other: str) -> Callable[[Program, Path], Program]:
    """A tensor in the words of another one, in the table and in the code of all layers that touch it."""

    def plant(program: Program, folder: Path) -> Program:
        isa = find_backend(program.metadata.backend).isa()
        entry, target = (next(each for each in program.tensors if each.onnx == name) for name in (tensor, other))
        touched = {layer.name: entry.name in layer.outputs for layer in program.layers}
        touching = {layer.name for layer in program.layers if entry.name in (*layer.inputs, *layer.outputs)}
        codes = [list(isa.decode(words)) for words in program.code]
        for debug in program.debug:
            code = codes[debug.core]
            for place in range(debug.start, debug.end):
                text = isa.format(code[place])
                is_output = text.startswith("base tensor=output")
                is_ours = debug.layer in touching and is_output == touched[debug.layer]
                if is_ours and text.startswith("base") and f"address={entry.address}," in text:
                    code[place] = replace(code[place], address=target.address)  # pyright: ignore[reportCallIssue]
        moved = replace(entry, address=target.address)
        tensors = tuple(moved if each is entry else each for each in program.tensors)
        return replace(program, code=tuple(isa.encode(code) for code in codes), tensors=tensors)

    return plant


def swapped(first: int, second: int) -> Callable[[Program, Path], Program]:
    """The code of two layers of the only core, the one in the place of the other."""

    def plant(program: Program, folder: Path) -> Program:
        width = program.metadata.word_bits // 8
        (code,) = program.code
        entries = list(program.debug)
        entries[first], entries[second] = entries[second], entries[first]
        parts = [bytes(code[each.start * width : each.end * width]) for each in entries]
        ends = np.cumsum([len(part) // width for part in parts]).tolist()
        debug = tuple(
            replace(entry, start=start, end=end)
            for entry, start, end in zip(entries, [0, *ends[:-1]], ends, strict=True)
        )
        return replace(program, code=(b"".join([*parts, bytes(code[ends[-1] * width :])]),), debug=debug)

    return plant


def other_place(tensor: str, other: str) -> Callable[[Program, Path], Program]:
    """A tensor that only the table has in the words of another one."""

    def plant(program: Program, folder: Path) -> Program:
        address = next(each.address for each in program.tensors if each.onnx == other)
        tensors = (replace(each, address=address) if each.onnx == tensor else each for each in program.tensors)
        return replace(program, tensors=tuple(tensors))

    return plant
