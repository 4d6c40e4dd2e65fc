"""What the off-chip link takes: at least, whatever the mapping, and as its time is counted."""

from __future__ import annotations

import numpy as np

from dialects.accelerator import Accelerator
from dialects.events import Counts
from dialects.hierarchy import Memory
from dialects.nest_machine import NestMachine
from passes.explanation.facts import Facts
from passes.mapper.pricing import Prices
from passes.off_chip import off_chip_words

_SENT = ("input", "kernel", "extra")
"""What the outermost memory of a machine of levels sends."""


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


def port_cycles(counts: Counts, memory: Memory, machine: NestMachine) -> tuple[float, float]:
    """Cycles in which a memory that is there once sends words, and in which it takes some, as the cost model does."""
    events = {name: np.array([count]) for name, count in counts.events.items()}
    events["operation"] = np.array([counts.operations])
    sent, taken = Prices(machine).shared_port_cycles(memory, events)
    return float(sent[0]), float(taken[0])


def timed_words(counts: Counts, machine: Accelerator) -> float:
    """Words of a layer that take time on the off-chip link, of which `link_words` cross it in a cycle.

    A machine of levels sends and takes words at once: it is the busier of both ports that counts, if it has a rate.
    """
    words = off_chip_words(counts, machine)
    if not isinstance(machine, NestMachine) or machine.memories[0].read is None:
        return words
    return max(port_cycles(counts, machine.memories[0], machine)) * machine.link_words or words
