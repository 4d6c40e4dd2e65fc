"""The SPOTS machine beside Eyeriss and a Gemmini-like array with as many elements, on networks with pruned weights.

    python benchmarks/spots_rivals.py [--network AlexNet ...] [--points FILE] [--output docs/spots-rivals.md]

All three have 512 elements, words of 16 bits, 500 MHz, the same words on the chip and on the link, and mappings with
the least latency. SPOTS and Eyeriss are emulated on the same image, so that zeros are those of weights and of ReLUs; a
Gemmini-like array takes the same for any data. Nothing is fitted to what is published. What was measured is added to
the file of points, and not measured again.
"""

from __future__ import annotations

import argparse
import json
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
DENSE = -1.0
"""In the place of a sparsity: no zeros at all, neither in weights nor in feature maps."""
SPARSITIES = (DENSE, 0.0, 0.25, 0.5, 0.7, 0.9)
NETWORKS: dict[str, Sequence[float]] = {
    "AlexNet": SPARSITIES,
    "VGG-16": (DENSE, 0.0, 0.7),
    "ResNet-50": SPARSITIES,
    "GoogLeNet": SPARSITIES,
}
"""The sparsities of the page; every one takes minutes on VGG-16, so that it has the fewest."""
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


def measured(path: Path, *, dense: bool = False) -> dict[str, Cost]:
    """What a network costs on all machines; as predicted without zeros if it is `dense`."""
    from backends.spatial.emulator import SpatialEmulator
    from backends.spots.emulator import SpotsEmulator
    from compiler.compilation import CompileOptions, compile_source
    from compiler.execution import emulated_report, predicted_report, random_inputs
    from dialects.schedule import Objective
    from passes.searching.options import SearchOptions

    found: dict[str, Cost] = {}
    for target, given in RIVALS.items():
        settings = dict(given)
        if dense:
            settings.pop("dram.compression", None)
            settings |= {"im2col.skips": "false"} if target == "spots" else {}
        # SPOTS always has the fastest mapping that is tried.
        search = SearchOptions() if target == "spots" else SearchOptions(objective=Objective.LATENCY)
        program = compile_source(str(path), CompileOptions(target=target, settings=settings, search=search)).program
        assert program is not None
        if dense or target == "gemmini":
            found[target] = cost(predicted_report(program))
            continue
        emulator = SpotsEmulator(program) if target == "spots" else SpatialEmulator(program)
        emulator.run(random_inputs(program, 0))
        found[target] = cost(emulated_report(program, emulator.counters))
    return found


def sweep(
    sparsities: Mapping[str, Sequence[float]], points: Path | None = None
) -> dict[str, dict[float, dict[str, Cost]]]:
    """What the machines need for every network with some shares of zeros among its weights; see above for `points`."""
    import onnx

    sys.path.insert(0, str(HERE))
    from spots import networks

    from compiler.pruning.options import PruneOptions, Structure
    from compiler.pruning.pruning import prune_model

    known: dict[str, dict[str, list[float]]] = {}
    if points is not None and points.exists():
        known = json.loads(points.read_text())
    found: dict[str, dict[float, dict[str, Cost]]] = {}
    with TemporaryDirectory() as folder:
        for name, shares in sparsities.items():
            whole, pruned = Path(folder) / "whole.onnx", Path(folder) / "pruned.onnx"
            onnx.save(networks((name,))[name], whole)
            found[name] = {}
            for share in shares:
                point = f"{name} {share}"
                if point not in known:
                    if share > 0:
                        prune_model(whole, pruned, PruneOptions(Structure.GROUP, share, group=GROUP))
                    costs = measured(pruned if share > 0 else whole, dense=share == DENSE)
                    known[point] = {target: [each.cycles, each.energy] for target, each in costs.items()}
                    print(point, known[point], file=sys.stderr, flush=True)
                    if points is not None:
                        points.write_text(json.dumps(known, indent=1))
                found[name][share] = {
                    target: Cost(int(cycles), energy) for target, (cycles, energy) in known[point].items()
                }
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
out in time, and its kernels go over the link in blocks with bitmaps, words and bitmaps counted. Sizes and energies of
SPOTS are assumed ([spots.md](spots.md)).
`dense` are predictions for data without any zero, with nothing left out, gated or compressed. Without pruning (0 %)
there are the zeros of ReLUs, and transfers of feature maps, which Eyeriss does not overlap with its work as the others
do. Nothing is fitted to the published averages, whose networks' sparsities and group sizes were not found.
"""


_ENDS = """\
The first row of a network above in which SPOTS takes less time than the other machine, and the first one whose factor
is within 5 % of the largest: from there on more zeros hardly save time, because im2col units make patches at their own
pace, or the link is busy. Where that is the last row, the advantage still grows there.
"""


def ends(found: Mapping[str, Mapping[float, Mapping[str, Cost]]]) -> list[tuple[str, str, str, str]]:
    """For every network and rival, the first sparsities of the sweep with an advantage, and with most of it."""
    rows: list[tuple[str, str, str, str]] = []
    for name, shares in found.items():
        for rival in PUBLISHED:
            factors = {share: speed_up(costs, rival) for share, costs in shares.items()}
            starts = [share for share, factor in factors.items() if factor > 1]
            most = next(share for share, factor in factors.items() if factor > max(factors.values()) / 1.05)
            rows.append((name, rival, _share(starts[0]) if starts else "nowhere", _share(most)))
    return rows


def _share(share: float) -> str:
    return "dense" if share == DENSE else f"{100 * share:.0f} %"


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
        (
            name,
            "dense" if share == DENSE else f"{100 * share:.0f}",
            *(f"{of(costs, rival):.2f}" for of in (speed_up, saving) for rival in rivals),
        )
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
            "## Where the advantage starts and ends\n",
            _ENDS,
            table(("network", "rival", "starts at", "within 5 % of its most from"), ends(found)).markdown() + "\n",
        )
    )


def main() -> None:
    """Run the comparison and print or write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--network", action="append", help="this network, as VGG-16; may be given several times")
    parser.add_argument("--points", type=Path, help="JSON file of what was measured: read, and added to")
    parser.add_argument("--output", type=Path, help="write the page here instead of printing it")
    arguments = parser.parse_args()
    names = arguments.network or NETWORKS
    text = page(sweep({name: NETWORKS[name] for name in names}, arguments.points))
    if arguments.output:
        arguments.output.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
