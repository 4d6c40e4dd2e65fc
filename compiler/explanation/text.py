"""Explanations as tables: one for all layers, or several for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from compiler.explanation.drawing import nest_table
from compiler.explanation.explaining import Explanation, Explanations
from compiler.explanation.groups import fullest_of, outer_words
from compiler.tables import Table, number, shortened, table
from compiler.units import EnergyUnit, fitting_unit, shown_energy, shown_milliseconds
from dialects.accelerator import Accelerator
from dialects.array_machine import Machine
from dialects.gconv import GConv
from dialects.gemm_mapping import GemmMapping
from dialects.schedule import Objective, Space
from passes.explanation.facts import Facts, Held
from passes.explanation.link import least_link_cycles
from passes.explanation.runners_up import RunnersUp
from passes.explanation.sensitivity import Doubled, Sensitivity
from passes.explanation.variants import Size
from passes.pricing import elements
from passes.work import Work

_NAME_WIDTH = 36
_SPACES = {
    Space.ROW_STATIONARY: "the row-stationary space",
    Space.EVEN_ROW_STATIONARY: "the row-stationary space of even shares",
    Space.DATAFLOW: "the machine's dataflow",
    Space.ALL: "all mappings",
    Space.DIVISIONS: "divisions of the array with the largest tiles that fit (priced without zeros)",
}
_MOST_NAMED = 3
"""Sizes that are named as binding, at most."""


def overview_table(found: Explanations) -> Table:
    """One row a layer: what takes its time, which memory is fullest, and how far it is from both bounds."""
    machine = found.machine
    unit = fitting_unit(each.report.price.total_energy for each in found.layers)
    columns = (
        number("#"), "layer", "kind", number("cycles"), number("x peak"), "most of the time goes to", number("%"),
        number("off-chip words"), number("x tensors"), "fullest memory", number("%"), number(f"energy {unit.name}"),
    )  # fmt: skip
    title = (
        f"{found.model} on {machine.name}, counts {found.provenance.value}; x peak: cycles over those of "
        f"{elements(machine)} elements at work; x tensors: words over those of all tensors once"
    )
    elsewhere = "several cores" if found.has_cores else "host core"
    return table(columns, (_overview_row(each, found, unit, elsewhere) for each in found.layers), title)


def _overview_row(each: Explanation, found: Explanations, unit: EnergyUnit, elsewhere: str) -> tuple[str, ...]:
    entry, facts, price = each.layer.entry, each.facts, each.report.price
    head = (str(each.layer.number), shortened(each.layer.told, _NAME_WIDTH), entry.kind, f"{price.cycles:,}")
    part, cycles = each.longest or ("", 0)
    if facts is None and part:
        words, held = f"{outer_words(each, found):,}", _of_group(each, found)
        share = _percent(cycles, price.cycles)
        return (*head, "", part, share, words, "", *held, unit.shown(price.total_energy))
    if facts is None:
        return (*head, "", elsewhere if price.cycles else "", "", "", "", "", "", unit.shown(price.total_energy))
    fullest = facts.fullest
    return (
        *head,
        _times(price.cycles, facts.peak_cycles),
        part,
        f"{100 * cycles / price.cycles:.1f}" if price.cycles else "",
        f"{facts.words:,}",
        _times(facts.words, facts.least_words),
        fullest.memory if fullest and fullest.capacity else "",
        f"{100 * fullest.share:.1f}" if fullest and fullest.capacity else "",
        unit.shown(price.total_energy),
    )


def _of_group(each: Explanation, found: Explanations) -> tuple[str, str]:
    """The fullest memory of the group that a layer takes turns in, and which group that is."""
    group = next(group for group in found.groups if group.name == each.layer.entry.group)
    fullest = fullest_of(group, found.machine)
    return ("", "") if fullest is None else (f"{fullest.memory}, group {group.name}", f"{100 * fullest.share:.1f}")


def heading(each: Explanation, found: Explanations) -> str:
    """A line that says which layer this is, and one of what it costs."""
    entry, price, machine = each.layer.entry, each.report.price, found.machine
    milliseconds = price.cycles / (machine.clock_mhz * 1e3)
    return (
        f"layer {each.layer.number} of {found.number_of_layers}: {entry.name} ({entry.kind}) on {machine.name}\n"
        f"{price.cycles:,} cycles = {shown_milliseconds(milliseconds)} at {machine.clock_mhz:g} MHz, "
        f"{shown_energy(price.total_energy)}; counts {found.provenance.value}, priced by the description of the target"
    )


def cost_line(each: Explanation) -> str:
    """What a layer costs, in one line."""
    price, facts = each.report.price, each.facts
    cost = f"predicted: {price.cycles:,} cycles, {shown_energy(price.total_energy)}"
    if facts is None:
        return cost
    return f"{facts.counts.operations:,} operations; {cost}, {facts.words:,} off-chip words"


def proof(each: Explanation, machine: Accelerator) -> str:
    """What is known of how good the mapping is, as its search noted it."""
    noted = each.layer.entry.search
    if noted is None:
        # Searches for matrix products leave no note.
        is_given = each.facts is not None and not isinstance(each.layer.mapping, GemmMapping)
        return "the mapping was given, not searched" if is_given else ""
    space, unseen = _SPACES[Space(noted.space)], _unseen(Space(noted.space), machine)
    if not noted.gap:
        return f"no mapping of {space} takes less {noted.objective}{unseen}"
    less = f"at most {100 * noted.gap:.2f} % less {noted.objective} than this one"
    return f"the best mapping of {space} takes {less}{unseen}"


def _unseen(space: Space, machine: Accelerator) -> str:
    """What the row-stationary search takes otherwise than the prediction (`passes.mapping.column_costs`)."""
    if space not in (Space.ROW_STATIONARY, Space.EVEN_ROW_STATIONARY) or not isinstance(machine, Machine):
        return ""
    if machine.dram.charge_bursts:
        return ", counting off-chip words in the place of their bursts"
    if machine.dram.compression is not None:
        return ", counting what is left of compressed words on average, without the ends of transfers"
    return ""


def verdict(facts: Facts) -> str:
    """What takes the time, and which memory is nearest to full."""
    part, cycles = facts.longest
    lines = [f"most of the time: {part} ({_percent(cycles, facts.price.cycles)} %)"]
    fullest = facts.fullest
    if fullest is not None and fullest.capacity:
        room = f"{fullest.taken:,} of {fullest.capacity:,} words{_own(fullest)} ({100 * fullest.share:.1f} %)"
        lines.append(f"fullest memory: {fullest.memory}, {room}")
    return "\n".join(lines)


def _own(held: Held) -> str:
    """What is taken and the capacity, in words of the memory's own, if its description has such."""
    if held.capacity is None or held.unit.bits is None:
        return ""
    taken, most = held.unit.at_least(held.taken), held.unit.said(held.capacity)
    return f" = {taken:,} of {most:,} words of {held.unit.bits} bits"


