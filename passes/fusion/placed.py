"""What layers of placed groups have to do with their group: holds, runs, what is fetched and sent for them."""

from __future__ import annotations

from collections import Counter
from typing import cast

from dialects.groups import FetchOp, GroupOp, HoldOp, KeepOp, RunOp, StepOp
from dialects.spatial import LayerOp, integer
from passes.fusion.shapes import RunKind, kinds_of

NAMES = {"I": "input", "K": "kernel"}
"""What events call the roles of tensors that are fetched; others are extra."""


def group_around(layer: LayerOp) -> GroupOp | None:
    """The group that a layer is part of."""
    parent = layer.parent_op()
    return parent if isinstance(parent, GroupOp) else None


def kept_by(layer: LayerOp) -> dict[str, HoldOp]:
    """The holds of a layer's tensors, by role."""
    return {op.tensor.data: cast("HoldOp", op.hold.owner) for op in layer.walk() if isinstance(op, KeepOp)}


def runs_of(group: GroupOp, number: int) -> Counter[RunKind]:
    """How often a layer of a group runs, by what runs count alike."""
    found: Counter[RunKind] = Counter()
    dims = group.layers[number].spec.dims
    for turns, op in group.steps():
        if isinstance(op, RunOp) and integer(op.layer) == number:
            for kind, times in kinds_of(op.box.data, turns, dims):
                found[kind] += times
    return found


def fetched_role(layer: LayerOp, op: FetchOp) -> str:
    """What is fetched to a layer: what it reads first of the hold."""
    kept, hold = kept_by(layer), hold_of(op)
    order = ("I", "K", "M", *(f"P{number}" for number in range(len(layer.extras))))
    return next(role for role in order if kept.get(role) is hold)


def hold_of(op: StepOp) -> HoldOp:
    """The hold of a transfer."""
    assert not isinstance(op, RunOp)
    return cast("HoldOp", op.hold.owner)
