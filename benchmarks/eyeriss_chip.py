"""AlexNet's convolutions, batch 4, against the published measurements of the Eyeriss chip.

    python benchmarks/eyeriss_chip.py [--output docs/eyeriss-chip.md]

Compiles the network for `eyeriss_chip/target.toml` with the mappings that the chip used (JSSC 2017, table III; for
CONV3 also the one that its published buffer traffic implies), predicts every layer with the published shares of zeros,
runs every layer on the emulator with data that have as many zeros, and writes all of it beside the published figures.
`eyeriss_chip/dataflow.toml` is the search that the chip's designers describe, within the chip's limits.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from backends.program import LayerEntry, Program
    from dialects.array_machine import Machine
    from dialects.events import Counts
    from passes.mapping.cost import Price

HERE = Path(__file__).resolve().parent / "eyeriss_chip"
TARGET, DATAFLOW = HERE / "target.toml", HERE / "dataflow.toml"
LAYERS = ("CONV1", "CONV2", "CONV3", "CONV4", "CONV5")
ZEROS_KNOWN = ("CONV3", "CONV4")
"""Layers whose output is the next one's input, with nothing between: the shares of zeros of both are published."""
GLB, DRAM, RATIO, TIME = 0.01, 0.05, 0.10, 0.12
"""The largest relative errors allowed: buffer and off-chip traffic, what compression saves of it, processing time."""


@dataclass(frozen=True)
class Published:
    """A row of JSSC 2017, table V: `zeros` in the padded input, `dram_ratio` of uncompressed to compressed traffic."""

    mw: float
    latency_ms: float
    processing_ms: float
    mmac: float
    elements: int
    zeros: float
    glb_mb: float
    dram_mb: float
    dram_ratio: float


@dataclass(frozen=True)
class Shares:
    """Shares of zeros of a layer: in its padded input, and in its output, which is not padded."""

    input: float
    output: float


@dataclass(frozen=True)
class Run:
    """A layer as predicted with given zeros, and as the emulator counted it on data with as many."""

    predicted: Counts
    emulated: Counts


@dataclass(frozen=True)
class Chosen:
    """A mapping of the chip beside the best one of the search: parameters, elements, energy in MAC energies."""

    parameters: dict[str, int]
    best: dict[str, int]
    elements: int
    best_elements: int
    energy: float
    best_energy: float


@cache
def published() -> dict[str, Published]:
    """The published figures by layer."""
    content: dict[str, Any] = json.loads((HERE / "published.json").read_text())
    rows = {layer: dict(zip(content["columns"], row, strict=True)) for layer, row in content["layers"].items()}
    return {layer: Published(**{**row, "zeros": row["zeros"] / 100}) for layer, row in rows.items()}


def chip_mappings(implied: bool = True) -> dict[str, dict[str, int]]:
    """The mappings of table III; with `implied`, for CONV3 the one that its buffer traffic implies."""
    content = json.loads((HERE / "published.json").read_text())
    return {**content["mappings"], **(content["implied"] if implied else {})}


@cache
def machine() -> Machine:
    """The chip."""
    from compiler.targets import select_target

    return select_target(str(TARGET)).machine


def megabytes(counts: Counts, level: str, raw: bool = False) -> float:
    """What a layer moves at a level, as the chip's paper counts it; `raw` takes feature maps as they are."""
    events = getattr(machine().counting, level) if raw else machine().charged(level)
    return counts.charged(events) * machine().word_bits / 8 / 1e6


def compression(counts: Counts) -> float:
    """How many times the off-chip traffic of a layer would be without compression; filters never are compressed."""
    return megabytes(counts, "dram", raw=True) / megabytes(counts, "dram")


def milliseconds(cycles: int) -> float:
    """Cycles of the core as time."""
    return cycles / machine().clock_mhz / 1e3


def power(counts: Counts) -> dict[str, float]:
    """What the chip itself draws in mW, by part; DRAM is not on the chip."""
    spent = cost(counts)
    per_milliwatt = milliseconds(spent.cycles) * 1e6
    parts = {
        "elements": spent.energy["spad"] + spent.energy["operation"],
        "network": spent.energy["array"],
        "buffer": spent.energy["glb"],
        "static": spent.energy["static"],
    }
    return {name: picojoules / per_milliwatt for name, picojoules in parts.items()}


