"""No wait is left without which the proof would still hold, and no signal that lets none pass."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from dialects.diagnostics import CatenaError
from dialects.gconv.interpreter import main_function
from dialects.groups import GroupOp
from dialects.multicore import RunOp, SignalOp, WaitOp
from dialects.multicore_mapping import Scheme
from dialects.target import require_multicore
from passes import synchronize_cores
from passes.multicore.accesses import Block, blocks_of, placed_layers
from passes.multicore.reading import joined, sendings, waits_of
from passes.multicore.reduction import reduce_tokens
from passes.prove_order import ProveOrderPass
from tests.backends.rram.quantized import placed, residual

SEEDS = [1, 3, 4, 5, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in (0, 2, *range(6, 40)))]


def _program(seed: int) -> ModuleOp:
    """A small network on a chip of some cores, under some schedule; every third one with a group."""
    draw = random.Random(seed)
    fuse = seed % 3 == 2
    choices = {
        "cores.count": (2, 3, 5, 7, 12),
        "cores.crossbars": (1, 2, 4),
        "crossbar.rows": (8, 16, 32),
        "crossbar.columns": (8, 16, 64),
        "cores.overlap": ("true", "false"),
        "schedule.scheme": tuple(Scheme),
        "schedule.signal_every": (1, 2, 5, 12),
        "schedule.pipelined": ("true",) if fuse else ("true", "false"),
        "schedule.duplicate": ("true", "false"),
    }
    return placed(residual(seed, 4), {name: str(draw.choice(several)) for name, several in choices.items()}, fuse=fuse)


def _prove(module: ModuleOp) -> None:
    ProveOrderPass().apply(Context(), module)


def _is_proved_without(module: ModuleOp, wait: WaitOp) -> bool:
    block = wait.parent_block()
    assert block is not None
    behind = wait.next_op
    wait.detach()
    try:
        _prove(module)
    except CatenaError:
        return False
    finally:
        if behind is None:
            block.add_op(wait)
        else:
            block.insert_op_before(wait, behind)
    return True


def _waits(module: ModuleOp) -> list[WaitOp]:
    return [op for op in module.walk() if isinstance(op, WaitOp)]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_wait_is_needed(seed: int) -> None:
    module = _program(seed)
    _prove(module)
    assert [str(wait) for wait in _waits(module) if _is_proved_without(module, wait)] == []


def _unreduced(seed: int, monkeypatch: pytest.MonkeyPatch) -> ModuleOp:
    def nothing(blocks: Sequence[Block], groups: Iterable[GroupOp], machine: object) -> None:
        """Leave all tokens."""

    with monkeypatch.context() as patch:
        patch.setattr(synchronize_cores, "reduce_tokens", nothing)
        return _program(seed)


def test_what_goes_is_what_others_imply(monkeypatch: pytest.MonkeyPatch) -> None:
    """More tokens are chosen block by block; the same order is proved without them, and nothing else changes."""
    module = _unreduced(1, monkeypatch)
    chosen = _waits(module)
    assert any(_is_proved_without(module, wait) for wait in chosen)
    function = main_function(module)
    groups = [op for op in function.body.block.ops if isinstance(op, GroupOp)]
    reduce_tokens(blocks_of(placed_layers(function)), groups, require_multicore(module, "placed"))
    _prove(module)
    assert len(_waits(module)) < len(chosen)
    assert str(module) == str(_program(1))


@pytest.mark.parametrize("seed", [0, 2, 4])
def test_every_signal_lets_a_wait_pass(seed: int) -> None:
    module = _program(seed)
    blocks = blocks_of(placed_layers(main_function(module)))
    overlap = require_multicore(module, "placed").cores.overlap
    waits = [wait for block in blocks for _, wait in waits_of(block, overlap=overlap)]
    for register, several in sendings(blocks).items():
        signals = joined(several)
        passed = {int(each) for wait in waits if wait.register == register for each in signals.passing(wait.values)}
        ends = np.cumsum([len(each.values) for each in several])
        for sending, end in zip(several, ends.tolist(), strict=True):
            assert passed & set(range(end - len(sending.values), end)), str(sending.op)


def test_streams_that_get_stuck_stay_as_they_are() -> None:
    """Who waits for ever is what prove-order says, of all tokens."""
    module = _program(0)
    signals = [op for op in module.walk() if isinstance(op, SignalOp)]
    for op in signals:
        if (op.core, op.register) == (signals[0].core, signals[0].register):
            op.detach()
    before = str(module)
    function = main_function(module)
    reduce_tokens(blocks_of(placed_layers(function)), (), require_multicore(module, "placed"))
    assert str(module) == before
    with pytest.raises(CatenaError, match="waits for ever"):
        _prove(module)


def test_a_ring_of_single_vectors_waits_behind_its_product() -> None:
    """What is waited for once and for all stands before the first instruction that conflicts, which are the sums."""
    module = placed(residual(3, 4), {"cores.count": "40", "cores.crossbars": "1", "crossbar.rows": "8"})
    single = [op for op in module.walk() if isinstance(op, RunOp) and op.turns.value.data == 1]
    names = [[type(op).__name__ for op in run.body.block.ops] for run in single]
    behind = [each for each in names if "FetchOp" in each and "WaitOp" in each]
    assert behind
    assert all(each.index("MvmOp") < each.index("WaitOp") < each.index("FetchOp") for each in behind)
