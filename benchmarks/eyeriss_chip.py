"""AlexNet's convolutions, batch 4, against the published measurements of the Eyeriss chip.

    python benchmarks/eyeriss_chip.py

Compiles the network with the mappings that the chip used (JSSC 2017, table III) and, for CONV3, also with the one that
its published buffer traffic implies; runs both programs on the emulator; prints MACs, active elements, buffer traffic
and processing time beside the published ones (table V), and what the search finds when it is free.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "models"))


@dataclass(frozen=True)
class Published:
    """A row of JSSC 2017, table V: MMAC, active elements, processing ms, buffer accesses in MB."""

    layer: str
    mmac: float
    elements: int
    milliseconds: float
    megabytes: float


CHIP = (
    Published("CONV1", 421.6, 154, 16.5, 18.5),
    Published("CONV2", 895.7, 135, 39.2, 77.6),
    Published("CONV3", 598.1, 156, 21.8, 50.2),
    Published("CONV4", 448.6, 156, 16.0, 37.4),
    Published("CONV5", 299.0, 156, 10.0, 24.9),
)


@dataclass(frozen=True)
class Measured:
    """What the emulator counted for a layer."""

    mmac: float
    elements: int
    milliseconds: float
    megabytes: float


def measure(model: Path, mapping: Path | None, folder: Path) -> dict[str, Measured]:
    """Compile, run and count the convolutions of a model, by the name of their node."""
    import numpy as np

    import compiler
    from backends.container import read_program
    from backends.spatial.emulator import SpatialEmulator

    program_file = folder / "program.cat"
    compiler.compile(model, target="eyeriss", output=program_file, mapping=mapping)
    program = read_program(program_file)
    emulator = SpatialEmulator(program)
    source = next(entry for entry in program.tensors if entry.role == "input")
    emulator.run({source.name: np.random.default_rng(0).random(source.shape, dtype=np.float32)})
    machine = emulator.machine
    found: dict[str, Measured] = {}
    for layer in program.layers:
        counts = emulator.counters[layer.name]
        found[layer.nodes[0]] = Measured(
            counts.events["operation.mac"] / 1e6,
            counts.peak_pes,
            counts.array_cycles / machine.clock_mhz / 1e3,
            counts.charged(machine.counting.glb) * machine.word_bits / 8 / 1e6,
        )
    return found


def main() -> None:
    """Print the comparison; it takes no arguments but `--help`."""
    argparse.ArgumentParser(description="AlexNet's convolutions against the Eyeriss chip.").parse_args()
    from alexnet_paper import alexnet_paper
    from building import save
    from rich.console import Console
    from rich.table import Table

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "alexnet_paper.onnx"
        save(alexnet_paper(), model)
        runs = {
            "printed": measure(model, HERE / "models/alexnet_paper_table3.toml", folder),
            "implied": measure(model, HERE / "models/alexnet_paper_conv3.toml", folder),
            "searched": measure(model, None, folder),
        }
    table = Table(
        "layer", "mapping", "MMAC", "chip", "elements", "chip", "buffer MB", "chip", "error", "array ms", "chip"
    )
    for row in CHIP:
        for kind, measured in runs.items():
            if kind == "implied" and row.layer != "CONV3":
                continue
            ours = measured[row.layer]
            error = f"{100 * (ours.megabytes / row.megabytes - 1):+.1f} %"
            cells = (f"{ours.mmac:.1f}", f"{row.mmac:.1f}", f"{ours.elements}", f"{row.elements}")
            traffic = (f"{ours.megabytes:.2f}", f"{row.megabytes:.1f}", error)
            table.add_row(row.layer, kind, *cells, *traffic, f"{ours.milliseconds:.2f}", f"{row.milliseconds:.1f}")
    Console(width=120).print(table)
    print("All counts by emulation, random inputs. Array time: passes and filter loads, without off-chip transfers.")
    print("CONV3: the mapping printed in table III does not give the buffer traffic of table V; 'implied' does.")


if __name__ == "__main__":
    main()
