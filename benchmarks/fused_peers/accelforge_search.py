"""Runs AccelForge's mapper in an interpreter that has AccelForge: imports nothing of Catena.

    python benchmarks/fused_peers/accelforge_search.py PROBLEM.json RESULT.json [--size BYTES] [--imperfect]

PROBLEM.json has `einsums` and `ranks` as `Problem.einsums` of `fused_peers_problems.py` writes them. The objective is
off-chip traffic, for one size of the buffer or, as a frontier, beside the buffer's use. CPU seconds are user and system
time of this process and its children while partial mappings are made and joined, without imports and parsing; the
mappings found are not evaluated again in detail, which only saves the peer time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
from importlib.metadata import version
from pathlib import Path
from typing import Any

import accelforge
import yaml
from accelforge.frontend.mapper.metrics import Metrics
from accelforge.mapper.FFM.main import map_workload_to_arch

BITS = 8
AMPLE = 10**15
"""Bits of a buffer that holds everything; the unit of use is then this part of it (AccelForge's `snowcat.yaml`)."""
USE = "reservation<SEP>GlobalBuffer<SEP>"
ENERGY = "Total<SEP>energy"
MAPPING = "Total<SEP>mapping"


def exported(node: Any) -> list[Any]:
    """A node of a mapping and those below it as lists: temporal loops, storage, compute, and what branches.

    A reservation says from where on a tensor's place in the buffer is as large as it is counted.
    """
    kind = type(node).__name__
    if hasattr(node, "nodes"):
        return [kind, [found for child in node.nodes if (found := exported(child))]]
    match kind:
        case "Temporal":
            return [kind, str(node.rank_variable), int(node.tile_shape)]
        case "Storage":
            return [kind, str(node.component), [str(tensor) for tensor in node.tensors]]
        case "Reservation":
            return [kind, str(node.resource), [str(tensor) for tensor in node.purposes]]
        case "Compute":
            return [kind, str(node.einsum)]
        case _:
            return []


def main() -> None:
    """Search and write what was found, least traffic first."""
    parser = argparse.ArgumentParser()
    parser.add_argument("problem", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--size", type=int, help="bytes of the buffer; without it the frontier is asked for")
    parser.add_argument("--imperfect", action="store_true", help="also tiles that do not divide their rank")
    arguments = parser.parse_args()
    accelforge.set_n_parallel_jobs(1)
    problem = json.loads(arguments.problem.read_text())
    workload = {"rank_sizes": problem["ranks"], "bits_per_value": {"All": BITS}, "einsums": problem["einsums"]}
    described = arguments.result.with_suffix(".yaml")
    described.write_text(yaml.safe_dump({"workload": workload}))
    size = AMPLE if arguments.size is None else arguments.size * BITS
    architecture = Path(__file__).with_name("architecture.yaml")
    spec = accelforge.Spec.from_yaml(str(architecture), str(described), jinja_parse_data={"GLB": size})
    spec.mapper.metrics = Metrics.ENERGY if arguments.size else Metrics.ENERGY | Metrics.RESOURCE_USAGE
    spec.mapper.explore_imperfect_temporal_loops = arguments.imperfect
    before = sum(os.times()[:4])
    found = map_workload_to_arch(spec, print_progress=False, eval_in_detail=False)
    seconds = sum(os.times()[:4]) - before
    points: list[dict[str, Any]] = []
    rows = found.data.sort_values(ENERGY)
    for _, row in rows.iterrows():
        point: dict[str, Any] = {"traffic": round(float(row[ENERGY])) // BITS}
        used = [float(row[column]) for column in rows.columns if column.startswith(USE)]
        if used:
            point["buffer"] = round(max(used) * size) / BITS
        points.append({**point, "mapping": exported(row[MAPPING]())})
    result = {
        "version": version("accelforge"),
        "size": arguments.size,
        "imperfect": arguments.imperfect,
        "cpu_seconds": round(seconds, 2),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "points": points,
    }
    arguments.result.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
