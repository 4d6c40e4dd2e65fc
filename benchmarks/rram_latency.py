"""Latency of whole networks on cores with crossbars: layer by layer, pipelined, with copies; and beside PIMCOMP's.

    python benchmarks/rram_latency.py [--only NAME ...] [--models FOLDER] [--output docs/rram-latency.md]

Networks are generated and quantized with `catena quantize` (kept in a folder if one is given), and emulated; counts
must be those predicted.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from rram_pages import SCHEDULES, Network, make_page, shown

from backends.rram.emulator import MulticoreEmulator
from compiler.compilation import compile_model
from compiler.execution import random_inputs
from compiler.tables import number, table
from compiler.targets import select_target

NOTICE = "<!-- Made by `python benchmarks/rram_latency.py --output docs/rram-latency.md`; do not edit. -->\n"
INTRODUCTION = """\
# Whole networks on cores with crossbars

The target `rram` as it is: 144 cores with 64 crossbars of 128 x 128 cells, 1305 cycles to a product, a bus of 64 bytes
a cycle, 1000 MHz. One image, weights resident unless the network is larger than the chip: then it runs in phases, and
programming cells is part of the time. Cycles are emulated; they are equal to those predicted, with all that cores wait
for the bus, and so are all other counts of these runs.

- *Layer by layer*: a layer begins when those that it reads from are over, so that independent branches run at the same
  time. *Pipelined*: it begins when the rows that it reads are there. *Copies*: crossbars that are left hold more copies
  of weights.
- Phases: how often layers find no room and the chip is programmed anew. A layer larger than all of it, as the first
  dense one of VGG-16, takes several in a row and counts once.
- Full crossbars: as many as the cells that hold weights would fill. The use of crossbars is the share of the time in
  which crossbars of the whole chip multiply; that of cores, the share in which they compute or have the bus, and do not
  wait.
"""
PIMCOMP = """\
## Beside PIMCOMP

PIMCOMP-NN (snapshot 2ed10c8 of 20 November 2024) was run on the same networks with its default hardware: 144 cores with
64 crossbars of 128 x 128 cells of 2 bits. *Element* is its mode for latency, in which results are passed on position by
position; *balance* and *GA* are its two ways to choose copies. Its figures are those of its own evaluator, in ns. A bug
there takes 800 ns for a product, where its configuration says 4000 ns: the corrected figures are those with 4000 ns.
Ours are emulated cycles at 1000 MHz of a chip with as many cores and crossbars, once for each of the two latencies.

