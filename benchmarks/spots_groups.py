"""Fused groups and zeros together on the target `spots`: what each saves alone, and both in one network.

    python benchmarks/spots_groups.py [--output docs/spots-groups.md]

Every network is compiled eight times, and emulated with the same image: with and without fused groups, with and without
pruned kernels in blocks and indices of zeros left out, by the target's objective and by `edp`. Outputs of the same
weights have to be equal to the bit, and, where nothing is left out, all counts as predicted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

HERE = Path(__file__).resolve().parent
NOTICE = "<!-- Made by `python benchmarks/spots_groups.py --output docs/spots-groups.md`; do not edit. -->\n"
NETWORKS = ("AlexNet", "GoogLeNet", "ResNet-50")
PRUNED = 0.7
GROUP = 128
DENSE = {"im2col.skips": "false"}
"""Nothing is left out; kernels lie dense if `choose-encodings` is, too."""


@dataclass(frozen=True)
class Cost:
    """Words on the off-chip link, cycles and pJ of all layers; how many groups there are, and layers in them."""

    words: int
    cycles: int
    energy: float
    groups: int
    fused: int


@dataclass(frozen=True)
class Variant:
    """How a network is compiled; without an objective, by the target's."""

    fuse: bool
    sparse: bool
    objective: str | None = None

    @property
    def name(self) -> str:
        """As the page calls it."""
        return ("groups, " if self.fuse else "") + ("sparse" if self.sparse else "dense")


VARIANTS = [
    Variant(fuse, sparse, objective)
    for objective in (None, "edp")
    for sparse in (False, True)
    for fuse in (False, True)
]


def measured(path: Path, variant: Variant) -> tuple[Cost, dict[str, npt.NDArray[np.float32]]]:
    """What a network costs, and its outputs. Raises `ValueError` for counts that were predicted otherwise."""
    from backends.spots.emulator import SpotsEmulator
    from compiler.compilation import CompileOptions, compile_source
    from compiler.execution import emulated_report, random_inputs
    from dialects.events import Counts
    from dialects.schedule import Objective
    from passes.gemm.cost import LINK
    from passes.searching.options import SearchOptions

    sparse, objective = variant.sparse, None if variant.objective is None else Objective(variant.objective)
    options = CompileOptions(
        target="spots",
        settings={} if sparse else DENSE,
        fuse=variant.fuse,
        without=frozenset() if sparse else frozenset(("choose-encodings",)),
        search=SearchOptions(objective),
    )
    program = compile_source(str(path), options).program
    assert program is not None
    emulator = SpotsEmulator(program)
    outputs = emulator.run(random_inputs(program, 0))
    for layer in program.layers:
        found = emulator.counters[layer.name].differences(Counts.of(layer.predicted))
        if found and not sparse:
            raise ValueError(f"{layer.name}: (counted, predicted) {found}")
    report = emulated_report(program, emulator.counters)
    cost = Cost(
        sum(counts.charged(LINK) for counts in emulator.counters.values()),
        sum(layer.price.cycles for layer in report.layers),
        sum(layer.price.total_energy for layer in report.layers),
        len(program.groups),
        sum(bool(layer.group) for layer in program.layers),
    )
    return cost, outputs


def of_network(name: str, folder: Path, variants: Sequence[Variant] = VARIANTS) -> dict[Variant, Cost]:
    """What a pruned network costs. Raises `ValueError` for outputs that differ."""
    import onnx

    sys.path.insert(0, str(HERE))
    from spots import networks

    from compiler.pruning.options import PruneOptions, Structure
    from compiler.pruning.pruning import prune_model

    whole, pruned = folder / "whole.onnx", folder / "pruned.onnx"
    onnx.save(networks((name,))[name], whole)
    prune_model(whole, pruned, PruneOptions(Structure.GROUP, PRUNED, group=GROUP))
    costs: dict[Variant, Cost] = {}
    expected: dict[str, npt.NDArray[np.float32]] = {}
    for variant in variants:
        costs[variant], outputs = measured(pruned, variant)
        expected = expected or outputs
        if not all(np.array_equal(outputs[each], array) for each, array in expected.items()):
            raise ValueError(f"{name}: outputs differ, {variant}")
        print(name, variant, costs[variant], file=sys.stderr, flush=True)
    return costs


_INTRODUCTION = f"""\
Networks of seeded weights, {100 * PRUNED:.0f} % of them pruned by `catena prune --structure group --group {GROUP}`,
compiled for `spots` with `--fuse` and without, and emulated with one random image. `dense` leaves nothing out, and
moves kernels as they are; `sparse` leaves out indices of zeros, and moves kernels in blocks with bitmaps, those of
groups in holds. Outputs of all programs of a network are equal to the bit, and all counts of dense programs are those
that were predicted. Words, cycles and energy are of all layers.

Without an objective mappings are as fast as may be, and `--fuse` makes groups that move fewer words, as long as their
product of energy and cycles is no larger than that of their links, all taken to be dense. Transfers for holds are not
hidden behind work, so that a group may take longer than its links. With `--objective edp` groups stay that are expected
to take neither more energy nor more time than their links alone, with the zeros of kernels.
"""


_BESIDE = """\
What groups and zeros together take, as shares of what either takes alone, by the same objective: below 1 is a gain.
"""


def page(found: Mapping[str, Mapping[Variant, Cost]]) -> str:
    """The whole page."""
    from compiler.tables import number, table

    rows: list[tuple[str, ...]] = []
    beside: list[tuple[str, ...]] = []
    for name, costs in found.items():
        plain = costs[Variant(fuse=False, sparse=False)]
        for variant, cost in costs.items():
            groups = f"{cost.groups} of {cost.fused} layers" if cost.groups else ""
            sizes = (f"{cost.words / 1e6:.3f}", f"{cost.cycles / 1e6:.3f}", f"{cost.energy / 1e9:.3f}")
            ratios = (f"{each:.2f}" for each in _shares(plain, cost))
            rows.append((name, variant.name, variant.objective or "", groups, *sizes, *ratios))
            if variant.fuse and variant.sparse:
                alone = (replace(variant, fuse=False), replace(variant, sparse=False))
                shares = (f"{share:.3f}" for each in alone for share in _shares(cost, costs[each]))
                beside.append((name, variant.objective or "", *shares))
    titles = ("M words off-chip", "M cycles", "mJ", "fewer words", "less time", "less energy")
    others = [f"{what}, {than}" for than in ("of sparse", "of groups") for what in ("words", "time", "energy")]
    return "\n".join(
        (
            NOTICE,
            "# Fused groups and zeros on SPOTS\n",
            _INTRODUCTION,
            table(("network", "program", "objective", "groups", *map(number, titles)), rows).markdown() + "\n",
            "## Both beside each alone\n",
            _BESIDE,
            table(("network", "objective", *map(number, others)), beside).markdown() + "\n",
        )
    )


def _shares(one: Cost, other: Cost) -> tuple[float, float, float]:
    return one.words / other.words, one.cycles / other.cycles, one.energy / other.energy


def main() -> None:
    """Measure the networks and print or write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--network", action="append", help="this network; may be given several times")
    parser.add_argument("--output", type=Path, help="write the page here instead of printing it")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        text = page({name: of_network(name, Path(folder)) for name in arguments.network or NETWORKS})
    if arguments.output:
        arguments.output.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
