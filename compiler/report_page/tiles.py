"""Fused groups turn by turn: each tensor's tile, what of it stays from before, what is fetched or made again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from backends.spatial.emit import layers_in
from compiler.driver import SilentObserver, StageRun
from compiler.stages import MAPPING_STAGE, PLACED_STAGE
from dialects.fused_attribute import FusedAttr
from dialects.fused_mapping import FusedMapping, Retention
from dialects.gconv.interpreter import main_function
from dialects.spatial import LayerOp
from dialects.target import require_machine
from dialects.turn_box import TurnAxis
from passes.explanation.facts import Held
from passes.explanation.held_in_turns import held_in_turns
from passes.fusion.boxes import IrregularError, boxes_of
from passes.fusion.from_ir import group_of
from passes.fusion.group import Group
from passes.fusion.holds import extents_of
from passes.fusion.inference import Tiles
from passes.fusion.model import FusedCosts
from passes.fusion.region import Region
from passes.fusion.series import series_of, words_beside

MOST_TURNS = 2_000
"""Turns of which a page shows what memories hold; of more, the first ones."""


@dataclass
class GroupTiles(SilentObserver):
    """Watches a compilation, and keeps what its fused groups do in every turn, as plain data, by result.

    `own` is what layers of groups hold themselves in their largest turn, by their number from 0.
    """

    groups: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    own: dict[int, tuple[Held, ...]] = field(default_factory=dict[int, tuple[Held, ...]])

    def after_stage(self, run: StageRun, module: ModuleOp) -> None:
        """Look at the groups once they are mapped, and at their layers once they are placed."""
        if run.stage == PLACED_STAGE:
            machine = require_machine(module, run.stage)
            layers = layers_in(main_function(module).body.block.ops)
            held = {place: held_in_turns(op, machine) for place, op in enumerate(layers) if isinstance(op, LayerOp)}
            self.own = {place: each for place, each in held.items() if each}
        if run.stage != MAPPING_STAGE:
            return
        for series in series_of(main_function(module), run.stage):
            for op, beside in zip(series, words_beside(series), strict=True):
                if isinstance(op.mapping, FusedAttr):
                    group = group_of(op)
                    self.groups[group.head.result] = tiles_json(group, op.mapping.data, beside)


def tiles_json(group: Group, mapping: FusedMapping, beside: Mapping[str, int]) -> dict[str, Any]:
    """What a group does in every turn: loops with their turns, tensors with their tiles, links with their operations.

    `needed` are the boxes of a tensor that a turn has, `new` those that are fetched or made in it; the rest stays from
    earlier turns, or from an earlier group if it is `resident`. Both are absent of tiles that are no few boxes.
    `beside` are words by memory of what stays there meanwhile for other groups.
    """
    costs = FusedCosts(group, mapping)
    tiles = costs.tiles
    memories = dict.fromkeys([*(each.memory for each in mapping.retentions), *beside])
    loops = [
        {"loop": str(node.loop), "tile": node.tile, "turns": turns}
        for node, turns in zip(mapping.loops, tiles.turns, strict=True)
    ]
    return {
        "loops": loops,
        "stages": str(mapping.stages),
        "tensors": [_tensor(costs, retention) for retention in mapping.retentions if _is_used(tiles, retention)],
        "links": [
            {"link": link.name, "operations": tiles.worked[link.name].total, "again": costs.work[link.name].recomputed}
            for link in group.links
        ],
        "held": {
            memory: _over_time(costs.occupancy_over_time(memory) + beside.get(memory, 0), tiles.turns)
            for memory in memories
        },
        "beside": {memory: words for memory, words in beside.items() if words},
    }


def _tensor(costs: FusedCosts, retention: Retention) -> dict[str, Any]:
    group, tiles, name = costs.group, costs.tiles, retention.tensor
    needed, new = _held(tiles, retention), _new(tiles, retention)
    depth = range(len(tiles.turns))
    maker = group.makers.get(name)
    is_result = maker is group.head
    extents = extents_of(group, name)
    found: dict[str, Any] = {
        "tensor": name,
        "role": "result" if is_result else "read" if maker is None else "between",
        "memory": retention.memory,
        "resident": retention.resident,
        "stays": retention.reuse and retention.level is not None,
        "below": retention.level,
        "extents": list(extents),
        "axes": [dim.name for dim in maker.spec.dims] if maker is not None else [],
        "most": needed.largest,
        "words": new.total,
        "once": new.over(depth).total,
    }
    try:
        boxes = {"needed": list(_boxes(needed)), "new": list(_boxes(new))}
    except IrregularError:
        return found
    return {**found, **boxes}


def _is_used(tiles: Tiles, retention: Retention) -> bool:
    return bool(tiles.needed[retention.tensor].boxes)


def _held(tiles: Tiles, retention: Retention) -> Region:
    """What its place holds in every turn: all that the turns of the loops below the place need."""
    needed = tiles.needed[retention.tensor]
    return needed.over(range(retention.level or 0, len(tiles.turns))) if retention.level is not None else needed


def _new(tiles: Tiles, retention: Retention) -> Region:
    """What comes in a turn: made by a link of the group, or fetched."""
    if retention.tensor in tiles.made:
        return tiles.made[retention.tensor]
    if retention.resident:
        return Region((), tiles.turns)
    held = _held(tiles, retention)
    if not retention.reuse or retention.level is None:
        return held
    return held.minus(held.just_before(retention.level))


def _boxes(region: Region) -> Iterator[list[dict[str, Any]]]:
    for box in boxes_of(region):
        yield [_axis(axis) for axis in box.axes]


def _axis(axis: TurnAxis) -> dict[str, Any]:
    along = [
        [each.loop, [[span.turn, span.first, span.size, span.step, span.growth] for span in each.spans]]
        for each in axis.along
    ]
    return {"count": axis.count, "from": axis.offset, "by": axis.step, "along": along}


def _over_time(counts: np.ndarray[Any, np.dtype[np.int64]], turns: Sequence[int]) -> list[int]:
    """Words in every turn, the first `MOST_TURNS` of them."""
    every = np.broadcast_to(counts, tuple(turns)).reshape(-1)
    return [int(words) for words in every[:MOST_TURNS]]
