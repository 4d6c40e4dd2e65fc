"""What expanding nodes into copies of graphs needs of the importer, and the nodes that it adds itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from compiler.importer.graph import NamedNode
from compiler.importer.loading import STAGE
from compiler.importer.scopes import Body, Scope
from compiler.importer.tensors import Array
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv.indexed import WRONG_SHAPE
from dialects.onnx import ValueType
from dialects.onnx.inference import declared_type
from passes.constant_evaluation import FOLD_LIMIT

if TYPE_CHECKING:
    import onnx

UNROLL_LIMIT = 50_000
"""The most nodes that all unrolled loops of a model may come to."""

_AXES_AS_INPUT = 13
"""The opset from which on `Unsqueeze` takes its axes as an input."""


class Inliner(Protocol):
    """The importer as expansions see it. Tensors go by their names, unique in the model."""

    def body_of(self, node: NamedNode, attribute: str, scope: Scope) -> Body:
        """A subgraph of a node that stands in `scope`, checked. Raises `CatenaError` as `prepare_body` does."""
        ...

    def inline(self, body: Body, arguments: Sequence[str], suffix: str = "") -> tuple[str, ...] | None:
        """Import a copy of a body and return its outputs; None if a problem was found in it."""
        ...

    def constant(self, name: str) -> Array | None:
        """The words of a tensor, None if they are not known before run time."""
        ...

    def value_type(self, name: str) -> ValueType:
        """The type of a tensor."""
        ...

    def declared_extent(self, name: str) -> int | None:
        """What the model says of the first extent of a tensor that is still to be made; None if it says nothing."""
        ...

    def define(self, name: str, array: Array) -> str:
        """A new constant."""
        ...

    def emit(self, node: onnx.NodeProto, scope: Scope) -> str:
        """Import a node of one output, of the opset of `scope`; its name and output are made unique."""
        ...

    def charge(self, node: NamedNode, count: int, copies: int = 1) -> None:
        """Count nodes of so many copies of a body. Raises `CatenaError` (CAT-U004) beyond `UNROLL_LIMIT`."""
        ...


def take(inliner: Inliner, scope: Scope, name: str, tensor: str, axis: int, index: int) -> str:
    """One entry of a tensor along `axis`, which vanishes; `name` is what its node and result are called."""
    from onnx import helper

    place = inliner.define(f"{name}/index", np.array(index, np.int64))
    return inliner.emit(helper.make_node("Gather", [tensor, place], [name], name, axis=axis), scope)


def unless(inliner: Inliner, scope: Scope, name: str, broken: str, tensor: str) -> str:
    """A tensor, in a run in which the boolean `broken` of one element is false; one in which it is true ends there."""
    from onnx import TensorProto, helper

    def emit(op_type: str, inputs: Sequence[str], step: str) -> str:
        return inliner.emit(helper.make_node(op_type, inputs, [step], step), scope)

    def shape(step: str, *extents: int) -> str:
        return inliner.define(step, np.array(extents, np.int64))

    cast = helper.make_node("Cast", [broken], [f"{name}/number"], f"{name}/number", to=TensorProto.INT64)
    number = inliner.emit(cast, scope)
    place = emit("Mul", [number, inliner.define(f"{name}/none", np.array(WRONG_SHAPE, np.int64))], f"{name}/place")
    index = emit("Reshape", [place, shape(f"{name}/scalar")], f"{name}/index")
    row = shape(f"{name}/row", 1, *inliner.value_type(tensor).shape)
    return emit("Gather", [emit("Reshape", [tensor, row], f"{name}/whole"), index], name)


def stack(
    inliner: Inliner, scope: Scope, name: str, parts: Sequence[str], axis: int, declared: onnx.ValueInfoProto
) -> str:
    """Tensors of one shape along a new `axis`; `declared` tells the type of the parts if there are none.

    Raises `CatenaError` (CAT-U002) if there are none and the type is not declared.
    """
    from onnx import helper

    if not parts:
        return inliner.define(name, _empty(name, axis, declared))
    words = [array for array in map(inliner.constant, parts) if array is not None]
    if len(words) == len(parts) and sum(array.size for array in words) <= FOLD_LIMIT:
        return inliner.define(name, np.stack(words, axis))
    raised: list[str] = []
    for index, part in enumerate(parts):
        step = f"{name}.{index}"
        if scope.opsets[""] < _AXES_AS_INPUT:
            node = helper.make_node("Unsqueeze", [part], [step], step, axes=[axis])
        else:
            axes = inliner.define(f"{step}/axes", np.array([axis], np.int64))
            node = helper.make_node("Unsqueeze", [part, axes], [step], step)
        raised.append(inliner.emit(node, scope))
    return inliner.emit(helper.make_node("Concat", raised, [name], name, axis=axis), scope)


def _empty(name: str, axis: int, declared: onnx.ValueInfoProto) -> Array:
    part = declared_type(declared)
    if part is None:
        raise CatenaError(
            Diagnostic(
                "CAT-U002",
                f"no iteration makes {name!r}, and the body does not declare its shape",
                stage=STAGE,
                node=name,
                expected=f"a static shape of the body's output {declared.name!r}",
                found="unknown extents",
            )
        )
    rank = len(part.shape) + 1
    return np.zeros((*part.shape[: axis % rank], 0, *part.shape[axis % rank :]), part.dtype)
