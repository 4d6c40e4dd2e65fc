"""Cores with crossbars on a mesh beside the same cores on a bus: time, links and energy of what is moved.

    python benchmarks/rram_mesh.py [--only NAME ...] [--models FOLDER] [--output docs/rram-mesh.md]

Networks are generated and quantized (`rram_pages.py`), compiled and emulated. Outputs have to be equal to the
bit, and counts those that are predicted: bytes times links and the cycles of the busiest link of every layer, too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from rram_pages import SCHEDULES, Network, make_page, shown

from backends.program import Program
from backends.rram.emulator import MulticoreEmulator
from compiler.compilation import compile_model
from compiler.execution import random_inputs
from compiler.tables import number, table
from compiler.targets import select_target
from passes.pricing import price

NOTICE = "<!-- Made by `python benchmarks/rram_mesh.py --output docs/rram-mesh.md`; do not edit. -->\n"
INTRODUCTION = """\
# Cores with crossbars on a mesh, and on a bus

The target `rram` has 144 cores on a bus of 64 bytes a cycle; `rram-mesh` has the same cores on a mesh of 12 x 12
routers with links of 32 bytes a cycle, one cycle each, and four ports of the shared memory. One image, weights
resident. Outputs of both are equal to the bit.

- Cycles are emulated, with what words wait for every link. They are equal to those predicted, and so are bytes times
  links, and the cycles of the busiest link of every layer.
- *Busiest*: the share of the emulated time in which the bus, or the link that is taken longest, is taken.
- Links of a byte: how many it crosses on average, from a core to its router, over links between routers, and to a port
  of the memory or another core. With 64 crossbars to a core all rings of these networks lie within cores; where they do
  not, their cores are placed next to each other.
- Energy of what is moved: 1.0 pJ for a byte in or out of the shared memory, and on the mesh 1.0 pJ for a byte and link
  (from PUMA's router; `sources` of `rram-mesh`). On the bus the way is free of charge, so that the two are no
  comparison.
"""
NETWORKS = (
    Network("SqueezeNet", "light.py", ("--network", "squeezenet")),
    Network("ResNet-18", "resnet.py", ("--depth", "18")),
)
COLUMNS = (
    *("network", "schedule", "on", number("cycles")),
    *(number("busiest %"), number("bytes"), number("bytes x links"), number("links of a byte")),
    number("moving uJ"),
)


@dataclass(frozen=True)
class Found:
    """A program, what its run counted, and its outputs."""

    program: Program
    emulator: MulticoreEmulator
    outputs: Mapping[str, np.ndarray]


def run(model: onnx.ModelProto, target: str, settings: Mapping[str, str]) -> Found:
    """Compile and emulate a model; all counts must be those predicted."""
    program = compile_model(model, select_target(target, settings)).program
    assert program is not None
    emulator = MulticoreEmulator(program)
    outputs = emulator.run(random_inputs(program, 0))
    for layer in program.layers:
        counted = emulator.counters[layer.name].flat()
        assert counted == layer.predicted, layer.name
    return Found(program, emulator, outputs)


def rows(network: Network, folder: Path) -> Iterator[tuple[str, ...]]:
    """Every schedule, on the bus and on the mesh."""
    model = network.model(folder)
    for schedule, settings in SCHEDULES.items():
        first: Mapping[str, np.ndarray] | None = None
        for target in ("rram", "rram-mesh"):
            found = run(model, target, settings)
            first = first or found.outputs
            assert all((found.outputs[name] == array).all() for name, array in first.items())
            timeline, machine = found.emulator.timeline, found.emulator.machine
            counts = list(found.emulator.counters.values())
            energies = [price(each, machine).energy for each in counts]
            moving = sum(each["bus"] + each.get("mesh", 0.0) for each in energies)
            moved, hops = (sum(each.events[name] for each in counts) for name in ("bus.bytes", "mesh.byte_hops"))
            yield (
                *(network.title, schedule, "bus" if target == "rram" else "mesh"),
                f"{timeline.end:,}",
                f"{100 * timeline.bus / timeline.end:.1f}",
                *(f"{moved:,}", f"{hops:,}" if hops else "", f"{hops / moved:.2f}" if hops else ""),
                f"{moving / 1e6:,.1f}",
            )


def page(made: Sequence[Sequence[str]]) -> str:
    """The page, given the rows of its table."""
    return "\n".join([NOTICE, INTRODUCTION, table(COLUMNS, made).markdown(), ""])


def main() -> int:
    """Make the page."""
    return make_page(
        str(__doc__),
        NETWORKS,
        lambda chosen, folder: page([row for each in chosen for row in shown(rows(each, folder))]),
    )


if __name__ == "__main__":
    sys.exit(main())
