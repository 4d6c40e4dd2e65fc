"""Encodings of tensor types: each must be one that tensors of that shape can be stored in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xdsl.dialects.builtin import NoneAttr, TensorType
from xdsl.ir import Attribute, Operation

from passes.verification.problems import Problem


def encoding_problems(ops: Iterable[Operation]) -> Iterator[Problem]:
    """One problem for each result or argument of ops whose type has an encoding that does not fit it."""
    for op in ops:
        arguments = (argument for region in op.regions for block in region.blocks for argument in block.args)
        for value in (*op.results, *arguments):
            kind = value.type
            # Most types have none; the formats are loaded only where one does.
            if type(kind) is TensorType and type(kind.encoding) is not NoneAttr:
                yield from _problems(op, kind)


def _problems(op: Operation, kind: TensorType[Attribute]) -> Iterator[Problem]:
    from dialects.encodings.attributes import encoding_of

    try:
        encoding = encoding_of(kind)
    except TypeError as error:
        yield Problem(op, "CAT-R002", str(error), found=str(kind))
        return
    if encoding is not None and (problem := encoding.problem(kind.get_shape())):
        yield Problem(op, "CAT-R002", f"the encoding does not fit its type: {problem}", found=str(kind))
