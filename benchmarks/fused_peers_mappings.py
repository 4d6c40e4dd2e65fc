"""Mappings of AccelForge and Stream as groups of links with fused mappings, where these can say them.

A module of `benchmarks/fused_peers.py`, no command of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product
from typing import Any

from fused_peers_problems import Layer, Problem

from dialects.fused_mapping import FusedMapping, Retention
from dialects.gconv.spec import LoopKind
from dialects.schedule import Loop, Temporal
from passes.fusion.group import Group
from passes.fusion.model import FusedCosts

BUFFER = "GlobalBuffer"
"""AccelForge's name of the buffer, and ours."""
OFF_CHIP = "MainMemory"
Node = list[Any]
"""A node as `accelforge_search.py` exports it: its kind, then what it has."""


class NotExpressibleError(Exception):
    """Why a mapping cannot be said as loops around a group and what is retained below them."""


@dataclass(frozen=True)
class Part:
    """Layers that run as one group, by name, and their mapping."""

    layers: tuple[str, ...]
    mapping: FusedMapping


def rewritten(problem: Problem, tree: Node) -> list[Part]:
    """A whole mapping as groups, one after another. Raises `NotExpressibleError`."""
    return list(_groups(problem, [], tree))


def _groups(problem: Problem, trunk: Sequence[Node], node: Node) -> Iterator[Part]:
    """The groups of a node: branches are groups of their own unless something around them is kept on the chip."""
    *before, last = node[1]
    around = [*trunk, *before]
    if last[0] == "Sequential":
        if any(each[0] == "Temporal" for each in around):
            yield _fused(problem, around, last[1])
        else:
            for branch in last[1]:
                yield from _groups(problem, around, branch)
    else:
        layer = _layer(problem, last[1])
        shared = {tensor for each in trunk if each[:2] == ["Storage", BUFFER] for tensor in each[2]}
        yield _staying(_part(problem, (layer,), around), shared & {*layer.inputs, layer.name})


def _staying(part: Part, tensors: Collection[str]) -> Part:
    """A part with tensors that lie in the buffer whole from one group to the next."""
    kept = tuple(replace(each, resident=each.tensor in tensors) for each in part.mapping.retentions)
    return replace(part, mapping=replace(part.mapping, retentions=kept))


def _layer(problem: Problem, name: str) -> Layer:
    return next(layer for layer in problem.layers if layer.name == name)


def _fused(problem: Problem, trunk: Sequence[Node], branches: Sequence[Node]) -> Part:
    layers: list[Layer] = []
    shared = {tensor for node in trunk if node[:2] == ["Storage", BUFFER] for tensor in node[2]}
    within: set[str] = set()
    for branch in branches:
        *nodes, last = branch[1]
        if last[0] != "Compute":
            raise NotExpressibleError("groups within a group")
        layers.append(_layer(problem, last[1]))
        kept = [index for index, node in enumerate(nodes) if set(_reserved(node)) - shared]
        if any(node[0] == "Temporal" for node in nodes[: max(kept, default=0)]):
            raise NotExpressibleError("a tensor is kept below loops of one link only")
        within |= {tensor for index in kept for tensor in _reserved(nodes[index])} - shared
    return _part(problem, layers, trunk, frozenset(within))


def _reserved(node: Node) -> list[str]:
    """The tensors that have their places in the buffer from here on."""
    return node[2] if node[:2] == ["Reservation", BUFFER] else []


