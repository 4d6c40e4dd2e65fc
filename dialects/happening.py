"""Which events a machine can count at its memories and in its operations, and why it never counts others."""

from __future__ import annotations

from collections.abc import Collection

from dialects.gconv.spec import LoopKind
from dialects.hierarchy import Axis, Hierarchy, Memory
from dialects.schedule import Operand

Kept = Collection[tuple[str, Operand]]
"""Memories and operands that may not go past them."""

_OPERANDS = {"input": Operand.INPUT, "kernel": Operand.KERNEL, "output": Operand.OUTPUT}
"""Whose words an event is about."""


def why_never(hierarchy: Hierarchy, event: str, kept: Kept) -> str:
    """Why an event of `event_names` or `held_event_names` never happens on a machine; empty if it may."""
    if reason := hierarchy.never.get(event):
        return reason
    place, _, name = event.partition(".")
    kind, _, what = name.partition(".")
    if event in hierarchy.held_event_names:
        return _why_nothing_is_held(hierarchy, place)
    operand = _OPERANDS.get(kind)
    if operand is None:
        return ""
    if place == "operation":
        return "" if what == "fill" else "operations hold no words"
    memory = hierarchy.memory(place)
    if operand not in memory.operands:
        return f"no {operand} stays in {place}"
    if memory is hierarchy.memories[0] and what == "fill":
        return f"nothing is outside of {place} that words could come from"
    return _why_sums_never_hop(hierarchy, memory, kept) if what == "hop" else ""


def counted_at(hierarchy: Hierarchy, place: str, kept: Kept = ()) -> list[str]:
    """The events that may happen at a place, without its name, in order."""
    known = {name for name in hierarchy.event_names | hierarchy.held_event_names if name.startswith(f"{place}.")}
    return sorted(name.removeprefix(f"{place}.") for name in known if not why_never(hierarchy, name, kept))


def said_of(place: str, hierarchy: Hierarchy, kept: Kept = ()) -> str:
    """For a hint, what a place counts; empty if there is no such place."""
    counted = counted_at(hierarchy, place, kept)
    return f"{place} counts {', '.join(counted)}" if counted else ""


def _why_nothing_is_held(hierarchy: Hierarchy, place: str) -> str:
    """Tensors of fused groups lie in memories that exist once."""
    if not (axes := hierarchy.axes_outside(place)):
        return ""
    return f"there is a {place} for every position along {axes[0].name}, and groups hold tensors where there is one"


def _why_sums_never_hop(hierarchy: Hierarchy, memory: Memory, kept: Kept) -> str:
    """Sums hop on their way to a memory from the next one further in that they stay in, or from the operations."""
    reasons: list[str] = []
    inside = hierarchy.levels[hierarchy.levels.index(memory) + 1 :]
    for number, axis in enumerate(inside):
        if isinstance(axis, Axis) and axis.reduces and LoopKind.KS in axis.loops:
            between = [level.name for level in inside[:number] if (level.name, Operand.OUTPUT) in kept]
            if not between:
                return ""
            reasons.append(f"those along {axis.name} hop to {between[-1]}, where they have to stay")
    return reasons[0] if reasons else f"no axis inside of {memory.name} reduces"
