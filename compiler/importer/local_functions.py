"""Functions that a model defines itself: calls replaced by bodies, unless that makes too many nodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from compiler.importer.loading import STAGE, not_a_model, subgraphs
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.onnx.native_errors import NATIVE_ERRORS, reason_of

if TYPE_CHECKING:
    import onnx

MOST_NODES = 1 << 18
"""Nodes that a model may have once its functions are inlined: functions that call functions grow exponentially."""
MOST_BYTES = 1 << 30
"""Bytes that the inlined bodies may take together."""
DEEPEST = 100
"""How many functions may call one another in turn."""

_Key = tuple[str, str, str]
"""Domain, name and overload of a function."""


class _Size(NamedTuple):
    nodes: int
    bytes: int


def inline_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every call of a local function replaced by its body.

    Raises `CatenaError`: CAT-M001 if that is not possible, CAT-U004 if it makes too many nodes.
    """
    if not model.functions:
        return model
    from google.protobuf.message import DecodeError, EncodeError
    from onnx import inliner

    _require_room(model)
    try:
        return inliner.inline_local_functions(model)
    except (DecodeError, EncodeError, *NATIVE_ERRORS) as error:
        raise not_a_model(f"the local functions of the model cannot be inlined: {reason_of(error)}") from error


def _require_room(model: onnx.ModelProto) -> None:
    sizes = _Sizes({(each.domain, each.name, each.overload): each for each in model.functions})
    nodes = total = 0
    for node in model.graph.node:
        size = sizes.of_node(node)
        nodes, total = nodes + size.nodes, total + (size.bytes if size.nodes > 1 else 0)
        if nodes > MOST_NODES or total > MOST_BYTES:
            raise CatenaError(
                Diagnostic(
                    "CAT-U004",
                    f"inlining function {node.op_type} makes too many nodes",
                    stage=STAGE,
                    node=node.name or next(iter(node.output), ""),
                    expected=f"at most {MOST_NODES} nodes and {MOST_BYTES >> 30} GiB of them in the whole model",
                    found=f"{nodes} nodes of {total} bytes",
                    hint="export the model without functions that call each other",
                )
            )


@dataclass
class _Sizes:
    """What nodes come to once the functions are inlined, each function looked at once."""

    functions: dict[_Key, onnx.FunctionProto]
    known: dict[_Key, _Size] = field(default_factory=dict["_Key", "_Size"])
    calling: list[_Key] = field(default_factory=list["_Key"])
    """The functions within whose bodies the node at hand stands."""

    def of_node(self, node: onnx.NodeProto) -> _Size:
        key = (node.domain, node.op_type, node.overload)
        if key in self.functions:
            return self._of_function(key)
        inner = [self._sum(graph.node) for graph in subgraphs(node).values()]
        return _Size(1 + sum(each.nodes for each in inner), node.ByteSize() + sum(each.bytes for each in inner))

    def _of_function(self, key: _Key) -> _Size:
        if key in self.calling or len(self.calling) > DEEPEST:
            reason = f"{key[1]} calls itself" if key in self.calling else f"calls are more than {DEEPEST} deep"
            raise not_a_model(f"the local functions of the model cannot be inlined: {reason}")
        if key not in self.known:
            self.calling.append(key)
            self.known[key] = self._sum(self.functions[key].node)
            self.calling.pop()
        return self.known[key]

    def _sum(self, nodes: Iterable[onnx.NodeProto]) -> _Size:
        sizes = [self.of_node(node) for node in nodes]
        return _Size(sum(each.nodes for each in sizes), sum(each.bytes for each in sizes))
