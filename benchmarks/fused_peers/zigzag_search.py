"""Runs ZigZag in an interpreter that has ZigZag: imports nothing of Catena.

    python benchmarks/fused_peers/zigzag_search.py PROBLEM.json RESULT.json --size BYTES

The machine is that of `stream_search.py` and only words across the chip's border cost energy, of which least is asked
for. The stages are those of ZigZag's API with `exploit_data_locality` but for those that draw and save, and the
network's input and result are off-chip, which is a choice of the stage that the API leaves out.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from described import BYTE, PORT, WIDE, memory, network
from zigzag.mapping.temporal_mapping import TemporalMappingType
from zigzag.stages.evaluation.cost_model_evaluation import CostModelStage
from zigzag.stages.exploit_data_locality_stages import (
    ExploitInterLayerDataLocalityStage,
    SearchInterLayerDataLocalityStage,
)
from zigzag.stages.main import MainStage
from zigzag.stages.mapping.spatial_mapping_generation import SpatialMappingGeneratorStage
from zigzag.stages.mapping.temporal_mapping_generator_stage import TemporalMappingGeneratorStage
from zigzag.stages.parser.accelerator_parser import AcceleratorParserStage
from zigzag.stages.parser.onnx_model_parser import ONNXModelParserStage
from zigzag.stages.results.reduce_stages import MinimalEnergyStage
from zigzag.stages.workload_iterator import WorkloadStage

SETTINGS = {
    "loma_lpf_limit": 6,
    "loma_show_progress_bar": False,
    "nb_mappings_generated": 3,
    "temporal_mapping_type": TemporalMappingType.UNEVEN,
    "enable_mix_spatial_mapping_generation": False,
    "access_same_data_considered_as_no_access": True,
}
"""The defaults of ZigZag's API."""
OF_NETWORKS = {"loma_lpf_limit": 4}
"""Of whole networks loops are split into fewer parts, so that ZigZag comes to its end."""
PAIR = 2
"""Layers of a problem that is no whole network."""
LINKS = [{"name": "default", "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"}}]


class FromOffChipStage(SearchInterLayerDataLocalityStage):
    """The search for what stays on the chip, with the network's own input and result off-chip."""

    def run(self) -> Iterator[Any]:
        yield from super().run(True)


def machine(size: int, folder: Path) -> Path:
    """The description of the machine."""
    free = {"r_cost": 0, "w_cost": 0}
    described = {
        "name": "machine",
        "memories": {"buffer": memory(size * BYTE, WIDE) | free, "dram": memory(10**12, PORT)},
        "operational_array": {"unit_energy": 0, "unit_area": 0, "dimensions": ["D1", "D2"], "sizes": [4, 4]},
    }
    path = folder / "machine.yaml"
    path.write_text(yaml.safe_dump(described, sort_keys=False))
    return path


def moved(evaluation: Any) -> dict[str, int]:
    """Bytes across the chip's border by operand: what the memory named dram reads and writes."""
    found: dict[str, int] = {}
    links, accelerator = evaluation.memory_operand_links, evaluation.accelerator
    for operand, levels in evaluation.memory_word_access.items():
        stored = links.layer_to_mem_op(operand)
        for depth, accesses in enumerate(levels):
            level = accelerator.get_memory_level(stored, depth)
            if level.memory_instance.name == "dram":
                words = sum(
                    count * level.get_max_bandwidth(stored, way) for way, count in accesses.data.items() if count
                )
                found[str(operand)] = int(words // BYTE)
    return found


def main() -> None:
    """Map the problem and write what was found, or how ZigZag failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("problem", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--size", type=int, required=True)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    problem = json.loads(arguments.problem.read_text())
    found: dict[str, Any] = {"version": version("zigzag-dse"), "size": arguments.size}
    with tempfile.TemporaryDirectory() as name:
        links = Path(name) / "links.yaml"
        links.write_text(yaml.safe_dump(LINKS))
        stages = [
            ONNXModelParserStage,
            AcceleratorParserStage,
            FromOffChipStage,
            WorkloadStage,
            ExploitInterLayerDataLocalityStage,
            MinimalEnergyStage,
            SpatialMappingGeneratorStage,
            MinimalEnergyStage,
            TemporalMappingGeneratorStage,
            CostModelStage,
        ]
        model = network(problem["input"], problem["layers"])
        files = {"accelerator": str(machine(arguments.size, Path(name))), "mapping": str(links)}
        settings = SETTINGS | (OF_NETWORKS if len(problem["layers"]) > PAIR else {})
        before = sum(os.times()[:4])
        try:
            layers = [evaluation for evaluation, _ in MainStage(stages, workload=model, **files, **settings).run()]
        except Exception as error:  # whatever it raises is what the page says of it
            found["failed"] = f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
        else:
            found["layers"] = {str(each.layer.name): moved(each) for each in layers}
            found["traffic"] = sum(sum(words.values()) for words in found["layers"].values())
        found["cpu_seconds"] = round(sum(os.times()[:4]) - before, 2)
    arguments.result.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
