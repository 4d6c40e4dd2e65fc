"""What a layer counts on a machine of cores with crossbars, by closed forms over its streams.

Cycles of a layer are those by which it puts off the end of the program, on a bus that is free or, if that takes longer,
busy all the time (`pace.py`); array cycles are those of the layer alone, as if all before it were done.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from xdsl.ir import Operation, SSAValue

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.element_types import numpy_dtype_of
from dialects.events import Counts
from dialects.gconv import PASS, GConv, LoopKind, View, element_type_of_value
from dialects.locations import describe
from dialects.multicore import (
    ActivateOp,
    ComputeOp,
    FetchOp,
    LoadOp,
    MvmOp,
    PartOp,
    ProgramOp,
    RunOp,
    SignalOp,
    StoreOp,
    StreamOp,
    VectorsOp,
    WaitOp,
)
from dialects.multicore import span as span_of
from dialects.multicore_machine import EVENTS, MulticoreMachine
from dialects.multicore_mapping import CrossbarsAttr
from dialects.spatial import ForOp, LayerOp, integer
from dialects.vector_sets import VectorSet
from passes.multicore.accesses import Ranges, Run, turns_of, varies
from passes.multicore.buffers import Sizes, acc_bytes
from passes.multicore.pace import BRING, FINISH, MULTIPLY, Course, Paces, postponed, span
from passes.multicore.tiles import distance
from passes.multicore.tokens import signalled, waited

Numbers = npt.NDArray[np.int64]


def predict(layers: Sequence[LayerOp], machine: MulticoreMachine) -> list[Counts]:
    """The counts of all placed layers of a program, in its order; none of layers that have no mapping."""
    tallies: list[Tally] = []
    courses: list[Course] = []
    numbers: list[range] = []
    for layer in layers:
        tally = Tally(machine)
        streams = [op for op in layer.body.block.ops if isinstance(op, StreamOp)]
        read = _matrix if isinstance(layer.mapping, CrossbarsAttr) else _vectors
        numbers.append(range(len(courses), len(courses) + len(streams)))
        courses += [read(layer, stream, tally) for stream in streams]
        tallies.append(tally)
    paces = Paces(courses)
    together = paces.run(range(len(courses)))
    spans = [span(together[each] for each in of_layer) for of_layer in numbers]
    cycles = postponed(spans, [tally.bus_cycles for tally in tallies])
    found: list[Counts] = []
    for tally, of_layer, each in zip(tallies, numbers, cycles, strict=True):
        alone = each if len(layers) == 1 else max(tally.bus_cycles, span(paces.run(of_layer).values())[1])
        cores = len({courses[number].core for number in of_layer})
        found.append(Counts(tally.events, alone, len(of_layer), cores, each))
    return found


@dataclass
class Tally:
    """Events, and the cycles that the bus is taken."""

    machine: MulticoreMachine
    events: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EVENTS, 0))
    bus_cycles: int = 0

    def add(self, event: str, count: int) -> None:
        """Count an event."""
        self.events[event] += count

    def operate(self, event: str, operations: int) -> None:
        """Count operations of a vector unit."""
        self.add(event, operations)
        self.add("operation.vector", operations)

    def move(self, size: Numbers) -> Numbers:
        """Cycles of transfers of so many bytes, each of which the bus is taken for."""
        bus = self.machine.bus
        cycles = bus.latency + -(-size // bus.width_bytes)
        self.add("bus.bytes", int(size.sum()))
        self.add("bus.transfers", len(size))
        self.bus_cycles += int(cycles.sum())
        return cycles


# Crossbars ------------------------------------------------------------------------------------------------------------


def _matrix(layer: LayerOp, stream: StreamOp, tally: Tally) -> Course:
    spec, machine = layer.spec, tally.machine
    ops = list(stream.body.block.ops)
    part = next(op for op in ops if isinstance(op, PartOp))
    vectors = next(op for op in ops if isinstance(op, VectorsOp)).positions
    groups, rows, columns = len(span_of(part.groups)), span_of(part.rows), span_of(part.columns)
    results = groups * len(columns)
    inputs = groups * existing_inputs(spec, layer.views[0], rows, vectors)
    course = Course(integer(stream.core), overlap=machine.cores.overlap)
    crossbars = 0
    fixed, varying = ([t for t in _extras(layer, part) if t[2] is kind] for kind in (False, True))
    of_vector = Sizes.of(layer, groups * len(rows), results, sum(words * size for words, size, _ in varying))
    constants = held = 0
    for op in ops:
        if isinstance(op, ProgramOp | LoadOp | SignalOp | WaitOp):
            _begin_between(op, course)
        match op:
            case ProgramOp():
                crossbars = len(span_of(op.crossbars))
                weights = groups * len(rows) * len(columns)
                course.spend(BRING, _program(layer, op, weights, len(rows) * groups, vectors.abreast, tally))
            case LoadOp():
                course.spend(FINISH, _load_extras(fixed, 1, tally))
                constants = sum(words * size for words, size, _ in fixed)
            case SignalOp() | WaitOp():
                _token(op, None, BRING, course, tally)
            case RunOp():
                run = Run(op.body.block, 0, integer(op.turns))
                turns = (integer(op.start) + np.arange(run.turns)) % vectors.turns
                sizes = vectors.sizes(turns)
                starts = np.cumsum(sizes) - sizes
                count = int(sizes.sum())
                most = of_vector.of_run(op, int(sizes.max()), overlap=machine.cores.overlap)
                held = max(held, constants + most)
                places: Numbers = np.repeat(turns * vectors.abreast - starts, sizes) + np.arange(count)
                course.begin(run.turns, apart=True)
                unit = BRING
                for each in op.body.block.ops:
                    match each:
                        case LoadOp() if each.tensor.data == "I":
                            words = inputs[places]
                            tally.add("memory.input.read", int(words.sum()))
                            course.spend(unit, np.add.reduceat(tally.move(words * _size(layer.input)), starts))
                        case LoadOp():
                            course.spend(unit, np.add.reduceat(_load_extras(varying, count, tally), starts))
                        case MvmOp():
                            tall = -(-len(rows) // machine.crossbar.rows) - 1 if groups == 1 else 0
                            product = machine.crossbar.mvm_cycles + sizes * machine.vector_cycles(tall * results)
                            tally.add("crossbar.mvm", crossbars // vectors.abreast * count)
                            tally.operate("operation.add", tall * results * count)
                            tally.add("operation.mac", results * len(rows) * count)
                            course.spend(MULTIPLY, product)
                            unit = FINISH
                        case SignalOp() | WaitOp():
                            _token(each, run, unit, course, tally)
                        case _:
                            spent = _after_product(each, layer, results, count, tally)
                            course.spend(unit, np.add.reduceat(spent, starts))
            case _:
                pass
    tally.add("buffer.bytes", held)
    if held > machine.cores.buffer_bytes:
        found = f"{machine.cores.buffer_bytes} bytes", f"{held} bytes"
        message = "a turn of a part does not fit the buffer of a core"
        raise CatenaError(Diagnostic("CAT-F002", message, "program", describe(layer), "", *found))
    return course


def _begin_between(op: Operation, course: Course) -> None:
    """What stands between runs is a turn by itself: units go on meanwhile if it brings constants and nothing else."""
    if isinstance(op.prev_op, ProgramOp | LoadOp | SignalOp | WaitOp):
        return
    together: list[Operation] = [op]
    while isinstance(op.next_op, LoadOp | SignalOp | WaitOp):
        op = op.next_op
        together.append(op)
    course.begin(1, apart=all(isinstance(each, LoadOp) for each in together))


def _after_product(op: object, layer: LayerOp, results: int, count: int, tally: Tally) -> Numbers:
    """Cycles of what is done with the `results` sums of each of `count` vectors."""
    sizes, steps = np.full(count, results), len(layer.spec.post)
    match op:
        case FetchOp():
            tally.add("memory.sums.read", results * count)
            tally.operate("operation.add", results * count)
            return tally.move(sizes * tally.machine.shared.sum_bytes) + tally.machine.vector_cycles(results)
        case ActivateOp():
            tally.operate("operation.post", results * steps * count)
            return np.full(count, tally.machine.vector_cycles(results * steps))
        case StoreOp() if op.tensor.data == "S":
            tally.add("memory.sums.write", results * count)
            return tally.move(sizes * tally.machine.shared.sum_bytes)
        case StoreOp():
            tally.add("memory.output.write", results * count)
            return tally.move(sizes * _size(layer.output))
        case _:
            return np.zeros(count, np.int64)


def _token(op: SignalOp | WaitOp, run: Run | None, unit: int, course: Course, tally: Tally) -> None:
    """A wait or a signal in every turn of a run, or in one turn."""
    turns = 1 if run is None else run.turns
    if isinstance(op, WaitOp):
        tally.add("sync.wait", turns)
        course.wait(unit, (course.core, integer(op.register)), waited(op, turns))
        return
    values, sent = signalled(op, run, 0)
    size = tally.machine.bus.signal_bytes
    tally.add("sync.signal", len(values))
    tally.add("bus.signal.bytes", len(values) * size)
    register = integer(op.core), integer(op.register)
    course.signal(unit, register, values, sent, tally.move(np.full(len(values), size)))


def _program(layer: LayerOp, op: ProgramOp, weights: int, rows: int, copies: int, tally: Tally) -> int:
    """Cycles of programming; copies within a core are written at a time, of words that come once."""
    machine = tally.machine
    cells = copies * machine.crossbar.weights.cells(1, weights)
    tally.add("crossbar.cells", cells)
    if op.resident is not None:
        return 0
    assert layer.kernel is not None
    tally.add("memory.kernel.read", weights)
    tally.add("crossbar.rewrite", cells)
    cycles = tally.move(np.array([weights * _size(layer.kernel)]))
    return int(cycles[0]) + min(rows, machine.crossbar.rows) * machine.crossbar.write_cycles


def _extras(layer: LayerOp, part: PartOp) -> list[tuple[int, int, bool]]:
    """Of every operand of `post`: words of the part's columns, bytes of a word, whether they vary with the vector."""
    spec = layer.spec
    first = 2 if layer.kernel is not None else 1
    columns = [(g, c) for g in span_of(part.groups) for c in span_of(part.columns)]
    found: list[tuple[int, int, bool]] = []
    for number in range(first, len(layer.views) - 1):
        view = layer.views[number]
        seen = {tuple(_channel(spec, view, group, column)) for group, column in columns}
        found.append((len(seen), _size(layer.tensors[number]), varies(spec, view)))
    return found


