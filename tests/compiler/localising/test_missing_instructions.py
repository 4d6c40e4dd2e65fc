"""Instructions that are missing, or there in addition: all that follow are at other addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backends.program import DebugEntry, Program
from backends.registry import find_backend
from compiler.localising.edits import edits, repaired
from tests.compiler.localising.faults import CONV, DENSE, Fault, program_for
from tests.compiler.localising.test_planted_faults import located
from tests.compiler.small_models import small_cnn

pytest.importorskip("onnxruntime")

RELU = "function slot=post, code=40"
BIAS = "function slot=post, code=100"


def other_count(layer: str, beginning: str, times: int, *, stale: bool = False) -> Callable[[Program, Path], Program]:
    """The first instruction of a layer whose text begins so, several times; `stale`: ranges of layers stay."""

    def plant(program: Program, folder: Path) -> Program:
        isa = find_backend(program.metadata.backend).isa()
        entry = next(each for each in program.debug if each.layer == layer)
        code = list(isa.decode(program.code[entry.core]))
        texts = [isa.format(each) for each in code]
        at = next(place for place in range(entry.start, entry.end) if texts[place].startswith(beginning))
        code[at : at + 1] = [code[at]] * times
        changed = list(program.code)
        changed[entry.core] = isa.encode(code)

        def moved(each: DebugEntry) -> DebugEntry:
            if stale or each.core != entry.core:
                return each
            start, end = (place + (times - 1) * (place > at) for place in (each.start, each.end))
            return replace(each, start=start, end=end)

        return replace(program, code=tuple(changed), debug=tuple(map(moved, program.debug)))

    return plant


@pytest.mark.parametrize("stale", [False, True], ids=["ranges", "stale"])
@pytest.mark.parametrize(
    ("target", "layer", "instruction"),
    [("eyeriss", CONV, RELU), ("rram", CONV, BIAS), ("rram", DENSE, BIAS), ("spots", DENSE, BIAS)],
)
def test_a_missing_instruction_is_named(target: str, layer: str, instruction: str, stale: bool, tmp_path: Path) -> None:
    right = program_for(target, small_cnn())
    fault = Fault(target, layer, instruction, other_count(layer, instruction, 0, stale=stale))
    _, found = located(fault, tmp_path)
    assert found.blame is not None, found.lines()
    assert found.layer == layer
    assert found.blame.text.startswith(instruction)
    assert "missing" in found.blame.reason
    entry = next(each for each in right.debug if each.layer == layer)
    isa = find_backend(target).isa()
    assert isa.format(list(isa.decode(right.code[entry.core]))[found.blame.address]) == found.blame.text
    assert f"  expected: {found.blame.text}" in found.lines()


@pytest.mark.parametrize("target", ["eyeriss", "rram"])
def test_an_additional_instruction_is_named(target: str, tmp_path: Path) -> None:
    fault = Fault(target, DENSE, BIAS, other_count(DENSE, BIAS, 2))
    _, found = located(fault, tmp_path)
    assert found.blame is not None, found.lines()
    assert (found.layer, found.blame.reason) == (DENSE, "it is there in addition")
    assert found.blame.text.startswith(BIAS)


@pytest.mark.parametrize("times", [0, 2, 3])
def test_edits_make_the_one_program_of_the_other(times: int, tmp_path: Path) -> None:
    right = program_for("eyeriss", small_cnn())
    wrong = other_count(CONV, RELU, times)(right, tmp_path)
    found = edits(wrong, right, {CONV})
    assert len(found) == abs(times - 1)
    mended = repaired(wrong, right, found)
    assert (mended.code, mended.debug) == (right.code, right.debug)
    assert not edits(wrong, right, {DENSE})
