"""Explanations as plain data for `--json`: words, cycles and pJ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from compiler.explanation.drawing import NestLine, nest_lines
from compiler.explanation.explaining import Explanation, Explanations
from dialects.gconv import LoopKind
from passes.explanation.facts import Facts, Held
from passes.explanation.runners_up import RunnersUp
from passes.explanation.sensitivity import Sensitivity
from passes.pricing import elements
from passes.work import Work


def explanations_json(found: Explanations) -> dict[str, Any]:
    """All that the tables show."""
    return {
        "model": found.model,
        "target": found.machine.name,
        "provenance": found.provenance.value,
        "clock_mhz": found.machine.clock_mhz,
        "elements": elements(found.machine),
        "layers": [_layer(each) for each in found.layers],
        **({"groups": [asdict(group) for group in found.groups]} if found.groups else {}),
    }


def _layer(each: Explanation) -> dict[str, Any]:
    entry, price = each.layer.entry, each.report.price
    head = {
        "number": each.layer.number,
        "name": entry.name,
        "kind": entry.kind,
        "nodes": list(entry.nodes),
        "cycles": price.cycles,
        "energy_pj": price.total_energy,
        "mapping": entry.mapping,
        **({"group": entry.group} if entry.group else {}),
        "search": None if entry.search is None else asdict(entry.search),
    }
    if each.cores is not None:
        own = {
            "speed_up": each.cores.speed_up,
            "signal_share": each.cores.signal_share,
            "bus_share": each.cores.bus_share,
        }
        return head | {"cores": {**asdict(each.cores), **own}}
    if each.facts is None or each.layer.work is None:
        return head | ({"time": _time(each.turns)} if each.turns else {})
    found = {} if each.sensitivity is None else {"what_if": _sensitivity(each.sensitivity)}
    if each.runners_up is not None:
        found["runners_up"] = _runners_up(each.runners_up)
    return head | _facts(each.layer.work, each.facts) | found


def _runners_up(found: RunnersUp) -> dict[str, Any]:
    return {
        "as_good": found.as_good,
        "mappings": [{**_cost(each.facts), "differs": each.differs, "alike": each.alike} for each in found.mappings],
    }


def _sensitivity(found: Sensitivity) -> dict[str, Any]:
    return {
        "objective": found.objective,
        "searched_again": _cost(found.again),
        "doubled": [
            {
                "key": each.size.key,
                "value": each.size.unit.said(each.size.value),
                "larger": each.size.unit.said(each.value),
                "mapping_kept": _cost(each.kept),
                "best": None if each.best is None else _cost(each.best),
                "gain": each.gain,
                "needs_words": None if each.growth is None else each.size.unit.at_least(each.growth.words),
                "nothing_better_with_words": (
                    None if each.growth is None else each.size.unit.at_most(each.growth.without)
                ),
            }
            for each in found.doubled
        ],
        "fixed": [
            {"key": each.size.key, "value": each.size.unit.said(each.size.value), "reason": each.reason}
            for each in found.fixed
        ],
    }


def _time(parts: Iterable[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"part": part, "cycles": cycles} for part, cycles in parts]


def _cost(facts: Facts) -> dict[str, Any]:
    return {
        "mapping": str(facts.mapping),
        "energy_pj": facts.price.total_energy,
        "cycles": facts.price.cycles,
        "off_chip_words": facts.words,
    }


def _line(line: NestLine) -> dict[str, Any]:
    cut = {"tiles": line.tiles, "tile": line.tile, "last": line.last, "of": line.extent}
    words = {} if line.words is None else {"words": dict(line.words)}
    return {"depth": line.depth, "node": line.node, **(cut if line.extent > 1 else {}), **words}


def _as_described(held: Held) -> dict[str, Any]:
    """What is taken, and the capacity, in the words of a memory that has words of its own; nothing for others."""
    if held.unit.bits is None:
        return {}
    capacity = None if held.capacity is None else held.unit.said(held.capacity)
    taken = held.unit.at_least(held.taken)
    return {"described": {"word_bits": held.unit.bits, "taken": taken, "capacity": capacity}}


def held_json(held: Held) -> dict[str, Any]:
    """What a memory holds, in words of the machine."""
    return {
        "memory": held.memory,
        "words": dict(held.words),
        "buffers": held.buffers,
        "taken": held.taken,
        "capacity": held.capacity,
        **_as_described(held),
    }


def _facts(work: Work, facts: Facts) -> dict[str, Any]:
    return {
        "operations": facts.counts.operations,
        "loops": {f"{dim.name}.{kind}": dim.count(kind) for dim in work.spec.dims for kind in LoopKind},
        "nest": [_line(line) for line in nest_lines(work.spec, facts)],
        "memories": [held_json(held) for held in facts.held],
        "time": _time(facts.time),
        "resources": [
            {
                "resource": busy.resource,
                "amount": busy.amount,
                "unit": busy.unit,
                "rate": busy.rate,
                "cycles": busy.cycles,
            }
            for busy in facts.busy
        ],
        "energy": [
            {"level": each.level, "operand": each.operand, "accesses": each.accesses, "energy_pj": each.energy}
            for each in facts.spent
        ],
        "off_chip": [{"operand": each.operand, "words": each.words, "at_least": each.least} for each in facts.moved],
        "bounds": {
            "off_chip_words": facts.words,
            "off_chip_words_at_least": facts.least_words,
            "cycles": facts.price.cycles,
            "cycles_at_least": facts.peak_cycles,
        },
    }
