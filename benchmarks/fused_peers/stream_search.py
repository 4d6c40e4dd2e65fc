"""Runs Stream in an interpreter that has Stream: imports nothing of Catena.

    python benchmarks/fused_peers/stream_search.py PROBLEM.json RESULT.json --size BYTES

PROBLEM.json has `input`, a shape, and `layers`, as `ask` of `fused_peers.py` writes them. The machine is
one core with one buffer of `--size` bytes and an array that is never in the way, and an off-chip port of a byte a
cycle: Stream's objective is time, and on this machine that is traffic. CPU seconds are user and system time of this
process and its children while Stream maps, without imports and without making the network.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
import yaml
from described import BYTE, PORT, WIDE, memory, network
from stream.api import SolveOptions, evaluate_mapping


def machine(size: int, folder: Path) -> Path:
    """The description of the machine."""
    array = {"unit_energy": 0, "unit_area": 0, "dimensions": ["D1", "D2"]}
    core = {
        "name": "core",
        "type": "compute",
        "memories": {"buffer": memory(size * BYTE, WIDE)},
        "operational_array": {**array, "sizes": [64, 64]},
        "operand_precision": {"input": "int8", "accumulator": "int8"},
    }
    off_chip = {
        "name": "offchip",
        "type": "zigzag.offchip",
        "memories": {"dram": memory(10**12, PORT)},
        "operational_array": {**array, "sizes": [0, 0]},
    }
    system = {
        "name": "machine",
        "cores": {0: "core.yaml", 1: "offchip.yaml"},
        "offchip_core_id": 1,
        "unit_energy_cost": 0,
        "core_connectivity": [{"type": "bus", "cores": [0, 1], "bandwidth": PORT}],
    }
    for name, content in (("core", core), ("offchip", off_chip), ("machine", system)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder / "machine.yaml"


def moved(accesses: dict[str, Any] | None) -> dict[str, int]:
    """Bytes across the chip's border by tensor, of what Stream counts as accesses of the off-chip port's width."""
    found: dict[str, int] = {}
    for core in (accesses or {"cores": []})["cores"]:
        if core["is_offchip"]:
            for row in core["tensors"]:
                words = row["read"] * core["read_bandwidth"] + row["write"] * core["write_bandwidth"]
                found[row["tensor"]] = found.get(row["tensor"], 0) + words // BYTE
    return found


def main() -> None:
    """Map the problem and write what was found, or how Stream failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("problem", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--size", type=int, required=True)
    arguments = parser.parse_args()
    problem = json.loads(arguments.problem.read_text())
    found: dict[str, Any] = {"version": version("stream-dse"), "size": arguments.size}
    with tempfile.TemporaryDirectory() as name:
        model, output = Path(name) / "problem.onnx", Path(name) / "out"
        onnx.save(network(problem["input"], problem["layers"]), str(model))
        described = machine(arguments.size, Path(name))
        options = SolveOptions(artifacts=False)
        before = sum(os.times()[:4])
        try:
            estimate = evaluate_mapping(str(described), str(model), str(output), options=options)
        except Exception as error:  # whatever it raises is what the page says of it
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            found["failed"] = f"{type(error).__name__}: {' '.join(lines)[:400]}"
        else:
            context = estimate.context
            found["groups"] = [
                {
                    **yaml.safe_load((output / f"group_{number}" / "mapping.yaml").read_text())["fused_groups"][0],
                    "moved": moved(context.get("group_memory_accesses")[number]),
                    "cycles": cycles,
                }
                for number, cycles in enumerate(estimate.group_cycles)
            ]
            found["traffic"] = sum(sum(group["moved"].values()) for group in found["groups"])
        found["cpu_seconds"] = round(sum(os.times()[:4]) - before, 2)
    arguments.result.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
