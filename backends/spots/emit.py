"""From placed IR to a program of a machine with im2col units."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import cast

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from backends.isa import Instruction
from backends.program import Program
from backends.spatial.emit import TENSORS, Emission, emit_program, loop_fields, predicted_counts
from backends.spatial.emit_groups import keep
from backends.spatial.isa import End, Loop, Offload
from backends.spots.isa import ISA, Accumulate, Blocks, Configure, Load, Multiply, Open, Place, Store
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.events import Counts
from dialects.gemm import AccumulateOp, BlocksOp, ConfigureOp, PlaceOp
from dialects.groups import KeepOp
from dialects.locations import describe
from dialects.spatial import BufferOp, ForOp, LayerOp, LoadOp, OffloadOp, OpenOp, PassOp, StoreOp, integer
from dialects.target import require_gemm_machine
from passes.fusion.memories import BITMAPS, INPUTS, KERNELS
from passes.gemm.prediction import predict_layer


def emit(module: ModuleOp, backend: str) -> Program:
    """The program of a module at stage `placed`. Raises `CatenaError` as `emit_program`."""
    return emit_program(module, backend, _emission(module))


def predictions(module: ModuleOp) -> dict[str, Counts]:
    """What the cost model expects every layer of a placed module to count, by layer name."""
    return predicted_counts(module, _emission(module))


def _emission(module: ModuleOp) -> Emission:
    machine = require_gemm_machine(module, "program")

    def body(op: LayerOp, dims: dict[str, int]) -> Iterator[Instruction]:
        return _body(op.body.block.ops, dims)

    def predicted(op: LayerOp, known: dict[Hashable, Counts]) -> Counts:
        return predict_layer(op, machine, known)

    return Emission(ISA, body, predicted, machine.dram.words, memories={INPUTS: 1, KERNELS: 2, BITMAPS: 3})


def _body(ops: Iterable[Operation], dims: dict[str, int]) -> Iterator[Instruction]:
    for op in ops:
        match op:
            case ConfigureOp():
                reserved = None if op.ring is None else integer(op.ring)
                kept = op.resumes is not None, op.rewinds is not None
                yield Configure(integer(op.split), reserved is not None, reserved or 0, *kept)
            case KeepOp():
                yield keep(op)
            case PlaceOp():
                yield Place(TENSORS[op.operand_name.data], integer(op.address), integer(op.words))
            case AccumulateOp():
                yield Accumulate(integer(op.bits), integer(op.shift))
            case BlocksOp():
                address = integer(cast("BufferOp", op.bitmaps.owner).address)
                yield Blocks(integer(op.height), address, integer(op.words))
            case ForOp():
                yield Loop(*loop_fields(op.loop.data, dims), integer(op.tile))
                yield from _body(op.body.block.ops, dims)
                yield End()
            case OpenOp():
                yield Open()
            case LoadOp():
                yield Load(TENSORS[op.operand_name.data])
            case PassOp():
                yield Multiply()
            case StoreOp():
                yield Store()
            case OffloadOp():
                yield Offload()
            case _:
                message = f"{op.name} does not belong into a layer"
                raise CatenaError(Diagnostic("CAT-R003", message, "program", describe(op)))
