"""`Scan`: its body once for every entry of its sequences, whose lengths are static."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.importer.graph import NamedNode
from compiler.importer.inlining import Inliner, stack, take
from compiler.importer.loading import STAGE
from compiler.importer.scopes import Body, Scope
from dialects.diagnostics import CatenaError, Diagnostic


def scan(
    node: NamedNode, scope: Scope, inliner: Inliner, inputs: Sequence[str], suffix: str = ""
) -> tuple[str, ...] | None:
    """Unroll a `Scan` over `inputs`, the states and then the sequences.

    Returns the last states and the stacked outputs, None after a problem; `suffix` tells its names from those of
    other copies. Raises `CatenaError`: CAT-M001 for a body that does not fit, CAT-M003 for sequences that do not,
    CAT-U004 beyond the limit of unrolling.
    """
    count = _integer(node, "num_scan_inputs")
    states, sequences = list(inputs[: len(inputs) - count]), inputs[len(inputs) - count :]
    body = inliner.body_of(node, "body", scope)
    check_counts(node, body, len(inputs), len(node.proto.output))
    axes = _listed(node, ("scan_input_axes",), count)
    backwards = _listed(node, ("scan_input_directions", "directions"), count)
    length = _length(node, inliner, sequences, axes)
    outputs = body.graph.outputs[len(states) :]
    parts: list[list[str]] = [[] for _ in outputs]
    for step in range(length):
        inliner.charge(node, len(body.graph.nodes) + count)
        entries = [
            take(inliner, scope, f"{node.name}/entry.{index}{suffix}@{step}", name, axis, _at(step, length, back))
            for index, (name, axis, back) in enumerate(zip(sequences, axes, backwards, strict=True))
        ]
        results = inliner.inline(body, (*states, *entries), f"{suffix}@{step}")
        if results is None:
            return None
        for made, part in zip(parts, results[len(states) :], strict=True):
            made.append(part)
        states = results[: len(states)]
    output_axes = _listed(node, ("scan_output_axes",), len(outputs))
    reversed_ones = _listed(node, ("scan_output_directions",), len(outputs))
    stacks = (
        stack(inliner, scope, f"{node.name}/stack.{index}{suffix}", made[::-1] if back else made, axis, value)
        for index, (made, axis, back, value) in enumerate(zip(parts, output_axes, reversed_ones, outputs, strict=True))
    )
    return (*states, *stacks)


def batched_scan(node: NamedNode, scope: Scope, inliner: Inliner) -> tuple[str, ...] | None:
    """The `Scan` of opset 8: over the sequences of each entry of a batch. As `scan`.

    Raises `CatenaError` (CAT-U002) for a node that gives the lengths of its sequences.
    """
    lengths, *inputs = node.proto.input
    if lengths:
        message, hint = "Scan is not supported with the lengths of its sequences", "make all sequences equally long"
        raise CatenaError(Diagnostic("CAT-U002", message, stage=STAGE, node=node.name, hint=hint))
    entries: list[tuple[str, ...]] = []
    for batch in range(inliner.value_type(inputs[0]).shape[0]):
        taken = [
            take(inliner, scope, f"{node.name}/batch.{index}@{batch}", name, 0, batch)
            for index, name in enumerate(inputs)
        ]
        results = scan(node, scope, inliner, taken, f"@{batch}")
        if results is None:
            return None
        entries.append(results)
    declared = inliner.body_of(node, "body", scope).graph.outputs
    return tuple(
        stack(inliner, scope, f"{node.name}/batch.{index}", [entry[index] for entry in entries], 0, value)
        for index, value in enumerate(declared)
    )


def check_counts(node: NamedNode, body: Body, inputs: int, outputs: int) -> None:
    """Whether a body has these numbers of inputs and outputs. Raises `CatenaError` (CAT-M001) if not."""
    found = {"inputs": len(body.graph.inputs), "outputs": len(body.graph.outputs)}
    expected = {"inputs": inputs, "outputs": outputs}
    if found != expected:
        raise CatenaError(
            Diagnostic(
                "CAT-M001",
                f"a body of {node.proto.op_type} does not fit the node",
                stage=STAGE,
                node=node.name,
                expected=_counted(expected),
                found=_counted(found),
            )
        )


def _counted(counts: dict[str, int]) -> str:
    return " and ".join(f"{count} {what}" for what, count in counts.items())


def _integer(node: NamedNode, name: str) -> int:
    return next((attribute.i for attribute in node.proto.attribute if attribute.name == name), 0)


def _listed(node: NamedNode, names: Sequence[str], count: int) -> list[int]:
    """The integers of whichever attribute the node has, zeros if none."""
    given: Iterator[list[int]] = (list(each.ints) for each in node.proto.attribute if each.name in names)
    return next(given, [0] * count)


def _at(step: int, length: int, backwards: int) -> int:
    return length - 1 - step if backwards else step


def _length(node: NamedNode, inliner: Inliner, sequences: Sequence[str], axes: Sequence[int]) -> int:
    shapes = [inliner.value_type(name).shape for name in sequences]
    lengths = {shape[axis] for shape, axis in zip(shapes, axes, strict=True)}
    if len(lengths) != 1:
        message = "the sequences of Scan have different lengths"
        found = ", ".join(str(list(shape)) for shape in shapes)
        raise CatenaError(Diagnostic("CAT-M003", message, stage=STAGE, node=node.name, found=found))
    return lengths.pop()
