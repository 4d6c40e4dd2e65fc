"""What a core leaves out, or a token that says something else, is named, and not who misses it or waits for ever."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backends.api import ObservedRunEmulator
from backends.effects import Effect, Shown
from backends.registry import find_backend
from backends.rram.blocks import BlockEngine
from backends.rram.chip import Cost
from backends.rram.streams import Do
from compiler.execution import load_program, random_inputs
from compiler.localising.stream_sequence import StreamSequence
from compiler.localising.stream_turns import pieces_of_cores
from tests.backends.rram.quantized import SMALL
from tests.backends.rram.quantized_network import quantized_network
from tests.compiler.localising.conftest import Made
from tests.compiler.localising.mutants import Mutant, Patch, on_crossbars
from tests.compiler.localising.test_tiles_on_cores import COPIES, CYCLIC
from tests.compiler.small_models import small_cnn

pytest.importorskip("onnxruntime")

_MOVING = (Do.LOAD, Do.FETCH, Do.STORE, Do.SIGNAL)


def left_out(do: Do, core: int) -> Callable[[Patch], None]:
    """A core does not do something, in no turn."""
    right = BlockEngine._perform  # pyright: ignore[reportPrivateUsage]

    def perform(self: Any, task: Any, piece: Any, action: Any, turns: range) -> None:
        if action.do is not do or task.core != core:
            right(self, task, piece, action, turns)
            return
        none = np.zeros(len(turns), np.int64)
        self.recorded.add(core, action.pc, Cost(none if do in _MOVING else None, none))

    return lambda patch: patch.setattr(BlockEngine, "_perform", perform)


def signalled(core: int, *others: int) -> Callable[[Patch], None]:
    """A core signals to another core or register, or another value."""
    right = BlockEngine._signal  # pyright: ignore[reportPrivateUsage]

    def signal(self: Any, task: Any, piece: Any, action: Any, turns: range) -> None:
        if task.core == core:
            *token, every = action.given
            token = [each + other for each, other in zip(token, others, strict=True)]
            action = replace(action, given=(*token, every))
        right(self, task, piece, action, turns)

    return lambda patch: patch.setattr(BlockEngine, "_signal", signal)


_ALWAYS = {
    "fetch": on_crossbars("fetch", "conv", left_out(Do.FETCH, 2)),
    "signal": on_crossbars("signal", "conv", left_out(Do.SIGNAL, 2)),
}
_ALSO = {
    "store": on_crossbars("store made=output", "conv", left_out(Do.STORE, 3)),
    "activate": on_crossbars("activate", "conv", left_out(Do.ACTIVATE, 3)),
    "mvm": on_crossbars("mvm", "conv", left_out(Do.MULTIPLY, 1)),
    "load": on_crossbars("load what=input", "conv", left_out(Do.LOAD, 1)),
    "core of a signal": on_crossbars("signal", "conv", signalled(3, 1, 0, 0)),
    "register of a signal": on_crossbars("signal", "conv", signalled(0, 0, 1, 0)),
    "value of a signal": on_crossbars("signal", "conv", signalled(1, 0, 0, -1)),
}
_MUTANTS = _ALWAYS | _ALSO


@pytest.mark.parametrize("name", [*_ALWAYS, *(pytest.param(each, marks=pytest.mark.exhaustive) for each in _ALSO)])
def test_an_action_that_a_core_leaves_out_is_named(name: str, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    made.blamed(_MUTANTS[name], monkeypatch)


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        (small_cnn, {}),
        *(
            pytest.param(quantized_network, settings, marks=pytest.mark.exhaustive)
            for settings in (SMALL, CYCLIC, COPIES, {**COPIES, "cores.overlap": "true"})
        ),
    ],
)
def test_cores_that_are_right_do_what_their_code_says(model: Any, settings: Any, made: Made) -> None:
    _, path = made.files(Mutant("rram", "", "", lambda patch: None, model=model, settings=settings))
    program, emulator = load_program(path)
    pieces = pieces_of_cores(program, range(len(program.layers)), find_backend("rram").isa())
    assert pieces is not None
    sequence, done = StreamSequence(pieces), 0

    def observe(effect: Effect) -> None:
        nonlocal done
        if effect.shown is not Shown.CONFIGURED:
            sequence.check(effect)
            done += effect.shown is Shown.DONE

    assert isinstance(emulator, ObservedRunEmulator)
    emulator.observe_run(random_inputs(program, 0), observe)
    sequence.end()
    assert done >= sum(len(piece.actions) for core in pieces for piece in core)
