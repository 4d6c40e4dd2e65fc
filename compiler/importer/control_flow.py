"""Control flow whose course is known at compile time: `If` takes its branch, `Loop` and `Scan` are unrolled.

Where input data decide the model is refused (CAT-U004): a chain has no jumps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from compiler.importer.graph import NamedNode
from compiler.importer.inlining import Inliner, stack, unless
from compiler.importer.loading import STAGE
from compiler.importer.scan import batched_scan, check_counts, scan
from compiler.importer.scopes import Body, Scope
from compiler.importer.tensors import Array
from dialects.diagnostics import CatenaError, Diagnostic


class Unrolling(NamedTuple):
    """What an operator of control flow becomes, and what it demands of a node."""

    doc: str
    limit: str


CONTROL_FLOW: Mapping[str, Unrolling] = {
    "If": Unrolling("the nodes of the branch that is taken", "the condition follows from constants and shapes"),
    "Loop": Unrolling(
        "copies of its body, one for each iteration",
        "conditions follow from constants and shapes, the trip count from those or from the declared shape of what the "
        "loop collects",
    ),
    "Scan": Unrolling(
        "copies of its body, one for each entry of its sequences", "the lengths of sequences are not an input"
    ),
}
"""The operators that this module expands."""

_SCAN_WITH_BATCHES = 8
"""The opset whose `Scan` has a batch dimension."""


def expand_control_flow(node: NamedNode, scope: Scope, inliner: Inliner) -> Sequence[str] | None:
    """Import what an `If`, `Loop` or `Scan` comes to; the tensors that its outputs are, None after a problem.

    The tensors of the node go by their unique names; its subgraphs are seen from `scope`. Raises `CatenaError`:
    CAT-U004 if input data decide or too much is unrolled, CAT-M001 for a body that does not fit the node.
    """
    match node.proto.op_type:
        case "If":
            return _if(node, scope, inliner)
        case "Loop":
            return _loop(node, scope, inliner)
        case _ if scope.opsets[""] == _SCAN_WITH_BATCHES:
            return batched_scan(node, scope, inliner)
        case _:
            return scan(node, scope, inliner, node.proto.input)


def _if(node: NamedNode, scope: Scope, inliner: Inliner) -> Sequence[str] | None:
    (condition,) = node.proto.input
    words = inliner.constant(condition)
    if words is None:
        raise _data_dependent(node, "the condition", condition)
    body = inliner.body_of(node, "then_branch" if words.reshape(-1)[0] else "else_branch", scope)
    check_counts(node, body, 0, len(node.proto.output))
    return inliner.inline(body, ())


def _loop(node: NamedNode, scope: Scope, inliner: Inliner) -> Sequence[str] | None:
    """An omitted condition is true, and the one that the body makes still ends the loop: so does ONNX Runtime.

    A trip count that only a run has is what the model declares of the tensors that the loop collects; a run with
    another one ends with an error.
    """
    count, condition, *carried = (*node.proto.input, "", "")[: max(len(node.proto.input), 2)]
    states = len(carried)
    limit = inliner.constant(count) if count else None
    trips = None if limit is None else int(limit.reshape(-1)[0])
    promised: list[str] = []
    if count and limit is None:
        trips = _declared_trips(node, inliner, states)
        if trips is None:
            raise _data_dependent(node, "the trip count", count)
        promised = [count, condition] if condition and inliner.constant(condition) is None else [count]
        condition = "" if len(promised) > 1 else condition
    body = inliner.body_of(node, "body", scope)
    check_counts(node, body, states + 2, len(node.proto.output) + 1)
    scanned: list[list[str]] = [[] for _ in body.graph.outputs[states + 1 :]]
    condition = condition or inliner.define(f"{node.name}/condition", np.array(True))
    # Where the body leaves the condition alone, the trip count says at once how much there is to unroll.
    is_counted = trips is not None and body.passes_on_condition
    if is_counted and trips and _holds(inliner.constant(condition)):
        inliner.charge(node, len(body.graph.nodes), trips)
    iteration = 0
    while trips is None or iteration < trips:
        words = inliner.constant(condition)
        if words is None:
            raise _data_dependent(node, "the condition", condition)
        if not words.reshape(-1)[0]:
            break
        if not is_counted:
            inliner.charge(node, len(body.graph.nodes))
        results = inliner.inline(body, (*_counters(node, body, inliner, iteration), *carried), f"@{iteration}")
        if results is None:
            return None
        condition, carried = results[0], results[1 : states + 1]
        for parts, part in zip(scanned, results[states + 1 :], strict=True):
            parts.append(part)
        iteration += 1
    stacks = [
        stack(inliner, scope, f"{node.name}/stack.{index}", parts, 0, value)
        for index, (parts, value) in enumerate(zip(scanned, body.graph.outputs[states + 1 :], strict=True))
    ]
    made = [*carried, *stacks]
    return _kept(node, scope, inliner, made, trips or 0, promised) if promised else made


def _holds(condition: Array | None) -> bool:
    return condition is not None and bool(condition.reshape(-1)[0])


def _declared_trips(node: NamedNode, inliner: Inliner, states: int) -> int | None:
    """How often a loop runs by what the model declares of the tensors that it collects."""
    extents = (inliner.declared_extent(name) for name in node.proto.output[states:] if name)
    return next((extent for extent in extents if extent is not None), None)


def _kept(
    node: NamedNode, scope: Scope, inliner: Inliner, made: Sequence[str], trips: int, promised: Sequence[str]
) -> list[str]:
    """What a loop makes in runs in which the promised trip count, and condition if it is one, are `trips` and true."""
    from onnx import helper

    def emit(op_type: str, inputs: Sequence[str], step: str) -> str:
        name = f"{node.name}/{step}"
        return inliner.emit(helper.make_node(op_type, inputs, [name], name), scope)

    one = inliner.define(f"{node.name}/one", np.array([1], np.int64))
    count, *conditions = (emit("Reshape", [name, one], f"promised.{i}") for i, name in enumerate(promised))
    holds = emit("Equal", [count, inliner.define(f"{node.name}/trips", np.array([trips], np.int64))], "as_declared")
    if conditions:
        holds = emit("And", [holds, *conditions], "and_entered")
    broken = emit("Not", [holds], "otherwise")
    return [unless(inliner, scope, f"{node.name}/kept.{i}", broken, name) for i, name in enumerate(made)]


def _counters(node: NamedNode, body: Body, inliner: Inliner, iteration: int) -> tuple[str, str]:
    """The iteration number and the condition that the body is given, of rank 1 where it declares that."""
    ranks = [min(len(value.type.tensor_type.shape.dim), 1) for value in body.graph.inputs[:2]]
    number = np.array(iteration, np.int64).reshape((1,) * ranks[0])
    condition = np.array(True).reshape((1,) * ranks[1])
    return (
        inliner.define(f"{node.name}/iteration@{iteration}", number),
        inliner.define(f"{node.name}/condition@{iteration}", condition),
    )


def _data_dependent(node: NamedNode, what: str, tensor: str) -> CatenaError:
    return CatenaError(
        Diagnostic(
            "CAT-U004",
            f"{what} of {node.proto.op_type} depends on the input data",
            stage=STAGE,
            node=node.name,
            expected="a value that follows from constants and shapes",
            found=f"tensor {tensor!r}, known only at run time",
            hint="fix it before the export"
            + (", or declare the shape of a tensor that the loop collects" if what == "the trip count" else ""),
        )
    )
