"""What a report page shows, as plain data: counts, facts, network, code and IR of a program."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from backends.program import GroupEntry, Program
from compiler.assembling import program_backend_isa
from compiler.explanation.explaining import Explanation, Explanations, explain_program
from compiler.explanation.groups import capacities, outer_words
from compiler.explanation.json_data import explanations_json, held_json
from compiler.ir_history import IrHistory
from compiler.layer_names import told
from compiler.report_page.buffers import buffers_json
from compiler.report_page.code import code_by_layer
from compiler.report_page.cores import cores_json
from compiler.report_page.errors import errors_of
from compiler.report_page.explorer import explorer
from compiler.report_page.graph import drawing
from compiler.report_page.headline import cause, figures
from compiler.report_page.page import Page
from compiler.report_page.tiles import GroupTiles
from compiler.reporting import report_of
from compiler.reports import LayerReport
from compiler.reports.layers import ARRAY_USE
from compiler.reports.text import zeros_note
from passes.explanation.link import timed_words
from passes.off_chip import outer_name
from passes.pricing import elements


def page_of(
    program: Program,
    statistics: str | None = None,
    history: IrHistory | None = None,
    tiles: GroupTiles | None = None,
    timeline: str | None = None,
    verified: str | None = None,
) -> Page:
    """The data of the report of a program.

    With `statistics`, a file of `catena run --stats`, counts are those of an emulation, and with `timeline`, one of
    `catena run --timeline`, so is what cores did; errors of layers stand in `verified`,
    what `catena verify --json` printed; `history` and `tiles` watched the compilation that made it. Raises
    `CatenaError`: CAT-C003 for files of another program, CAT-P001 and CAT-P003 for a program that cannot be read.
    """
    isa = program_backend_isa(program.metadata)
    report, found = report_of(program, statistics), explain_program(program, statistics=statistics)
    code, shape = code_by_layer(program, isa), drawing(program)
    machine, own = report.machine, {} if tiles is None else tiles.own
    errors = {} if verified is None else errors_of(verified, program)
    explained = {each.layer.entry.name: each for each in found.layers}
    facts = {each["name"]: each for each in explanations_json(found)["layers"]}
    counted = {each.layer.name: each for each in report.layers}
    instructions = sum(len(each) // isa.word_bytes for each in program.code)
    layers = [
        {
            "label": told(entry.name, entry.nodes),
            "inputs": list(entry.inputs),
            "outputs": list(entry.outputs),
            "place": shape.places[place],
            "at_work": max((stream.busy for stream in entry.streams), default=None),
            "code": [asdict(piece) for piece in code.get(entry.name, ())],
            **facts.get(entry.name, {"name": entry.name, "kind": entry.kind, "nodes": list(entry.nodes)}),
            "own_memories": [held_json(each) for each in own.get(place, ())],
            **_counted(counted.get(entry.name), explained.get(entry.name), found),
            "number": place + 1,
            "error": errors.get(entry.name),
        }
        for place, entry in enumerate(program.layers)
    ]
    title = f"{report.model} on {machine.name}"
    return Page(
        title,
        {
            "title": title,
            "model": report.model,
            "target": machine.name,
            "summary": machine.summary,
            "provenance": report.provenance.value,
            "cycles_note": report.cycles_note,
            "zeros_note": zeros_note(report),
            "array_use": ARRAY_USE,
            "tool": program.metadata.tool,
            "model_sha256": program.metadata.model_sha256,
            "clock_mhz": machine.clock_mhz,
            "word_bits": machine.word_bits,
            "elements": elements(machine),
            "outer": outer_name(type(machine)),
            "link_words": machine.link_words,
            "cycles": report.cycles,
            "energy_pj": report.energy,
            "figures": [asdict(each) for each in figures(report, found, program, instructions, own)],
            "layers": layers,
            "arrows": shape.arrows,
            "groups": [_group(group, program, tiles) for group in program.groups],
            "capacities": capacities(machine),
            "cores": len(program.code),
            "buffers": buffers_json(found.layers, machine),
            "timeline": cores_json(program, report.machine, timeline),
            "ir": None if history is None or not history.steps else explorer(history),
        },
    )


def _group(group: GroupEntry, program: Program, tiles: GroupTiles | None) -> dict[str, Any]:
    """A group, with what it does in every turn if its compilation was watched."""
    known = {} if tiles is None else tiles.groups
    made = (name for layer in program.layers if layer.name in group.layers for name in layer.outputs)
    return asdict(group) | {"tiles": [known[name] for name in made if name in known]}


def _off_chip(each: Explanation, found: Explanations) -> int:
    """Words of a layer over the off-chip link; of cores those of the memory that they share."""
    return outer_words(each, found) if each.facts is None else each.facts.words


def _counted(report: LayerReport | None, each: Explanation | None, found: Explanations) -> dict[str, Any]:
    """What a layer counted, and what binds it; nothing of a layer that is not counted."""
    if report is None:
        return {}
    events, binding = report.counts.events, None if each is None else cause(each)
    return {
        "cycles": report.price.cycles,
        "energy_pj": report.price.total_energy,
        "energy_by_level": {level: energy for level, energy in report.price.energy.items() if energy},
        "utilisation": report.utilisation(found.machine),
        "off_chip_words": None if each is None else _off_chip(each, found),
        "timed_words": timed_words(report.counts, found.machine),
        "macs": events.get("operation.mac", 0),
        "operations": report.counts.operations,
        "counts": {name: number for name, number in report.counts.flat().items() if number},
        "binds": None if binding is None else asdict(binding),
    }
