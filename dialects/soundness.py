"""What is wrong with a hierarchy whose keys are all right: what its levels, accesses and dataflow say of each other."""

from __future__ import annotations

from collections.abc import Iterator

from dialects.contradictions import Contradiction, Contradictions
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean
from dialects.gconv.spec import LoopKind
from dialects.happening import counted_at, said_of
from dialects.hierarchy import Axis, Hierarchy, Memory
from dialects.schedule import Operand
from dialects.toml_text import as_toml
from dialects.validation import validated

NOT_ACCESSES = ("operation", "host", "static")
"""What else a report prices: no kind of access has one of these names."""
_OUTERMOST = "describe the off-chip memory first, without words"
_NOWHERE_ELSE = "leave it out: whatever is nowhere else is in the outermost memory"


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
    """All that does not go together (CAT-C003); `dialects.pointless` has what only makes no sense."""
    for each in (
        *_of_levels(hierarchy),
        *_of_memories(hierarchy),
        *_of_axes(hierarchy),
        *_of_events(hierarchy),
    ):
        yield each.diagnostic(where)


def _of_levels(hierarchy: Hierarchy) -> Contradictions:
    outermost = hierarchy.levels[0]
    if isinstance(outermost, Memory):
        yield from _of_outermost(outermost)
    else:
        message = "the first level is a memory without a capacity"
        yield Contradiction(f"levels.{outermost.name}", message, 'kind = "memory"', 'kind = "axis"', _OUTERMOST)
    names = [level.name for level in hierarchy.levels]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            message, expected = "two levels have the same name", "a name of its own"
            yield Contradiction(f"levels.{name}", message, expected, name, "call one of them something else")
    if "operation" in names:
        message, expected = "the arithmetic is called operation, no level can be", "another name"
        yield Contradiction("levels.operation", message, expected, "operation", "call it something else")


def _of_outermost(memory: Memory) -> Contradictions:
    key = f"levels.{memory.name}"
    if memory.words is not None:
        message = "the first level is a memory without a capacity"
        yield Contradiction(f"{key}.words", message, "no such key", str(memory.words), _OUTERMOST)
    if missing := [each for each in Operand if each not in memory.operands]:
        message = f"the first level holds every operand, also {', '.join(missing)}"
        hint = "leave operands out: whatever is nowhere else is in the outermost memory"
        yield Contradiction(f"{key}.operands", message, "I, K, O", as_toml(memory.operands), hint)
    if memory.bypass:
        message = "nothing goes past the first level"
        yield Contradiction(f"{key}.bypass", message, "no such key", as_toml(memory.bypass), _NOWHERE_ELSE)


def _of_memories(hierarchy: Hierarchy) -> Contradictions:
    for memory in hierarchy.memories:
        key, stays = f"levels.{memory.name}", as_toml(memory.operands)
        hint = "list it under operands, too, or leave it out: what does not stay"
        for operand in memory.bypass:
            if operand not in memory.operands:
                message = f"{operand} does not stay in this memory"
                yield Contradiction(f"{key}.bypass", message, f"some of {stays}", operand, f"{hint} passes by")
        for operand in memory.rooms:
            if operand not in memory.operands:
                message = f"{operand} does not stay in this memory"
                yield Contradiction(f"{key}.rooms", message, f"some of {stays}", operand, f"{hint} needs no room")
        if memory.slides and Operand.INPUT not in memory.operands:
            message, about = "I does not stay in this memory", "list I under operands, too, or leave it out"
            yield Contradiction(f"{key}.slides", message, "false", "true", f"{about}: it is about words of the input")
    for memory in hierarchy.memories[1:]:
        yield from _of_words(memory)


def _of_words(memory: Memory) -> Contradictions:
    """What does not go together with the capacity of a memory."""
    key = f"levels.{memory.name}"
    if memory.words is None:
        return
    for operand, room in memory.rooms.items():
        if room > memory.words:
            message = f"{operand} may have more words than there are"
            most = f"at most {memory.words}"
            yield Contradiction(f"{key}.rooms", message, most, str(room), most)
    if memory.bank is not None and memory.words % memory.bank:
        message = f"{memory.words} words are not a whole number of banks of {memory.bank}"
        hint = f"a number that divides {memory.words}"
        yield Contradiction(f"{key}.bank", message, "whole banks", str(memory.bank), hint)


def _of_axes(hierarchy: Hierarchy) -> Contradictions:
    for axis in hierarchy.axes:
        key = f"levels.{axis.name}"
        for operand in axis.multicast:
            if operand is Operand.OUTPUT:
                message = "O comes from the elements, and is not sent to several"
                hint = "leave it out; reduces says whether partial sums of neighbours are added"
                yield Contradiction(f"{key}.multicast", message, "I, K or both", as_toml(axis.multicast), hint)
        if axis.reduces and LoopKind.KS not in axis.loops:
            message = "no loop lies along this axis whose results are added"
            hint = 'let loops have "ks", too, or leave reduces out'
            yield Contradiction(f"{key}.reduces", message, "loops with ks", _loops(axis), hint)


def _loops(axis: Axis) -> str:
    return f"loops = {as_toml(axis.loops)}"


def _of_events(hierarchy: Hierarchy) -> Contradictions:
    for access in hierarchy.accesses:
        if access.name in NOT_ACCESSES:
            message = f"energy of another kind is reported as {access.name!r}"
            hint = f"call the table accesses.{access.name}_memory, say"
            yield Contradiction(f"accesses.{access.name}", message, "another name", access.name, hint)
    if not hierarchy.memories:
        return
    named = [(f"accesses.{access.name}.events", event) for access in hierarchy.accesses for event in access.events]
    named += [("dataflow.weigh", event) for event in (hierarchy.dataflow.weigh if hierarchy.dataflow else ())]
    for key, event in named:
        if event not in hierarchy.event_names | hierarchy.held_event_names:
            place = event.partition(".")[0]
            known = [f"{each}.{name}" for each in hierarchy.places for name in counted_at(hierarchy, each)]
            hint = did_you_mean(event, known) or said_of(place, hierarchy)
            hint = hint or f"MEMORY.OPERAND.EVENT, such as {known[0]!r}"
            yield Contradiction(key, f"nothing is counted as {event!r}", "an event that is counted", event, hint)
