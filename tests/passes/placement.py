"""What copy-concat promises, checked by carrying it out: a chain run in buffers, parts written in place."""

from __future__ import annotations

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import SSAValue

from dialects.gconv import ConcatOp, LinkOp, ViewOp, shape_of
from dialects.gconv.interpreter import evaluate, take_view
from dialects.weights import ConstantOp
from passes.chain_views import Source, source_of
from passes.storage import Storage


def run_in_place(module: ModuleOp, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """The results of `@main` when each link writes its place, concatenations do nothing and reads go through places.

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
        elif isinstance(op, LinkOp | ConcatOp) and storage.place(op.result).base is op.result:
            buffers[op.result] = np.full(shape_of(op.result), np.nan)

    def read(value: SSAValue) -> np.ndarray:
        source = source_of(value)
        assert not isinstance(source.base.owner, ViewOp)
        seen = storage.seen(source)
        assert seen is not None
        return take_view(seen.view, buffers[seen.base])

    for op in block.ops:
        if isinstance(op, LinkOp):
            kernel = None if op.kernel is None else read(op.kernel)
            words = evaluate(op.spec, read(op.input), kernel, [read(extra) for extra in op.extras])
            write(storage.place(op.result), buffers, words)
        elif isinstance(op, ConcatOp):
            assert all(storage.is_in_place(op, index) for index in range(len(op.parts)))
    assert isinstance(block.last_op, ReturnOp)
    bases = [storage.place(source_of(value).base).base for value in block.last_op.operands]
    assert len(set(bases)) == len(bases)
    for value in block.last_op.operands:
        assert source_of(value).is_whole
        assert isinstance(source_of(value).base.owner, LinkOp | ConcatOp)
        assert storage.place(source_of(value).base).base is source_of(value).base
    return [read(value) for value in block.last_op.operands]


def write(place: Source, buffers: dict[SSAValue, np.ndarray], words: np.ndarray) -> None:
    """Store words through a strided view of a buffer."""
    flat = buffers[place.base].reshape(-1)
    offsets = np.full(place.view.shape, place.view.offset)
    for axis, (size, stride) in enumerate(zip(place.view.shape, place.view.strides, strict=True)):
        offsets += (np.arange(size) * stride).reshape([-1 if a == axis else 1 for a in range(len(place.view.shape))])
    flat[offsets] = words
