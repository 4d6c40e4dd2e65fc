"""From placed IR to a program of the generic machine."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation

from backends.generic.isa import DRAM_WORDS, ISA, Compute, Drain, Fill, Open, Par, Place, mask_of
from backends.isa import Instruction
from backends.program import Program
from backends.spatial.emit import (
    TENSORS,
    Emission,
    emit_program,
    loop_fields,
    predicted_counts,
)
from backends.spatial.emit_groups import keep
from backends.spatial.isa import End, Loop, Offload
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean
from dialects.events import Counts
from dialects.groups import KeepOp
from dialects.levels import ComputeOp, DrainOp, FillOp, Numbers, OpenOp, ParOp, PlaceOp
from dialects.locations import describe
from dialects.nest_machine import NestMachine
from dialects.spatial import ForOp, LayerOp, OffloadOp, integer
from dialects.target import require_nest_machine
from passes.fusion.placed_on_levels import predict_layer


def emit(module: ModuleOp, backend: str) -> Program:
    """The program of a module at stage `placed`. Raises `CatenaError` as `emit_program`."""
    return emit_program(module, backend, _emission(module))


def predictions(module: ModuleOp) -> dict[str, Counts]:
    """What the cost model expects every layer of a placed module to count, by layer name."""
    return predicted_counts(module, _emission(module))


def _emission(module: ModuleOp) -> Emission:
    machine = require_nest_machine(module, "program").executed

    def body(op: LayerOp, dims: dict[str, int]) -> Iterator[Instruction]:
        return _Body(machine, dims).of(op.body.block.ops)

    def predicted(op: LayerOp, known: dict[Hashable, Counts]) -> Counts:
        return predict_layer(op, machine, known)

    numbers = {memory.name: number for number, memory in enumerate(machine.memories) if number}
    return Emission(ISA, body, predicted, DRAM_WORDS, memories=numbers)


class _Body:
    """The instructions of a layer's nest."""

    def __init__(self, machine: NestMachine, dims: dict[str, int]):
        self._dims = dims
        self._memories = {memory.name: number for number, memory in enumerate(machine.memories)}
        self._axes = {axis.name: number for number, axis in enumerate(machine.axes)}

    def of(self, ops: Iterable[Operation]) -> Iterator[Instruction]:
        """The instructions of some ops, and of all in their bodies."""
        for op in ops:
            match op:
                case PlaceOp():
                    tensor, memory = TENSORS[op.operand_name.data], self._memory(op, op.memory)
                    yield Place(tensor, memory, integer(op.address), integer(op.words))
                case ForOp():
                    yield Loop(*loop_fields(op.loop.data, self._dims), integer(op.tile))
                    yield from self.of(op.body.block.ops)
                    yield End()
                case ParOp():
                    axis = self._number("axis", self._axes, op, op.axis)
                    yield Par(*loop_fields(op.loop.data, self._dims), integer(op.tile), axis)
                    yield from self.of(op.body.block.ops)
                    yield End()
                case FillOp():
                    yield self._fill(op)
                case OpenOp():
                    yield Open(self._memory(op, op.memory), integer(op.once))
                case DrainOp():
                    yield Drain(self._memory(op, op.memory), self._memory(op, op.target), integer(op.once))
                case ComputeOp():
                    yield self._compute(op)
                case KeepOp():
                    yield keep(op)
                case OffloadOp():
                    yield Offload()
                case _:
                    message = f"{op.name} does not belong into a layer"
                    raise CatenaError(Diagnostic("CAT-R003", message, "program", describe(op)))

    def _fill(self, op: FillOp) -> Fill:
        return Fill(
            TENSORS[op.operand_name.data],
            self._memory(op, op.source),
            self._memory(op, op.memory),
            integer(op.once),
            op.slides is not None,
            _mask(op.shared),
        )

    def _compute(self, op: ComputeOp) -> Compute:
        return Compute(
            self._memory(op, op.input_memory),
            self._memory(op, op.output_memory),
            0 if op.kernel_memory is None else self._memory(op, op.kernel_memory),
            _mask(op.input_shared),
            0 if op.kernel_shared is None else _mask(op.kernel_shared),
        )

    def _memory(self, op: Operation, name: StringAttr) -> int:
        return self._number("memory", self._memories, op, name)

    def _number(self, what: str, known: dict[str, int], op: Operation, name: StringAttr) -> int:
        if name.data not in known:
            raise CatenaError(
                Diagnostic(
                    "CAT-R003",
                    f"the machine has no {what} {name.data!r}",
                    "program",
                    describe(op),
                    hint=did_you_mean(name.data, known),
                )
            )
        return known[name.data]


def _mask(numbers: Numbers) -> int:
    return mask_of(frozenset(integer(number) for number in numbers))