def _channel(spec: GConv, view: View, group: int, column: int) -> Iterator[int]:
    """The indices of a column in the dimensions in which a tensor has several words for it."""
    for dim, extent, stride in zip(reversed(spec.dims), reversed(view.shape), reversed(view.strides), strict=True):
        group, g = divmod(group, dim.g)
        column, op = divmod(column, dim.op)
        if extent > 1 and stride:
            yield g * dim.op + op


def _load_extras(extras: Sequence[tuple[int, int, bool]], turns: int, tally: Tally) -> Numbers:
    words = sum(words for words, *_ in extras)
    tally.add("memory.extra.read", words * turns)
    return tally.move(np.full(turns, sum(words * size for words, size, _ in extras)))


def existing_inputs(spec: GConv, view: View, rows: range, vectors: VectorSet) -> Numbers:
    """Of every vector, the words of its window in these rows that are no padding."""
    of_row = np.unravel_index(np.arange(rows.start, rows.stop), [dim.ks for dim in spec.dims])
    of_vector = np.unravel_index(vectors.numbers, [dim.opc for dim in spec.dims])
    masks: list[npt.NDArray[np.bool_]] = []
    keys: list[Numbers] = []
    for d, dim in enumerate(spec.dims):
        places = np.arange(dim.opc)[:, None] * dim.stride + np.arange(dim.ks)[None, :] * dim.dilation - dim.pad
        exists = (places >= 0) & (places < view.shape[d] // dim.g)
        if not exists.all():
            masks.append(exists[of_vector[d]])
            keys.append(of_row[d])
    if not masks:
        return np.full(len(vectors), len(rows), np.int64)
    kinds, counts = np.unique(np.stack(keys), axis=1, return_counts=True)
    total = np.zeros(len(vectors), np.int64)
    for kind, count in zip(kinds.T, counts, strict=True):
        there = np.ones(len(vectors), np.bool_)
        for mask, index in zip(masks, kind, strict=True):
            there &= mask[:, index]
        total += there * int(count)
    return total


def _size(value: SSAValue) -> int:
    """Bytes of a word of a tensor."""
    return numpy_dtype_of(element_type_of_value(value)).itemsize


# Vector units ---------------------------------------------------------------------------------------------------------


def _vectors(layer: LayerOp, stream: StreamOp, tally: Tally) -> Course:
    spec, machine = layer.spec, tally.machine
    turns = list(turns_of(spec, stream))
    course = Course(integer(stream.core), overlap=False)
    block, behind = stream.body.block, list[SignalOp]()
    while (inner := next((op for op in block.ops if isinstance(op, ForOp)), None)) is not None:
        course.begin(1)
        for op in block.ops:
            match op:
                case SignalOp():
                    behind.append(op)
                case WaitOp():
                    _token(op, None, BRING, course, tally)
                case _:
                    pass
        block = inner.body.block
    run = None if block is stream.body.block else Run(block, 0, len(turns))
    course.begin(len(turns))
    outputs = np.array([_results(spec, ranges) for ranges in turns])
    held = np.zeros(len(turns), np.int64)
    for op in block.ops:
        match op:
            case LoadOp():
                size = _load(layer, op.tensor.data, turns, tally)
                held += size
                if op.tensor.data == "I":
                    size = size + _index_bytes(layer, turns, tally, is_input=True)
                course.spend(BRING, tally.move(size))
            case ComputeOp():
                trips = np.array([math.prod(len(each) for each in ranges.values()) for ranges in turns])
                tally.operate("operation.mac" if spec.is_multiply_accumulate else "operation.other", int(trips.sum()))
                course.spend(BRING, -(-trips // machine.cores.lanes))
                held += outputs * max(_size(layer.output), acc_bytes(layer))
            case ActivateOp():
                steps = outputs * len(spec.post)
                tally.operate("operation.post", int(steps.sum()))
                course.spend(BRING, -(-steps // machine.cores.lanes))
            case StoreOp():
                course.spend(BRING, _store(layer, outputs, turns, tally))
            case SignalOp() | WaitOp():
                _token(op, run, BRING, course, tally)
            case _:
                pass
    for op in behind:
        course.begin(1)
        _token(op, None, BRING, course, tally)
    tally.add("buffer.bytes", int(held.max()))
    return course


def _results(spec: GConv, ranges: Ranges) -> int:
    """Results of a turn; without a kernel, parallel kernels repeat each of them."""
    total = 1
    for d, dim in enumerate(spec.dims):
        parallel = dim.op if spec.main == PASS else len(ranges[d, LoopKind.OP])
        total *= len(ranges[d, LoopKind.G]) * parallel * len(ranges[d, LoopKind.OPC])
    return total


def _load(layer: LayerOp, tensor: str, turns: Sequence[Ranges], tally: Tally) -> Numbers:
    """Bytes of a tensor that turns bring."""
    spec = layer.spec
    match tensor:
        case "I":
            words = np.array([_input_words(spec, layer.views[0], ranges) for ranges in turns])
            tally.add("memory.input.read", int(words.sum()))
            return words * _size(layer.input)
        case "K":
            assert layer.kernel is not None
            kinds = (LoopKind.G, LoopKind.OP, LoopKind.KS)
            words = np.array(
                [math.prod(len(r[d, kind]) for d in range(len(spec.dims)) for kind in kinds) for r in turns]
            )
            tally.add("memory.kernel.read", int(words.sum()))
            return words * _size(layer.kernel)
        case _:
            first = 2 if layer.kernel is not None else 1
            total = np.zeros(len(turns), np.int64)
            for number in range(first, len(layer.views) - 1):
                words = np.array([_distinct(spec, layer.views[number], ranges) for ranges in turns])
                tally.add("memory.extra.read", int(words.sum()))
                total += words * _size(layer.tensors[number])
            return total


def _store(layer: LayerOp, outputs: Numbers, turns: Sequence[Ranges], tally: Tally) -> Numbers:
    tally.add("memory.output.write", int(outputs.sum()))
    size = outputs * _size(layer.output)
    if layer.update is not None and layer.update.data.value != "none":
        tally.add("memory.output.read", int(outputs.sum()))
        size = size * 2
    return tally.move(size + _index_bytes(layer, turns, tally, is_input=False))


def _index_bytes(layer: LayerOp, turns: Sequence[Ranges], tally: Tally, *, is_input: bool) -> Numbers:
    """Bytes of the index words that addresses of a turn are computed from."""
    lookup, index = (layer.read_lookup, layer.read_index) if is_input else (layer.write_lookup, layer.write_index)
    if lookup is None or index is None:
        return np.zeros(len(turns), np.int64)
    view, terms = lookup.data.index, len(lookup.data.terms)
    count = _input_words if is_input else _distinct
    words = np.array([count(layer.spec, view, ranges) * terms for ranges in turns])
    tally.add("memory.index.read", int(words.sum()))
    return words * _size(index)


def _input_words(spec: GConv, view: View, ranges: Ranges) -> int:
    """Words that windows touch of a tensor that is laid out like the input; those that repeat count once."""
    total = 1
    for d, dim in enumerate(spec.dims):
        if view.shape[d] > 1 and not view.strides[d]:
            continue
        opc, ks = ranges[d, LoopKind.OPC], ranges[d, LoopKind.KS]
        low = opc.start * dim.stride + ks.start * dim.dilation - dim.pad
        high = (opc.stop - 1) * dim.stride + (ks.stop - 1) * dim.dilation - dim.pad
        end = view.shape[d] // dim.g - 1
        if dim.up > 1:
            count = min(high // dim.up, end) - max(-(-low // dim.up), 0) + 1
        else:
            step = distance(dim, len(opc), len(ks))
            count = (min(high, end) - low) // step - max(-(low // step), 0) + 1
        total *= len(ranges[d, LoopKind.G]) * max(count, 0)
    return total


def _distinct(spec: GConv, view: View, ranges: Ranges) -> int:
    """Words of a tile of a tensor in the shape of the output; those that repeat along a dimension count once."""
    total = 1
    for d, dim in enumerate(spec.dims):
        if view.shape[d] > 1 and view.strides[d]:
            parallel = dim.op if spec.main == PASS else len(ranges[d, LoopKind.OP])
            total *= len(ranges[d, LoopKind.G]) * parallel * len(ranges[d, LoopKind.OPC])
    return total
