"""The SPOTS machine beside Eyeriss and a Gemmini-like array with as many elements, on networks with pruned weights.

    python benchmarks/spots_rivals.py [--network AlexNet ...] [--points FILE] [--output docs/spots-rivals.md]

All three have 512 elements, words of 16 bits, 500 MHz, the same words in memories and on the link, and mappings with
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
    from compiler.tables import Column

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
SMALL_GROUP = 8
"""As many filters as `catena prune` takes for a group if nothing else is said: one block of SPOTS."""
IN_SMALL_GROUPS: dict[str, Sequence[float]] = {
    "AlexNet": (DENSE, 0.0, 0.1, 0.25, 0.5, 0.7, 0.9),
    "VGG-16": (DENSE, 0.0, 0.7),
    "ResNet-50": (DENSE, 0.0, 0.5, 0.7),
    "GoogLeNet": (DENSE, 0.0, 0.5, 0.7),
}
"""The sparsities of the page in these."""
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
    sparsities: Mapping[str, Sequence[float]], points: Path | None = None, group: int = GROUP
) -> dict[str, dict[float, dict[str, Cost]]]:
    """What the machines need for every network with some shares of zeros among its weights; see above for `points`.

    Weights are pruned in groups of as many filters.
    """
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
                point = f"{name} {share}" + (f" group {group}" if share > 0 and group != GROUP else "")
                if point not in known:
                    if share > 0:
                        prune_model(whole, pruned, PruneOptions(Structure.GROUP, share, group=group))
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
Weights are seeded, and pruned by `catena prune --structure group`, first with `--group {GROUP}`, as many filters as
a quarter of the array keeps results of, then with its default of {SMALL_GROUP}; images are random. SPOTS and
Eyeriss are emulated, so that zeros are those of pruned weights and of ReLUs; Eyeriss compresses feature maps on the
link and gates elements on inputs of zero. On the Gemmini-like array zeros save nothing. What SPOTS leaves out it leaves
out in time, and its kernels go over the link in blocks with bitmaps, words and bitmaps counted. Sizes and energies of
SPOTS are assumed ([spots.md](spots.md)). Of its 524,288 words the 131,072 for results have 24 bits; besides, it has a
reserve of 32,768 words in its im2col units, and 36,864 words for bitmaps of kernels, which the others have not.
`dense` are predictions for data without any zero, with nothing left out, gated or compressed. Without pruning (0 %)
there are the zeros of ReLUs, and transfers of feature maps, which Eyeriss does not overlap with its work as the others
do. Nothing is fitted to the published averages, whose networks' sparsities and group sizes were not found.
"""

_SMALL_GROUPS = f"""\
An index of the reduction takes no time only if it is zero in all kernels of a pass, which are up to as many as
elements keep results of ({GROUP} in a quarter of the array): with groups of {SMALL_GROUP} filters, pruned each by
itself, this is rare, and time follows the weights only where most are pruned. Operations in blocks that are not kept
are gated, and words of these blocks move nowhere: what is saved is energy. At 0 % the factors are those of the zeros
of ReLUs, and at `dense` of the machines as such.
"""


_ENDS = """\
The first row of a network above, `dense` before 0 %, in which SPOTS takes less time than the other machine, and the
first one whose factor is within 5 % of the largest: from there on more zeros hardly save time, because im2col units
make patches at their own pace, or the link is busy. Where that is the last row, the advantage still grows there. An
advantage at `dense` is that of the machine and its mappings, not of zeros: there is no sparsity below it.
"""


Found = Mapping[str, Mapping[float, Mapping[str, "Cost"]]]
"""Costs by network, share of zeros, and machine."""


def ends(found: Found) -> list[tuple[str, str, str, str]]:
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


def page(found: Found, in_small_groups: Found | None = None) -> str:
    """The whole page."""
    of_small = () if in_small_groups is None else _small_groups(in_small_groups)
    return "\n".join(
        (
            NOTICE,
            "# SPOTS beside Eyeriss and a Gemmini-like array\n",
            _INTRODUCTION,
            f"## {100 * STATED:.0f} % of the weights pruned, in groups of {GROUP}\n",
            "How many times as much the other machine takes.\n",
            _stated(found),
            f"## By the share of pruned weights, in groups of {GROUP}\n",
            _swept(found),
            "## Where the advantage starts and ends\n",
            _ENDS,
            _ends_table(found),
            *of_small,
        )
    )


def _small_groups(found: Found) -> tuple[str, ...]:
    return (
        f"## {100 * STATED:.0f} % of the weights pruned, in groups of {SMALL_GROUP}\n",
        _SMALL_GROUPS,
        _stated(found),
        f"## By the share of pruned weights, in groups of {SMALL_GROUP}\n",
        _swept(found),
    )


def _columns(first: Sequence[str | Column]) -> tuple[str | Column, ...]:
    from compiler.tables import number

    return (*first, *(number(f"{what} {rival}") for what in ("time,", "energy,") for rival in PUBLISHED))


def _factors(costs: Mapping[str, Cost]) -> list[str]:
    return [f"{of(costs, rival):.2f}" for of in (speed_up, saving) for rival in PUBLISHED]


def _stated(found: Found) -> str:
    from compiler.tables import table

    stated = [each[STATED] for each in found.values()]
    rows = [(name, *_factors(costs)) for name, costs in zip(found, stated, strict=True)]
    means = [f"{mean([of(costs, rival) for costs in stated]):.2f}" for of in (speed_up, saving) for rival in PUBLISHED]
    rows += [("geometric mean", *means), ("published", *(f"{each:.2f}" for each in PUBLISHED.values()), "", "")]
    return table(_columns(["network"]), rows).markdown() + "\n"


def _swept(found: Found) -> str:
    from compiler.tables import number, table

    rows = [
        (name, "dense" if share == DENSE else f"{100 * share:.0f}", *_factors(costs))
        for name, shares in found.items()
        for share, costs in shares.items()
    ]
    return table(_columns(["network", number("pruned %")]), rows).markdown() + "\n"


def _ends_table(found: Found) -> str:
    from compiler.tables import table

    return table(("network", "rival", "starts at", "within 5 % of its most from"), ends(found)).markdown() + "\n"


def main() -> None:
    """Run the comparison and print or write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--network", action="append", help="this network, as VGG-16; may be given several times")
    parser.add_argument("--points", type=Path, help="JSON file of what was measured: read, and added to")
    parser.add_argument("--output", type=Path, help="write the page here instead of printing it")
    arguments = parser.parse_args()
    names = arguments.network or NETWORKS
    by_group = [
        sweep({name: shares[name] for name in names}, arguments.points, group)
        for shares, group in ((NETWORKS, GROUP), (IN_SMALL_GROUPS, SMALL_GROUP))
    ]
    text = page(*by_group)
    if arguments.output:
        arguments.output.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
