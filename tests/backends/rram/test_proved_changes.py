"""Tokens removed, doubled in place or moved earlier: they are refused, or results are the same at any pace."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from backends.rram import BACKEND
from backends.rram.steps import Pace
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.multicore import SignalOp, WaitOp
from passes.prove_order import ProveOrderPass
from tests.backends.rram.quantized import SMALL, Ready, placed, ready, residual

PACES = 3


@cache
def _network(seed: int) -> tuple[ModuleOp, Ready]:
    """IR of stage `placed`, and the program with what it should compute."""
    scheme = ("sequential", "linear", "cyclic", "linear")[seed % 4]
    settings = {**SMALL, "schedule.scheme": scheme, "schedule.pipelined": "true" if seed % 4 == 3 else "false"}
    settings |= {"cores.overlap": "true" if seed % 3 == 2 else "false", "schedule.signal_every": str(1 + seed % 2)}
    model = residual(seed, 4 + seed % 2)
    return placed(model, settings), ready(model, settings, seed)


def _any(module: ModuleOp, random: np.random.Generator, kind: type[SignalOp] | type[WaitOp]) -> SignalOp | WaitOp:
    found = [op for op in module.walk() if isinstance(op, kind)]
    return found[int(random.integers(len(found)))]


def _signal_removed(module: ModuleOp, random: np.random.Generator) -> None:
    _any(module, random, SignalOp).detach()


def _wait_removed(module: ModuleOp, random: np.random.Generator) -> None:
    _any(module, random, WaitOp).detach()


def _signal_doubled(module: ModuleOp, random: np.random.Generator) -> None:
    signal = _any(module, random, SignalOp)
    block = signal.parent_block()
    assert block is not None
    block.insert_op_after(signal.clone(), signal)


def _wait_moved_earlier(module: ModuleOp, random: np.random.Generator) -> None:
    """Before the op that it stands behind."""
    waits = [op for op in module.walk() if isinstance(op, WaitOp) and op.prev_op is not None]
    wait = waits[int(random.integers(len(waits)))]
    block, before = wait.parent_block(), wait.prev_op
    assert block is not None
    assert before is not None
    wait.detach()
    block.insert_op_before(wait, before)


Change = Callable[[ModuleOp, np.random.Generator], None]
REFUSED: dict[Change, bool] = {
    _signal_removed: True,
    _wait_removed: True,
    _signal_doubled: False,
    _wait_moved_earlier: False,
}
"""Whether nearly all programs are refused with a change, or none is."""


def _refused(network: int, change: Change, seed: int) -> bool:
    """Whether a changed program is refused; the message names the pair, or it runs to the same bits without a race."""
    module, made = _network(network)
    changed = module.clone()
    change(changed, np.random.default_rng(seed))
    try:
        ProveOrderPass().apply(Context(), changed)
    except CatenaError as error:
        _names_pair(error.diagnostics[0])
        return True
    broken = replace(made, program=BACKEND.emit(changed))
    broken.emulate()
    for number in range(PACES):
        broken.emulate("steps", Pace(PACES * seed + number))
    return False


def _names_pair(found: Diagnostic) -> None:
    """Two cores with their nodes, and an op of each."""
    text = f"{found.message} {found.found}"
    places = re.findall(r"core \d+, node '([^']*)'", text)
    assert len(places) == 2, found
    assert all(node in found.node for node in places), found
    assert len(re.findall(r"multicore\.\w+ \S+|multicore\.fetch", text)) >= 2, found


def _refusals(change: Change, seeds: Iterable[int]) -> float:
    """The share of programs that are refused."""
    return float(np.mean([_refused(seed % 12, change, seed) for seed in seeds]))


def _check(change: Change, seeds: Iterable[int]) -> None:
    share = _refusals(change, seeds)
    assert share > 0.9 if REFUSED[change] else share == 0, share


@pytest.mark.parametrize("change", REFUSED)
def test_a_changed_token_is_refused_or_changes_nothing(change: Change) -> None:
    _check(change, range(2))


@pytest.mark.parametrize(("change", "network", "seed"), [(_signal_removed, 6, 30), (_signal_doubled, 11, 11)])
def test_a_later_signal_makes_up_for_one_and_two_in_a_run_are_one(change: Change, network: int, seed: int) -> None:
    assert not _refused(network, change, seed)


@pytest.mark.exhaustive
@pytest.mark.parametrize("change", REFUSED)
def test_more_changed_tokens_are_refused_or_change_nothing(change: Change) -> None:
    _check(change, range(2, 6))
