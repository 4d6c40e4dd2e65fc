"""The page of `zigzag`: what both tools found, how their cost models agree, and what was made equal.

A module of `benchmarks/zigzag.py`, no command of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zigzag import OBJECTIVES, PACKAGES, TIMES_FASTER, machine
from zigzag_layers import Layer
from zigzag_mappings import exported, price, walked

from compiler.tables import Column, number, table

if TYPE_CHECKING:
    from zigzag import Result

NOTICE = "<!-- Made by `python benchmarks/zigzag.py --reprice --output docs/zigzag.md`; do not edit. -->\n"

COUNTS = (
    ("rf.input.read", "I", 0, "rd_out_to_low"),
    ("rf.input.fill", "I", 0, "wr_in_by_high"),
    ("sram_1m.input.read", "I", 1, "rd_out_to_low"),
    ("sram_1m.input.fill", "I", 1, "wr_in_by_high"),
    ("dram.input.read", "I", 2, "rd_out_to_low"),
    ("rf.kernel.read", "W", 0, "rd_out_to_low"),
    ("rf.kernel.fill", "W", 0, "wr_in_by_high"),
    ("sram.kernel.read", "W", 1, "rd_out_to_low"),
    ("sram.kernel.fill", "W", 1, "wr_in_by_high"),
    ("dram.kernel.read", "W", 2, "rd_out_to_low"),
    ("rf.output.update", "O", 0, "wr_in_by_low"),
    ("sram.output.update + sram.output.hop", "O", 0, "rd_out_to_high"),
    ("sram.output.add", "O", 0, "wr_in_by_high"),
    ("sram.output.update", "O", 1, "wr_in_by_low"),
    ("sram.output.add", "O", 1, "rd_out_to_low"),
    ("sram_1m.output.update", "O", 2, "wr_in_by_low"),
    ("sram_1m.output.add", "O", 2, "rd_out_to_low"),
    ("dram.output.update", "O", 3, "wr_in_by_low"),
    ("dram.output.add", "O", 3, "rd_out_to_low"),
)
"""Events, and ZigZag's operand, depth of the memory and direction that say the same."""
SURE = 100_000
"""Words from which on a count is compared: ZigZag rounds each down to whole accesses, by 1023 words at most."""

_INTRODUCTION = """\
ZigZag (Mei, Houshmand, Jain, Giraldo, Verhelst: ZigZag, IEEE TC 2021) searches mappings of layers on accelerators, as
`passes/mapper` does, and can be installed with pip. `benchmarks/zigzag.py` gives both the same layers and the same
machine, ZigZag's own `eyeriss_like`, and compares what they find. Every price on this page that is not said to be
ZigZag's is that of `benchmarks/dimension_walk.py`: it walks the loops of a mapping, each dimension turn by turn, with
words as members of sets, and shares nothing with the cost model that our search uses. A test holds it equal to a walk
of all loops at once. Of each layer's shape there is one search for each objective; ZigZag's, which goes through the
same mappings for either, is run once and counted for both, and of its two mappings the better one is taken.
CPU time is user and system time of the searches alone, without imports.
"""

_EQUAL = """\
`benchmarks/zigzag/eyeriss_like.yaml` is ZigZag's file of that name, `benchmarks/zigzag/target.toml` says the same as a
description of levels: off-chip memory; 1 MB for inputs and outputs; 64 kB for kernels, 8 kB for outputs; 14 x 12
elements; in each 64 B for inputs, 64 B for kernels, 16 B for sums. No operand passes a memory by. These differences
were taken out, so that neither tool has something that the other has not:

- Words: all operands, sums too, have 8 bits. Ports are paid by the word (`bandwidth_min: 8`) at the file's energy per
  bit, not by the access of 64 to 384 bits, of which part of a tile may fill the last only in part.
- Ports on the chip are so wide that they never hold up the array; the off-chip port has the file's 64 bits a cycle,
  reading and writing apart. The two tools treat partly filled ports and the loading of first tiles differently.
- Elements have no registers in front of their scratchpads: every operation reads its words
  (`access_same_data_considered_as_no_access`, which ZigZag's API sets, is off).
- Padding: padded words are words like others. ZigZag's default does not fetch them.
- Energy of an operation (0.5 pJ) is part of all energies and of the energy-delay product.
- Nothing is double-buffered; memories keep their tiles while loops do not change them, and halos are fetched again.

ZigZag's settings are the defaults of its API: `loma`, at most 6 loop factors (more where a layer has more loops),
uneven mappings, its three best spatial mappings, of one loop for each axis. Its search is left in its own pipeline;
stages that parse, draw and save are left out, which only saves it time.
"""

