"""What a stream of the vector units of a core counts and takes, turn by turn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dialects.gconv import PASS, GConv, LoopKind, View
from dialects.multicore import ActivateOp, ComputeOp, LoadOp, SignalOp, StoreOp, StreamOp, WaitOp
from dialects.spatial import ForOp, LayerOp, integer
from passes.multicore.accesses import Run
from passes.multicore.buffers import acc_bytes
from passes.multicore.course import BRING, Course
from passes.multicore.tally import Tally, size_of, token
from passes.multicore.tiles import distance
from passes.multicore.traffic import Moved, Numbers
from passes.multicore.vector_accesses import Ranges, turns_of


def on_vector_units(layer: LayerOp, stream: StreamOp, tally: Tally) -> Course:
    """Count what a stream does on vector units, and time it."""
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
                    token(op, None, BRING, course, tally)
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
                course.move(BRING, tally.load(size))
            case ComputeOp():
                trips = np.array([math.prod(len(each) for each in ranges.values()) for ranges in turns])
                tally.operate("operation.mac" if spec.is_multiply_accumulate else "operation.other", int(trips.sum()))
                cycles = -(-trips // machine.cores.lanes)
                tally.compute(int(cycles.sum()))
                course.spend(BRING, cycles)
                held += outputs * max(size_of(layer.output), acc_bytes(layer))
            case ActivateOp():
                steps = outputs * len(spec.post)
                tally.operate("operation.post", int(steps.sum()))
                course.spend(BRING, -(-steps // machine.cores.lanes))
            case StoreOp():
                course.move(BRING, _store(layer, outputs, turns, tally))
            case SignalOp() | WaitOp():
                token(op, run, BRING, course, tally)
            case _:
                pass
    for op in behind:
        course.begin(1)
        token(op, None, BRING, course, tally)
    tally.hold(int(held.max()))
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
            return words * size_of(layer.input)
        case "K":
            assert layer.kernel is not None
            kinds = (LoopKind.G, LoopKind.OP, LoopKind.KS)
            words = np.array(
                [math.prod(len(r[d, kind]) for d in range(len(spec.dims)) for kind in kinds) for r in turns]
            )
            tally.add("memory.kernel.read", int(words.sum()))
            return words * size_of(layer.kernel)
        case _:
            first = 2 if layer.kernel is not None else 1
            total = np.zeros(len(turns), np.int64)
            for number in range(first, len(layer.views) - 1):
                words = np.array([_distinct(spec, layer.views[number], ranges) for ranges in turns])
                tally.add("memory.extra.read", int(words.sum()))
                total += words * size_of(layer.tensors[number])
            return total


def _store(layer: LayerOp, outputs: Numbers, turns: Sequence[Ranges], tally: Tally) -> Moved:
    tally.add("memory.output.write", int(outputs.sum()))
    size = outputs * size_of(layer.output)
    if layer.update is not None and layer.update.data.value != "none":
        tally.add("memory.output.read", int(outputs.sum()))
        size = size * 2
    return tally.store(size + _index_bytes(layer, turns, tally, is_input=False))


def _index_bytes(layer: LayerOp, turns: Sequence[Ranges], tally: Tally, *, is_input: bool) -> Numbers:
    """Bytes of the index words that addresses of a turn are computed from."""
    lookup, index = (layer.read_lookup, layer.read_index) if is_input else (layer.write_lookup, layer.write_index)
    if lookup is None or index is None:
        return np.zeros(len(turns), np.int64)
    view, terms = lookup.data.index, len(lookup.data.terms)
    count = _input_words if is_input else _distinct
    words = np.array([count(layer.spec, view, ranges) * terms for ranges in turns])
    tally.add("memory.index.read", int(words.sum()))
    return words * size_of(index)


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
