"""The SPOTS machine beside Eyeriss and a Gemmini-like array with as many elements, on networks with pruned weights.

    python benchmarks/spots_rivals.py [--network AlexNet ...] [--output docs/spots-rivals.md]

All three have 512 elements, words of 16 bits, 500 MHz, the same words on the chip and on the link, and mappings with
the least latency. SPOTS and Eyeriss are emulated on the same image, so that zeros are those of weights and of ReLUs; a
Gemmini-like array takes the same for any data. Nothing is fitted to what is published.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compiler.reports.layers import Report

HERE = Path(__file__).resolve().parent
NOTICE = "<!-- Made by `python benchmarks/spots_rivals.py --output docs/spots-rivals.md`; do not edit. -->\n"
GROUP = 128
"""Filters in which the same positions are pruned: as many as four divisions of the array keep results of."""
SPARSITIES = (0.0, 0.5, 0.7, 0.9)
NETWORKS = ("AlexNet", "ResNet-50", "GoogLeNet")
"""Those of the page; VGG-16, of which every share of zeros takes minutes, has to be asked for."""
STATED = 0.7
"""The sparsity of the table by network."""
RIVALS: dict[str, dict[str, str]] = {
    "spots": {},
    "eyeriss": {
        "array.rows": "16",
        "array.cols": "32",
        "limits.kernel_rows": "16",
        "clock_mhz": "500",
        "glb.banks": "256",
        "glb.bank_words": "2048",
        "links.dram": "12.8",
        # As many words for each element as on the chip with 168.
        "links.input_bus": "3.05",
        "links.kernel_bus": "12.2",
        "links.output_bus": "12.2",
        "energy.gating": "0.45",
        "dram.compression": "{ run_bits = 5, pairs = 3, link_bits = 64 }",
    },
    "gemmini": {
        "levels.row.size": "16",
        "levels.col.size": "32",
        "clock_mhz": "500",
        "word_bits": "16",
        "levels.scratchpad.words": "393216",
        "levels.accumulator.words": "131072",
        "picojoules": "2.0",
        "levels.dram.read": "12.8",
        "levels.dram.write": "12.8",
    },
}
PUBLISHED = {"eyeriss": 1.74, "gemmini": 2.16}
"""Average speed-up of SPOTS (TACO 2022, abstract)."""


@dataclass(frozen=True)
class Cost:
    """Cycles and pJ of the layers with kernels."""

    cycles: int
    energy: float


def cost(report: Report) -> Cost:
    """The layers of a report that multiply by kernels: convolutions and fully connected layers."""
    layers = [each for each in report.layers if each.counts.events["operation.mac"]]
    return Cost(sum(each.price.cycles for each in layers), sum(each.price.total_energy for each in layers))


def measured(path: Path) -> dict[str, Cost]:
    """What a network costs on all machines."""
    from backends.spatial.emulator import SpatialEmulator
    from backends.spots.emulator import SpotsEmulator
    from compiler.compilation import CompileOptions, compile_source
    from compiler.execution import emulated_report, predicted_report, random_inputs
    from dialects.schedule import Objective
    from passes.searching.options import SearchOptions

    found: dict[str, Cost] = {}
    for target, settings in RIVALS.items():
        # SPOTS always has the fastest mapping that is tried.
        search = SearchOptions() if target == "spots" else SearchOptions(objective=Objective.LATENCY)
        program = compile_source(str(path), CompileOptions(target=target, settings=settings, search=search)).program
        assert program is not None
        if target == "gemmini":
            found[target] = cost(predicted_report(program))
            continue
        emulator = SpotsEmulator(program) if target == "spots" else SpatialEmulator(program)
        emulator.run(random_inputs(program, 0))
        found[target] = cost(emulated_report(program, emulator.counters))
    return found


def sweep(names: Sequence[str], sparsities: Sequence[float] = SPARSITIES) -> dict[str, dict[float, dict[str, Cost]]]:
    """What the machines need for every network with every share of zeros among its weights."""
    import onnx

    sys.path.insert(0, str(HERE))
    from spots import networks

    from compiler.pruning.options import PruneOptions, Structure
    from compiler.pruning.pruning import prune_model

    found: dict[str, dict[float, dict[str, Cost]]] = {}
    with TemporaryDirectory() as folder:
        for name, model in networks(names).items():
            whole, pruned = Path(folder) / "whole.onnx", Path(folder) / "pruned.onnx"
            onnx.save(model, whole)
            found[name] = {}
            for share in sparsities:
                if share:
                    prune_model(whole, pruned, PruneOptions(Structure.GROUP, share, group=GROUP))
                found[name][share] = measured(pruned if share else whole)
                print(name, share, {k: v.cycles for k, v in found[name][share].items()}, file=sys.stderr, flush=True)
    return found


def speed_up(costs: Mapping[str, Cost], rival: str) -> float:
    """How many times as long a rival takes."""
    return costs[rival].cycles / costs["spots"].cycles


def saving(costs: Mapping[str, Cost], rival: str) -> float:
    """How many times as much energy a rival takes."""
    return costs[rival].energy / costs["spots"].energy


def mean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return prod(values) ** (1 / len(values))


_INTRODUCTION = f"""\
SPOTS, Eyeriss and a Gemmini-like array with 512 elements each, words of 16 bits, a clock of 500 MHz, 524,288 words in
memories on the chip (Eyeriss has the scratchpads of its elements besides) and 12.8 words a cycle on the link; buses of
Eyeriss are wider by as much as it has more elements than the chip. Each has the mapping with the least latency that
its mapper finds. Figures are of the layers with kernels: what else there is between them is left out of all three.
Weights are seeded, and pruned by `catena prune --structure group --group {GROUP}`; images are random. SPOTS and
Eyeriss are emulated, so that zeros are those of pruned weights and of ReLUs; Eyeriss compresses feature maps on the
link and gates elements on inputs of zero. On the Gemmini-like array zeros save nothing. What SPOTS leaves out it leaves
out in time; its kernels go over the link as they are, not encoded. Sizes and energies of SPOTS are assumed
([spots.md](spots.md)).
Without pruning there are still the zeros of ReLUs, and transfers of feature maps, which Eyeriss does not overlap with
its work as the others do. Nothing is fitted to the published averages, whose networks' sparsities and
group sizes were not found.
"""


def page(found: Mapping[str, Mapping[float, Mapping[str, Cost]]]) -> str:
    """The whole page."""
    from compiler.tables import number, table

    rivals = list(PUBLISHED)
    titles = [f"{what} {rival}" for what in ("time,", "energy,") for rival in rivals]
    stated = [each[STATED] for each in found.values()]
    rows = [
        (name, *(f"{of(costs, rival):.2f}" for of in (speed_up, saving) for rival in rivals))
        for name, costs in zip(found, stated, strict=True)
    ]
    means = [f"{mean([of(costs, rival) for costs in stated]):.2f}" for of in (speed_up, saving) for rival in rivals]
    rows += [("geometric mean", *means), ("published", *(f"{PUBLISHED[rival]:.2f}" for rival in rivals), "", "")]
    swept = [
        (name, f"{100 * share:.0f}", *(f"{of(costs, rival):.2f}" for of in (speed_up, saving) for rival in rivals))
        for name, shares in found.items()
        for share, costs in shares.items()
    ]
    return "\n".join(
        (
            NOTICE,
            "# SPOTS beside Eyeriss and a Gemmini-like array\n",
            _INTRODUCTION,
            f"## {100 * STATED:.0f} % of the weights pruned\n",
            "How many times as much the other machine takes.\n",
            table(("network", *map(number, titles)), rows).markdown() + "\n",
            "## By the share of pruned weights\n",
            table(("network", number("pruned %"), *map(number, titles)), swept).markdown() + "\n",
        )
    )


def main() -> None:
    """Run the comparison and print or write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--network", action="append", help="this network, as VGG-16; may be given several times")
    parser.add_argument("--output", type=Path, help="write the page here instead of printing it")
    arguments = parser.parse_args()
    text = page(sweep(arguments.network or NETWORKS))
    if arguments.output:
        arguments.output.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
