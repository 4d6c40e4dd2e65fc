"""synchronize-cores and prove-order: no token too few, and programs with a token too few, or elsewhere, are refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from dialects.diagnostics import CatenaError
from dialects.multicore import SignalOp, StoreOp, StreamOp, WaitOp, whole
from dialects.spatial import integer
from passes.prove_order import ProveOrderPass
from tests.backends.rram.quantized import SMALL, placed, residual

RACE, DEADLOCK = "CAT-R005", "CAT-R006"


@cache
def _network(seed: int) -> ModuleOp:
    scheme = ("sequential", "linear", "cyclic", "linear")[seed]
    settings = {"schedule.scheme": scheme, "schedule.signal_every": str(1 + seed % 2)}
    settings["schedule.pipelined"] = "true" if seed == 3 else "false"
    return placed(residual(seed, 4 + seed % 3), {**SMALL, **settings})


def _prove(module: ModuleOp) -> None:
    ProveOrderPass().apply(Context(), module)


def _refused(module: ModuleOp) -> CatenaError:
    with pytest.raises(CatenaError) as raised:
        _prove(module)
    return raised.value


def _remove_wait(module: ModuleOp, random: np.random.Generator) -> tuple[str, ...]:
    _any(module, random, WaitOp).detach()
    return (RACE,)


def _remove_signals(module: ModuleOp, random: np.random.Generator) -> tuple[str, ...]:
    """All of one core to one register."""
    signal = _any(module, random, SignalOp)
    assert isinstance(signal, SignalOp)
    register = integer(signal.core), integer(signal.register)
    for op in list(module.walk()):
        if isinstance(op, SignalOp) and (integer(op.core), integer(op.register)) == register:
            op.detach()
    return (DEADLOCK,)


def _wait_behind(module: ModuleOp, random: np.random.Generator) -> tuple[str, ...]:
    wait = _any(module, random, WaitOp)
    block = wait.parent_block()
    assert block is not None
    wait.detach()
    block.add_op(wait)
    return (RACE,)


def _signal_before_storing(module: ModuleOp, random: np.random.Generator) -> tuple[str, ...]:
    signal = _any(module, random, SignalOp)
    stores = [op for op in _stream(signal).walk() if isinstance(op, StoreOp)]
    signal.detach()
    block = stores[0].parent_block()
    assert block is not None
    block.insert_op_before(signal, stores[0])
    return (RACE,)


def _signal_from_elsewhere(module: ModuleOp, random: np.random.Generator) -> tuple[str, ...]:
    """A second core writes the same register."""
    signal = _any(module, random, SignalOp)
    others = [
        op for op in module.walk() if isinstance(op, StreamOp) and integer(op.core) != integer(_stream(signal).core)
    ]
    block = others[int(random.integers(len(others)))].body.block
    block.add_op(signal.clone())
    return (RACE,)


def _wait_for_ever(module: ModuleOp, random: np.random.Generator) -> tuple[str, ...]:
    wait = _any(module, random, WaitOp)
    for name in ("base", "most"):
        wait.properties[name] = whole(integer(getattr(wait, name)) + 100000)
    return (DEADLOCK,)


def _any(module: ModuleOp, random: np.random.Generator, kind: type[WaitOp] | type[SignalOp]) -> WaitOp | SignalOp:
    found = [op for op in module.walk() if isinstance(op, kind)]
    return found[int(random.integers(len(found)))]


def _stream(op: Operation) -> StreamOp:
    around = op.parent_op()
    while not isinstance(around, StreamOp):
        assert around is not None
        around = around.parent_op()
    return around


CHANGES = (
    *(_remove_wait, _remove_signals, _wait_behind, _signal_before_storing),
    *(_signal_from_elsewhere, _wait_for_ever),
)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_token_is_refused(change: Callable[[ModuleOp, np.random.Generator], tuple[str, ...]]) -> None:
    for seed in range(9):
        module = _network(seed % 4).clone()
        codes = change(module, np.random.default_rng(seed))
        found = _refused(module).diagnostics
        assert found[0].code in codes, found[0]
        assert found[0].node
        assert "core " in found[0].message


@pytest.mark.parametrize("seed", range(4))
def test_what_is_inserted_is_enough(seed: int) -> None:
    _prove(_network(seed))


def test_a_race_names_both_cores_and_nodes() -> None:
    module = _network(1).clone()
    waits = [op for op in module.walk() if isinstance(op, WaitOp)]
    for wait in waits:
        wait.detach()
    message = str(_refused(module))
    assert "nothing orders two accesses to word" in message
    assert message.splitlines()[0].count("core ") == 2
    assert message.splitlines()[0].count("QLinearConv.") + message.splitlines()[0].count("MaxPool.") >= 2
