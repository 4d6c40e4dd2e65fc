"""The tensors of a placed module as a program has them: names, entries of the table, images of constants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from backends.fields import Array
from backends.program import ConstantImage, TensorEntry
from backends.program import Role as ProgramRole
from backends.spatial.dram import MEMORY
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.element_types import numpy_dtype_of
from dialects.gconv import element_type_of_value, shape_of
from dialects.locations import describe
from dialects.spatial import BufferOp, Role, integer


def unique(names: Iterable[str]) -> list[str]:
    """Names made different by `#2`, `#3` ... where they repeat."""
    seen: set[str] = set()
    result: list[str] = []
    for name in names:
        candidate, count = name, 1
        while candidate in seen:
            count += 1
            candidate = f"{name}#{count}"
        seen.add(candidate)
        result.append(candidate)
    return result


def name_buffers(buffers: list[BufferOp]) -> dict[BufferOp, str]:
    """A name for every tensor: that of the ONNX tensor it holds, else of the nodes it came from."""
    inputs = [op for op in buffers if op.role.data in (Role.INPUT, Role.OUTPUT)]
    rest = [op for op in buffers if op.role.data not in (Role.INPUT, Role.OUTPUT)]
    wanted = [op.tensor.data if op.tensor is not None else describe(op) or "tensor" for op in (*inputs, *rest)]
    named = dict(zip((*inputs, *rest), unique(wanted), strict=True))
    return {op: named[op] for op in buffers}


def check_buffers(buffers: dict[BufferOp, str], capacity: int) -> None:
    """No buffer reaches beyond the memory, and nothing lies over a constant.

    Raises `CatenaError` (CAT-R003) with every buffer that does.
    """
    problems: list[Diagnostic] = []

    def problem(op: BufferOp, message: str, expected: str) -> None:
        found = f"words {integer(op.address)} to {integer(op.address) + op.words - 1}"
        problems.append(Diagnostic("CAT-R003", message, "program", describe(op), expected=expected, found=found))

    constants = sorted((integer(op.address), integer(op.address) + op.words) for op in buffers if op.value is not None)
    end = max((stop for _, stop in constants), default=0)
    for op, name in buffers.items():
        start, stop = integer(op.address), integer(op.address) + op.words
        if stop > capacity:
            problem(op, f"tensor {name!r} reaches beyond the off-chip memory", f"at most word {capacity - 1}")
        if op.value is None and start < end and op.words:
            problem(op, f"tensor {name!r} lies among the constants", f"words from {end}")
        if op.value is not None and sum(begin < stop and start < last for begin, last in constants) > 1:
            problem(op, f"constant {name!r} overlaps another constant", "words of its own")
    if problems:
        raise CatenaError(problems)


def constant_images(buffers: dict[BufferOp, str]) -> tuple[ConstantImage, ...]:
    """One image for every run of constants of one type."""
    held = sorted((op for op in buffers if op.value is not None and op.words), key=lambda op: integer(op.address))
    images: list[ConstantImage] = []
    for word, group in groupby(held, key=lambda op: numpy_dtype_of(element_type_of_value(op.result)).name):
        ops = list(group)
        start, end = integer(ops[0].address), integer(ops[-1].address) + ops[-1].words
        images.append(ConstantImage(MEMORY, start, end - start, word, _Pieces(ops)))
    return tuple(images)


class _Pieces:
    """The words of constant buffers in the order of their addresses, looked up one at a time."""

    def __init__(self, buffers: list[BufferOp]):
        self._buffers = buffers

    def __iter__(self) -> Iterator[tuple[int, Array]]:
        for op in self._buffers:
            assert op.value is not None
            yield integer(op.address), op.value.data.array


def tensor_entry(op: BufferOp, name: str, produced: str, memory: str = MEMORY) -> TensorEntry:
    """A tensor of the off-chip memory; `produced` names the layer that makes it, empty if none does.

    One that is `HELD` has addresses that only name its elements.
    """
    shape = shape_of(op.result)
    word = numpy_dtype_of(element_type_of_value(op.result)).name
    dtype = op.dtype.data if op.dtype is not None else word
    return TensorEntry(
        name,
        ProgramRole(op.role.data),
        memory,
        integer(op.address),
        op.words,
        shape,
        op.view.strides,
        dtype,
        produced,
        onnx=op.tensor.data if op.tensor is not None else "",
        word=word if word != dtype else "",
    )
