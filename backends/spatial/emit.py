"""From placed IR to a program: what all machines that run layers emit alike, and the spatial machine's part."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Attribute, Operation, SSAValue

from backends.isa import Instruction, Isa
from backends.program import (
    HELD,
    DebugEntry,
    GroupEntry,
    LayerEntry,
    Metadata,
    Program,
    StreamEntry,
    target_digest,
)
from backends.segments import segment_image
from backends.spatial.codes import BUFFER, INDICES, Axis, Fold, Kind, Memory, Slot, Tensor, Word
from backends.spatial.dram import MEMORY
from backends.spatial.emit_groups import group_parts, keep, kept_tensors
from backends.spatial.isa import (
    ISA,
    Base,
    Compress,
    Dim,
    End,
    Executable,
    Function,
    Halt,
    Layer,
    Load,
    Loop,
    Offload,
    Open,
    Pass,
    Place,
    Segment,
    Spread,
    Store,
    Stride,
    Term,
    Update,
    Window,
)
from backends.spatial.layer_entries import kind_of_layer, mapping_text, search_entry, work_entry
from backends.spatial.tensor_table import check_buffers, constant_images, name_buffers, tensor_entry, unique
from backends.spatial.words import word_of_dtype
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.element_types import numpy_dtype_of
from dialects.events import Counts
from dialects.gconv import PASS, LoopKind, Step, View, element_type_of_value, shape_of
from dialects.gconv.interpreter import main_function
from dialects.gconv.scalar import FUNCTIONS
from dialects.groups import GroupOp, HoldOp, KeepOp, SendOp
from dialects.host_segment import SegmentOp
from dialects.locations import describe, node_names
from dialects.schedule import HostAttr
from dialects.schedule import Loop as LoopName
from dialects.spatial import (
    BufferOp,
    ForOp,
    LayerOp,
    LoadOp,
    OffloadOp,
    OpenOp,
    PassOp,
    PlaceOp,
    SpreadOp,
    StoreOp,
    integer,
)
from dialects.spatial_access import LookupAttr
from dialects.target import require_machine, require_spatial
from passes.fusion.occupied import words_held
from passes.fusion.placed_on_array import predict_layer
from passes.mapping.host_cost import predict_offload, predict_segment
from passes.work import work_of

TOOL = "catena"
_KINDS = {LoopKind.G: Kind.G, LoopKind.OP: Kind.OP, LoopKind.OPC: Kind.OPC, LoopKind.KS: Kind.KS}
TENSORS: dict[str, Tensor] = {"I": Tensor.INPUT, "K": Tensor.KERNEL, "O": Tensor.OUTPUT}


Streams = Callable[[LayerOp, dict[str, int]], Iterator[tuple[int, Iterator[Instruction]]]]
"""The cores that run a part of a layer, given the numbers of its dimensions, and what of it."""


@dataclass(frozen=True)
class Times:
    """When cores are predicted to be at work on a layer, and the cycles that it would take alone on a free bus."""

    streams: tuple[StreamEntry, ...]
    alone: int


@dataclass(frozen=True)
class Emission:
    """What a kind of machine adds to the programs of layers.

    `body` makes the instructions of a layer's loops, given the numbers of its dimensions, `predicted` what a layer will
    count, given what layers like it do; `capacity` is the words of the off-chip memory, and `compresses` says whether
    feature maps go compressed over the link to it.
    """

    isa: Isa
    body: Callable[[LayerOp, dict[str, int]], Iterator[Instruction]]
    predicted: Callable[[LayerOp, dict[Hashable, Counts]], Counts | None]
    capacity: int
    compresses: bool = False
    memories: Mapping[str, int] | None = None
    """The numbers of the memories that holds of groups may lie in; None if the machine runs no groups."""
    cores: int = 1
    streams: Streams | None = None
    """On a machine of several cores, in the place of `body`: those that run a part of the layer, and what of it."""
    times: Callable[[LayerOp], Times] | None = None
    """On such a machine, what is predicted of the time of a layer that has a mapping."""


def emit(module: ModuleOp, backend: str) -> Program:
    """The program of a module at stage `placed` for the spatial machine. Raises as `emit_program`."""
    return emit_program(module, backend, _emission(module))


def predictions(module: ModuleOp) -> dict[str, Counts]:
    """What the cost model expects every layer of a placed module to count on the spatial machine, by layer name."""
    return predicted_counts(module, _emission(module))


def _emission(module: ModuleOp) -> Emission:
    machine = require_spatial(module, "program")

    def body(op: LayerOp, dims: dict[str, int]) -> Iterator[Instruction]:
        return _body(op.body.block.ops, dims)

    def predicted(op: LayerOp, known: dict[Hashable, Counts]) -> Counts:
        return predict_layer(op, machine, known)

    compresses = machine.dram.compression is not None
    return Emission(ISA, body, predicted, machine.dram.words, compresses, {"glb": BUFFER})


def emit_program(module: ModuleOp, backend: str, emission: Emission) -> Program:
    """The program of a module at stage `placed`.

    Raises `CatenaError` for IR that is not placed (CAT-R003), values an instruction field cannot hold (CAT-A002) and
    constants whose words are not at hand (CAT-R004).
    """
    machine = require_machine(module, "program")
    ops = list(main_function(module).body.block.ops)
    buffers = name_buffers([op for op in ops if isinstance(op, BufferOp)])
    names_only = _names_only(ops, emission)
    check_buffers({op: name for op, name in buffers.items() if op not in names_only}, emission.capacity)
    layers = layers_in(ops)
    names = _layer_names(layers)
    codes: list[list[Instruction]] = [[] for _ in range(emission.cores)]
    debug: list[DebugEntry] = []
    of_debug: list[LayerOp | SegmentOp] = []
    named = dict(zip(layers, names, strict=True))
    for op, core, instructions in _code(ops, layers, emission):
        code = codes[core]
        debug.append(DebugEntry(core, len(code), len(code) + len(instructions), named[op]))
        of_debug.append(op)
        code += instructions
    for code in codes:
        code.append(Halt())
    produced = {buffer: name for op, name in zip(layers, names, strict=True) for buffer in _outputs(op)}
    segments = tuple(segment_image(n, op.content) for n, op in enumerate(layers) if isinstance(op, SegmentOp))
    description = machine.model_dump(mode="json", exclude_none=True)
    metadata = Metadata(
        tool=TOOL,
        backend=backend,
        isa=emission.isa.name,
        isa_version=emission.isa.version,
        word_bits=emission.isa.word_bits,
        model=_text(module, "catena.model"),
        model_sha256=_text(module, "catena.model_sha256") or "0" * 64,
        target=machine.name,
        target_sha256=target_digest(description),
        description=description,
    )
    return Program(
        metadata,
        _encoded(emission.isa, codes, debug, of_debug),
        (*constant_images(buffers), *segments),
        tuple(
            tensor_entry(op, name, produced.get(op, ""), HELD if op in names_only else MEMORY)
            for op, name in buffers.items()
        ),
        tuple(_entries(named, buffers, emission)),
        tuple(sorted(debug, key=lambda entry: (entry.core, entry.start))),
        tuple(_groups(ops, named, buffers)),
    )


def _names_only(ops: Iterable[Operation], emission: Emission) -> set[Operation]:
    """On a machine of several cores, buffers that have no words of their own: holds have them, of the same memory."""
    groups = [op for op in ops if isinstance(op, GroupOp)] if emission.streams is not None else []
    return {cast(BufferOp, hold.buffer.owner) for group in groups for hold in group.holds}


def _groups(
    ops: Sequence[Operation], named: Mapping[LayerOp | SegmentOp, str], buffers: dict[BufferOp, str]
) -> Iterator[GroupEntry]:
    """The fused groups of a program, named after their last layers."""
    for group in (op for op in ops if isinstance(op, GroupOp)):
        layers = group.layers
        kept = {hold.buffer.owner for hold in group.holds}
        sent = {op.hold.owner for _, op in group.steps() if isinstance(op, SendOp)}
        leaving = {cast(HoldOp, hold).buffer.owner for hold in sent}
        made = {output for layer in layers for output in _outputs(layer)}
        read = {each: None for layer in layers for each in _inputs(layer) if each not in made}
        written = [each for layer in layers for each in _outputs(layer) if each in leaving or each not in kept]
        yield GroupEntry(
            named[layers[-1]],
            tuple(named[layer] for layer in layers),
            tuple(buffers[each] for each in read),
            tuple(buffers[each] for each in written),
            "" if group.mapping is None else str(group.mapping),
            words_held(group),
        )


def layers_in(ops: Iterable[Operation]) -> list[LayerOp | SegmentOp]:
    """The layers and host segments of a placed function, those of groups among them."""
    found: list[LayerOp | SegmentOp] = []
    for op in ops:
        if isinstance(op, GroupOp):
            found += op.layers
        elif isinstance(op, LayerOp | SegmentOp):
            found.append(op)
    return found


def _code(
    ops: Sequence[Operation], layers: Sequence[LayerOp | SegmentOp], emission: Emission
) -> Iterator[tuple[LayerOp | SegmentOp, int, list[Instruction]]]:
    """The instructions of every layer on every core; in a group, several pieces of each."""
    numbers = {op: index for index, op in enumerate(layers)}
    groups = [op for op in ops if isinstance(op, GroupOp)]
    of_layers = {op: index for op, index in numbers.items() if isinstance(op, LayerOp)}
    for op in ops:
        if isinstance(op, GroupOp) and emission.streams is not None:
            for each in op.layers:
                holds = list(kept_tensors(each, emission.memories or {}))
                yield from _of_cores(each, numbers[each], holds, emission.streams, emission)
        elif isinstance(op, GroupOp):
            if emission.memories is None:
                message = "the machine runs no fused groups"
                raise CatenaError(Diagnostic("CAT-R003", message, "program", describe(op)))
            parts = group_parts(
                op, groups.index(op), of_layers, emission.memories, lambda each: _layer(each, numbers[each], emission)
            )
            yield from ((each, 0, code) for each, code in parts)
        elif isinstance(op, SegmentOp):
            yield op, 0, list(_segment(numbers[op]))
        elif isinstance(op, LayerOp) and emission.streams is not None:
            yield from _of_cores(op, numbers[op], [], emission.streams, emission)
        elif isinstance(op, LayerOp):
            yield op, 0, list(_layer(op, numbers[op], emission))


def _of_cores(
    op: LayerOp, number: int, holds: Sequence[Instruction], streams: Streams, emission: Emission
) -> Iterator[tuple[LayerOp, int, list[Instruction]]]:
    """What every core does for a layer: each is configured for it."""
    head = [*_configuration(op, number, emission), *holds]
    for core, body in streams(op, _numbered(op)):
        yield op, core, [*head, *body]


def _outputs(op: LayerOp | SegmentOp) -> list[BufferOp]:
    """The buffers that a step writes."""
    values = [op.output] if isinstance(op, LayerOp) else list(op.buffers)[len(op.reads) :]
    return [cast(BufferOp, value.owner) for value in values]


def _inputs(op: LayerOp | SegmentOp) -> list[BufferOp]:
    """The buffers that a step reads."""
    if isinstance(op, SegmentOp):
        values = list(op.buffers)[: len(op.reads)]
    else:
        indices = [index for index in (op.read_index, op.write_index) if index is not None]
        of_body = [value for each in op.body.block.ops for value in each.operands]
        others = [value for value in of_body if isinstance(value.owner, BufferOp)]
        values = [*op.tensors[:-1], *indices, *others]
    return [cast(BufferOp, value.owner) for value in values]


def _segment(index: int) -> Iterator[Executable]:
    yield Layer(index, 0, Fold.NONE, 0.0, Word.F32)
    yield Segment()


def _encoded(
    isa: Isa, codes: list[list[Instruction]], debug: list[DebugEntry], layers: Sequence[LayerOp | SegmentOp]
) -> tuple[bytes, ...]:
    """The instruction words by core. Raises `CatenaError` (CAT-A002) with the layer of every value no field holds."""
    try:
        return tuple(isa.encode(code) for code in codes)
    except CatenaError as error:
        problems: list[Diagnostic] = []
        for op, entry in zip(layers, debug, strict=True):
            try:
                isa.encode(codes[entry.core][entry.start : entry.end])
            except CatenaError as of_layer:
                problems += [replace(each, stage="program", node=describe(op)) for each in of_layer.diagnostics]
        raise CatenaError(problems) from error


def _text(module: ModuleOp, key: str) -> str:
    attribute = module.attributes.get(key)
    return attribute.data if isinstance(attribute, StringAttr) else ""


def _entries(
    names: Mapping[LayerOp | SegmentOp, str], buffers: dict[BufferOp, str], emission: Emission
) -> Iterator[LayerEntry]:
    written: set[BufferOp] = set()
    known: dict[Hashable, Counts] = {}
    for op, name in names.items():
        # Updates of a tensor that an earlier layer made are made of that tensor, too.
        updates = isinstance(op, LayerOp) and op.update is not None
        before = [each for each in _outputs(op) if updates and each in written]
        parent = op.parent_op()
        group = names[parent.layers[-1]] if isinstance(parent, GroupOp) else ""
        entry = _entry(op, name, buffers, before, _predicted(op, emission, known), group)
        if emission.times is not None and isinstance(op, LayerOp) and op.mapping is not None:
            times = emission.times(op)
            entry = replace(entry, streams=times.streams, alone=times.alone)
        yield entry
        written.update(_outputs(op))


def _entry(
    op: LayerOp | SegmentOp,
    name: str,
    buffers: dict[BufferOp, str],
    before: list[BufferOp],
    predicted: Counts | None,
    group: str,
) -> LayerEntry:
    return LayerEntry(
        name,
        kind_of_layer(op),
        node_names(op.location),
        tuple(dict.fromkeys(buffers[each] for each in (*_inputs(op), *before))),
        tuple(buffers[each] for each in _outputs(op)),
        mapping_text(op),
        predicted.flat() if predicted is not None else {},
        work_entry(op, buffers) if isinstance(op, LayerOp) else None,
        search_entry(op),
        group,
        tensor=op.tensor.data if isinstance(op, LayerOp) and op.tensor is not None else "",
    )


def predicted_counts(module: ModuleOp, emission: Emission) -> dict[str, Counts]:
    """What the cost model expects every layer of a placed module to count, by layer name."""
    layers = layers_in(main_function(module).body.block.ops)
    found = {name: _predicted(op, emission, {}) for name, op in zip(_layer_names(layers), layers, strict=True)}
    return {name: counts for name, counts in found.items() if counts is not None}


def _layer_names(layers: Sequence[LayerOp | SegmentOp]) -> list[str]:
    return unique([" + ".join(node_names(op.location)) or "layer" for op in layers])


def _predicted(op: LayerOp | SegmentOp, emission: Emission, known: dict[Hashable, Counts]) -> Counts | None:
    """What the cost model expects a layer to count, or None if it has no mapping; as `known` of a layer like it."""
    if isinstance(op, SegmentOp):
        shapes = [shape_of(value) for value in op.buffers]
        return predict_segment(shapes[: len(op.reads)], shapes[len(op.reads) :])
    if op.mapping is None:
        return None
    if isinstance(op.mapping, HostAttr):
        return predict_offload(op.spec, op.views, work_of(op).lookups)
    return emission.predicted(op, known)


def _layer(op: LayerOp, index: int, emission: Emission) -> Iterator[Instruction]:
    yield from _configuration(op, index, emission)
    yield from emission.body(op, _numbered(op))


def _numbered(op: LayerOp) -> dict[str, int]:
    """The numbers of a layer's dimensions."""
    return {dim.name: d for d, dim in enumerate(op.spec.dims)}


