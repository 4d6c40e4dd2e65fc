"""What a layer counts on a machine of cores with crossbars, by closed forms over its streams.

Cycles of a layer are those by which it puts off the end of the program (`queues.py`); array cycles are those
of main operations on the core that has most of them. Besides, cycles of the layer alone are known, as if all before it
were done, on a bus that is free or, if that takes longer, taken all the time (`pace.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from xdsl.ir import Operation

from dialects.events import Counts
from dialects.gconv import GConv, View
from dialects.multicore import (
    ActivateOp,
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
from dialects.multicore_machine import MulticoreMachine
from dialects.multicore_mapping import CrossbarsAttr
from dialects.spatial import LayerOp, integer
from dialects.vector_sets import VectorSet
from passes.multicore.accesses import Run
from passes.multicore.buffers import Extra, extras_of, most_bytes, refuse_large_turns
from passes.multicore.course import BRING, FINISH, MULTIPLY, Course
from passes.multicore.pace import Paces
from passes.multicore.queues import Span, queued_spans
from passes.multicore.tally import Tally, size_of, token
from passes.multicore.traffic import Moved, Numbers
from passes.multicore.vector_counts import on_vector_units


@dataclass(frozen=True)
class StreamTime:
    """When a stream of a core is at work, in cycles of the program, and for how many of these (its units together)."""

    core: int
    span: Span
    work: int


@dataclass(frozen=True)
class Prediction:
    """What a layer counts, the cycles that it takes alone, and when its streams are at work."""

    counts: Counts
    alone: int
    streams: tuple[StreamTime, ...]


def predict(layers: Sequence[LayerOp], machine: MulticoreMachine) -> list[Prediction]:
    """What the placed layers of a program count, given all of them in its order.

    Raises `CatenaError` (CAT-F002) for turns that do not fit the buffer of a core.
    """
    tallies: list[Tally] = []
    courses: list[Course] = []
    numbers: list[range] = []
    for layer in layers:
        tally = Tally(machine)
        streams = [op for op in layer.body.block.ops if isinstance(op, StreamOp)]
        read = on_crossbars if isinstance(layer.mapping, CrossbarsAttr) else on_vector_units
        numbers.append(range(len(courses), len(courses) + len(streams)))
        for stream in streams:
            tally.core = integer(stream.core)
            courses.append(read(layer, stream, tally))
        tallies.append(tally)
    most = {layer: tally.events["buffer.most"] for layer, tally in zip(layers, tallies, strict=True)}
    refuse_large_turns(most, machine, "program")
    paces, spans = Paces(courses), queued_spans(courses, machine)
    found: list[Prediction] = []
    reached = 0
    for tally, of_layer in zip(tallies, numbers, strict=True):
        alone = max(int(tally.taken.max()), paces.end(of_layer))
        cores = len({courses[number].core for number in of_layer})
        end = max([reached, *(spans[number][1] for number in of_layer)])
        times = (StreamTime(courses[number].core, spans[number], courses[number].work) for number in of_layer)
        computing = max(tally.computing.values(), default=0)
        counts = Counts(tally.events, computing, len(of_layer), cores, end - reached)
        found.append(Prediction(counts, alone, tuple(times)))
        reached = end
    return found


def on_crossbars(layer: LayerOp, stream: StreamOp, tally: Tally) -> Course:
    """Count what a stream does on crossbars."""
    spec, machine = layer.spec, tally.machine
    ops = list(stream.body.block.ops)
    part = next(op for op in ops if isinstance(op, PartOp))
    vectors = next(op for op in ops if isinstance(op, VectorsOp)).positions
    groups, rows, columns = len(span_of(part.groups)), span_of(part.rows), span_of(part.columns)
    results = groups * len(columns)
    inputs = groups * existing_inputs(spec, layer.views[0], rows, vectors)
    course = Course(integer(stream.core), overlap=machine.cores.overlap)
    crossbars = 0
    extras = extras_of(layer, part)
    fixed, varying = ([each for each in extras if each.varies is kind] for kind in (False, True))
    tally.hold(most_bytes(layer, stream, machine))
    for op in ops:
        if isinstance(op, ProgramOp | LoadOp | SignalOp | WaitOp):
            _begin_between(op, course)
        match op:
            case ProgramOp():
                crossbars = len(span_of(op.crossbars))
                weights = groups * len(rows) * len(columns)
                _program(layer, op, weights, len(rows) * groups, vectors.abreast, course, tally)
            case LoadOp():
                course.move(FINISH, _load_extras(fixed, 1, tally))
            case SignalOp() | WaitOp():
                token(op, None, BRING, course, tally)
            case RunOp():
                run = Run(op.body.block, 0, integer(op.turns))
                turns = (integer(op.start) + np.arange(run.turns)) % vectors.turns
                sizes = vectors.sizes(turns)
                starts = np.cumsum(sizes) - sizes
                count = int(sizes.sum())
                places: Numbers = np.repeat(turns * vectors.abreast - starts, sizes) + np.arange(count)
                course.begin(run.turns, apart=True)
                unit = BRING
                for each in op.body.block.ops:
                    match each:
                        case LoadOp() if each.tensor.data == "I":
                            words = inputs[places]
                            tally.add("memory.input.read", int(words.sum()))
                            course.move(unit, tally.load(words * size_of(layer.input), starts))
                        case LoadOp():
                            course.move(unit, _load_extras(varying, count, tally, starts))
                        case MvmOp():
                            tall = -(-len(rows) // machine.crossbar.rows) - 1 if groups == 1 else 0
                            product = machine.crossbar.mvm_cycles + sizes * machine.vector_cycles(tall * results)
                            tally.add("crossbar.mvm", crossbars // vectors.abreast * count)
                            tally.operate("operation.add", tall * results * count)
                            tally.add("operation.mac", results * len(rows) * count)
                            tally.compute(run.turns * machine.crossbar.mvm_cycles)
                            course.spend(MULTIPLY, product)
                            unit = FINISH
                        case SignalOp() | WaitOp():
                            token(each, run, unit, course, tally)
                        case _:
                            _after_product(each, layer, results, sizes, starts, course, tally)
            case _:
                pass
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


def _after_product(
    op: object, layer: LayerOp, results: int, sizes: Numbers, starts: Numbers, course: Course, tally: Tally
) -> None:
    """What is done with `results` sums of each vector: turns have `sizes` of these, from `starts` on."""
    count, steps = int(sizes.sum()), len(layer.spec.post)
    each = np.full(count, results)
    match op:
        case FetchOp():
            tally.add("memory.sums.read", results * count)
            tally.operate("operation.add", results * count)
            course.move(FINISH, tally.load(each * tally.machine.shared.sum_bytes, starts))
            course.spend(FINISH, sizes * tally.machine.vector_cycles(results))
        case ActivateOp():
            tally.operate("operation.post", results * steps * count)
            course.spend(FINISH, sizes * tally.machine.vector_cycles(results * steps))
        case StoreOp() if op.tensor.data == "S":
            tally.add("memory.sums.write", results * count)
            course.move(FINISH, tally.store(each * tally.machine.shared.sum_bytes, starts))
        case StoreOp():
            tally.add("memory.output.write", results * count)
            course.move(FINISH, tally.store(each * size_of(layer.output), starts))
        case _:
            pass


def _program(layer: LayerOp, op: ProgramOp, weights: int, rows: int, copies: int, course: Course, tally: Tally) -> None:
    """Programming: copies within a core are written at a time, of words that come once."""
    machine = tally.machine
    cells = copies * machine.crossbar.weights.cells(1, weights)
    tally.add("crossbar.cells", cells)
    if op.resident is not None:
        return
    assert layer.kernel is not None
    tally.add("memory.kernel.read", weights)
    tally.add("crossbar.rewrite", cells)
    course.move(BRING, tally.load(np.array([weights * size_of(layer.kernel)])))
    course.spend(BRING, min(rows, machine.crossbar.rows) * machine.crossbar.write_cycles)


def _load_extras(extras: Sequence[Extra], turns: int, tally: Tally, starts: Numbers | None = None) -> Moved:
    tally.add("memory.extra.read", sum(each.words for each in extras) * turns)
    return tally.load(np.full(turns, sum(each.bytes for each in extras)), starts)


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
