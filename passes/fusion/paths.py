"""The best path over cuts of a network: least energy or cycles, or least product of both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol, TypeVar

from dialects.schedule import Objective
from passes.fusion.stretches import Node

_TANGENTS = 4
"""Sums of energy and cycles that are made least, one after another, to come by a path with a small product."""


Costs = tuple[float, float]
"""Energy in pJ, and cycles."""
NOTHING: Costs = 0.0, 0.0


class Edge(Protocol):
    """A way from one cut to another, and what it costs."""

    @property
    def nodes(self) -> tuple[Node, Node]:
        """The cuts at its ends."""
        ...

    @property
    def energy(self) -> float:
        """Energy in pJ."""
        ...

    @property
    def cycles(self) -> float:
        """Cycles, one after another on a path."""
        ...


EdgeT = TypeVar("EdgeT", bound=Edge)


def value_of(objective: Objective, energy: float, cycles: float) -> float:
    """What is made least. Raises `ValueError` for an objective that is no matter of energy and cycles."""
    match objective:
        case Objective.ENERGY:
            return energy
        case Objective.LATENCY:
            return cycles
        case Objective.EDP:
            return energy * cycles
        case Objective.TRAFFIC:
            raise ValueError("words are counted by `NetworkSearch`")


def best_path(
    edges: Sequence[EdgeT], start: Node, goal: Node, objective: Objective, elsewhere: Costs = NOTHING
) -> list[EdgeT] | None:
    """The path with the least value; edges are in the order of the cuts that they begin at.

    What is spent `elsewhere` adds to each path: the best product depends on it.
    """
    if objective is Objective.EDP:
        return _least_product(edges, start, goal, elsewhere)
    weights = (1.0, 0.0) if objective is Objective.ENERGY else (0.0, 1.0)
    return _least_sum(edges, start, goal, lambda edge: weights[0] * edge.energy + weights[1] * edge.cycles)


def good_path(
    edges: Sequence[EdgeT], start: Node, goal: Node, objective: Objective, elsewhere: Costs = NOTHING
) -> list[EdgeT] | None:
    """A path with a small value, sooner than the one with the least product is found."""
    if objective is not Objective.EDP:
        return best_path(edges, start, goal, objective)
    path = best_path(edges, start, goal, Objective.LATENCY)
    for _ in range(_TANGENTS if path else 0):
        # at this path the sum grows as the product does
        energy, cycles = totals(path or [], elsewhere)
        longer, dearer = 1 / max(cycles, 1.0), 1 / max(energy, 1.0)
        other = _least_sum(edges, start, goal, lambda e, d=dearer, c=longer: d * e.energy + c * e.cycles)
        if other is None or not path or _product(other, elsewhere) >= _product(path, elsewhere):
            break
        path = other
    return path


def _product(path: Iterable[Edge], elsewhere: Costs) -> float:
    energy, cycles = totals(path, elsewhere)
    return energy * cycles


def totals(path: Iterable[Edge], elsewhere: Costs = NOTHING) -> Costs:
    """Energy and cycles of a path, and of what is spent elsewhere."""
    edges, (energy, cycles) = list(path), elsewhere
    return sum((edge.energy for edge in edges), energy), sum((edge.cycles for edge in edges), cycles)


def least_from(edges: Sequence[Edge], start: Node, weight: Callable[[Edge], float]) -> dict[Node, float]:
    """What paths weigh at least from a cut to every other one."""
    found = {start: 0.0}
    for edge in edges:
        node, end = edge.nodes
        if node in found and (length := found[node] + weight(edge)) < found.get(end, inf):
            found[end] = length
    return found


def least_to(edges: Sequence[Edge], goal: Node, weight: Callable[[Edge], float]) -> dict[Node, float]:
    """What paths weigh at least from every cut to one."""
    found = {goal: 0.0}
    for edge in reversed(edges):
        node, end = edge.nodes
        if end in found and (length := found[end] + weight(edge)) < found.get(node, inf):
            found[node] = length
    return found


def _least_sum(edges: Sequence[EdgeT], start: Node, goal: Node, weight: Callable[[EdgeT], float]) -> list[EdgeT] | None:
    best: dict[Node, tuple[float, EdgeT | None]] = {start: (0.0, None)}
    for edge in edges:
        node, end = edge.nodes
        if node in best:
            length = best[node][0] + weight(edge)
            if end not in best or length < best[end][0]:
                best[end] = length, edge
    if goal not in best:
        return None
    path: list[EdgeT] = []
    while (edge := best[goal][1]) is not None:
        path.append(edge)
        goal = edge.nodes[0]
    return path[::-1]


@dataclass(frozen=True)
class _Label:
    """A path to a node: its energy and cycles with what is spent elsewhere, its last edge and the path before that."""

    energy: float
    cycles: float
    edge: Edge | None = None
    before: _Label | None = None


def _least_product(edges: Sequence[EdgeT], start: Node, goal: Node, elsewhere: Costs) -> list[EdgeT] | None:
    """Paths of which none to the same node is better in both, and whose product may still be the least, grow."""
    energy_to = least_to(edges, goal, lambda edge: edge.energy)
    cycles_to = least_to(edges, goal, lambda edge: edge.cycles)
    if start not in energy_to:
        return None
    # and what the order of additions may add
    most = _product(good_path(edges, start, goal, Objective.EDP, elsewhere) or [], elsewhere) * (1 + 1e-9)
    labels: dict[Node, list[_Label]] = {start: [_Label(*elsewhere)]}
    fronts: dict[Node, list[_Label]] = {}
    for edge in edges:
        node, end = edge.nodes
        if node not in labels or end not in energy_to:
            continue
        if node not in fronts:
            fronts[node] = _front(labels[node])
        more, longer = energy_to[end], cycles_to[end]
        for label in fronts[node]:
            energy, cycles = label.energy + edge.energy, label.cycles + edge.cycles
            if (energy + more) * (cycles + longer) <= most:
                labels.setdefault(end, []).append(_Label(energy, cycles, edge, label))
    label: _Label | None = min(labels[goal], key=lambda each: each.energy * each.cycles)
    known = {id(edge): edge for edge in edges}
    path: list[EdgeT] = []
    while label is not None and label.edge is not None:
        path.append(known[id(label.edge)])
        label = label.before
    return path[::-1]


def _front(labels: Iterable[_Label]) -> list[_Label]:
    """Those that no other is as good as in both."""
    kept: list[_Label] = []
    for label in sorted(labels, key=lambda each: (each.energy, each.cycles)):
        if not kept or label.cycles < kept[-1].cycles:
            kept.append(label)
    return kept
