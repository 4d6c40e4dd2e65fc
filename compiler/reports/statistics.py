"""Statistics files: a report as JSON, written by `catena run --stats` and read by `catena report --stats`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, cast

from backends.program import SearchEntry
from compiler.files import read_text
from compiler.reports.layers import Layer, Provenance, Report, build_report
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.events import Counts
from dialects.machine_kinds import parse_machine

FORMAT = 2


def statistics_json(report: Report) -> dict[str, Any]:
    """A report as JSON data: units are words, cycles, pJ and ms; what follows from the counts is there for reading."""
    machine = report.machine
    return {
        "format": FORMAT,
        "model": report.model,
        "target": machine.name,
        "provenance": report.provenance.value,
        "clock_mhz": machine.clock_mhz,
        "word_bits": machine.word_bits,
        "totals": {
            "cycles": report.cycles,
            "cycles_note": report.cycles_note,
            "milliseconds": report.milliseconds,
            "energy_pj": report.energy,
            "host_cycles": report.host_cycles,
            "host_energy_pj": report.host_energy,
            "utilisation": report.utilisation,
            "counts": report.counts.flat(),
        },
        "layers": [
            {
                "name": each.layer.name,
                "kind": each.layer.kind,
                "nodes": list(each.layer.nodes),
                "search": None if each.layer.search is None else asdict(each.layer.search),
                "cycles": each.price.cycles,
                "host_cycles": each.price.host_cycles,
                "energy_pj": each.price.energy,
                "utilisation": each.utilisation(machine),
                "counts": each.counts.flat(),
            }
            for each in report.layers
        ],
        "machine": machine.model_dump(mode="json", exclude_none=True),
    }


def read_statistics(path: str) -> Report:
    """The report that a statistics file holds.

    Raises `CatenaError`: CAT-C002 if the file cannot be read, CAT-C003 if it holds something else.
    """
    try:
        content = json.loads(read_text(path))
        if not isinstance(content, dict):
            raise TypeError("not an object")
        return _parse(cast("dict[str, Any]", content), path)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CatenaError(
            Diagnostic("CAT-C003", f"{path} is not a statistics file: {reason}", hint="write one with run --stats")
        ) from error


def _parse(content: dict[str, Any], path: str) -> Report:
    if content["format"] != FORMAT:
        raise CatenaError(
            Diagnostic("CAT-C003", f"{path} has another format", expected=str(FORMAT), found=str(content["format"]))
        )
    machine = parse_machine(content["machine"], where=path)
    layers = [
        Layer(str(each["name"]), str(each["kind"]), tuple(map(str, each["nodes"])), _search(each["search"]))
        for each in content["layers"]
    ]
    counts = {str(each["name"]): Counts.of(each["counts"]) for each in content["layers"]}
    return build_report(str(content["model"]), machine, Provenance(content["provenance"]), layers, counts)


def _search(content: dict[str, Any] | None) -> SearchEntry | None:
    return None if content is None else SearchEntry(**content)