def cost(counts: Counts) -> Price:
    """Energy and cycles of a layer."""
    from passes.mapping.cost import price

    return price(counts, machine())


class Network:
    """The five convolutions, compiled again and again in one folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.shifts: dict[str, float] = dict.fromkeys(LAYERS, 0.0)

    def compile(self, mappings: dict[str, dict[str, int]], shares: dict[str, Shares]) -> Program:
        """The program with these mappings, and with what is known of zeros."""
        import compiler
        from backends.container import read_program

        model, mapping, program = (self.folder / name for name in ("model.onnx", "mapping.toml", "program.cat"))
        _save(self._model(), model)
        lines = ["[layers]"]
        for layer, parameters in mappings.items():
            notation = ", ".join(f"{name} {value}" for name, value in parameters.items())
            lines.append(f'{layer} = "#schedule.row_stationary<{notation}>"')
        lines.append("[zeros]")
        lines += [f"{layer} = {{ input = {each.input}, output = {each.output} }}" for layer, each in shares.items()]
        mapping.write_text("\n".join(lines))
        compiler.compile(model, target=TARGET, output=program, mapping=mapping)
        return read_program(program)

    def _model(self) -> onnx.ModelProto:
        """The network with its biases shifted."""
        from onnx import numpy_helper

        sys.path.insert(0, str(HERE.parent / "models"))
        from alexnet_paper import alexnet_paper

        model = alexnet_paper()
        for tensor in model.graph.initializer:
            layer, _, kind = tensor.name.partition(".")
            if kind == "bias":
                shifted = numpy_helper.to_array(tensor) + numpy_helper.to_array(tensor).dtype.type(self.shifts[layer])
                tensor.CopyFrom(numpy_helper.from_array(shifted, tensor.name))
        return model

    def calibrate(self, program: Program, shares: dict[str, Shares]) -> None:
        """Shift the biases so that ReLU leaves the wanted share of zeros; without any, it leaves about half."""
        import numpy as np

        for layer in LAYERS:
            output = run_layer(program, layer, shares[layer].input)[0]
            self.shifts[layer] = -float(np.quantile(output, shares[layer].output))


def _save(model: onnx.ModelProto, path: Path) -> None:
    from building import save

    save(model, path)


def entry(program: Program, layer: str) -> LayerEntry:
    """A layer of a program, by its first node."""
    return next(each for each in program.layers if each.nodes[0] == layer)


def run_layer(program: Program, layer: str, zeros: float) -> tuple[np.ndarray[Any, Any], Counts]:
    """Run one layer on random inputs of which, padding included, a share is zero: its output and counts."""
    import numpy as np

    from backends.spatial.emulator import SpatialEmulator

    here = entry(program, layer)
    tensors = {each.name: each for each in program.tensors}
    (name,) = (each for each in here.inputs if tensors[each].role != "constant")
    shape, random = tensors[name].shape, np.random.default_rng(0)
    words = random.random(shape, dtype=np.float32) + np.float32(0.1)
    pad = {"CONV1": 0, "CONV2": 2}.get(layer, 1)
    padded = (1 + 2 * pad / shape[-1]) ** 2
    words *= random.random(shape) < (1 - zeros) * padded
    emulator = SpatialEmulator(program)
    (output,) = emulator.run_layer(here.name, {name: words}).values()
    return output, emulator.counters[here.name]


def known_shares() -> dict[str, Shares]:
    """What is published of zeros: an output with nothing behind it has the next input's words, without its padding."""
    rows = published()
    padding = (15 / 13) ** 2
    following = {layer: rows[LAYERS[LAYERS.index(layer) + 1]].zeros for layer in ZEROS_KNOWN}
    outputs = {layer: 1 - (1 - zeros) * padding for layer, zeros in following.items()}
    return {layer: Shares(rows[layer].zeros, outputs.get(layer, 0.0)) for layer in LAYERS}