_DIFFERENCES = """\
What is left:

- A loop that does not divide evenly: ZigZag spreads the operations over fractions of an element, the walk has a last
  tile that is smaller. ZigZag also rounds sizes of fractions down to whole indices for windows.
- Input words that neighbouring elements share are read once for all by the walk (`multicast`). ZigZag reads a word once
  for each element unless the window's two loops both lie on the array.
- Partial sums that return to elements: ZigZag counts a return for every arrival, also for the first, and writes it into
  every element of a column that adds up; the walk has first arrivals without a return, and one return a column.
- Time: ZigZag adds the loading of first tiles and the storing of last ones, and stalls where a memory is more than half
  full; it lets a tile that is loaded once overlap with everything. Catena takes the longer of steps and off-chip
  traffic. That is why its energy-delay product is compared with both tools' mappings priced in one way.
"""


def page(results: Sequence[Result], run: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """The whole page."""
    parts = [NOTICE, f"# Beside ZigZag {run['version']}\n", _INTRODUCTION]
    parts += ["## Networks\n", _networks(results, ours), _bounds(results)]
    parts += [
        "## One machine for both\n",
        _EQUAL,
        "## How the cost models agree\n",
        _agreement(results, run),
        _DIFFERENCES,
    ]
    parts += ["## Layers\n", _layers(results)]
    return "\n".join(parts)


def _networks(results: Sequence[Result], ours: Mapping[str, Any]) -> str:
    columns: list[str | Column] = ["network", number("layers"), number("shapes")]
    for title, unit in (("energy", "mJ"), ("EDP", "mJ Mcycles")):
        columns += [number(f"{title} ({unit})"), number("ZigZag's"), number("ratio"), number("worst layer")]
    columns += [number("CPU s, energy"), number("CPU s, EDP"), number("ZigZag's"), number("times faster")]
    rows: list[Sequence[object]] = []
    for result in results:
        row: list[object] = [result.network.title, sum(each.layer.times for each in result.layers), len(result.layers)]
        for objective, scale in (("energy", 1e9), ("edp", 1e15)):
            mine, theirs = result.total("ours", objective), result.total("peer", objective)
            worst = max(each.ratio(objective) for each in result.layers)
            row += [f"{mine / scale:.4g}", f"{theirs / scale:.4g}", f"{mine / theirs:.3f}", f"{worst:.3f}"]
        row += [f"{result.seconds('ours', objective):.2f}" for objective in OBJECTIVES]
        row += [f"{result.seconds('peer', 'energy'):.1f}", f"{min(map(result.times_faster, OBJECTIVES)):.1f}"]
        rows.append(row)
    note = (
        "Energies include operations; the energy-delay product is that of all layers' energies and cycles. The worst\n"
        f"layer has the largest ratio. Our search looks at {ours['effort']:,.0f} parts of mappings at most,\n"
        "for each shape and objective. Both ran on one core of the same machine; what they found is recorded in\n"
        f"`benchmarks/zigzag/` (`pip install {' '.join(PACKAGES)}`).\n"
    )
    return f"{table(columns, rows).markdown()}\n\n{note}"


def _bounds(results: Sequence[Result]) -> str:
    problems = [problem for result in results for problem in result.problems()]
    if not problems:
        return (
            f"No layer is worse than ZigZag's in either, and every search is at least {TIMES_FASTER} times as fast.\n"
        )
    return "\n".join(["Bounds that do not hold:\n", *(f"- {problem}" for problem in problems), ""])


def _agreement(results: Sequence[Result], run: Mapping[str, Any]) -> str:
    mine: dict[str, list[int]] = {}
    theirs: dict[str, list[int]] = {}
    shares: dict[str, list[float]] = {"energy": [], "cycles": [], "steps": []}
    for layer, found in _mappings(results, run):
        walk = walked(layer, exported(layer, found, machine()).mapping, machine())
        cost = price(walk)
        shares["energy"].append(cost.energy / found["energy"])
        shares["cycles"].append(cost.cycles / found["latency"])
        shares["steps"].append(walk.steps / found["steps"])
        for events, operand, depth, way in COUNTS:
            key = f"{events}|{operand}, memory {depth}, {way}"
            mine.setdefault(key, []).append(sum(walk.events[event] for event in events.split(" + ")))
            theirs.setdefault(key, []).append(found["words"][operand][depth].get(way, 0))
    columns = ["event", "ZigZag's", number("words, walk by ZigZag's"), number("least"), number("most")]
    rows: list[Sequence[str]] = []
    for key, counted in mine.items():
        pairs = list(zip(counted, theirs[key], strict=True))
        ratios = [a / b for a, b in pairs if min(a, b) > SURE]
        total = sum(counted) / max(sum(theirs[key]), 1)
        rows.append((*key.split("|"), f"{total:.3f}", *((f"{f(ratios):.3f}" if ratios else "") for f in (min, max))))
    said = "; ".join(f"{name} {min(each):.3f} to {max(each):.3f}" for name, each in shares.items())
    note = (
        f"All {len(shares['energy'])} mappings that ZigZag chose, priced by the walk, by ZigZag's prices:\n{said}.\n"
        f"Words level by level, all mappings together, and the extremes of those that move {SURE:,}:\n"
    )
    return f"{note}\n{table(columns, rows).markdown()}\n"


def _mappings(results: Sequence[Result], run: Mapping[str, Any]) -> Iterator[tuple[Layer, Any]]:
    for result in results:
        for name, content in run["networks"][result.network.name].items():
            for objective in OBJECTIVES:
                yield Layer.read(name, content["layer"]), content[objective]


def _layers(results: Sequence[Result]) -> str:
    columns: list[str | Column] = ["network", "layer", number("times"), number("MACs")]
    columns += [number(title) for title in ("energy (uJ)", "of ZigZag's", "EDP (uJ Mcycles)", "of ZigZag's")]
    columns += [number("CPU s, both"), number("ZigZag's")]
    rows: list[Sequence[object]] = []
    unchecked: list[str] = []
    for result in results:
        for each in result.layers:
            energy, edp = (each.ours[objective] for objective in OBJECTIVES)
            row = [result.network.title, each.layer.name, each.layer.times, f"{each.layer.spec.trips:,}"]
            row += [f"{energy.price.energy / 1e6:.5g}", f"{each.ratio('energy'):.4f}"]
            row += [f"{edp.price.edp / 1e12:.5g}", f"{each.ratio('edp'):.4f}"]
            row += [f"{energy.seconds + edp.seconds:.2f}", f"{each.peer['energy'].seconds:.1f}"]
            rows.append(row)
            if each.unchecked:
                unchecked.append(f"{result.network.title} {each.layer.name}")
    text = f"{table(columns, rows).markdown()}\n"
    if unchecked:
        text += (
            "\nOur notation lays loops on the array in one place, inside all shared memories. In ZigZag's mappings of\n"
            "these layers a shared memory turns over inside loops that scratchpads last for. Its place was moved out\n"
            "of these, which lets it hold more than it can and moves no more words, to ZigZag's advantage:\n"
            f"{', '.join(unchecked)}.\n"
        )
    return text


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/zigzag.py: run that one")
