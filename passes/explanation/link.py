"""What the off-chip link takes at least, whatever the mapping."""

from __future__ import annotations

from dialects.accelerator import Accelerator
from dialects.nest_machine import NestMachine
from passes.explanation.facts import Facts

_SENT = ("input", "kernel")
"""What the outermost memory of a machine of levels sends, as far as its cost model counts the time of it."""


def least_link_cycles(facts: Facts, machine: Accelerator) -> float:
    """Cycles in which every tensor crosses the off-chip link once.

    On a machine of levels words leave the outermost memory and come in at the same time.
    """
    if not isinstance(machine, NestMachine):
        return facts.least_words / machine.link_words
    outer = machine.memories[0]
    sent = sum(each.least for each in facts.moved if each.operand in _SENT)
    taken = sum(each.least for each in facts.moved if each.operand == "output")
    return max(sent / outer.read if outer.read else 0, taken / outer.write if outer.write else 0)
