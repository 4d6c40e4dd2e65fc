"""What the description of a hierarchy says to no effect: what never happens, limits nothing, or lets nothing in.

Nobody means that, so that files which say it are refused. Machines in IR and programs may: they are what they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from dialects.contradictions import Contradiction, Contradictions
from dialects.diagnostics import Diagnostic
from dialects.gconv.spec import LoopKind
from dialects.happening import Kept, said_of, why_never
from dialects.hierarchy import Hierarchy, Memory
from dialects.schedule import Operand
from dialects.toml_text import as_toml
from dialects.widths import counted_in

_WEIGHTS = "dataflow.weigh"

_SHARING = {
    Operand.INPUT: (LoopKind.OP, LoopKind.OPC, LoopKind.KS),
    Operand.KERNEL: (LoopKind.OPC,),
}
"""Kinds of loops along which positions share words: those that do not index them, and windows, which overlap."""


def pointless(hierarchy: Hierarchy, kept: Kept) -> Iterator[Diagnostic]:
    """All that has no effect (CAT-C003) on a machine in words of its own; what is not known is left to `soundness`.

    `kept` is what may not go past which memories. Messages start with the key that they are about.
    """
    if not hierarchy.memories:
        return
    outermost, *inner = hierarchy.memories
    for each in (
        *_of_outermost(outermost),
        *(each for memory in inner for each in _of_room(memory, kept)),
        *_of_array(hierarchy),
        *_of_events(hierarchy, kept),
        *_of_weights(hierarchy, kept),
    ):
        yield each.diagnostic()


def _of_outermost(memory: Memory) -> Contradictions:
    """What is said of the first memory as if it had an end, or something further out."""
    for key, value, is_usual, why in (
        ("rooms", memory.rooms, not memory.rooms, "it has room for everything"),
        ("bank", memory.bank, memory.bank is None, "it has no capacity that banks could divide"),
        ("buffers", memory.buffers, memory.buffers == 1, "no tiles come from further out that it could hold twice"),
        ("stays", memory.stays, memory.stays, "nothing comes from further out that could come again"),
        ("slides", memory.slides, not memory.slides, "nothing comes from further out of which it could keep a part"),
    ):
        if not is_usual:
            hint = "leave it out, or say it of a memory further in"
            message = f"this means nothing in the first level: {why}"
            yield Contradiction(f"levels.{memory.name}.{key}", message, "no such key", as_toml(value), hint)


def _of_room(memory: Memory, kept: Kept) -> Contradictions:
    """Limits that limit nothing, and those that let nothing in."""
    key = f"levels.{memory.name}"
    for operand, room in memory.rooms.items():
        if room < memory.buffers:
            message = f"there is no word of {operand} for each of {memory.buffers} buffers"
            hint = "make the room larger, or leave buffers out"
            yield Contradiction(f"{key}.rooms", message, f"at least {memory.buffers}", str(room), hint)
    if memory.words is None and memory.buffers > 1 and not memory.rooms and memory.read is memory.write is None:
        message = "the memory has room for everything, and takes no time that could be hidden"
        hint = "leave it out, or give the memory words, or read or write, the words of a cycle"
        yield Contradiction(f"{key}.buffers", message, "no such key", str(memory.buffers), hint)
    if memory.words is None:
        if memory.bank is not None:
            message = "the memory has no words that banks could divide"
            hint = "give it words, or leave bank out: a memory without an end needs no banks"
            yield Contradiction(f"{key}.bank", message, f"words, a multiple of {memory.bank}", "no words", hint)
    elif memory.words < memory.buffers:
        message = f"there is no word for each of {memory.buffers} buffers"
        hint = "give it more words, or leave buffers out"
        yield Contradiction(f"{key}.words", message, f"at least {memory.buffers}", str(memory.words), hint)
    elif memory.bank is not None and memory.words % memory.bank == 0:
        # Every layer has inputs and outputs, and some have no kernel.
        staying = [each for each in (Operand.INPUT, Operand.OUTPUT) if (memory.name, each) in kept]
        banks, needed = memory.words // memory.bank, len(staying) * memory.whole_banks(memory.buffers) // memory.bank
        if banks < needed:
            message = f"there are too few banks for {' and '.join(staying)} to stay here: a bank holds one operand"
            hint = "make banks smaller or words more, let operands leave one out, or let bypass have it"
            yield Contradiction(f"{key}.bank", message, f"at least {needed} banks", f"{banks}, words / bank", hint)


def _of_array(hierarchy: Hierarchy) -> Contradictions:
    """A limit of elements beyond all there are, and words that go to several positions of which each needs its own."""
    positions = math.prod(axis.size for axis in hierarchy.axes)
    if hierarchy.elements is not None and hierarchy.elements > positions:
        sizes = " x ".join(str(axis.size) for axis in hierarchy.axes) or "no axes"
        message = "there are no more positions that a limit could leave out"
        hint = "leave it out, or make axes larger"
        yield Contradiction("elements", message, f"at most {positions}: {sizes}", str(hierarchy.elements), hint)
    for axis in hierarchy.axes:
        for operand in axis.multicast:
            sharing = _SHARING.get(operand)
            if sharing is not None and not {*sharing} & {*axis.loops}:
                message = f"no two positions ever need the same word of {operand}"
                kinds = " or ".join(sharing)
                hint = f"leave {operand} out, or let loops have {kinds}"
                expected = f"{operand} only where loops have {kinds}"
                found = f"loops = {as_toml(axis.loops)}"
                yield Contradiction(f"levels.{axis.name}.multicast", message, expected, found, hint)


def _of_weights(hierarchy: Hierarchy, kept: Kept) -> Contradictions:
    """Factors of what is no access, whatever accesses cost; to say 1 takes a factor back."""
    priced = {event for each in hierarchy.accesses for event, times in each.events.items() if times}
    for event, times in (hierarchy.dataflow.weigh if hierarchy.dataflow else {}).items():
        is_known = event in hierarchy.event_names | hierarchy.held_event_names
        if times != 1 and is_known and event not in priced and not why_never(hierarchy, event, kept):
            message = f"{event!r} is no access whose price could be weighed"
            hint = "list it in a table accesses.NAME, leave it out, or say 1 of what another description has"
            yield Contradiction(_WEIGHTS, message, "an event of some access", f"{event} = {times:g}", hint)


def _of_events(hierarchy: Hierarchy, kept: Kept) -> Contradictions:
    """Events that are priced, or weighed in searches, and never happen; to say 0 of one takes it back."""
    known = hierarchy.event_names | hierarchy.held_event_names
    given = {f"accesses.{access.name}.events": access.events for access in hierarchy.accesses}
    if hierarchy.dataflow is not None:
        given[_WEIGHTS] = hierarchy.dataflow.weigh
    for key, events in given.items():
        for event, times in events.items():
            if times and event in known and (reason := why_never(hierarchy, event, kept)):
                message = f"{event!r} never happens: {reason}"
                place = counted_in(event, {each.name for each in hierarchy.memories}) if key != _WEIGHTS else None
                said = times if place is None else times * hierarchy.word_unit(place).share
                counted = said_of(event.partition(".")[0], hierarchy, kept)
                hint = "leave it out, or say 0 of what another description has"
                hint = f"{counted}; {hint}" if counted else hint
                yield Contradiction(key, message, "an event that may happen", f"{event} = {said:g}", hint)
