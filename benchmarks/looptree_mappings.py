"""The fixed mappings of LoopTree's validation designs: which ranks are cut, what is retained where, in what stages.

All of them retain fully, as LoopTree's table of designs has it: nothing is made or fetched twice, unless `recomputing`.
A module of `benchmarks/looptree_designs.py`, no command of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dialects.fused_mapping import FusedMapping, Retention, Stages
from dialects.gconv.spec import LoopKind
from dialects.schedule import Loop, Temporal
from passes.fusion.group import Group


@dataclass(frozen=True)
class Memories:
    """Where a design keeps feature maps and where it keeps kernels."""

    maps: str
    kernels: str


def _cut(dim: str, kind: LoopKind, tile: int) -> Temporal:
    return Temporal(Loop(dim, kind), tile)


def _retained(group: Group, memories: Memories, level: int) -> tuple[Retention, ...]:
    """Kernels stay, and so does what neighbouring turns of the innermost of `level` loops share of a feature map."""
    return tuple(
        Retention(tensor.name, memories.kernels, 0)
        if group.is_kernel_alone(tensor.name)
        else Retention(tensor.name, memories.maps, level)
        for tensor in group.tensors
    )


def pyramids(group: Group, memories: Memories) -> FusedMapping:
    """Fused-layer CNN: a position of the last feature map a turn, row by row; rows and columns of tiles are reused."""
    loops = (_cut("H", LoopKind.OPC, 1), _cut("W", LoopKind.OPC, 1))
    return FusedMapping(loops, _retained(group, memories, 1), Stages.PIPELINE)


def recomputing(group: Group, mapping: FusedMapping) -> FusedMapping:
    """The same turns, but nothing that is made within the group stays for the next one."""
    made = set(group.intermediates)
    retentions = (replace(each, reuse=each.reuse and each.tensor not in made) for each in mapping.retentions)
    return replace(mapping, retentions=tuple(retentions))


def lines(group: Group, memories: Memories, rows: int) -> FusedMapping:
    """DepFiN: so many rows of the last feature map a turn, depth first through all layers, one after another."""
    return FusedMapping((_cut("H", LoopKind.OPC, rows),), _retained(group, memories, 1))


def rolling_rows(group: Group, memories: Memories) -> FusedMapping:
    """ISAAC: a row a turn; a layer begins when it has the rows of its first windows."""
    return replace(lines(group, memories, 1), stages=Stages.PIPELINE)


def rolling_positions(group: Group, memories: Memories) -> FusedMapping:
    """ISAAC's steady state: a position a turn."""
    return pyramids(group, memories)


def whole_maps(group: Group, memories: Memories) -> FusedMapping:
    """Layer after layer, each on its whole input."""
    return FusedMapping((), _retained(group, memories, 0))


def images(group: Group, memories: Memories, stages: Stages) -> FusedMapping:
    """PipeLayer: an image a turn, whole layers as stages."""
    return FusedMapping((_cut("N", LoopKind.OPC, 1),), _retained(group, memories, 1), stages)


@dataclass(frozen=True)
class Granularity:
    """FLAT: how much of the logits is made before it is used: batches, heads and rows a turn; None means all."""

    name: str
    batches: int | None = None
    heads: int | None = None
    rows: int | None = None


@dataclass(frozen=True)
class Streamed:
    """Tiles of logits, `rows` x `keys`, which of queries, keys and values stay on the chip, and how many logits do."""

    rows: int
    keys: int
    on_chip: str
    whole_head: bool


def _flat_loops(granularity: Granularity) -> tuple[Temporal, ...]:
    cuts = (("B", LoopKind.G, granularity.batches), ("H", LoopKind.G, granularity.heads))
    cuts += (("N", LoopKind.OPC, granularity.rows),)
    return tuple(_cut(dim, kind, tile) for dim, kind, tile in cuts if tile is not None)


def flat(group: Group, granularity: Granularity, staged: str, fused: str) -> FusedMapping:
    """FLAT with all of its operands staged on the chip, one operator after the other within a turn.

    `staged` has the tiles of queries, keys, values and results; `fused` has what is made and used within the group.
    """
    loops = _flat_loops(granularity)
    # Keys and values are those of a head: rows make no difference to them.
    heads = sum(node.loop.kind is LoopKind.G for node in loops)
    level = {"K": heads, "V": heads}
    places = dict.fromkeys(group.intermediates, fused)
    return FusedMapping(
        loops,
        tuple(
            Retention(each.name, places.get(each.name, staged), level.get(each.name, len(loops)))
            for each in group.tensors
        ),
    )


def flat_streamed(run: Streamed, staged: str, fused: str) -> FusedMapping:
    """FLAT head by head with an array that works on a tile of logits at a time, and streams what it does not hold.

    Operands that are not on the chip come anew for every tile that needs them; results leave when they are finished.
    """
    rows, keys = _cut("N", LoopKind.OPC, run.rows), _cut("M", LoopKind.KS, run.keys)
    loops = (*_flat_loops(Granularity("head", 1, 1)), rows, keys)
    by_head, by_rows = 2, 3
    level = {"Q": by_rows, "K": by_head, "V": by_head}
    streams = (Retention(each, staged, level[each] if each in run.on_chip else None) for each in level)
    logits = by_head if run.whole_head else by_rows
    return FusedMapping(loops, (*streams, Retention("L", fused, logits), Retention("A", staged, by_rows)))


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/looptree_designs.py: run that one")