def _configuration(op: LayerOp, index: int, emission: Emission) -> Iterator[Instruction]:
    """What a layer computes, and where its tensors are."""
    spec = op.spec
    main = 0 if spec.main == PASS else FUNCTIONS[spec.main].code
    acc = element_type_of_value(op.input) if op.acc is None else op.acc
    yield Layer(index, main, Fold[spec.reduce.name], spec.padding, _word(acc, op))
    views = op.views
    for d, dim in enumerate(spec.dims):
        yield Dim(d, dim.g, dim.op, dim.opc, dim.ks)
        yield Window(d, dim.stride, dim.dilation, dim.pad, dim.up, views[0].shape[d] // dim.g)
    for slot, steps in ((Slot.PRE, spec.pre), (Slot.MID, spec.mid), (Slot.POST, spec.post)):
        for step in steps:
            yield _function(slot, step)
    tensors = [Tensor.INPUT, *([] if op.kernel is None else [Tensor.KERNEL])]
    tensors += [Tensor(Tensor.EXTRA0 + extra) for extra in range(len(op.extras))]
    tensors.append(Tensor.OUTPUT)
    for tensor, value, view in zip(tensors, op.tensors, views, strict=True):
        yield from _address(tensor, cast(BufferOp, value.owner), view)
    if emission.compresses and not isinstance(op.mapping, HostAttr):
        compressed = work_of(op).compressed
        yield from (Compress(each) for each, is_compressed in zip(tensors, compressed, strict=True) if is_compressed)
    yield from _lookup(Tensor.INPUT, op.read_index, op.read_lookup)
    yield from _lookup(Tensor.OUTPUT, op.write_index, op.write_lookup)
    if op.update is not None:
        yield Update(Fold[op.update.data.name])


def _function(slot: Slot, step: Step) -> Function:
    first, second = (*step.parameters, 0.0, 0.0)[:2]
    operand = Tensor.INPUT if step.operand is None else Tensor(Tensor.EXTRA0 + step.operand)
    return Function(slot, FUNCTIONS[step.function].code, first, second, operand)


def _address(tensor: Tensor, buffer: BufferOp, view: View) -> Iterator[Executable]:
    yield Base(tensor, integer(buffer.address) + view.offset, _word(element_type_of_value(buffer.result), buffer))
    for d, (extent, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        if extent > 1 and stride:
            yield Stride(tensor, d, stride)


def _lookup(tensor: Tensor, index: SSAValue | None, lookup: LookupAttr | None) -> Iterator[Executable]:
    if index is None or lookup is None:
        return
    yield from _address(INDICES[tensor], cast(BufferOp, index.owner), lookup.data.index)
    for place, step, extent in lookup.data.terms:
        yield Term(tensor, place, step, extent)


def _word(element_type: Attribute, op: Operation) -> Word:
    """The word for an element type. Raises `CatenaError` (CAT-U006) if the machine has none."""
    word = word_of_dtype(numpy_dtype_of(element_type))
    if word is None:
        raise CatenaError(
            Diagnostic("CAT-U006", f"the machine has no words of type {element_type}", "program", describe(op))
        )
    return word


def _body(ops: Iterable[Operation], dims: dict[str, int]) -> Iterator[Instruction]:
    for op in ops:
        match op:
            case SpreadOp():
                yield Spread(*loop_fields(op.loop.data, dims), integer(op.tile), Axis[op.axis.data.upper()])
            case PlaceOp():
                memory = Memory[op.memory.data.upper()]
                yield Place(TENSORS[op.operand_name.data], memory, integer(op.address), integer(op.words))
            case ForOp():
                yield Loop(*loop_fields(op.loop.data, dims), integer(op.tile))
                yield from _body(op.body.block.ops, dims)
                yield End()
            case KeepOp():
                yield keep(op)
            case OpenOp():
                yield Open()
            case LoadOp():
                yield Load(TENSORS[op.operand_name.data])
            case PassOp():
                yield Pass()
            case StoreOp():
                yield Store()
            case OffloadOp():
                yield Offload()
            case _:
                raise CatenaError(
                    Diagnostic("CAT-R003", f"{op.name} does not belong into a layer", "program", describe(op))
                )


def loop_fields(loop: LoopName, dims: dict[str, int]) -> tuple[int, Kind]:
    """A loop as instructions name it: the number of its dimension, and its kind."""
    if loop.dim not in dims:
        raise CatenaError(Diagnostic("CAT-R003", f"a loop over {loop}, which the layer does not have", "program"))
    return dims[loop.dim], _KINDS[loop.kind]
