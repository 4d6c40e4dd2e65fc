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
from dialects.encodings.spots_blocks import SpotsBlocks
from dialects.events import Counts
from dialects.gemm import AccumulateOp, BlocksOp, ConfigureOp, PlaceOp
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmAttr
from dialects.groups import KeepOp
from dialects.locations import describe
from dialects.spatial import BufferOp, ForOp, LayerOp, LoadOp, OffloadOp, OpenOp, PassOp, StoreOp, integer
from dialects.target import require_gemm_machine
from passes.fusion.memories import BITMAPS, INPUTS, KERNELS
from passes.fusion.placed import group_around
from passes.gemm.cost import predict
from passes.gemm.legality import violations
from passes.gemm.members import blocks_in, kept_blocks, predict_member
from passes.gemm.tiles import GemmTiles
from passes.work import work_of


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
        return _predicted(op, machine, known)

    return Emission(ISA, body, predicted, machine.dram.words, memories={INPUTS: 1, KERNELS: 2, BITMAPS: 3})


def _predicted(op: LayerOp, machine: GemmMachine, known: dict[Hashable, Counts]) -> Counts:
    """Raises `CatenaError` (CAT-F002) if the machine cannot run the mapping."""
    work, attribute = work_of(op), op.mapping
    if not isinstance(attribute, GemmAttr):
        message, hint = "the layer has a mapping of another kind of machine", "use the passes of its backend"
        raise CatenaError(Diagnostic("CAT-R003", message, "program", describe(op), hint=hint))
    if group_around(op) is not None:
        return predict_member(op, machine)
    spec, mapping = work.spec, attribute.data
    blocks = blocks_in(op)
    bitmaps = None if blocks is None else cast("BufferOp", blocks.bitmaps.owner).value
    alike = spec.bare, spec.post, mapping, work.input_shape, work.extra_shapes, work.lookups, work.in_order, bitmaps
    if alike not in known:
        shape, node = work.input_shape, describe(op)
        height = None if blocks is None else integer(blocks.height)
        encoding = None if height is None else SpotsBlocks(height)
        problems = violations(spec, mapping, machine, shape, "program", node, in_order=work.in_order, blocks=encoding)
        if problems:
            raise CatenaError(problems)
        kept = kept_blocks(blocks, GemmTiles(spec, mapping, shape))
        known[alike] = predict(spec, mapping, machine, shape, work.extra_shapes, work.lookups, kept)
    return known[alike]


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
