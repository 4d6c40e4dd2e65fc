"""What the generic machine has read of a layer's places and nest, in the words of the instructions that say it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backends.effects import Told
from backends.generic.nest import FillNode, LoopNode, NestLayer, Node, OpenNode, ParNode


def configuration_of_nest(layer: NestLayer, opened: Sequence[int | None]) -> dict[str, Told]:
    """By what it is of: places by memory, the nest from the outside in, and what of it is `opened` and has not ended.

    These are loops, and tiles of sums by the number of their node.
    """
    return dict(_entries(layer, opened))


def _entries(layer: NestLayer, opened: Sequence[int | None]) -> Iterator[tuple[str, Told]]:
    for (memory, tensor), place in layer.memory_places.items():
        yield f"the place of {tensor.name.lower()} in memory {memory}", (place.address, place.words)
    for number, node in enumerate(layer.nodes):
        yield f"step {number} of the nest", _told(node)
        if isinstance(node, OpenNode) and number not in opened:
            yield f"the end of step {number} of the nest", (node.target,)
    if layer.compute is not None:
        work = layer.compute
        shared = *sorted(work.input_shared), "and", *sorted(work.kernel_shared)
        yield "the work of the nest", (work.input, work.kernel, work.output, *shared)
    if opened:
        yield "what of the nest is open", (len(opened),)


def _told(node: Node) -> Told:
    match node:
        case LoopNode():
            return "loop", node.dim, node.kind.name, node.tile
        case ParNode():
            return "par", node.dim, node.kind.name, node.tile, node.axis
        case FillNode():
            sliding = "sliding" if node.slides else ""
            return "fill", node.tensor.name, node.source, node.memory, node.once, sliding, *sorted(node.shared)
        case OpenNode():
            return "open", node.memory, node.once
        case _:
            return "keep", node.tensor.name
