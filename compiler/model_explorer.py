"""A program for Model Explorer: its graph of layers, and numbers of every layer to colour it by.

The formats are those of its `GraphCollection` and `GraphNodeData`: a list of collections of graphs, and by graph what
nodes are worth. Node data are matched with nodes by their ids, which are names of layers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from backends.program import LayerEntry, Program, Role
from compiler.files import make_folder, write_text
from compiler.reports import Report
from compiler.units import shown_energy

GRAPH = "graph.json"
GRADIENT = [{"stop": 0, "bgColor": "#eef4fb"}, {"stop": 1, "bgColor": "#084594", "textColor": "#ffffff"}]


def write_model_explorer(folder: Path, program: Program, report: Report, words: Mapping[str, int]) -> list[Path]:
    """Write `graph.json` and a file of node data for cycles, energy, array use and off-chip words.

    `words` are those that layers move off-chip, of cores to and from the memory that they share. Gives back the files;
    raises `CatenaError` (CAT-C002) if one cannot be written.
    """
    make_folder(folder)
    files = {GRAPH: graph(program, report), **node_data(report, words)}
    for name, content in files.items():
        write_text(folder / name, json.dumps(content, indent=1) + "\n")
    return [folder / name for name in files]


def graph(program: Program, report: Report) -> list[dict[str, Any]]:
    """The graph of layers, inputs and outputs; layers of a fused group stand in a namespace of their own."""
    nodes = [*_ends(program, Role.INPUT), *_layers(program, report), *_ends(program, Role.OUTPUT)]
    attributes = {
        "target": report.machine.name,
        "counts": report.provenance.value,
        "cycles": f"{report.cycles:,}",
        "energy": shown_energy(report.energy),
    }
    whole = {"id": _id(report), "nodes": nodes, "groupNodeAttributes": {"": attributes}}
    return [{"label": f"{report.model} on {report.machine.name}", "graphs": [whole]}]


def node_data(report: Report, words: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """By file name, what every layer is worth, in units that the name says."""
    amounts: dict[str, dict[str, float]] = {
        "cycles.json": {each.layer.name: each.price.cycles for each in report.layers},
        "energy-pj.json": {each.layer.name: each.price.total_energy for each in report.layers},
        "array-use.json": {each.layer.name: each.utilisation(report.machine) for each in report.layers},
        "off-chip-words.json": dict(words),
    }
    return {
        name: {_id(report): {"results": {layer: {"value": value} for layer, value in of.items()}, "gradient": GRADIENT}}
        for name, of in amounts.items()
        if of
    }


def _id(report: Report) -> str:
    return f"{report.model}.{report.machine.name}"


def _layers(program: Program, report: Report) -> Iterator[dict[str, Any]]:
    makers = {name: layer.name for layer in program.layers for name in layer.outputs}
    makers |= {tensor.name: f"input {tensor.name}" for tensor in program.tensors if tensor.role is Role.INPUT}
    counted = {each.layer.name: each for each in report.layers}
    for layer in program.layers:
        attributes = {"ONNX nodes": ", ".join(layer.nodes), "mapping": layer.mapping}
        if (found := counted.get(layer.name)) is not None:
            attributes |= {
                "cycles": f"{found.price.cycles:,}",
                "energy": shown_energy(found.price.total_energy),
                "array use": f"{100 * found.utilisation(report.machine):.1f} %",
            }
        yield {
            "id": layer.name,
            "label": layer.kind,
            "namespace": _namespace(layer),
            "attrs": [{"key": key, "value": value} for key, value in attributes.items() if value],
            "incomingEdges": [
                {"sourceNodeId": makers[name], "sourceNodeOutputId": name, "targetNodeInputId": str(number)}
                for number, name in enumerate(layer.inputs)
                if makers.get(name, layer.name) != layer.name
            ],
            "outputsMetadata": [
                {"id": name, "attrs": [{"key": "tensor_name", "value": name}]} for name in layer.outputs
            ],
        }


def _namespace(layer: LayerEntry) -> str:
    """The folders of its first ONNX node, below the group it takes turns in; their names have no folders."""
    folders = layer.nodes[0].split("/")[:-1] if layer.nodes else []
    group = [f"group {layer.group.replace('/', '.')}"] if layer.group else []
    return "/".join([*group, *(each for each in folders if each)])


def _ends(program: Program, role: Role) -> Iterator[dict[str, Any]]:
    """Inputs or outputs of the network as nodes."""
    makers = {name: layer.name for layer in program.layers for name in layer.outputs}
    for tensor in program.tensors:
        if tensor.role is not role:
            continue
        maker = makers.get(tensor.name) if role is Role.OUTPUT else None
        edge = {"sourceNodeId": maker, "sourceNodeOutputId": tensor.name, "targetNodeInputId": "0"}
        yield {
            "id": f"{role.value} {tensor.name}",
            "label": f"{role.value} {tensor.onnx or tensor.name}",
            "attrs": [
                {"key": "shape", "value": "x".join(map(str, tensor.shape)) or "scalar"},
                {"key": "type", "value": tensor.dtype},
            ],
            "incomingEdges": [] if maker is None else [edge],
        }
