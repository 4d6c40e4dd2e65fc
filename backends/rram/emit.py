"""From placed IR to a program of cores with crossbars."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import astuple
from itertools import chain

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from backends.isa import Instruction
from backends.program import Program as ProgramFile
from backends.program import StreamEntry
from backends.rram.isa import (
    ISA,
    Activate,
    Compute,
    Fetch,
    Load,
    Made,
    Mvm,
    Part,
    Program,
    Range,
    Reuse,
    Run,
    Signal,
    Store,
    Sums,
    Vectors,
    Wait,
    What,
    Writer,
)
from backends.spatial.emit import Emission, Times, emit_program, loop_fields, predicted_counts
from backends.spatial.isa import End, Loop
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.events import Counts
from dialects.gconv.interpreter import main_function
from dialects.groups import KeepOp
from dialects.locations import describe
from dialects.multicore import (
    ActivateOp,
    ComputeOp,
    FetchOp,
    LoadOp,
    MvmOp,
    Pair,
    PartOp,
    ProgramOp,
    RangeOp,
    RunOp,
    SignalOp,
    StoreOp,
    StreamOp,
    SumsOp,
    VectorsOp,
    WaitOp,
)
from dialects.spatial import ForOp, LayerOp, integer
from dialects.target import require_multicore
from passes.multicore.accesses import placed_layers
from passes.multicore.counts import predict
from passes.multicore.rows import SHARED

_LOADED = {"I": What.INPUT, "K": What.KERNEL, "X": What.EXTRAS, "B": What.FIXED}
_STORED = {"O": Made.OUTPUT, "S": Made.SUMS}


def emit(module: ModuleOp, backend: str) -> ProgramFile:
    """The program of a module at stage `placed`. Raises `CatenaError` as `emit_program`."""
    return emit_program(module, backend, _emission(module))


def predictions(module: ModuleOp) -> dict[str, Counts]:
    """What the cost model expects every layer of a placed module to count, by layer name."""
    return predicted_counts(module, _emission(module))


def _emission(module: ModuleOp) -> Emission:
    machine = require_multicore(module, "program")

    def body(op: LayerOp, dims: dict[str, int]) -> Iterator[Instruction]:
        raise AssertionError("a machine of cores has streams")

    layers = [op for op in placed_layers(main_function(module)) if op.mapping is not None]
    found = dict(zip(layers, predict(layers, machine), strict=True))

    def predicted(op: LayerOp, known: dict[Hashable, Counts]) -> Counts:
        return found[op].counts

    def times(op: LayerOp) -> Times:
        streams = (
            StreamEntry(each.core, *each.span, min(each.work, each.span[1] - each.span[0]))
            for each in found[op].streams
        )
        return Times(tuple(streams), found[op].alone)

    return Emission(
        *(ISA, body, predicted, machine.shared.words),
        memories={SHARED: 1},
        cores=machine.cores.count,
        streams=_Streams(),
        times=times,
    )


class _Streams:
    """The streams of layers, one layer after another: registers are declared before the first wait for them."""

    def __init__(self) -> None:
        self._declared: set[tuple[int, int]] = set()

    def __call__(self, op: LayerOp, dims: dict[str, int]) -> Iterator[tuple[int, Iterator[Instruction]]]:
        for stream in op.body.block.ops:
            if isinstance(stream, KeepOp):
                continue
            if not isinstance(stream, StreamOp):
                raise CatenaError(_foreign(stream))
            writers, body = self._writers(stream), _body(stream.body.block.ops, dims)
            yield integer(stream.core), chain(writers, body)

    def _writers(self, stream: StreamOp) -> Iterator[Instruction]:
        core = integer(stream.core)
        for wait in (op for op in stream.walk() if isinstance(op, WaitOp) and op.producer is not None):
            register = integer(wait.register)
            if (core, register) not in self._declared:
                self._declared.add((core, register))
                assert wait.producer is not None
                yield Writer(register, integer(wait.producer))


def _foreign(op: Operation) -> Diagnostic:
    return Diagnostic("CAT-R003", f"{op.name} does not belong into a layer", "program", describe(op))


def _pair(attribute: Pair) -> tuple[int, int]:
    first, count = (integer(each) for each in attribute)
    return first, count


def _body(ops: Iterable[Operation], dims: dict[str, int]) -> Iterator[Instruction]:
    for op in ops:
        match op:
            case PartOp():
                yield Part(*_pair(op.groups), *_pair(op.rows), *_pair(op.columns))
            case ProgramOp():
                yield Program(*_pair(op.crossbars), integer(op.shift), op.resident is not None)
            case VectorsOp():
                yield Vectors(*astuple(op.positions))
            case SumsOp():
                yield Sums(integer(op.address), integer(op.stride))
            case RunOp():
                yield Run(integer(op.start), integer(op.turns))
                yield from _body(op.body.block.ops, dims)
                yield End()
            case RangeOp():
                yield Range(*loop_fields(op.loop.data, dims), *_pair(op.part))
            case ForOp():
                yield Loop(*loop_fields(op.loop.data, dims), integer(op.tile))
                yield from _body(op.body.block.ops, dims)
                yield End()
            case _:
                yield _action(op)


def _action(op: Operation) -> Instruction:
    match op:
        case LoadOp():
            return Load(_LOADED[op.tensor.data])
        case MvmOp():
            return Mvm()
        case FetchOp():
            return Fetch()
        case ComputeOp():
            return Compute()
        case ActivateOp():
            return Activate()
        case StoreOp():
            return Store(_STORED[op.tensor.data])
        case WaitOp():
            register, base, step, period = (integer(each) for each in (op.register, op.base, op.step, op.period))
            if op.after is not None:
                return Reuse(register, base, step, period, integer(op.after), integer(op.most))
            return Wait(register, base, step, period, integer(op.start), integer(op.most))
        case SignalOp():
            return Signal(integer(op.core), integer(op.register), integer(op.base), integer(op.every))
        case _:
            raise CatenaError(_foreign(op))
