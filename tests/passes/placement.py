"""What copy-concat promises, checked by carrying it out: a chain run in buffers, everything written in place."""

from __future__ import annotations

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import SSAValue

from dialects.gconv import ConcatOp, LinkOp, ScatterOp, ViewOp, shape_of
from dialects.gconv.interpreter import evaluate, take_view
from dialects.weights import ConstantOp
from passes.chain_views import Source, source_of
from passes.computed_addresses import Lookup, read_lookup
from passes.storage import Storage, placed_operands


def run_in_place(module: ModuleOp, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """The results of `@main` when each link writes its place and reads go through places.

    Concatenations and scatters do nothing: what links write is all there is.

    Buffers start as NaN, so that a word that is read before it is written shows.
    """
    function = next(op for op in module.ops if isinstance(op, FuncOp))
    block = function.body.block
    storage = Storage(block)
    buffers: dict[SSAValue, np.ndarray] = {
        arg: np.ascontiguousarray(x) for arg, x in zip(block.args, inputs, strict=True)
    }
    for op in block.ops:
        if isinstance(op, ConstantOp):
            buffers[op.result] = op.array
        elif isinstance(op, LinkOp | ConcatOp | ScatterOp) and storage.place(op.result).base is op.result:
            buffers[op.result] = np.full(shape_of(op.result), np.nan)

    def read(value: SSAValue) -> np.ndarray:
        source = source_of(value)
        assert not isinstance(source.base.owner, ViewOp)
        seen = storage.seen(source)
        assert seen is not None
        return take_view(seen.view, buffers[seen.base])

    def read_index(lookup: Lookup) -> np.ndarray:
        index = storage.seen(lookup.index)
        assert index is not None
        return take_view(index.view, buffers[index.base])

    def read_input(op: LinkOp) -> np.ndarray:
        lookup = read_lookup(op)
        if lookup is None:
            return read(op.input)
        placed = lookup.of_place(storage.place(lookup.base))
        assert placed is not None
        return placed.view.gather(buffers[placed.base], read_index(placed))

    for op in block.ops:
        if isinstance(op, LinkOp):
            kernel = None if op.kernel is None else read(op.kernel)
            words = evaluate(op.spec, read_input(op), kernel, [read(extra) for extra in op.extras])
            update = storage.update(op.result)
            if update is None:
                write(storage.place(op.result), buffers, words)
            else:
                where = update.where
                where.view.scatter(buffers[where.base], read_index(where), words, update.reduce)
        elif isinstance(op, ConcatOp | ScatterOp):
            assert all(storage.is_in_place(op, index) for index in placed_operands(op))
    assert isinstance(block.last_op, ReturnOp)
    bases = [storage.place(source_of(value).base).base for value in block.last_op.operands]
    assert len(set(bases)) == len(bases)
    for value in block.last_op.operands:
        assert source_of(value).is_whole
        assert isinstance(source_of(value).base.owner, LinkOp | ConcatOp | ScatterOp)
        assert storage.place(source_of(value).base).base is source_of(value).base
    return [read(value) for value in block.last_op.operands]


def write(place: Source, buffers: dict[SSAValue, np.ndarray], words: np.ndarray) -> None:
    """Store words through a strided view of a buffer."""
    flat = buffers[place.base].reshape(-1)
    offsets = np.full(place.view.shape, place.view.offset)
    for axis, (size, stride) in enumerate(zip(place.view.shape, place.view.strides, strict=True)):
        offsets += (np.arange(size) * stride).reshape([-1 if a == axis else 1 for a in range(len(place.view.shape))])
    flat[offsets] = words
