"""Whether a mapping is legal on a machine: every violated rule, with its numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from dialects.array_machine import Array, GlobalBuffer, Limits, Machine, ProcessingElement
from dialects.diagnostics import Diagnostic
from dialects.gconv import PASS, GConv, LoopKind
from dialects.schedule import Axis, Loop, Mapping, Operand, Spatial, Storage, Temporal
from passes.mapping.roles import assign_roles
from passes.mapping.tiling import Depth, Tiling, span

_ROOMS = {Operand.INPUT: "glb", Operand.OUTPUT: "glb", Operand.KERNEL: "spad"}
RELEVANT = {
    Operand.INPUT: (LoopKind.G, LoopKind.OPC, LoopKind.KS),
    Operand.KERNEL: (LoopKind.G, LoopKind.OP, LoopKind.KS),
    Operand.OUTPUT: (LoopKind.G, LoopKind.OP, LoopKind.OPC),
}


def buffer_tiles(spec: GConv, mapping: Mapping) -> dict[Operand, int]:
    """Words of the largest input and output tile in the global buffer, padding included."""
    tiling = Tiling(spec, mapping)
    sizes: dict[Operand, int] = {}
    for operand in (Operand.INPUT, Operand.OUTPUT):
        position = mapping.position(operand)
        if position is not None:
            sizes[operand] = _tile_words(spec, tiling.at(position), operand)
    return sizes


def _tile_words(spec: GConv, depth: Depth, operand: Operand) -> int:
    largest = depth.largest

    def size(name: str, kind: LoopKind) -> int:
        return largest[Loop(name, kind)]

    if operand is Operand.INPUT:
        return math.prod(
            size(d.name, LoopKind.G) * span(size(d.name, LoopKind.OPC), size(d.name, LoopKind.KS), d) for d in spec.dims
        )
    return math.prod(size(d.name, kind) for d in spec.dims for kind in RELEVANT[operand])


@dataclass(frozen=True)
class Held:
    """What a fused group has in the buffer while a link runs: so many banks, and whether the link's input is there."""

    banks: int = 0
    input: bool = False


NOTHING_HELD = Held()


def violations(
    spec: GConv,
    mapping: Mapping,
    machine: Machine,
    stage: str = "mapped",
    node: str = "",
    *,
    in_order: bool = False,
    held: Held = NOTHING_HELD,
) -> list[Diagnostic]:
    """Every rule of the machine that a mapping breaks; empty when it is legal.

    `in_order` asks that output tiles leave in row-major order of their words: those of updates at computed addresses.
    What is `held` leaves less of the buffer for tiles.
    """
    found = _broken_rules(spec.bare, mapping, _Sizes.of(machine), in_order, held)
    return [replace(each, stage=stage, node=node) for each in found]


class _Sizes(NamedTuple):
    """What rules are about."""

    array: Array
    pe: ProcessingElement
    glb: GlobalBuffer
    limits: Limits

    @staticmethod
    def of(machine: Machine) -> _Sizes:
        return _Sizes(machine.array, machine.pe, machine.glb, machine.limits)


@lru_cache(maxsize=1024)
def _broken_rules(spec: GConv, mapping: Mapping, machine: _Sizes, in_order: bool, held: Held) -> tuple[Diagnostic, ...]:
    """The rules that a mapping breaks. A mapping is looked at when it is found, when it is placed, and for code."""
    found = _Violations()
    if _structure(spec, mapping, found):
        if in_order:
            _in_order(spec, mapping, found)
        tiling = Tiling(spec, mapping)
        _array(tiling, machine, found)
        _scratchpads(tiling, machine, found)
        _buffer(spec, mapping, machine, held, found)
        _limits(tiling, machine, found)
    return tuple(found.diagnostics)


def scratchpad_violations(
    spec: GConv, mapping: Mapping, machine: Machine, stage: str = "mapped", node: str = ""
) -> list[Diagnostic]:
    """The scratchpads that a mapping overruns: all that it can break on fewer indices than those it is legal for.

    Where fewer are left to slide along, an element may slide along another dimension, and keep more words.
    """
    found = _Violations()
    _scratchpads(Tiling(spec, mapping), _Sizes.of(machine), found)
    return [replace(each, stage=stage, node=node) for each in found.diagnostics]


class _Violations:
    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []

    def add(self, message: str, expected: object, found: object, code: str = "CAT-F002") -> None:
        self.diagnostics.append(Diagnostic(code, message, expected=str(expected), found=str(found)))

    def at_most(self, what: str, limit: int, value: int) -> None:
        if value > limit:
            self.add(what, f"at most {limit}", value)


def _structure(spec: GConv, mapping: Mapping, found: _Violations) -> bool:
    loops = {Loop(dim.name, kind) for dim in spec.dims for kind in LoopKind}
    for node in mapping.nodes:
        if not isinstance(node, Storage) and node.loop not in loops:
            found.add(f"'{node}' names a loop the link does not have", ", ".join(sorted(map(str, loops))), node.loop)
        elif not isinstance(node, Storage) and node.loop.kind is LoopKind.OP and spec.main == PASS:
            found.add(f"'{node}' cuts a repetition, which the way out of the buffer makes", "no op loop", node.loop)
    for node in mapping.spatial:
        if node.axis not in tuple(Axis):
            found.add(f"'{node}' names an axis that the array does not have", " or ".join(Axis), node.axis)
    needed = {Operand.INPUT, Operand.OUTPUT, Operand.KERNEL} if spec.main != PASS else {Operand.INPUT, Operand.OUTPUT}
    for operand in Operand:
        position = mapping.position(operand)
        if (position is not None) != (operand in needed):
            found.add(f"tensor {operand} and its storage", "one" if operand in needed else "none", position is not None)
        elif position is not None:
            node = mapping.nodes[position]
            assert isinstance(node, Storage)
            stores = sum(operand in each.operands for each in mapping.nodes if isinstance(each, Storage))
            if stores > 1:
                found.add(f"tensor {operand} is stored in several memories", "one", stores)
            if node.memory != _ROOMS[operand]:
                found.add(f"tensor {operand} cannot stay in this memory", _ROOMS[operand], node.memory)
    if found.diagnostics:
        return False
    _order(mapping, found)
    return not found.diagnostics