def _taken(held: Held) -> str:
    """What is taken of a memory in words of its own, if its description has such."""
    return "" if held.unit.bits is None else f" = {held.unit.at_least(held.taken):,} of {held.unit.bits} bits"


def _described(held: Held) -> str:
    """The capacity of a memory as its description has it, if that is in words of its own."""
    if held.capacity is None or held.unit.bits is None:
        return ""
    return f" = {held.unit.said(held.capacity):,} of {held.unit.bits} bits"


def binding(found: Sensitivity) -> str:
    """What would make the layer cheaper, and what faster, most first; capacities with the smallest increase."""
    searched = [each for each in found.doubled if each.best is not None]
    if found.doubled and not searched:
        return "binding: not known, no larger machine was searched in time"
    of = "" if len(searched) == len(found.doubled) else f" ({len(found.doubled) - len(searched)} not searched in time)"
    gains = ", ".join(_gain(each, each.gain, found.objective) for each in found.binding[:_MOST_NAMED])
    lines = [f"binding: {gains or f'no capacity, axis or bandwidth would, doubled, save any {found.objective}'}{of}"]
    if found.objective is Objective.ENERGY:
        faster = ", ".join(_gain(each, each.faster, "cycles") for each in found.slowing[:_MOST_NAMED])
        lines.append(f"slowing: {faster or 'no capacity, axis or bandwidth would, doubled, save any cycles'}")
    for each in found.binding:
        if each.growth is not None:
            unit = each.size.unit
            found_at = f"a better mapping fits with {unit.at_least(each.growth.words):,} {unit.name} more"
            without = unit.at_most(each.growth.without)
            least = f", none with {without:,} more" if without else ""
            lines.append(f"  {each.size.key}: {found_at}{least}")
    lines += [f"  {each.size.key}: cannot be larger by itself, {each.reason}" for each in found.fixed]
    return "\n".join(lines)


def _gain(each: Doubled, gain: float, what: str) -> str:
    return f"{each.size.key} x {each.value / each.size.value:.3g} saves {100 * gain:.1f} % {what}"


