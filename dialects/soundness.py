"""What is wrong with a hierarchy whose keys are all right: what its levels, accesses and dataflow say of each other."""

from __future__ import annotations

from collections.abc import Iterator

from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean
from dialects.gconv.spec import LoopKind
from dialects.hierarchy import Hierarchy, Memory
from dialects.schedule import Operand
from dialects.validation import validated

NOT_ACCESSES = ("operation", "host", "static")
"""What else a report prices: no kind of access has one of these names."""
_OPERANDS = {"input": Operand.INPUT, "kernel": Operand.KERNEL, "output": Operand.OUTPUT}
"""Whose words an event is about."""


def parse_hierarchy(description: object, where: str = "") -> Hierarchy:
    """A `Hierarchy` from plain data.

    Raises `CatenaError` (CAT-C003) with one diagnostic per wrong, missing or unknown key, or for all that does not go
    together.
    """
    hierarchy = validated(Hierarchy, description, where)
    if problems := list(contradictions(hierarchy, where)):
        raise CatenaError(problems)
    return hierarchy


def contradictions(hierarchy: Hierarchy, where: str = "") -> Iterator[Diagnostic]:
    """All that does not go together (CAT-C003); every message starts with the key that it is about."""
    for key, message, hint in (
        *_of_levels(hierarchy),
        *_of_memories(hierarchy),
        *_of_axes(hierarchy),
        *_of_events(hierarchy),
    ):
        yield Diagnostic("CAT-C003", f"{key}: {message}", "target", where=where, hint=hint)


def _of_levels(hierarchy: Hierarchy) -> Iterator[tuple[str, str, str]]:
    outermost = hierarchy.levels[0]
    if not isinstance(outermost, Memory):
        hint = "describe the off-chip memory first, without words"
        yield f"levels.{outermost.name}", "the first level is a memory without a capacity", hint
    elif outermost.words is not None:
        hint = "describe the off-chip memory first, without words"
        yield f"levels.{outermost.name}.words", "the first level is a memory without a capacity", hint
    if isinstance(outermost, Memory) and (missing := [each for each in Operand if each not in outermost.operands]):
        hint = "leave operands out: whatever is nowhere else is in the outermost memory"
        yield (
            f"levels.{outermost.name}.operands",
            f"the first level holds every operand, also {', '.join(missing)}",
            hint,
        )
    if isinstance(outermost, Memory) and outermost.bypass:
        hint = "leave it out: whatever is nowhere else is in the outermost memory"
        yield f"levels.{outermost.name}.bypass", "nothing goes past the first level", hint
    names = [level.name for level in hierarchy.levels]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield f"levels.{name}", "two levels have the same name", "call one of them something else"
    if "operation" in names:
        yield "levels.operation", "the arithmetic is called operation, no level can be", "call it something else"


def _of_memories(hierarchy: Hierarchy) -> Iterator[tuple[str, str, str]]:
    for memory in hierarchy.memories:
        key = f"levels.{memory.name}"
        for operand in memory.bypass:
            if operand not in memory.operands:
                hint = "list it under operands, too, or leave it out: what does not stay passes by"
                yield f"{key}.bypass", f"{operand} does not stay in this memory", hint
        for operand in memory.rooms:
            if operand not in memory.operands:
                hint = "list it under operands, too, or leave it out: what does not stay needs no room"
                yield f"{key}.rooms", f"{operand} does not stay in this memory", hint
        if memory.slides and Operand.INPUT not in memory.operands:
            hint = "list I under operands, too, or leave it out: it is about words of the input"
            yield f"{key}.slides", "I does not stay in this memory", hint
        yield from ((f"{key}.{name}", message, hint) for name, message, hint in _of_words(memory))


def _of_words(memory: Memory) -> Iterator[tuple[str, str, str]]:
    """What does not go together with the capacity of a memory."""
    if memory.words is None:
        return
    for operand, room in memory.rooms.items():
        if room > memory.words:
            yield "rooms", f"{operand} may have more words than there are", f"at most {memory.words}"
    if memory.bank is not None and memory.words % memory.bank:
        hint = f"a number that divides {memory.words}"
        yield "bank", f"{memory.words} words are not a whole number of banks of {memory.bank}", hint
    if memory.words < memory.buffers:
        yield "words", f"there is no word for each of {memory.buffers} buffers", f"at least {memory.buffers}"


def _of_axes(hierarchy: Hierarchy) -> Iterator[tuple[str, str, str]]:
    for axis in hierarchy.axes:
        key = f"levels.{axis.name}"
        if Operand.OUTPUT in axis.multicast:
            hint = "leave it out; reduces says whether partial sums of neighbours are added"
            yield f"{key}.multicast", "O comes from the elements, and is not sent to several", hint
        if axis.reduces and LoopKind.KS not in axis.loops:
            hint = 'let loops have "ks", too, or leave reduces out'
            yield f"{key}.reduces", "no loop lies along this axis whose results are added", hint


def _of_events(hierarchy: Hierarchy) -> Iterator[tuple[str, str, str]]:
    for access in hierarchy.accesses:
        if access.name in NOT_ACCESSES:
            message = f"energy of another kind is reported as {access.name!r}"
            yield f"accesses.{access.name}", message, f"call the table accesses.{access.name}_memory, say"
    if not hierarchy.memories:
        return
    for access in hierarchy.accesses:
        key = f"accesses.{access.name}.events"
        for event, times in access.events.items():
            yield from _of_event(hierarchy, key, event, times)
    for event in hierarchy.dataflow.weigh if hierarchy.dataflow else ():
        yield from _of_event(hierarchy, "dataflow.weigh", event, 1)


def _of_event(hierarchy: Hierarchy, key: str, event: str, times: float) -> Iterator[tuple[str, str, str]]:
    """What is wrong with saying something of an event so many times."""
    if event in hierarchy.held_event_names:
        return
    if event not in hierarchy.event_names:
        names = sorted(hierarchy.event_names)
        hint = did_you_mean(event, names) or f"MEMORY.OPERAND.EVENT, such as {names[0]!r}"
        yield key, f"nothing is counted as {event!r}", hint
    elif times and (reason := _why_never(hierarchy, event)):
        yield key, f"{event!r} never happens: {reason}", "leave it out, or say 0 of what another description has"


def _why_never(hierarchy: Hierarchy, event: str) -> str:
    """Why an event is not one of this machine; empty if it may be."""
    place, _, name = event.partition(".")
    kind, _, what = name.partition(".")
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
    return ""