def implied_share(predicted: Counts, row: Published) -> float:
    """The share of zeros in an output that gives the published traffic, everything else being as predicted."""
    words = predicted.events["dram.output.write"]
    others = megabytes(predicted, "dram") - predicted.events["dram.output.compressed"] * 2 / 1e6
    pairs = (row.dram_mb - others) * 1e6 / 2 * 3 / 4
    return min(max(1 - pairs / words, 0.0), 0.99)


def measure() -> tuple[dict[str, Run], dict[str, Shares], Run]:
    """Every layer with the chip's mapping, the shares of zeros it had, and CONV3 with the printed mapping."""
    from dialects.events import Counts

    with tempfile.TemporaryDirectory() as name:
        network = Network(Path(name))
        shares = known_shares()
        program = network.compile(chip_mappings(), shares)
        for layer in set(LAYERS) - set(ZEROS_KNOWN):
            found = implied_share(Counts.of(entry(program, layer).predicted), published()[layer])
            shares[layer] = Shares(shares[layer].input, found)
        network.calibrate(program, shares)
        program = network.compile(chip_mappings(), shares)
        runs = {layer: _run(program, layer, shares) for layer in LAYERS}
        printed = _run(network.compile(chip_mappings(implied=False), shares), "CONV3", shares)
    return runs, shares, printed


def _run(program: Program, layer: str, shares: dict[str, Shares]) -> Run:
    from dialects.events import Counts

    _, counts = run_layer(program, layer, shares[layer].input)
    return Run(Counts.of(entry(program, layer).predicted), counts)


def predicted_with(
    mappings: dict[str, dict[str, int]], shares: dict[str, Shares] | None = None
) -> dict[str, tuple[Counts, str]]:
    """Counts and mapping of every layer, given mappings for some of them; Catena maps the others."""
    from dialects.events import Counts

    with tempfile.TemporaryDirectory() as name:
        program = Network(Path(name)).compile(mappings, shares or known_shares())
    layers = {layer: entry(program, layer) for layer in LAYERS}
    return {layer: (Counts.of(each.predicted), each.mapping) for layer, each in layers.items()}


def choices() -> dict[str, list[Chosen]]:
    """The chip's mappings beside the best of the designers' own objective within the chip's limits."""
    from isca16 import CONVOLUTIONS, parts

    from compiler.targets import select_target
    from dialects.hierarchy import Hierarchy
    from passes.mapper.search import best_in_dataflow, priced_in_dataflow

    hierarchy = select_target(str(DATAFLOW), {"nested": "false"}).machine
    assert isinstance(hierarchy, Hierarchy)
    found: dict[str, list[Chosen]] = {}
    for layer in CONVOLUTIONS:
        spec = layer.spec(images=4)
        best = best_in_dataflow(spec, hierarchy, layer.name, parts())
        for implied in (False, True):
            parameters = chip_mappings(implied)[layer.name]
            own = priced_in_dataflow(spec, hierarchy, _factors(parameters), parts())
            assert own is not None, f"the chip's mapping of {layer.name} does not fit the chip"
            energies = (each.value / own.events["operation"] + 1 for each in (own, best))
            chosen = Chosen(parameters, _paper(best.parameters), own.elements, best.elements, *energies)
            if chosen not in found.setdefault(layer.name, []):
                found[layer.name].append(chosen)
    return found


def _factors(paper: dict[str, int]) -> dict[str, int]:
    """The paper's parameters as those of the dataflow, whose m counts passes and whose f are rows of a strip."""
    x = paper
    return {"m": x["m"] // (x["p"] * x["t"]), "n": x["n"], "f": x["e"], **{name: x[name] for name in "pqrt"}}


def _paper(x: dict[str, int]) -> dict[str, int]:
    """Parameters of the dataflow as the paper's."""
    return {"m": x["m"] * x["p"] * x["t"], "n": x["n"], "e": x["f"], **{name: x[name] for name in "pqrt"}}


def main() -> None:
    """Measure and print or write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--output", type=Path, help="write the page here instead of printing it")
    arguments = parser.parse_args()
    sys.path.insert(0, str(HERE.parent))
    from eyeriss_chip_page import page

    text = page()
    if arguments.output:
        arguments.output.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