def runners_up_table(facts: Facts, found: RunnersUp) -> Table:
    """The next best mappings beside the layer's own."""
    unit = fitting_unit([facts.price.total_energy])
    rows: list[tuple[str, ...]] = [("0", "this mapping", *_costs(facts, unit), "", "", "")]
    for rank, each in enumerate(found.mappings, 1):
        more = f" ({each.alike} more of the same cost)" if each.alike else ""
        rows.append((str(rank), each.differs + more, *_costs(each.facts, unit), *_changes(facts, each.facts)))
    columns = (
        number("#"), "how it differs", number(f"energy {unit.name}"), number("cycles"), number("off-chip words"),
        number("change: energy"), number("cycles"), number("words"),
    )  # fmt: skip
    as_good = f"; {found.as_good} more cost as much as this one" if found.as_good else ""
    return table(columns, rows, f"Runners-up: the next best mappings that a search finds{as_good}")


def _costs(facts: Facts, unit: EnergyUnit) -> tuple[str, str, str]:
    return unit.shown(facts.price.total_energy), f"{facts.price.cycles:,}", f"{facts.words:,}"


def sensitivity_table(facts: Facts, found: Sensitivity) -> Table:
    """What doubling every size does, with the mapping kept and with the best one there."""
    rows: list[tuple[str, ...]] = [("as it is", "", "", "", *_changes(facts, found.again))]
    for each in found.doubled:
        best = ("not searched in time", "", "") if each.best is None else _changes(facts, each.best)
        kept = _change(each.kept.price.cycles, facts.price.cycles)
        rows.append((each.size.key, _said(each.size, each.size.value), _said(each.size, each.value), kept, *best))
    rows += [(each.size.key, _said(each.size, each.size.value), "cannot be", "", "", "", "") for each in found.fixed]
    columns = (
        "size", number("now"), number("larger"), number("cycles, mapping kept"), number("energy, best mapping"),
        number("cycles"), number("off-chip words"),
    )  # fmt: skip
    how = f"energies per access kept, mappings searched again for the least {found.objective}"
    title = f"What if one size were doubled, or as large as the rest allows: {how}; changes against the above"
    return table(columns, rows, title)


def _said(size: Size, value: float) -> str:
    """A value of a size as the description of the machine counts it."""
    return f"{size.unit.said(value):,.10g}"


def _changes(facts: Facts, other: Facts) -> tuple[str, str, str]:
    return (
        _change(other.price.total_energy, facts.price.total_energy),
        _change(other.price.cycles, facts.price.cycles),
        _change(other.words, facts.words),
    )


def _change(now: float, before: float) -> str:
    """A change in percent; `=` for none."""
    if not before or abs(now / before - 1) < 5e-5:
        return "="
    return f"{100 * (now / before - 1):+.2f} %"


def layer_tables(each: Explanation, machine: Accelerator) -> Iterator[Table]:
    """All there is to say about one mapped layer."""
    work, facts = each.layer.work, each.facts
    if each.turns:
        yield time_table(each.turns, each.report.price.cycles)
    if work is None or facts is None:
        return
    yield loops_table(work.spec)
    yield tensors_table(each, work)
    yield nest_table(work.spec, facts)
    yield memories_table(facts)
    yield time_table(facts.time, facts.price.cycles)
    yield resources_table(facts)
    yield energy_table(facts)
    yield bounds_table(facts, machine)
    if each.runners_up is not None:
        yield runners_up_table(facts, each.runners_up)
    if each.sensitivity is not None:
        yield sensitivity_table(facts, each.sensitivity)


def loops_table(spec: GConv) -> Table:
    """The loops of a general convolution."""
    columns = ("dimension", number("g"), number("op"), number("opc"), number("ks"), "reads the input at")
    usual = {"stride": 1, "dilation": 1, "pad": 0, "up": 1}
    rows = [
        (
            dim.name,
            *(str(count) if count > 1 else "" for count in (dim.g, dim.op, dim.opc, dim.ks)),
            ", ".join(f"{name} {getattr(dim, name)}" for name, same in usual.items() if getattr(dim, name) != same),
        )
        for dim in spec.dims
    ]
    functions = "".join(
        f", {part} {' '.join(step.function for step in steps)}"
        for part, steps in (("pre", spec.pre), ("mid", spec.mid), ("post", spec.post))
        if steps
    )
    return table(columns, rows, f"Loops: {spec.main} {spec.reduce}{functions}, {spec.trips:,} operations")


