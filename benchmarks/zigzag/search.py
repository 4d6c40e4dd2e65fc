"""Runs ZigZag's search of mappings in an interpreter that has ZigZag: imports nothing of Catena.

    python benchmarks/zigzag/search.py LAYERS.json ACCELERATOR.yaml RESULT.json

LAYERS.json has sizes of ZigZag's loop dimensions, `strides` and `dilations` of x and y, by the name of the layer. The
stages are those of ZigZag's `get_hardware_performance_zigzag` but for those that parse, draw and save. One search
serves both objectives: a search for one goes through the same mappings. CPU seconds are user and system time of this
process and its children while mappings are made and priced, without imports and parsing.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from zigzag.mapping.temporal_mapping import TemporalMappingType
from zigzag.parser.workload_factory import LayerNodeFactory
from zigzag.stages.evaluation.cost_model_evaluation import CostModelStage
from zigzag.stages.main import MainStage
from zigzag.stages.mapping.spatial_mapping_generation import SpatialMappingGeneratorStage
from zigzag.stages.mapping.temporal_mapping_generator_stage import TemporalMappingGeneratorStage
from zigzag.stages.parser.accelerator_parser import AcceleratorParserStage
from zigzag.stages.stage import Stage

SETTINGS = {"loma_lpf_limit": 6, "nb_mappings_generated": 3, "temporal_mapping_type": TemporalMappingType.UNEVEN}
"""The defaults of ZigZag's API."""
MACHINE = {"access_same_data_considered_as_no_access": False}
"""The one setting that the API fixes to True: elements would have registers before their scratchpads."""
LINKS: list[dict[str, Any]] = [
    {
        "name": "default",
        "spatial_mapping": None,
        "spatial_mapping_hint": None,
        "temporal_ordering": None,
        "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"},
    }
]
"""Which memories take which operand; nothing else of the mapping is given."""
BITS = 8
EQUATION = "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]"


class BothLeastStage(Stage):
    """The evaluations of least energy and of least energy-delay product, chosen as ZigZag's own stages choose."""

    def run(self) -> Any:
        energy: Any = None
        edp: Any = None
        count = 0
        for cme, _ in self.list_of_callables[0](self.list_of_callables[1:], **self.kwargs).run():
            count += 1
            if energy is None or (cme.energy_total, cme.latency_total2) < (energy.energy_total, energy.latency_total2):
                energy = cme
            if edp is None or cme.energy_total * cme.latency_total2 < edp.energy_total * edp.latency_total2:
                edp = cme
        yield energy, count
        yield edp, count


def node(name: str, layer: dict[str, Any]) -> Any:
    """A layer as ZigZag's parser of ONNX describes it, without padding: padded words count like others."""
    x, y = (
        f"i{axis}={stride}*o{axis}+{dilation}*f{axis}"
        for axis, stride, dilation in zip("xy", layer["strides"], layer["dilations"], strict=True)
    )
    described = {
        "id": 0,
        "name": name,
        "operator_type": "Conv",
        "equation": EQUATION,
        "loop_dims": list(layer["sizes"]),
        "loop_sizes": list(layer["sizes"].values()),
        "dimension_relations": [x, y],
        "operand_precision": dict.fromkeys(("I", "W", "O", "O_final"), BITS),
        "operand_source": {},
        "pr_loop_dims": None,
        "pr_loop_sizes": None,
        "padding": None,
    }
    return LayerNodeFactory(described, LINKS).create()


def exported(cme: Any) -> dict[str, Any]:
    """A mapping, loops from the inside out by operand and memory, and what ZigZag's cost model says of it."""
    axes, levels = cme.layer.spatial_mapping, cme.temporal_mapping.mapping_dic_origin
    return {
        "energy": float(cme.energy_total),
        "latency": float(cme.latency_total2),
        "steps": float(cme.ideal_temporal_cycle),
        "spatial": {str(axis): {str(dim): factor for dim, factor in loops.items()} for axis, loops in axes.items()},
        "temporal": {
            str(operand): [[[str(dim), int(factor)] for dim, factor in loops] for loops in memories]
            for operand, memories in levels.items()
        },
        "words": {str(operand): words(cme, operand) for operand in levels},
    }


def words(cme: Any, operand: Any) -> list[dict[str, int]]:
    """Words moved at each memory of an operand: up and down, read and written."""
    found: list[dict[str, int]] = []
    memory = cme.memory_operand_links.layer_to_mem_op(operand)
    for depth, accesses in enumerate(cme.memory_word_access[operand]):
        level = cme.accelerator.get_memory_level(memory, depth)
        moved = {
            str(way.value): count * level.get_max_bandwidth(memory, way) // BITS
            for way, count in accesses.data.items()
            if count
        }
        found.append(moved)
    return found


def main() -> None:
    """Search every layer and write the results, after each layer those so far."""
    logging.disable(logging.CRITICAL)
    layers, description, result = sys.argv[1:]
    accelerator = AcceleratorParserStage.parse_accelerator(description)
    stages = [BothLeastStage, SpatialMappingGeneratorStage, TemporalMappingGeneratorStage, CostModelStage]
    found: dict[str, Any] = {}
    for name, layer in json.loads(Path(layers).read_text()).items():
        search = MainStage(stages, accelerator=accelerator, layer=node(name, layer), **SETTINGS, **MACHINE)
        before = sum(os.times()[:4])
        (energy, count), (edp, _) = search.run()
        seconds = sum(os.times()[:4]) - before
        found[name] = {"cpu_seconds": round(seconds, 2), "mappings": count}
        found[name] |= {"energy": exported(energy), "edp": exported(edp)}
        Path(result).write_text(json.dumps({"version": version("zigzag-dse"), "layers": found}))
        print(name, flush=True)


if __name__ == "__main__":
    main()
