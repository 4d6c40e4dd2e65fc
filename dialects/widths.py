"""Memories whose words have a width of their own: everything said of them, in words of the machine.

A description counts capacities, bandwidths and accesses of a memory in words as wide as that memory's; one of them
holds several tensor elements side by side, or an element takes several. Whoever maps, prices or emulates counts
elements: descriptions are converted once, when they have been read. Elements are taken to be packed without gaps.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from fractions import Fraction

from dialects.diagnostics import Diagnostic
from dialects.hierarchy import Access, Memory
from dialects.word_units import WordUnit

LARGEST = 1 << 48
"""Words of the machine that a memory has at most."""

RATES = (1e-9, 1e12)
"""Words of the machine that go through a port in a cycle, at least and at most (`dialects.host.Rate`)."""

MOST_TIMES = 1e9
"""Accesses for one event, at most (`dialects.hierarchy.Times`)."""


def wrong_widths(memories: tuple[Memory, ...], word_bits: int, where: str = "") -> Iterator[Diagnostic]:
    """What cannot be converted (CAT-C003); every message starts with the key that it is about."""
    for memory in memories:
        share = word_unit(memory.word_bits, word_bits).share
        key = f"levels.{memory.name}"
        if 1 not in (share.numerator, share.denominator):
            message = f"{key}.word_bits: a word is a whole number of the machine's words of {word_bits} bits, or a part"
            expected = f"a multiple of {word_bits}, or a number that divides it"
            hint = f"take word_bits = {word_bits}, or leave it out, if a word is an element"
            yield Diagnostic("CAT-C003", message, "target", "", where, expected, str(memory.word_bits), hint)
            continue
        amounts = {"words": memory.words, "bank": memory.bank}
        amounts |= {f"rooms.{operand}": words for operand, words in memory.rooms.items()}
        for name, amount in amounts.items():
            if amount is None:
                continue
            if amount % share.denominator:
                message = f"{key}.{name}: part of an element of {word_bits} bits is left in words of {memory.word_bits}"
                expected = f"a multiple of {share.denominator}"
                hint = f"an element takes {share.denominator} of these words: let a whole number of elements fit"
                yield Diagnostic("CAT-C003", message, "target", "", where, expected, str(amount), hint)
            if amount * share > LARGEST:
                message = f"{key}.{name}: these are more than {LARGEST} words of {word_bits} bits"
                expected, hint = f"at most {int(LARGEST / share)}", "leave it out if there is no end"
                yield Diagnostic("CAT-C003", message, "target", "", where, expected, str(amount), hint)
        least, most = (float(Fraction(rate) / share) for rate in RATES)
        for name, rate in (("read", memory.read), ("write", memory.write)):
            if rate is not None and not least <= rate <= most:
                message = f"{key}.{name}: far from any bandwidth, in words of {word_bits} bits"
                expected, hint = f"from {least:g} to {most:g}", "leave it out if there is no end"
                yield Diagnostic("CAT-C003", message, "target", "", where, expected, f"{rate:g}", hint)


def wrong_times(
    accesses: tuple[Access, ...], memories: Mapping[str, Memory], word_bits: int, where: str = ""
) -> Iterator[Diagnostic]:
    """Accesses for each event that are too many once events count words of the machine (CAT-C003)."""
    for access in accesses:
        for event, times in per_element(access, memories, word_bits).events.items():
            if times > MOST_TIMES:
                given = access.events[event]
                message = f"accesses.{access.name}.events: too many for each element of {word_bits} bits"
                expected = f"{event} at most {MOST_TIMES * given / times:g}"
                hint = "say it with fewer accesses of more energy"
                yield Diagnostic("CAT-C003", message, "target", "", where, expected, f"{event} = {given:g}", hint)


def narrowed(memory: Memory, word_bits: int) -> Memory:
    """A memory in words of the machine."""
    share = word_unit(memory.word_bits, word_bits).share

    def amount(words: int | None) -> int | None:
        return None if words is None else int(words * share)

    def rate(words: float | None) -> float | None:
        return None if words is None else float(Fraction(words) * share)

    converted = {
        "word_bits": None,
        "words": amount(memory.words),
        "bank": amount(memory.bank),
        "rooms": {operand: int(words * share) for operand, words in memory.rooms.items()},
        "read": rate(memory.read),
        "write": rate(memory.write),
    }
    return memory.model_copy(update=converted)


def per_element(access: Access, memories: Mapping[str, Memory], word_bits: int) -> Access:
    """Accesses for each event, if events count words of the machine; sums that hop to neighbours stay as they are."""

    def times(event: str, given: float) -> float:
        place = counted_in(event, memories)
        return (
            given if place is None else float(Fraction(given) / word_unit(memories[place].word_bits, word_bits).share)
        )

    return access.model_copy(update={"events": {event: times(event, given) for event, given in access.events.items()}})


def counted_in(event: str, memories: Container[str]) -> str | None:
    """The memory whose words an event counts; None if it counts something else."""
    place, _, name = event.partition(".")
    return None if place not in memories or "." not in name or name == "output.hop" else place


def word_unit(own_bits: int | None, word_bits: int) -> WordUnit:
    """A word of a memory, of its own width if it has one, on a machine with words of `word_bits`."""
    return WordUnit(Fraction(own_bits or word_bits, word_bits), own_bits)