def tensors_table(each: Explanation, work: Work) -> Table:
    """Where input, kernel, post operands and output come from."""
    entry = each.layer.entry
    names = entry.work.tensors if entry.work else ()
    operands = ["input", *(["kernel"] if work.has_kernel else []), *["extra"] * len(work.extra_shapes), "output"]
    rows = [
        (operand, shortened(name, _NAME_WIDTH), "x".join(map(str, view.shape)) or "scalar")
        for operand, name, view in zip(operands, names, work.views, strict=True)
    ]
    return table(("operand", "tensor", "extents"), rows)


def memories_table(facts: Facts) -> Table:
    """What every memory holds."""
    columns = ("memory", "holds at a time", number("words taken"), number("capacity"), number("%"))
    rows = [
        (
            held.memory,
            ", ".join(f"{operand} {words:,}" for operand, words in held.words.items())
            + (", each twice" if held.buffers > 1 else ""),
            f"{held.taken:,}{_taken(held)}",
            "unlimited" if held.capacity is None else f"{held.capacity:,}{_described(held)}",
            "" if held.capacity is None else f"{100 * held.share:.1f}",
        )
        for held in facts.held
    ]
    return table(columns, rows, "Memories, in words of one copy; taken in whole banks")


def time_table(time: Sequence[tuple[str, float]], total: float) -> Table:
    """What the cycles are made of."""
    rows = [(name, f"{cycles:,.0f}", _percent(cycles, total)) for name, cycles in time]
    made = table(("part", number("cycles"), number("%")), rows, "Time: what comes one after the other")
    return replace(made, footer=("all", f"{total:,}", ""))


def resources_table(facts: Facts) -> Table:
    """How busy everything is that words or operations pass through."""
    total = facts.price.cycles
    rows = [
        (
            each.resource,
            f"{each.amount:,.0f} {each.unit}",
            f"{each.rate:g}" if each.unit == "words" else "",
            f"{each.cycles:,.0f}",
            _percent(each.cycles, total),
        )
        for each in facts.busy
    ]
    columns = ("resource", "passes through", number("words/cycle"), number("cycles busy"), number("use %"))
    return table(columns, rows, "Resources: how long each is busy, whatever the others do")


def energy_table(facts: Facts) -> Table:
    """Energy: levels down, operands across."""
    operands = list(dict.fromkeys(each.operand for each in facts.spent if each.operand))
    levels = list(dict.fromkeys(each.level for each in facts.spent))
    energy = {(each.level, each.operand): each.energy for each in facts.spent}
    total = facts.price.total_energy
    unit = fitting_unit([total])

    def cell(picojoules: float) -> str:
        return unit.shown(picojoules) if picojoules else ""

    rows: list[tuple[str, ...]] = []
    for level in levels:
        whole = sum(each.energy for each in facts.spent if each.level == level)
        rows.append(
            (level, *(cell(energy.get((level, each), 0.0)) for each in operands), cell(whole), _percent(whole, total))
        )
    columns = ("level", *(number(each) for each in operands), number("all"), number("%"))
    sums = (sum(each.energy for each in facts.spent if each.operand == operand) for operand in operands)
    return replace(table(columns, rows, f"Energy in {unit.name}"), footer=("all", *map(cell, sums), cell(total), ""))


def bounds_table(facts: Facts, machine: Accelerator) -> Table:
    """The distance to moving every tensor once, and to all elements at work."""
    rows = [
        (f"off-chip words, {each.operand}", f"{each.words:,}", f"{each.least:,}", _times(each.words, each.least))
        for each in facts.moved
    ]
    rows += [
        ("off-chip words, all", f"{facts.words:,}", f"{facts.least_words:,}", _times(facts.words, facts.least_words)),
        ("cycles, all elements at work", *_against(facts.price.cycles, facts.peak_cycles)),
    ]
    on_link = least_link_cycles(facts, machine)
    if on_link >= 1:
        rows.append(("cycles, every tensor once over the link", *_against(facts.price.cycles, on_link)))
    work = f"{facts.counts.operations:,} operations on {elements(machine)} elements"
    title = f"Bounds: every tensor once from or to the off-chip memory; {work}"
    return table(("quantity", number("here"), number("at least"), number("times")), rows, title)


def _against(here: float, least: float) -> tuple[str, str, str]:
    return f"{here:,.0f}", f"{least:,.0f}", _times(here, least)


def _times(here: float, least: float) -> str:
    return f"{here / least:.2f}" if least else ""


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}" if whole else ""
