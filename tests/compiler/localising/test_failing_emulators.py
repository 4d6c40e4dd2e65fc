"""An emulator that fails with an error of Python's stops at an instruction, which is named, and says what it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backends.generic.offchip import OffChip
from backends.registry import find_backend
from backends.rram.products import MatrixPart
from backends.spatial.blocks import BlockEngine
from backends.spatial.core import LayerSequencer
from backends.spatial.groups import _Run as Run  # pyright: ignore[reportPrivateUsage]
from backends.spatial.running import ProgramEmulator
from compiler.execution import load_program, random_inputs, run_program
from compiler.host_execution import HostRuntime
from compiler.verification.programs import verify_source
from dialects.diagnostics import CatenaError
from tests.compiler.localising.conftest import Made
from tests.compiler.localising.faults import CONV
from tests.compiler.localising.mutants import Mutant, Patch, on_crossbars

pytest.importorskip("onnxruntime")


def failing(owner: Any, name: str, error: Exception) -> Callable[[Patch], None]:
    def fail(*given: Any, **named: Any) -> None:
        raise error

    return lambda patch: patch.setattr(owner, name, fail)


def shortened(owner: Any, name: str) -> Callable[[Patch], None]:
    """What a function returns lacks a column: what it is used for fails later."""

    def mutate(patch: Patch) -> None:
        right = getattr(owner, name)
        patch.setattr(owner, name, lambda *given: right(*given)[..., :-1])

    return mutate


def second_layer_fails(patch: Patch) -> None:
    right = LayerSequencer.set_window

    def set_window(self: Any, *given: Any) -> None:
        if self.layer.index == 1:
            raise KeyError(self.layer.index)
        right(self, *given)

    patch.setattr(LayerSequencer, "set_window", set_window)


_FAILING = {
    "generic: kernels": (
        "ValueError: no",
        Mutant("generic", CONV, "fill tensor=kernel", failing(OffChip, "kernel", ValueError("no"))),
    ),
    "generic: inputs": ("AssertionError", Mutant("generic", CONV, "fill tensor=input", shortened(OffChip, "input"))),
    "systolic: inputs": (
        "ValueError: ",
        Mutant("systolic", CONV, "load tensor=input", shortened(BlockEngine, "_read_input")),
    ),
    "systolic: configuration": ("KeyError: 1", Mutant("systolic", "pool1", "window dim=0", second_layer_fails)),
    "spots: results": ("IndexError", Mutant("spots", CONV, "store", failing(OffChip, "write", IndexError()))),
    "eyeriss, fused: send": (
        "TypeError: no",
        Mutant("eyeriss", "pool1", "send", failing(Run, "_send", TypeError("no")), fuse=True),
    ),
    "rram: post": (
        "ZeroDivisionError: no",
        on_crossbars("activate", "conv", failing(MatrixPart, "activate", ZeroDivisionError("no"))),
    ),
}


@pytest.mark.parametrize("name", _FAILING)
def test_the_instruction_at_which_an_emulator_fails_is_named(
    name: str, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, mutant = _FAILING[name]
    model, path = made.files(mutant)
    mutant.mutate(monkeypatch)
    found = verify_source(str(path), model)
    assert not found.is_equal
    location = found.location
    assert location is not None
    assert location.blame is not None, location.lines()
    assert location.blame.text.startswith(mutant.instruction)
    assert location.layer == mutant.layer
    assert location.stopped.startswith(f"the emulator failed: {said}")


def test_a_run_says_at_which_instruction_the_emulator_failed_and_that_it_is_a_bug(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = Mutant("systolic", CONV, "store", failing(BlockEngine, "store", ValueError("no\nmore")))
    _, path = made.files(mutant)
    mutant.mutate(monkeypatch)
    program, emulator = load_program(path)
    with pytest.raises(CatenaError) as raised:
        emulator.run(random_inputs(program, 0))
    (problem,) = raised.value.diagnostics
    assert (problem.code, problem.stage) == ("CAT-I001", "emulation")
    assert problem.message.startswith("the emulator failed: ValueError: no; more (test_failing_emulators.py:")
    assert f"layer {CONV}" in problem.where


def test_an_emulator_of_anybody_that_fails_outside_of_instructions_is_named_too(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = made.files(Mutant("systolic", CONV, "", lambda patch: None))
    right = ProgramEmulator.run_layer

    def run_layer(self: Any, layer: str, tensors: Any) -> Any:
        if layer == "pool1":
            raise ValueError("no")
        return right(self, layer, tensors)

    with monkeypatch.context() as patch:
        patch.setattr(ProgramEmulator, "run_layer", run_layer)
        location = verify_source(str(path), model).location
    assert location is not None
    assert location.layer == "pool1"
    assert location.stopped.startswith("the emulator failed: ValueError: no (test_failing_emulators.py:")
    program, emulator = load_program(path)
    failing(type(emulator), "run", KeyError("y"))(monkeypatch)
    with pytest.raises(CatenaError) as raised:
        run_program(program, emulator, HostRuntime(program), random_inputs(program, 0))
    assert [(each.code, each.stage) for each in raised.value.diagnostics] == [("CAT-I001", "emulation")]


def reversed_results(patch: Patch) -> None:
    """What no instruction does: results are read the other way around."""
    right = ProgramEmulator._read  # pyright: ignore[reportPrivateUsage]
    patch.setattr(ProgramEmulator, "_read", lambda *given: np.flip(right(*given)))


@pytest.mark.parametrize("target", ["eyeriss", pytest.param("generic", marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("fuse", [True, pytest.param(False, marks=pytest.mark.exhaustive)])
def test_layers_of_many_terms_are_not_executed_word_by_word_and_that_is_said(
    target: str, fuse: bool, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = Mutant(target, CONV, "", reversed_results, fuse=fuse)
    model, path = made.files(mutant)
    mutant.mutate(monkeypatch)
    monkeypatch.setattr("compiler.localising.engines.MOST_TERMS_BY_WORD", 1000)
    engine = find_backend(load_program(path)[0].metadata.backend).engines[1]
    location = verify_source(str(path), model).location
    assert location is not None
    assert location.blame is None
    assert "all that instructions show is what the layer is defined to do" in location.remark
    assert f"engine {engine} of the emulator was not tried: more than 1,000 terms of sums" in location.remark
    monkeypatch.setattr("compiler.localising.engines.MOST_TERMS_BY_WORD", 10_000)
    location = verify_source(str(path), model).location
    assert location is not None
    assert "was not tried" not in location.remark
