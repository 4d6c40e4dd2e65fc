"""The definition of a fused group's turns in Python sets, point by point and turn by turn: what `walk` is checked with.

Too slow for anything but the smallest groups.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from dialects.fused_mapping import FusedMapping
from dialects.gconv.spec import PASS, LoopKind
from passes.fusion.group import Group, GroupLink, Operand, Role

Point = tuple[tuple[int, int, int, int], ...]
"""(g, op, opc, ks) of each dimension."""

Element = tuple[int, ...]
Turn = tuple[int, ...]


@dataclass(frozen=True)
class Literal:
    reads: dict[str, int]
    writes: dict[str, int]
    operations: dict[str, int]
    baseline: dict[str, int]
    held: dict[str, tuple[int, ...]]
    local: dict[tuple[str, str], tuple[int, ...]]


def points(link: GroupLink) -> list[Point]:
    """The operation space of a link."""
    dims = link.spec.dims
    each = (itertools.product(range(d.g), range(d.op), range(d.opc), range(d.ks)) for d in dims)
    return list(itertools.product(*each))


def output(link: GroupLink, point: Point) -> Element:
    return tuple((g * d.op + op) * d.opc + opc for d, (g, op, opc, _) in zip(link.spec.dims, point, strict=True))


def read(link: GroupLink, operand: Operand, point: Point) -> Element | None:
    """The element of the operand's tensor that a point reads, None if that is padding."""
    indices: list[int] = []
    for d, extent, o, (g, op, opc, ks) in zip(link.spec.dims, operand.shape, output(link, point), point, strict=True):
        if operand.role is Role.INPUT:
            dilated = opc * d.stride + ks * d.dilation - d.pad
            if dilated % d.up or not 0 <= dilated // d.up < extent // d.g:
                return None
            indices.append(g * (extent // d.g) + dilated // d.up)
        elif operand.role is Role.KERNEL:
            indices.append((g * d.op + op) * d.ks + ks)
        else:
            indices.append(0 if extent == 1 else o)
    return tuple(axis.offset + sum(step * indices[d] for d, step in axis.terms) for axis in operand.axes)


def literal(group: Group, mapping: FusedMapping) -> Literal:
    n = len(mapping.loops)
    dims = {dim.name: number for number, dim in enumerate(group.head.spec.dims)}
    kinds = (LoopKind.G, LoopKind.OP, LoopKind.OPC, LoopKind.KS)
    loops = [(dims[each.loop.dim], kinds.index(each.loop.kind), each.tile) for each in mapping.loops]

    def turn_of(point: Point) -> Turn:
        return tuple(point[dim][kind] // tile for dim, kind, tile in loops)

    space = {link.name: points(link) for link in group.links}
    turns = sorted({turn_of(point) for point in space[group.head.name]})
    worked: dict[tuple[Turn, str], set[Point]] = {}
    uses: dict[tuple[Turn, str, str], set[Element]] = {}
    needs: dict[tuple[Turn, str], set[Element]] = {(i, t.name): set() for i in turns for t in group.tensors}
    news: dict[tuple[Turn, str], set[Element]] = {}
    for i in turns:
        for link in reversed(group.links):
            t = link.result
            if link is group.head:
                worked[i, link.name] = {point for point in space[link.name] if turn_of(point) == i}
                needs[i, t] = uses[i, link.name, t] = {output(link, point) for point in worked[i, link.name]}
            else:
                new = set(needs[i, t])
                k = mapping.retention(t).level
                assert k is not None
                if mapping.retention(t).reuse:
                    for j in turns:
                        slides = k >= 1 and j[: k - 1] == i[: k - 1] and j[k - 1] == i[k - 1] - 1
                        stays = k < n and j[:k] == i[:k] and j[k:] < i[k:]
                        if slides or stays:
                            new -= needs[j, t]
                news[i, t] = new
                worked[i, link.name] = {point for point in space[link.name] if output(link, point) in new}
            for operand in link.operands:
                elements = {read(link, operand, point) for point in worked[i, link.name]}
                uses.setdefault((i, link.name, operand.tensor), set()).update(each for each in elements if each)
                needs[i, operand.tensor] |= uses[i, link.name, operand.tensor]

    reads, writes = ({t.name: 0 for t in group.tensors} for _ in range(2))
    held: dict[str, tuple[int, ...]] = {}
    for tensor in group.tensors:
        t, retention = tensor.name, mapping.retention(tensor.name)
        k = retention.level
        if k is None:
            brought = sum(len(elements) for (_, _, used), elements in uses.items() if used == t)
        else:
            occupied = {i[:k]: set[Element]() for i in turns}
            for i in turns:
                occupied[i[:k]] |= needs[i, t]
            held[t] = tuple(len(occupied[i[:k]]) for i in turns)
            brought, before = 0, set[Element]()
            for prefix in sorted(occupied):
                brought += len(occupied[prefix] - before)
                if retention.reuse:
                    before = occupied[prefix]
        if t == group.head.result:
            writes[t] = brought
            reads[t] = brought - len(set[Element]().union(*(needs[i, t] for i in turns)))
        elif t in group.external:
            reads[t] = brought
        elif t in group.exported:
            writes[t] = sum(len(news[i, t]) for i in turns)

    local = {
        (link, t): tuple(len(uses[i, link, t]) for i in turns)
        for _, link, t in uses
        if mapping.retention(t).level is None
    }
    operations, baseline = {}, {}
    for link in group.links:
        done = [{_operation(link, point) for point in worked[i, link.name]} for i in turns]
        operations[link.name] = sum(map(len, done))
        baseline[link.name] = len(set[Point]().union(*done))
    return Literal(reads, writes, operations, baseline, held, local)


def _operation(link: GroupLink, point: Point) -> Point:
    """What a point works; without a kernel, all of `op` share it."""
    if link.spec.main != PASS:
        return point
    return tuple((g, 0, opc, ks) for g, _, opc, ks in point)
