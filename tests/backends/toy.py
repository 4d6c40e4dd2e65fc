"""A toy instruction set and small programs in it, for the tests of the backend infrastructure."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
from hypothesis import strategies as st

from backends.isa import Block, Instruction, Isa, enumeration, f32, flag, signed, unsigned
from backends.program import (
    ConstantImage,
    DebugEntry,
    LayerEntry,
    Metadata,
    Program,
    Quantization,
    Role,
    TensorEntry,
    target_digest,
)
from dialects.diagnostics import CatenaError

TOY = Isa(name="toy", version=3, word_bits=160, summary="A machine for tests.")


class LoopKind(StrEnum):
    KERNEL = "ks"
    OUTPUT = "op"
    CHANNEL = "opc"


class Level(IntEnum):
    """Codes with gaps."""

    NEAR = 1
    MIDDLE = 4
    FAR = 6


@TOY.instruction(opcode=0x20, block=Block.OPEN)
@dataclass(frozen=True, slots=True)
class Loop(Instruction):
    """Repeat the body up to the matching `end`.

    The second paragraph.
    """

    dim: int = unsigned(4, "dimension")
    kind: LoopKind = enumeration(LoopKind, 2, "loop kind")
    tile: int = unsigned(24, "indices per iteration", minimum=1)

    def nest_label(self) -> str:
        return f"{self.kind}{self.dim}"


@TOY.instruction(opcode=0x21, block=Block.CLOSE)
@dataclass(frozen=True, slots=True)
class End(Instruction):
    """Close the innermost loop."""


@TOY.instruction(opcode=0xFF, mnemonic="mv.x")
@dataclass(frozen=True, slots=True)
class Move(Instruction):
    """Move words; the fields cross lane boundaries."""

    level: Level = enumeration(Level, 3, "memory level")
    address: int = unsigned(64, "address")
    delta: int = signed(33, "offset")
    scale: float = f32("factor")
    last: bool = flag("whether it is the last", default=False)
    small: int = signed(5, "a small number", minimum=-3, maximum=7, default=0)


@TOY.instruction(opcode=0x00)
@dataclass(frozen=True, slots=True)
class Wide(Instruction):
    """Fills the word to the last bit."""

    low: int = signed(64, "low half")
    high: int = unsigned(64, "high half")
    rest: int = unsigned(24, "the rest")


def f32_of(pattern: int) -> float:
    """The f64 that holds the f32 with this bit pattern, NaN payload included."""
    if (pattern >> 23) & 0xFF == 0xFF and pattern & 0x7FFFFF:
        wide = (pattern >> 31) << 63 | 0x7FF << 52 | (pattern & 0x7FFFFF) << 29
        return struct.unpack("<d", struct.pack("<Q", wide))[0]
    return float(np.array([pattern], np.uint32).view(np.float32)[0])


FLOATS = st.integers(0, 2**32 - 1).map(f32_of)

INSTRUCTIONS: st.SearchStrategy[Instruction] = st.one_of(
    st.builds(Loop, st.integers(0, 15), st.sampled_from(LoopKind), st.integers(1, 2**24 - 1)),
    st.just(End()),
    st.builds(
        Move,
        st.sampled_from(Level),
        st.integers(0, 2**64 - 1),
        st.integers(-(2**32), 2**32 - 1),
        FLOATS,
        st.booleans(),
        st.integers(-3, 7),
    ),
    st.builds(Wide, st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**24 - 1)),
)

DESCRIPTION: dict[str, Any] = {
    "name": "toychip",
    "memories": {"dram": {"words": 1 << 40, "energy": 200.0}, "odd key": [1, -2.5e-7, None, True, "ü\n"]},
    "": "an empty key",
}


def refusal(action: Callable[[], object]) -> set[str]:
    """The codes of the diagnostics that an action ends with; empty if it succeeds."""
    try:
        action()
    except CatenaError as error:
        return {diagnostic.code for diagnostic in error.diagnostics}
    return set()


def toy_metadata(**changes: Any) -> Metadata:
    """Metadata of a toy program."""
    items: dict[str, Any] = {
        "tool": "catena 0.0",
        "backend": "toy",
        "isa": TOY.name,
        "isa_version": TOY.version,
        "word_bits": TOY.word_bits,
        "model": "net",
        "model_sha256": "ab" * 32,
        "target": "toychip",
        "target_sha256": target_digest(DESCRIPTION),
        "description": DESCRIPTION,
    }
    return Metadata(**{**items, **changes})


def toy_program(**changes: Any) -> Program:
    """A small program with two cores, two constant images, four tensors and two layers."""
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    bytes_ = np.arange(5, dtype=np.int8)
    first = [Loop(1, LoopKind.CHANNEL, 8), Loop(0, LoopKind.KERNEL, 3), Move(Level.FAR, 7, -9, 0.5), End(), End()]
    items: dict[str, Any] = {
        "metadata": toy_metadata(),
        "code": (TOY.encode(first), TOY.encode([End(), Wide(-1, 2, 3)])),
        "constants": (
            ConstantImage("dram", 16, 20, "float32", ((18, weights), (30, weights.T))),
            ConstantImage("rom", 0, 5, "int8", ((0, bytes_),)),
        ),
        "tensors": (
            TensorEntry("x", Role.INPUT, "dram", 0, 6, (1, 6), (6, 1), "float32"),
            TensorEntry("w", Role.CONSTANT, "dram", 18, 6, (2, 3), (3, 1), "float32"),
            TensorEntry("q", Role.CONSTANT, "rom", 0, 5, (5,), (1,), "int8", "", Quantization((0.1,), (-3,))),
            TensorEntry("y\n;é", Role.OUTPUT, "dram", 100, 9, (2, 0), (4, 1), "float16", "conv"),
        ),
        "layers": (
            LayerEntry("conv", "conv", ("Conv_0", "Relu\t1"), ("x", "w"), ("y\n;é",)),
            LayerEntry("empty", "view", (), (), ()),
        ),
        "debug": (
            DebugEntry(0, 0, 2, "conv", (("oc", 0), ("h", 3))),
            DebugEntry(0, 2, 3, "empty"),
            DebugEntry(0, 4, 5, "conv"),
            DebugEntry(1, 1, 2, "conv"),
        ),
    }
    return Program(**{**items, **changes})
