"""synchronize-cores and prove-order: no token too few, and programs with a token too few, or elsewhere, are refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.multicore import LoadOp, RunOp, SignalOp, StoreOp, StreamOp, WaitOp, whole
from dialects.spatial import ForOp, integer
from passes.prove_order import ProveOrderPass
from tests.backends.rram.quantized import SMALL, placed, residual

RACE, DEADLOCK = "CAT-R005", "CAT-R006"
_DOING = (LoadOp, RunOp, ForOp, StoreOp)


def _settings(seed: int) -> dict[str, str]:
    scheme = ("sequential", "linear", "cyclic", "linear")[seed % 4]
    settings = {"schedule.scheme": scheme, "schedule.signal_every": str(1 + seed % 2)}
    settings["schedule.pipelined"] = "true" if seed % 4 == 3 else "false"
    settings["cores.overlap"] = "true" if seed % 3 == 2 else "false"
    return {**SMALL, **settings}


@cache
def _network(seed: int) -> ModuleOp:
    return placed(residual(seed, 4 + seed % 3), _settings(seed))


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


def _two(
    module: ModuleOp, random: np.random.Generator, kind: type[WaitOp] | type[SignalOp]
) -> tuple[Operation, Operation]:
    """Two that stand in streams of different cores and are about different registers."""
    first = _any(module, random, kind)
    while True:
        second = _any(module, random, kind)
        if integer(_stream(first).core) != integer(_stream(second).core) and first.properties != second.properties:
            return first, second


def _stream(op: Operation) -> StreamOp:
    around = op.parent_op()
    while not isinstance(around, StreamOp):
        assert around is not None
        around = around.parent_op()
    return around


def _signal_twice(module: ModuleOp, random: np.random.Generator) -> tuple[str, ...]:
    """Once more, before the core did anything."""
    signal = _any(module, random, SignalOp)
    block = _stream(signal).body.block
    first = next(op for op in block.ops if isinstance(op, _DOING))
    block.insert_op_before(signal.clone(), first)
    return (RACE,)


def _waits_exchanged(module: ModuleOp, random: np.random.Generator) -> tuple[str, ...]:
    """Two cores wait for what the other one should."""
    first, second = _two(module, random, WaitOp)
    first.properties, second.properties = second.properties, first.properties
    return RACE, DEADLOCK


Change = Callable[[ModuleOp, np.random.Generator], tuple[str, ...]]
REMOVED: tuple[Change, ...] = (_remove_wait, _remove_signals)
REORDERED: tuple[Change, ...] = (_wait_behind, _signal_before_storing, _waits_exchanged)
DUPLICATED: tuple[Change, ...] = (_signal_from_elsewhere, _signal_twice)
CHANGES = (*REMOVED, *REORDERED, *DUPLICATED, _wait_for_ever)


def _caught(module: ModuleOp, change: Change, seed: int) -> None:
    """The change is refused, and the message names two accesses or tokens, with the cores and nodes they belong to."""
    codes = change(module, np.random.default_rng(seed))
    found = _refused(module).diagnostics[0]
    assert found.code in codes, found
    assert found.node
    assert len(_places(found)) >= 2, found
    assert all(node in found.node for _, node in _places(found)), found
    assert len(_ops(found)) >= 2, found


def _ops(found: Diagnostic) -> list[str]:
    """The ops that a message names by their texts."""
    return re.findall(r"multicore\.\w+ \S+|multicore\.fetch", f"{found.message} {found.found}")


def _places(found: Diagnostic) -> set[tuple[int, str]]:
    """Cores and nodes that a message names together."""
    named = re.findall(r"core (\d+), node '([^']*)'", f"{found.message} {found.found}")
    return {(int(core), node) for core, node in named}


def test_a_removed_signal_names_who_should_send_it_and_who_waits() -> None:
    """All of them to a register, or one, without which others may tell as much."""
    assert _named_without_signals((seed % 4, seed) for seed in range(8)) >= 6
    assert _named_without_signals([(7, 701)]) == 1


@pytest.mark.exhaustive
def test_removed_signals_of_fifty_programs_name_who_should_send_them() -> None:
    assert _named_without_signals((seed, 100 * seed + number) for seed in range(50) for number in range(6)) >= 290


def _named_without_signals(seeds: Iterable[tuple[int, int]]) -> int:
    """How many programs are refused, of networks and signals by their seeds; each names the pair, and their nodes."""
    refused = 0
    for network, seed in seeds:
        module = _network(network).clone()
        signal = _any(module, np.random.default_rng(seed), SignalOp)
        assert isinstance(signal, SignalOp)
        pair = {integer(_stream(signal).core), integer(signal.core)}
        if seed % 2:
            signal.detach()
        else:
            _remove_signals(module, np.random.default_rng(seed))
        for found in _problems(module)[:1]:
            refused += 1
            assert {core for core, _ in _places(found)} == pair, found
            assert all(node in found.node for _, node in _places(found)), found
            assert len(_ops(found)) >= 2, found
            assert "multicore.wait" in found.message
    return refused


def _problems(module: ModuleOp) -> Sequence[Diagnostic]:
    try:
        _prove(module)
    except CatenaError as error:
        return error.diagnostics
    return ()


def test_a_wait_names_the_core_that_signals() -> None:
    module = _network(1).clone()
    wait = _any(module, np.random.default_rng(0), WaitOp)
    assert isinstance(wait, WaitOp)
    assert wait.producer is not None
    producer = integer(wait.producer)
    wait.properties["producer"] = whole(producer + 1)
    found = _refused(module).diagnostics[0]
    assert (found.code, found.expected) == (RACE, f"a signal of core {producer + 1}")
    assert {core for core, _ in _places(found)} == {integer(_stream(wait).core), producer}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_token_is_refused(change: Change) -> None:
    for seed in range(9):
        _caught(_network(seed % 4).clone(), change, seed)


@pytest.mark.exhaustive
@pytest.mark.parametrize("change", CHANGES)
def test_changed_tokens_of_fifty_programs_are_refused(change: Change) -> None:
    for seed in range(50):
        _caught(_network(seed).clone(), change, seed)


def test_a_signal_twice_in_its_place_changes_nothing() -> None:
    """Registers take values and do not count, so that a token that is delivered twice is no token too many."""
    for seed in range(4):
        module = _network(seed).clone()
        signal = _any(module, np.random.default_rng(seed), SignalOp)
        block = signal.parent_block()
        assert block is not None
        block.insert_op_after(signal.clone(), signal)
        _prove(module)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_inserted_is_enough(seed: int) -> None:
    _prove(_network(seed))


def test_a_register_that_would_fall_names_both_signals() -> None:
    """The last op of a core that signals to it and the first change places; both may be of one node."""
    for seed in range(4):
        module = _network(seed).clone()
        several: dict[tuple[int, int], list[SignalOp]] = {}
        for op in module.walk():
            if isinstance(op, SignalOp):
                several.setdefault((integer(op.core), integer(op.register)), []).append(op)
        (first, *_, last), *_ = [each for each in several.values() if len(each) > 1 and each[0].base != each[-1].base]
        first.properties, last.properties = last.properties, first.properties
        found = _refused(module).diagnostics[0]
        assert (found.code, found.expected) == (RACE, "signals whose values grow")
        assert found.message.count("by multicore.signal ") == 2
        assert all(node in found.node for _, node in _places(found)), found


def test_a_race_names_both_cores_and_nodes_and_ops() -> None:
    module = _network(1).clone()
    waits = [op for op in module.walk() if isinstance(op, WaitOp)]
    for wait in waits:
        wait.detach()
    message = str(_refused(module))
    assert "nothing orders two accesses to word" in message
    assert message.splitlines()[0].count("core ") == 2
    assert (
        len(re.findall(r"by multicore\.(load|fetch|store)[^;]* \(op \d+ of its stream\)", message.splitlines()[0])) == 2
    )
    assert message.splitlines()[0].count("QLinearConv.") + message.splitlines()[0].count("MaxPool.") >= 2


def test_cores_have_the_registers_that_tokens_name() -> None:
    module = _network(2).clone()
    tokens = [op for op in module.walk() if isinstance(op, SignalOp)]
    needed = max(integer(op.register) for op in tokens) + 1
    assert needed > 1
    cores = {integer(op.core) for op in tokens if integer(op.register) == needed - 1}
    placed(residual(2, 6), {**_settings(2), "cores.registers": str(needed)})
    with pytest.raises(CatenaError) as raised:
        placed(residual(2, 6), {**_settings(2), "cores.registers": str(needed - 1)})
    found = raised.value.diagnostics
    assert {each.code for each in found} == {"CAT-F002"}
    assert {each.message.split(" has ")[0] for each in found} == {f"core {core}" for core in cores}
    assert all(each.node and each.expected == f"at least {needed}" for each in found)
    assert all(each.found == f"cores.registers = {needed - 1}" for each in found)
