"""Wrong constants on cores with crossbars: the instruction of the core that brings exactly the altered word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backends.container import write_program
from backends.isa import Instruction
from backends.program import Program
from backends.rram.isa import ISA, Part
from backends.rram.isa import Program as Write
from compiler.compilation import CompileOptions, compile_source
from compiler.execution import load_program
from compiler.localising.blame import Blame
from compiler.localising.locating import locate
from compiler.verification.layers import verify_program
from tests.backends.rram.quantized import SMALL
from tests.backends.rram.quantized_network import quantized_network, weights
from tests.compiler.localising.faults import CONV, Fault, negate, other_constants
from tests.compiler.localising.test_planted_faults import located
from tests.compiler.small_models import save_model

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize(
    ("tensor", "instruction"), [("w1", "load what=kernel"), ("b1", "load what=extras")], ids=["weights", "biases"]
)
def test_what_vector_units_load_is_blamed_on_the_load(tensor: str, instruction: str, tmp_path: Path) -> None:
    fault = Fault("rram", CONV, instruction, other_constants(tensor, negate))
    _, found = located(fault, tmp_path)
    assert found.blame is not None, found.lines()
    assert (found.layer, found.blame.text) == (CONV, instruction)


@pytest.mark.parametrize("word", [(0, 0, 0, 0), (5, 0, 0, 1), (5, 1, 2, 2)])
def test_a_weight_is_blamed_on_the_core_whose_crossbars_hold_it(word: tuple[int, ...], tmp_path: Path) -> None:
    column, *position = word
    place = int(np.ravel_multi_index(word, (6, 2, 3, 3)))
    program, blame = blamed("conv", place, tmp_path)
    row = int(np.ravel_multi_index(position, (2, 3, 3)))
    core = core_with(program, row, column)
    code = instructions(program, core)
    assert isinstance(code[blame.address], Write)
    assert (blame.core, blame.text) == (core, ISA.format(code[blame.address]))
    assert f"word {place} of" in blame.reason
    assert core_with(program, 0, 0) != core_with(program, 17, 5)


def blamed(tensor: str, place: int, folder: Path) -> tuple[Program, Blame]:
    """A program in which one weight has the other sign, and the instruction to blame."""
    model = save_model(quantized_network(), folder / "model.onnx")
    right = compile_source(str(model), CompileOptions(target="rram", settings=SMALL)).program
    assert right is not None
    stored = weights()[tensor].reshape(-1)[place]

    def change(words: np.ndarray) -> None:
        words[place] = -100 if stored > 0 else 100

    path = folder / "wrong.cat"
    write_program(other_constants(tensor, change)(right, folder), path)
    program, emulator = load_program(path)
    evidence = verify_program(program, emulator, model).evidence
    assert evidence is not None
    found = locate(program, emulator, model, evidence)
    assert found.blame is not None, found.lines()
    return program, found.blame


def instructions(program: Program, core: int) -> list[Instruction]:
    return list(ISA.decode(program.code[core]))


def parts(program: Program) -> dict[int, Part]:
    """By core, its part of the first layer with weights."""
    layer = next(each.name for each in program.layers if "conv" in each.nodes)
    entries = [each for each in program.debug if each.layer == layer]
    found = {each.core: instructions(program, each.core)[each.start : each.end] for each in entries}
    return {core: part for core, code in found.items() for part in code if isinstance(part, Part)}


def core_with(program: Program, row: int, column: int) -> int:
    """The core whose part of the matrix has an element."""
    return next(
        core
        for core, part in parts(program).items()
        if part.row <= row < part.row + part.rows and part.column <= column < part.column + part.columns
    )
