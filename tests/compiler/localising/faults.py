"""Planted faults: programs of a small network with one thing wrong, sealed again, and where that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from backends.program import ConstantImage, Program
from backends.registry import find_backend
from backends.spatial.blocks import BlockEngine
from backends.spatial.codes import Fold
from backends.spatial.elements import ElementEngine
from backends.spots.engine import GemmEngine
from compiler.compilation import CompileOptions, compile_model, compile_source
from compiler.ir_text import print_module, write_module
from compiler.targets import select_target
from tests.compiler.small_models import small_cnn, small_norms

CONV, DENSE = "conv1 + relu1", "dense1"


@dataclass(frozen=True)
class Fault:
    """What is wrong in a program for a target: `plant` changes it, or `mutate` the emulator.

    `layer` and `instruction`, the beginning of its text in the program that is wrong, are where it has to be found.
    """

    target: str
    layer: str
    instruction: str
    plant: Callable[[Program, Path], Program] = lambda program, folder: program
    mutate: Callable[[pytest.MonkeyPatch], None] = lambda patch: None
    engine: str | None = None
    model: Callable[[], onnx.ModelProto] = small_cnn


def program_for(target: str, model: onnx.ModelProto) -> Program:
    """A model, compiled."""
    program = compile_model(model, select_target(target), CompileOptions()).program
    assert program is not None
    return program


def altered(layer: str, beginning: str, **fields: Any) -> Callable[[Program, Path], Program]:
    """One instruction with other fields: the first of a layer whose text begins so."""

    def plant(program: Program, folder: Path) -> Program:
        isa = find_backend(program.metadata.backend).isa()
        for entry in program.debug:
            code = list(isa.decode(program.code[entry.core]))
            for address in range(entry.start, entry.end):
                if entry.layer == layer and isa.format(code[address]).startswith(beginning):
                    code[address] = replace(code[address], **fields)
                    changed = list(program.code)
                    changed[entry.core] = isa.encode(code)
                    return replace(program, code=tuple(changed))
        raise AssertionError(f"no instruction of {layer} begins with {beginning}")

    return plant


def other_constants(tensor: str, change: Callable[[np.ndarray], None]) -> Callable[[Program, Path], Program]:
    """One tensor of constants with other words."""

    def plant(program: Program, folder: Path) -> Program:
        entry = next(each for each in program.tensors if each.onnx == tensor or each.name == tensor)
        images: list[ConstantImage] = []
        for image in program.constants:
            words = image.array().copy()
            if image.memory == entry.memory and image.base <= entry.address < image.base + image.size:
                change(words[entry.address - image.base :][: entry.words])
            images.append(replace(image, pieces=((image.base, words),)))
        return replace(program, constants=tuple(images))

    return plant


def other_ir(target: str, before: str, after: str) -> Callable[[Program, Path], Program]:
    """What is made of the placed IR with an attribute changed."""

    def plant(program: Program, folder: Path) -> Program:
        module = compile_model(small_cnn(), select_target(target), CompileOptions(stop="placed")).module
        path = folder / "placed.mlir"
        write_module(module, path)
        text = print_module(module)
        assert before in text
        path.write_text(text.replace(before, after, 1))
        made = compile_source(str(path), CompileOptions()).program
        assert made is not None
        return made

    return plant


def negate(words: np.ndarray) -> None:
    words[...] = -words


def _first(words: np.ndarray) -> None:
    words[: len(words) // 2] += 5


def _last(words: np.ndarray) -> None:
    words[-1] -= 7


def _wrong_sums(patch: pytest.MonkeyPatch) -> None:
    """Passes over the whole array of the fast engine compute the last kernel wrong."""
    right = BlockEngine.fold_block

    def fold_block(self: BlockEngine, shape: Any, inputs: Any) -> Any:
        result = np.array(right(self, shape, inputs))
        result[:, -1] *= 1.5
        return result

    patch.setattr(BlockEngine, "fold_block", fold_block)


def _wrong_accumulation(patch: pytest.MonkeyPatch) -> None:
    """Elements of the literal engine forget what they added up."""
    patch.setattr(ElementEngine, "_accumulate", lambda self, total, value: value)


def _wrong_slice(patch: pytest.MonkeyPatch) -> None:
    """The fast engine takes every window from one position back."""
    right = BlockEngine._unrolled

    def unrolled(self: BlockEngine, shape: Any, inputs: Any) -> Any:
        return right(self, shape, np.roll(inputs, 1, axis=-1))

    patch.setattr(BlockEngine, "_unrolled", unrolled)


def _wrong_products(patch: pytest.MonkeyPatch) -> None:
    """Passes of the fast engine with im2col units are too large in the second layer with weights."""
    right = GemmEngine._work

    def work(self: GemmEngine, values: Any, kernel: Any) -> Any:
        sums, done = right(self, values, kernel)
        return (sums * 1.5 if self.layer.index == 2 else sums), done

    patch.setattr(GemmEngine, "_work", work)


FAULTS = {
    "padding": Fault("eyeriss", CONV, "window dim=1", altered(CONV, "window dim=1", pad=0)),
    "repeated weights": Fault(
        "eyeriss", CONV, "stride tensor=kernel, dim=0", altered(CONV, "stride tensor=kernel, dim=0", stride=0)
    ),
    "kernel stride": Fault(
        "eyeriss", CONV, "stride tensor=kernel, dim=1", altered(CONV, "stride tensor=kernel, dim=1", stride=1)
    ),
    "address of biases": Fault("eyeriss", CONV, "base tensor=extra0", altered(CONV, "base tensor=extra0", address=3)),
    "address of weights": Fault(
        "eyeriss", DENSE, "base tensor=kernel", altered(DENSE, "base tensor=kernel", address=0)
    ),
    "function": Fault("eyeriss", CONV, "function slot=post, code=103", altered(CONV, "function", code=103)),
    "main operator": Fault("generic", CONV, "layer index=0, main=100", altered(CONV, "layer", main=100)),
    "fold": Fault("generic", "pool1", "layer index=1", altered("pool1", "layer", fold=Fold.MIN)),
    "order of inputs": Fault(
        "generic", CONV, "stride tensor=input, dim=0", altered(CONV, "stride tensor=input, dim=0", stride=35)
    ),
    "stride of windows": Fault(
        "spots", CONV, "stride tensor=kernel, dim=2", altered(CONV, "stride tensor=kernel, dim=2", stride=0)
    ),
    "padding of patches": Fault("spots", CONV, "window dim=1", altered(CONV, "window dim=1", pad=0)),
    "biases of a core": Fault("rram", CONV, "base tensor=extra0", altered(CONV, "base tensor=extra0", address=0)),
    "negated weights": Fault("eyeriss", CONV, "load tensor=kernel", other_constants("w1", negate)),
    "one bias": Fault("eyeriss", DENSE, "store", other_constants("b2", _last)),
    "half of the weights": Fault("generic", DENSE, "fill tensor=kernel", other_constants("w2", _first)),
    "one weight of patches": Fault("spots", CONV, "load tensor=kernel", other_constants("w1", _last)),
    "mapping of a kernel": Fault(
        "eyeriss", CONV, "stride tensor=kernel", other_ir("eyeriss", "[8, 3, 3] by [9, 3, 1]", "[8, 3, 3] by [9, 1, 3]")
    ),
    "mapping of an input": Fault(
        "generic",
        CONV,
        "stride tensor=input",
        other_ir("generic", "[2, 6, 6] by [36, 6, 1]", "[2, 6, 6] by [36, 1, 6]"),
    ),
    "emulated sums": Fault("eyeriss", CONV, "pass", mutate=_wrong_sums),
    "emulated windows": Fault("eyeriss", CONV, "pass", mutate=_wrong_slice),
    "emulated products": Fault("spots", DENSE, "multiply", mutate=_wrong_products),
    "emulated elements": Fault("eyeriss", CONV, "pass", mutate=_wrong_accumulation, engine="elements"),
}
"""By name; each changes results by more than any tolerance."""


def _of_link(target: str, layer: str, beginning: str, **fields: Any) -> Fault:
    wrong = ", ".join(f"{name}={value}" for name, value in fields.items())
    instruction = beginning.rsplit(", ", 1)[0] + f", {wrong}"
    return Fault(target, layer, instruction, altered(layer, beginning, **fields), model=small_norms)


LINKS = {
    "maximum of a softmax": _of_link("generic", "soft1#2", "base tensor=kernel, address", address=2),
    "exponential": _of_link("generic", "soft1#2", "function slot=mid, code=15", code=13),
    "reciprocal": _of_link("generic", "soft1#2", "function slot=post, code=13", code=15),
    "exponential on an array": _of_link("eyeriss", "soft1", "function slot=post, code=15", code=13),
    "mean": _of_link("generic", "norm1", "function slot=post, code=1,", code=13),
    "root of a variance": _of_link("generic", "norm1#2", "function slot=post, code=12", code=13),
}
"""Faults in links whose results the model does not have: they are seen in the last link of the operator."""
