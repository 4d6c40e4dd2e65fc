"""A program written by hand, for everything that a compiler would not emit.

A convolution of x [3, 5] with a kernel of two filters, three channels and two taps into y [2, 4], its reduced channels
in two passes; then z = relu(y). All on the tiny machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from backends.assembly import assemble
from backends.program import (
    ConstantImage,
    DebugEntry,
    LayerEntry,
    Metadata,
    Program,
    Role,
    TensorEntry,
    target_digest,
)
from backends.spatial.emulator import SpatialEmulator
from backends.spatial.isa import ISA
from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic
from tests.backends.spatial.layers import MACHINES

CONV = """
layer index=0, main=103, fold=add, padding=0.0
dim dim=0, g=1, op=2, opc=1, ks=3
window dim=0, stride=1, dilation=1, pad=0, up=1, extent=3
dim dim=1, g=1, op=1, opc=4, ks=2
window dim=1, stride=1, dilation=1, pad=0, up=1, extent=5
base tensor=input, address=12
stride tensor=input, dim=0, stride=5
stride tensor=input, dim=1, stride=1
base tensor=kernel, address=0
stride tensor=kernel, dim=0, stride=2
stride tensor=kernel, dim=1, stride=1
base tensor=output, address=27
stride tensor=output, dim=0, stride=4
stride tensor=output, dim=1, stride=1
spread dim=0, kind=ks, tile=1, axis=row
spread dim=1, kind=opc, tile=2, axis=col
place tensor=input, memory=glb, address=0, words=15
place tensor=kernel, memory=spad, address=0, words=8
place tensor=output, memory=glb, address=16, words=8
open
load tensor=input
loop dim=0, kind=ks, tile=2
load tensor=kernel
pass
end
store
"""
RELU = """
layer index=1, main=0, fold=none, padding=0.0
dim dim=0, g=1, op=1, opc=8, ks=1
window dim=0, stride=1, dilation=1, pad=0, up=1, extent=8
function slot=post, code=40
base tensor=input, address=27
stride tensor=input, dim=0, stride=1
base tensor=output, address=35
stride tensor=output, dim=0, stride=1
place tensor=input, memory=glb, address=0, words=3
place tensor=output, memory=glb, address=32, words=3
loop dim=0, kind=opc, tile=3
open  ; of z
load tensor=input  ; of z
pass  ; of z
store  ; of z
end  ; of z
"""
TINY = MACHINES["tiny"]
KERNEL = np.arange(12, dtype=np.float32) - 5
X = np.arange(15, dtype=np.float32).reshape(3, 5) % 7 - 3


def expected() -> np.ndarray:
    """What the program computes of `X`, by definition."""
    taps = KERNEL.reshape(2, 3, 2)
    y = [[float((taps[o] * X[:, i : i + 2]).sum()) for i in range(4)] for o in range(2)]
    return np.maximum(np.array(y, np.float32), 0)


def _lines(text: str) -> list[str]:
    return text.strip().splitlines()


@dataclass(frozen=True)
class Handmade:
    """The program as assembly by layer, and what else goes into the file."""

    code: Mapping[str, Sequence[str]] = field(
        default_factory=lambda: {"conv": _lines(CONV), "relu": _lines(RELU), "": ["halt"]}
    )
    machine: Machine = TINY
    tensors: tuple[TensorEntry, ...] = (
        TensorEntry("w", Role.CONSTANT, "dram", 0, 12, (6, 2), (2, 1), "float32"),
        TensorEntry("x", Role.INPUT, "dram", 12, 15, (3, 5), (5, 1), "float32", onnx="x"),
        TensorEntry("y", Role.INTERMEDIATE, "dram", 27, 8, (2, 4), (4, 1), "float32", "conv", onnx="y"),
        TensorEntry("z", Role.OUTPUT, "dram", 35, 8, (2, 4), (4, 1), "float32", "relu", onnx="z"),
    )
    constants: tuple[ConstantImage, ...] = (ConstantImage("dram", 0, 12, "float32", ((0, KERNEL),)),)

    def edited(self, changes: Mapping[str, str]) -> Handmade:
        """Every line that equals a key becomes the text beside it, which may be several lines or none."""
        found = dict.fromkeys(changes, 0)
        code: dict[str, list[str]] = {}
        for layer, lines in self.code.items():
            code[layer] = []
            for line in lines:
                if line in changes:
                    found[line] += 1
                code[layer] += _lines(changes.get(line, line)) if changes.get(line, line) else []
        assert set(found.values()) <= {1}, found
        return replace(self, code=code)

    def on(self, **tables: Mapping[str, object]) -> Handmade:
        """On a machine with some values of some tables changed."""
        description = self.machine.model_dump()
        changed = {name: {**description[name], **values} for name, values in tables.items()}
        return replace(self, machine=Machine.model_validate({**description, **changed}))

    @property
    def listing(self) -> list[str]:
        """All lines; an instruction's address is its index."""
        return [line for lines in self.code.values() for line in lines]

    def program(self) -> Program:
        """As a program with layers `conv` and `relu`, of the ONNX nodes Conv_0, Relu_1 and Relu_2."""
        debug: list[DebugEntry] = []
        start = 0
        for layer, lines in self.code.items():
            if layer and lines:
                debug.append(DebugEntry(0, start, start + len(lines), layer))
            start += len(lines)
        description = self.machine.model_dump(mode="json")
        metadata = Metadata(
            "test", "eyeriss", ISA.name, ISA.version, ISA.word_bits, "", "0" * 64, self.machine.name,
            target_digest(description), description,
        )  # fmt: skip
        layers = (
            LayerEntry("conv", "conv", ("Conv_0",), ("x", "w"), ("y",)),
            LayerEntry("relu", "map", ("Relu_1", "Relu_2"), ("y",), ("z",)),
        )
        code = ISA.encode(assemble("\n".join(self.listing), ISA))
        return Program(metadata, (code,), self.constants, self.tensors, layers, tuple(debug))

    def run(self, mode: str = "blocks") -> np.ndarray:
        """z for `X`."""
        return SpatialEmulator(self.program(), mode).run({"x": X})["z"]

    def fault(self, mode: str = "blocks") -> Diagnostic:
        """The one problem that the program stops with."""
        try:
            self.run(mode)
        except CatenaError as error:
            (found,) = error.diagnostics
            return found
        raise AssertionError("the program ran")