def _part(
    problem: Problem, layers: Sequence[Layer], nodes: Sequence[Node], within: frozenset[str] = frozenset()
) -> Part:
    """A group below these nodes; loops below its last place make no difference."""
    kept = [index for index, node in enumerate(nodes) if _reserved(node)]
    last = len(nodes) if len(layers) > 1 else max(kept) + 1
    loops: list[Temporal] = []
    levels: dict[str, int | None] = {}
    for node in nodes[:last]:
        if node[0] == "Temporal":
            loop = _loop(problem, layers[-1], node[1])
            if any(each.loop == loop for each in loops):
                raise NotExpressibleError("a loop is cut twice")
            loops.append(Temporal(loop, node[2]))
        elif node[:2] == ["Storage", BUFFER] or _reserved(node):
            levels |= dict.fromkeys(node[2], len(loops))
    made = {layer.name for layer in layers[:-1]}
    levels |= {tensor: len(loops) if tensor in made else None for tensor in within}
    used = {
        tensor for layer in layers for tensor in (*layer.inputs, layer.name, *([layer.kernel] if layer.window else []))
    }
    return Part(
        tuple(layer.name for layer in layers),
        FusedMapping(
            tuple(loops), tuple(Retention(tensor, BUFFER, level) for tensor, level in levels.items() if tensor in used)
        ),
    )


def _loop(problem: Problem, head: Layer, variable: str) -> Loop:
    """The loop of the head that a rank variable names."""
    for loop, name in problem.loops(head).items():
        if name == variable:
            return loop
    raise NotExpressibleError(f"{variable} is no loop of {head.name}")


MOST_LAYERS = 2
"""Layers of a group of Stream's whose retentions are all tried."""
_DIMENSIONS = {"D1": Loop("H", LoopKind.OPC), "D2": Loop("W", LoopKind.OPC)}
"""Dimensions of Stream's convolutions as loops; D0 is the batch, of one."""


def with_room(problem: Problem, groups: Sequence[dict[str, Any]], size: int) -> list[Part]:
    """Stream's groups and tiles, with whatever retention moves least and has room in `size` bytes, to its advantage.

    Stream says of tensors only how often they are moved. Raises `NotExpressibleError`, also if there is no room.
    """
    parts: list[Part] = []
    for each in groups:
        if len(each["layers"]) > MOST_LAYERS:
            raise NotExpressibleError("groups with so many layers have too many retentions to try")
        layers = [_layer(problem, name) for name in each["layers"]]
        group = problem.group(each["layers"])
        loops = [loop for tile in each["intra_core_tiling"] if (loop := _tile(problem, layers[-1], tile)) is not None]
        best: tuple[int, int, FusedMapping] | None = None
        for order in permutations(loops):
            for kept in product(*(_places(group, tensor.name, len(order)) for tensor in group.tensors)):
                mapping = FusedMapping(order, kept)
                cost = FusedCosts(group, mapping)
                found = (cost.traffic, cost.capacity(BUFFER), mapping)
                if found[1] <= size and (best is None or found[:2] < best[:2]):
                    best = found
        if best is None:
            raise NotExpressibleError("no retention of the tiles that it reports has room")
        parts.append(Part(tuple(each["layers"]), best[2]))
    return parts


def _tile(problem: Problem, head: Layer, tile: dict[str, Any]) -> Temporal | None:
    """A tile of a layer's rows or columns as a loop of the group's head; None if it cuts nothing."""
    name, dimension = tile["dim"].split(".")
    if dimension == "D0":
        return None
    if dimension not in _DIMENSIONS or problem.shapes[name][1:] != problem.shapes[head.name][1:]:
        raise NotExpressibleError(f"a tile of {tile['dim']}, which is not the head's")
    return Temporal(_DIMENSIONS[dimension], tile["tile"])


def _places(group: Group, tensor: str, loops: int) -> list[Retention]:
    """Kernels stay; results leave after every turn; everything else may lie below any of the loops."""
    if group.is_kernel_alone(tensor):
        return [Retention(tensor, BUFFER, 0)]
    if tensor == group.head.result:
        return [Retention(tensor, BUFFER, loops)]
    again = (True, False) if tensor in group.intermediates else (True,)
    return [Retention(tensor, BUFFER, level, reuse) for level in range(loops + 1) for reuse in again]


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/fused_peers.py")