def _order(mapping: Mapping, found: _Violations) -> None:
    seen_spatial = False
    for node in mapping.nodes:
        seen_spatial |= isinstance(node, Spatial)
        if seen_spatial and not isinstance(node, Spatial):
            found.add(f"'{node}' stands below a spatial node", "spatial nodes innermost", node)
    output = mapping.position(Operand.OUTPUT)
    assert output is not None
    for node in mapping.temporal_before(output):
        if node.loop.kind is LoopKind.KS:
            found.add(f"'{node}' would spill partial sums to DRAM", "ks loops below the storage of O", node)
    kernel = mapping.position(Operand.KERNEL)
    if kernel is not None:
        for node in mapping.nodes[kernel:]:
            if isinstance(node, Temporal) and node.loop.kind in RELEVANT[Operand.KERNEL]:
                found.add(f"'{node}' needs other kernels than the elements hold", "it above the storage of K", node)
    for node in mapping.spatial:
        if node.loop.kind is LoopKind.KS and node.axis != Axis.ROW:
            found.add(f"'{node}': partial sums travel along rows", "on row", f"on {node.axis}")


def _in_order(spec: GConv, mapping: Mapping, found: _Violations) -> None:
    """Output tiles follow one another in row-major order: what is cut last is inside of single indices."""
    position = mapping.position(Operand.OUTPUT)
    assert position is not None
    loops = [Loop(dim.name, kind) for dim in spec.dims for kind in RELEVANT[Operand.OUTPUT]]
    cuts = [node for node in mapping.temporal_before(position) if node.loop in loops]
    order = [loops.index(node.loop) for node in cuts]
    sizes = Tiling(spec, mapping).at(position).largest
    for node, place, following in zip(cuts, order, order[1:], strict=False):
        if place > following:
            found.add(f"'{node}' takes updates out of order", "loops from the outermost dimension inwards", node.loop)
    for loop in loops[: max(order, default=0)]:
        if sizes[loop] > 1:
            found.add(f"tiles of {sizes[loop]} indices of {loop} take updates out of order", "tiles of 1", sizes[loop])


def _array(tiling: Tiling, machine: _Sizes, found: _Violations) -> None:
    used: dict[str, int] = {Axis.ROW: 1, Axis.COL: 1}
    copies = chains = 1
    sizes = dict(tiling.in_pass.largest)
    for node in tiling.mapping.spatial:
        pieces = -(-sizes[node.loop] // node.tile)
        used[node.axis] *= pieces
        sizes[node.loop] = min(sizes[node.loop], node.tile)
        copies *= pieces if node.loop.kind is LoopKind.OPC else 1
        chains *= pieces if node.axis == Axis.ROW and node.loop.kind is not LoopKind.KS else 1
    found.at_most("rows of the array", machine.array.rows, used[Axis.ROW])
    found.at_most("columns of the array", machine.array.cols, used[Axis.COL])
    found.at_most("chains of sums in a column", machine.limits.chains_per_column, chains)
    if tiling.spec.main != PASS:
        found.at_most("elements that hold the same kernel word", machine.limits.kernel_copies, copies)


def _scratchpads(tiling: Tiling, machine: _Sizes, found: _Violations) -> None:
    words = tiling.scratchpad_words()
    found.at_most("input words in a processing element", machine.pe.input_words, words["input"])
    found.at_most("partial sums in a processing element", machine.pe.output_words, words["output"])
    if tiling.spec.main != PASS:
        found.at_most("kernel words in a processing element", machine.pe.kernel_words, words["kernel"])


def _buffer(spec: GConv, mapping: Mapping, machine: _Sizes, held: Held, found: _Violations) -> None:
    tiles = buffer_tiles(spec, mapping)
    named = [f"output tile {tiles[Operand.OUTPUT]} words"]
    if held.input:
        del tiles[Operand.INPUT]
    else:
        named.insert(0, f"input tile {tiles[Operand.INPUT]} words")
    if held.banks:
        named.insert(0, f"tensors of the group {held.banks} banks")
    banks = held.banks + sum(-(-words // machine.glb.bank_words) for words in tiles.values())
    found.at_most(
        f"buffer banks of {machine.glb.bank_words} words ({', '.join(named)})",
        machine.glb.banks,
        banks,
    )


def _limits(tiling: Tiling, machine: _Sizes, found: _Violations) -> None:
    sizes, roles = tiling.in_pass.largest, assign_roles(tiling.spec)

    def largest(kind: LoopKind) -> int:
        return max(sizes[Loop(dim.name, kind)] for dim in tiling.spec.dims)

    found.at_most("reduced channels in a pass", machine.limits.channels, largest(LoopKind.KS))
    found.at_most("filters in a pass", machine.limits.filters, largest(LoopKind.OP))
    if roles.rows_kernel is not None:
        found.at_most("kernel rows in a pass", machine.limits.kernel_rows, sizes[roles.rows_kernel])
    if roles.slide_kernel is not None:
        found.at_most("kernel columns in a pass", machine.limits.kernel_cols, sizes[roles.slide_kernel])