What differs: our numbers have 8 bits, those of PIMCOMP 16. Weights take 8 cells here as there, so that a network takes
as many crossbars, but words on the way have half the bytes. Its cores are connected by a mesh, ours by one bus of 64
bytes a cycle, which all transfers share. Its evaluator adds up costs of instructions; ours executes them. Its networks
are other ONNX files of the same topologies; that every layer of GoogLeNet agrees was not checked. GoogLeNet was not
measured with 4000 ns there: what it takes with 800 ns is less.
"""


NETWORKS = (
    Network("SqueezeNet", "light.py", ("--network", "squeezenet"), (2_971_658, 1_055_177, 3_901_620)),
    Network("ResNet-18", "resnet.py", ("--depth", "18"), (5_362_970, 2_020_722, 7_120_870)),
    Network("GoogLeNet", "googlenet.py", (), (5_857_080, 2_958_772, None)),
    Network("Tiny YOLOv4", "tiny_yolo.py", ("--version", "4")),
    Network("ResNet-50", "resnet.py", ("--depth", "50")),
    Network("VGG-16", "vgg.py", ("--depth", "16")),
)
COLUMNS = (
    *("network", "schedule", number("full crossbars"), number("phases"), number("cells written"), number("cycles")),
    *(number("ms"), number("faster"), number("crossbars used %"), number("cores used %"), number("bus used %")),
)
PEER_COLUMNS = (
    *("network", number("product ns"), number("PIMCOMP balance ns"), number("PIMCOMP GA ns"), number("Catena ns")),
    number("of the lower one"),
)


@dataclass(frozen=True)
class Found:
    """What a run counted; shares of the time are from 0 to 1."""

    cycles: int
    milliseconds: float
    crossbars: int
    phases: int
    written: int
    shares: tuple[float, float, float]
    """Of the time of all crossbars, of all cores, and of the bus."""


def run(model: onnx.ModelProto, settings: Mapping[str, str]) -> Found:
    """Compile and emulate a model; counts must be those predicted."""
    target = select_target("rram", settings)
    program = compile_model(model, target).program
    assert program is not None
    emulator = MulticoreEmulator(program)
    emulator.run(random_inputs(program, 0))
    for layer in program.layers:
        counted = emulator.counters[layer.name].flat()
        assert all(counted[name] == layer.predicted[name] for name in counted), layer.name
    machine, end = emulator.machine, emulator.timeline.end
    events = [counts.events for counts in emulator.counters.values()]
    phases = {phase for layer in program.layers for phase in re.findall(r"phase (\d+)>", layer.mapping)}
    chip = machine.cores.count * machine.cores.crossbars
    crossbars = sum(each["crossbar.mvm"] for each in events) * machine.crossbar.mvm_cycles / (chip * end)
    cores = emulator.occupancy.worked / (machine.cores.count * end)
    cells = machine.crossbar.rows * machine.crossbar.columns
    return Found(
        end,
        end / (machine.clock_mhz * 1e3),
        -(-sum(each["crossbar.cells"] for each in events) // cells),
        len(phases),
        sum(each["crossbar.rewrite"] for each in events),
        (crossbars, cores, emulator.timeline.bus / end),
    )


def rows(network: Network, folder: Path) -> Iterator[tuple[str, ...]]:
    """The ways to run a network."""
    model, first = network.model(folder), 0
    for title, settings in SCHEDULES.items():
        found = run(model, settings)
        first = first or found.cycles
        yield (
            *(network.title, title, f"{found.crossbars:,}", str(found.phases), f"{found.written:,}"),
            *(f"{found.cycles:,}", f"{found.milliseconds:.3f}", f"{first / found.cycles:.2f}"),
            *(f"{100 * share:.1f}" for share in found.shares),
        )


def peer_rows(network: Network, folder: Path) -> Iterator[tuple[str, ...]]:
    """The network beside PIMCOMP's figures, with either latency of a product."""
    assert network.peer is not None
    balance, searched, corrected = network.peer
    model = network.model(folder)
    for latency, theirs in ((800, (balance, searched)), (4000, (corrected, None))):
        chip = {"crossbar.weights.slices": str([2] * 8), "crossbar.mvm_cycles": str(latency)}
        settings = {**SCHEDULES["pipelined, copies"], **chip}
        ours = run(model, settings).cycles
        # What was not measured takes longer than with the shorter latency.
        bound = balance if theirs == (None, None) else None
        least = min(each for each in (*theirs, bound) if each is not None)
        shown = (f"{each:,}" if each is not None else "" for each in theirs)
        given = tuple(shown) if bound is None else (f"> {bound:,}", "")
        yield network.title, str(latency), *given, f"{ours:,}", f"{'< ' if bound else ''}{ours / least:.2f}"


def main() -> int:
    """Make the page."""
    return make_page(str(__doc__), NETWORKS, _page)


def _page(chosen: Sequence[Network], folder: Path) -> str:
    beside = [row for each in chosen if each.peer for row in shown(peer_rows(each, folder))]
    return page([row for each in chosen for row in shown(rows(each, folder))], beside)


def page(alone: Sequence[Sequence[str]], beside: Sequence[Sequence[str]]) -> str:
    """The page, given the rows of both tables."""
    parts = [NOTICE, INTRODUCTION, table(COLUMNS, alone).markdown(), ""]
    return "\n".join([*parts, PIMCOMP, table(PEER_COLUMNS, beside).markdown(), ""])


if __name__ == "__main__":
    sys.exit(main())
