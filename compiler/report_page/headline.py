"""The first screen of a report: does it fit, how long, how much energy, how busy, how far from the least traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from backends.program import Program, Role
from compiler.explanation.explaining import Explanation, Explanations
from compiler.explanation.groups import fullest_of, outer_words
from compiler.reports import Report
from compiler.units import shown_energy, shown_milliseconds
from dialects.accelerator import Accelerator
from dialects.multicore_machine import MulticoreMachine
from passes.explanation.facts import Held
from passes.off_chip import OFF_CHIP, outer_name
from passes.pricing import elements

LEVEL_EVENT = 2
"""Points in the name of an event of a level: level.operand.what."""


@dataclass(frozen=True)
class Figure:
    """One figure of the first screen: what it is, its value with the unit, and what to compare it with."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Cause:
    """What a layer waits for most, and the share of its time, from 0 to 1 if that is known."""

    what: str
    share: float | None


def figures(
    report: Report, found: Explanations, program: Program, instructions: int, own: Mapping[int, Sequence[Held]]
) -> list[Figure]:
    """The figures of the first screen; `own` is what layers of groups hold themselves, by number from 0, if known."""
    explained = [each.facts for each in found.layers if each.facts is not None]
    milliseconds, energy = report.milliseconds, report.energy
    least = sum(each.peak_cycles for each in explained)
    shown = [
        Figure(
            "latency",
            shown_milliseconds(milliseconds),
            f"{report.cycles:,} cycles at {report.machine.clock_mhz:g} MHz"
            + (f"; {least:,} if every element were busy in every one" if least and _all_known(found) else ""),
        ),
        Figure(
            "energy",
            shown_energy(energy),
            _power(energy / milliseconds / 1e6) if milliseconds else "",
        ),
        Figure(
            "array use",
            f"{100 * report.utilisation:.1f} %",
            _array(report.machine),
        ),
    ]
    shown += _off_chip(found, program)
    shown += _fit(found, own) + _of_cores(report, found, program)
    bytes_of_constants = sum(image.size * image.dtype.itemsize for image in program.constants)
    shown.append(
        Figure("program", f"{instructions:,} instructions", f"{bytes_of_constants / 1e6:,.2f} MB of constants")
    )
    if report.host_segments:
        shown.append(
            Figure("on the host", f"{len(report.host_segments)} segments", "neither time nor energy of theirs")
        )
    return shown


def cause(each: Explanation) -> Cause | None:
    """What takes the longest part of a layer's time; nothing if it is not known."""
    if each.cores is not None:
        turn = sum(step.cycles for step in each.cores.steps)
        longest = sum(step.cycles for step in each.cores.steps if step.resource == each.cores.binds)
        return Cause(each.cores.binds, longest / turn if turn and longest else None)
    if each.longest is None or not each.report.price.cycles:
        return None
    what, cycles = each.longest
    return Cause(what, min(1.0, cycles / each.report.price.cycles))


def _power(milliwatts: float) -> str:
    shown = f"{milliwatts:,.0f}" if milliwatts >= 100 else f"{milliwatts:.3g}"
    return f"{shown} mW on average"


def _all_known(found: Explanations) -> bool:
    return all(each.facts is not None for each in found.layers)


def _off_chip(found: Explanations, program: Program) -> list[Figure]:
    """Words over the off-chip link, beside the least that every layer has to move.

    Of a fused group the tensors that it reads and writes off-chip stand in the place of the least, whole, though it may
    use a part of one. Cores have no such link: what they share is on the chip.
    """
    groups = {group.name: group for group in program.groups}
    known = [each for each in found.layers if each.facts is not None or each.layer.entry.group in groups]
    if not known or isinstance(found.machine, MulticoreMachine):
        return []
    words = sum(outer_words(each, found) if each.facts is None else each.facts.words for each in known)
    once = sum(each.facts.least_words for each in known if each.facts is not None)
    sizes = {tensor.name: tensor.words for tensor in program.tensors}
    once += sum(sizes[name] for group in groups.values() for name in (*group.inputs, *group.outputs))
    what = "of the tensors of layers and groups, each whole and once" if groups else "of every tensor once"
    part = "" if len(known) == len(found.layers) else f", {len(known)} of {len(found.layers)} layers"
    least = f"{words / once:.2f} times the {once:,} {what}" if once else ""
    return [Figure(f"{OFF_CHIP} words", f"{words:,}", least + part)]


def _array(machine: Accelerator) -> str:
    """What array use is of."""
    if isinstance(machine, MulticoreMachine):
        return "of the crossbars or vector units of the cores that layers are on, while they work: waiting is left out"
    return f"of {elements(machine):,} elements, in the cycles in which the array works: stalls are left out"


def _of_cores(report: Report, found: Explanations, program: Program) -> list[Figure]:
    """How much of a chip of several cores is taken, and what goes over the bus to and from the shared memory."""
    machine, cores = report.machine, [each.cores for each in found.layers if each.cores is not None]
    if not isinstance(machine, MulticoreMachine) or not cores:
        return []
    used, there = sum(each.crossbars for each in cores), machine.cores.count * machine.cores.crossbars
    fullest = max(each.buffer_bytes for each in cores)
    at_work = len({core for each in cores for core in each.cores})
    events = report.counts.events
    words = sum(
        count for name, count in events.items() if name.startswith("memory.") and name.count(".") == LEVEL_EVENT
    )
    ends = sum(tensor.words for tensor in program.tensors if tensor.role in (Role.INPUT, Role.OUTPUT))
    return [
        Figure(
            "fits",
            f"{100 * used / there:.0f} % of crossbars",
            f"{used:,} of {there:,} in {at_work} of {machine.cores.count} cores; a core needs {fullest:,} bytes of a "
            f"buffer of {machine.cores.buffer_bytes:,} at most",
        ),
        Figure(
            f"{outer_name(type(machine))} words",
            f"{words:,}",
            f"{words / ends:.1f} times the {ends:,} of the network's inputs and outputs" if ends else "",
        ),
    ]


def _fit(found: Explanations, own: Mapping[int, Sequence[Held]]) -> list[Figure]:
    """The memory with the least room left, and in which layer or group."""
    fullest = [
        (held, f"layer {each.layer.number}")
        for each in found.layers
        if each.facts is not None and (held := each.facts.fullest) is not None and held.capacity
    ]
    groups = {group.name: group.held for group in found.groups}
    for each in found.layers:
        # Beside what its group holds at most lie tiles of its own.
        beside = groups.get(each.layer.entry.group, {})
        several = [
            replace(one, taken=one.taken + beside.get(one.memory, 0)) for one in own.get(each.layer.number - 1, ())
        ]
        fullest += [(one, f"layer {each.layer.number}") for one in several if one.capacity]
    holds = ((fullest_of(group, found.machine), f"group {group.name}") for group in found.groups)
    fullest += [(held, name) for held, name in holds if held is not None]
    if not fullest:
        return [] if found.number_of_layers else [Figure("fits", "nothing to hold", "no layer takes any memory")]
    held, who = max(fullest, key=lambda one: one[0].share)
    note = f"of {held.memory} taken at most: {held.taken:,} of {held.capacity:,} words, by {who}"
    is_partial = groups and not own and not isinstance(found.machine, MulticoreMachine)
    note += "; without tiles of single layers in groups" if is_partial else ""
    return [Figure("fits", f"{100 * held.share:.0f} %", note)]
