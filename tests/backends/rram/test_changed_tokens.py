"""Programs of which a token was removed, moved or doubled: the emulator stops, and its message names the pair."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from backends.isa import Instruction
from backends.rram.isa import ISA, Fetch, Signal, Store, Wait
from backends.rram.steps import Pace
from dialects.diagnostics import CatenaError, Diagnostic
from tests.backends.rram.quantized import SMALL, Ready, ready, residual

NOTHING = Wait(0, 0, 0, 1, 0, 0)
Codes = list[list[Instruction]]
Place = tuple[int, int]
"""A core, and the number of one of its instructions."""


@cache
def _made(seed: int) -> Ready:
    scheme = ("sequential", "linear", "cyclic", "linear")[seed % 4]
    settings = {"schedule.scheme": scheme, "schedule.pipelined": "true" if seed % 4 == 3 else "false"}
    settings["cores.overlap"] = "true" if seed % 3 == 2 else "false"
    return ready(residual(seed, 4), {**SMALL, **settings}, seed)


def _codes(made: Ready) -> Codes:
    return [list(ISA.decode(code, "code")) for code in made.program.code]


def _with(made: Ready, codes: Codes) -> Ready:
    return replace(made, program=replace(made.program, code=tuple(ISA.encode(code) for code in codes)))


def _any(codes: Codes, kind: type[Instruction], random: np.random.Generator) -> Place:
    found = [(core, pc) for core, code in enumerate(codes) for pc, each in enumerate(code) if isinstance(each, kind)]
    return found[int(random.integers(len(found)))]


Change = Callable[[Codes, np.random.Generator], set[int] | None]
"""Changes codes; the cores that a message has to name, if the change says which these are."""


def _signals_removed(codes: Codes, random: np.random.Generator) -> set[int]:
    core, pc = _any(codes, Signal, random)
    signal = codes[core][pc]
    assert isinstance(signal, Signal)
    for at, each in enumerate(codes[core]):
        if isinstance(each, Signal) and (each.core, each.register) == (signal.core, signal.register):
            codes[core][at] = NOTHING
    return {core, signal.core}


def _wait_removed(codes: Codes, random: np.random.Generator) -> None:
    core, pc = _any(codes, Wait, random)
    codes[core][pc] = NOTHING


def _signal_doubled(codes: Codes, random: np.random.Generator) -> set[int]:
    """On another core."""
    core, pc = _any(codes, Signal, random)
    signal = codes[core][pc]
    assert isinstance(signal, Signal)
    others = [each for each, code in enumerate(codes) if each not in (core, signal.core) and len(code) > 1]
    other = others[int(random.integers(len(others)))]
    places = [pc for pc, each in enumerate(codes[other]) if isinstance(each, Store)]
    codes[other][places[-1]] = signal
    return {other, signal.core}


def _waits_for_ever(codes: Codes, random: np.random.Generator) -> None:
    """Waits for a turn more than there are."""
    core, pc = _any(codes, Wait, random)
    wait = codes[core][pc]
    assert isinstance(wait, Wait)
    codes[core][pc] = replace(wait, base=60000, most=60000)


def _wait_behind_fetching(codes: Codes, random: np.random.Generator) -> None:
    """The wait of a ring changes places with the fetch that it is for."""
    places = [
        (core, pc)
        for core, code in enumerate(codes)
        for pc in range(len(code) - 1)
        if isinstance(code[pc], Wait) and isinstance(code[pc + 1], Fetch)
    ]
    core, pc = places[int(random.integers(len(places)))]
    codes[core][pc : pc + 2] = codes[core][pc + 1], codes[core][pc]


CHANGES: tuple[Change, ...] = (_signals_removed, _wait_removed, _signal_doubled, _waits_for_ever, _wait_behind_fetching)
PACES = 6


def _problem(made: Ready, mode: str) -> Diagnostic | None:
    """What the emulator says at some paces of the cores, if anything."""
    for seed in range(PACES if mode == "steps" else 1):
        try:
            made.emulate(mode, Pace(seed) if mode == "steps" else None)
        except CatenaError as error:
            return error.diagnostics[0]
    return None


def _cores(found: Diagnostic) -> set[int]:
    """The cores that a message names."""
    return {int(each) for each in re.findall(r"core (\d+)", f"{found.message} {found.found} {found.where}")}


def _nodes_of(made: Ready, cores: set[int]) -> list[set[str]]:
    """The ONNX nodes that each of some cores works on."""
    layers = {layer.name: set(layer.nodes) for layer in made.program.layers}
    return [{node for e in made.program.debug if e.core == core for node in layers[e.layer]} for core in sorted(cores)]


def _check(seed: int, change: Change) -> None:
    made = _made(seed)
    codes = _codes(made)
    pair = change(codes, np.random.default_rng(seed))
    broken = _with(made, codes)
    found = _problem(broken, "steps")
    assert found is not None
    named = _cores(found)
    assert len(named) >= 2, found
    assert pair is None or pair <= named, found
    assert f"{found.message} {found.found} {found.where}".count("instruction") >= 2, found
    nodes = set(found.node.split(" + "))
    assert all(nodes & of_core for of_core in _nodes_of(made, pair or named)), found


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_token_is_found(change: Change) -> None:
    _check(1, change)


@pytest.mark.exhaustive
@pytest.mark.parametrize("change", CHANGES)
def test_changed_tokens_of_fifty_programs_are_found(change: Change) -> None:
    """Sequential programs wait for nothing in rings, and are left out there: fifty are left."""
    for seed in range(67):
        if change is not _wait_behind_fetching or seed % 4:
            _check(seed, change)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_both_engines_say_who_should_have_signalled(seed: int) -> None:
    made = _made(seed)
    for number in range(4):
        codes = _codes(made)
        pair = _signals_removed(codes, np.random.default_rng(number))
        assert pair is not None
        broken = _with(made, codes)
        for mode in ("blocks", "steps"):
            found = _problem(broken, mode)
            assert found is not None
            assert found.code == "CAT-E005"
            assert _cores(found) == pair, found
            assert "does not signal it behind instruction" in str(found.found)


def test_a_register_is_written_by_one_core() -> None:
    """Both engines see that before they run anything."""
    codes = _codes(_made(1))
    pair = _signal_doubled(codes, np.random.default_rng(1))
    assert pair is not None
    for mode in ("blocks", "steps"):
        found = _problem(_with(_made(1), codes), mode)
        assert found is not None
        assert found.code == "CAT-E003"
        assert pair <= _cores(found)
