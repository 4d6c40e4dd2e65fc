"""The designs that LoopTree was validated with, as targets with fixed mappings, beside their published figures.

    python benchmarks/looptree_designs.py [--output docs/looptree-designs.md]

DepFiN, Fused-layer CNN, ISAAC, PipeLayer and FLAT (LoopTree, arXiv 2409.13625, section VI). Their targets are the
descriptions in `benchmarks/looptree_designs/`, their layers `looptree_groups.py`, their mappings
`looptree_mappings.py`; `passes/fusion` prices these. What is published of them is in `published.json`, with sources.
The exit code is 1 if a figure differs by more than 4 %, LoopTree's largest error.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dialects.fused_mapping import FusedMapping
    from dialects.nest_machine import NestMachine
    from passes.fusion.group import Group
    from passes.fusion.model import FusedCosts

HERE = Path(__file__).resolve().parent / "looptree_designs"
LARGEST = 0.04
"""The largest error allowed: that of LoopTree's own validation."""
KB, MIB = 1000, 1 << 20


@dataclass(frozen=True)
class Figure:
    """A published figure and ours."""

    design: str
    what: str
    published: float
    ours: float
    unit: str
    key: str
    """Whose figure it is: an entry of `published.json`, which has the source."""

    @property
    def error(self) -> float:
        """How much ours is larger, relative to what is published."""
        return self.ours / self.published - 1


@dataclass(frozen=True)
class Unchecked:
    """A figure of ours beside which nothing comparable is published, or that differs from what is."""

    design: str
    what: str
    ours: str
    why: str


@cache
def published() -> dict[str, Any]:
    """What is published, by design."""
    return json.loads((HERE / "published.json").read_text())


@cache
def target(name: str) -> NestMachine:
    """The description of a design."""
    from compiler.targets import select_target
    from dialects.nest_machine import NestMachine

    machine = select_target(str(HERE / f"{name}.toml")).machine
    assert isinstance(machine, NestMachine)
    return machine


def priced(machine: NestMachine, group: Group, mapping: FusedMapping) -> FusedCosts:
    """The costs of a group. Raises `ValueError` if the mapping means nothing for it, or not on this machine."""
    from passes.fusion.legality import violations
    from passes.fusion.model import FusedCosts

    known = {memory.name for memory in machine.memories[1:]}
    problems = [f"{machine.name} has no {each.memory}" for each in mapping.retentions if each.memory not in known]
    if problems := [*problems, *violations(group, mapping)]:
        raise ValueError("; ".join(problems))
    return FusedCosts(group, mapping)


def word_bytes(machine: NestMachine) -> int:
    """Bytes of a word."""
    return machine.word_bits // 8


def all_figures() -> list[Figure]:
    """Every figure that is published and can be computed."""
    return [*fused_cnn(), *isaac(), *pipelayer(), *flat(), *flat_runs()]


def all_unchecked() -> list[Unchecked]:
    """What was run, but has nothing public to be compared with."""
    return [*depfin(), *fused_cnn_unchecked(), *isaac_unchecked(), *pipelayer_unchecked(), *flat_unchecked()]


# Fused-layer CNN ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reuse:
    """A reading of what reuse buffers count: whether padding is stored, and whether the image has them too."""

    padding: bool
    image: bool

    def __str__(self) -> str:
        padding = "padding stored" if self.padding else "padding not stored"
        return f"{padding}, image {'included' if self.image else 'not included'}"


READINGS = tuple(Reuse(padding, image) for padding in (True, False) for image in (False, True))
MAIN_READING = READINGS[0]
"""Buffers between fused layers, for maps with the padding that the accelerator stores; one reading for all networks."""


def networks() -> dict[str, Callable[[bool], Group]]:
    """The fused layers by network."""
    from looptree_groups import alexnet_tower, vgg_e

    return {"vgg_e": vgg_e, "alexnet": alexnet_tower}


@cache
def pyramid_costs(network: str, padding: bool = False, recomputing: bool = False) -> FusedCosts:
    """The fused layers of a network, position by position of the last feature map."""
    import looptree_mappings as mappings

    group = networks()[network](padding)
    mapping = mappings.pyramids(group, mappings.Memories("reuse", "kernels"))
    return priced(target("fused-cnn"), group, mappings.recomputing(group, mapping) if recomputing else mapping)


def reuse_words(network: str, reading: Reuse) -> int:
    """Words that are kept between pyramids: rows between rows of them, and columns between neighbours."""
    from looptree_groups import IMAGE

    from passes.fusion.keeping import kept

    costs = pyramid_costs(network, reading.padding)
    maps = [tensor for tensor in (IMAGE, *costs.group.intermediates) if reading.image or tensor != IMAGE]
    return sum(sum(kept(costs.tiles, tensor)) for tensor in maps)


def closed_form_words(network: str, reading: Reuse) -> int:
    """The same by hand: (K - S) W C for rows, D (K - S) C for columns, with windows of K and stride S on maps W wide.

    D = S (d - 1) + K is the height of the tile that the window needs if what reads its results takes d rows at a time.
    """
    from looptree_groups import IMAGE

    group = networks()[network](reading.padding)
    words, new = 0, 1
    for link in reversed(group.links):
        _, rows, _ = link.spec.dims
        tensor = group.tensor(link.input.tensor)
        channels, _, width = tensor.shape
        overlap, tile = max(rows.ks - rows.stride, 0), rows.stride * (new - 1) + rows.ks
        if reading.image or tensor.name != IMAGE:
            words += overlap * (width + tile) * channels
        new *= rows.stride
    return words


def feature_traffic(costs: FusedCosts) -> int:
    """Words of feature maps over the off-chip link: kernels are not counted."""
    group = costs.group
    kernels = sum(words for tensor, words in costs.reads.items() if group.is_kernel_alone(tensor))
    return costs.traffic - kernels


def fused_cnn() -> Iterator[Figure]:
    """Transfers and storage for five convolutions of VGG-E; storage, or operations instead, for two of AlexNet."""
    figures, size = published()["fused_cnn"], word_bytes(target("fused-cnn"))
    vgg, alexnet = figures["vgg_e"], figures["alexnet"]
    transfers = feature_traffic(pyramid_costs("vgg_e")) * size / MIB
    name = "Fused-layer CNN"
    yield Figure(name, "VGG-E, 5 convolutions: transfers", vgg["transfers_mb"], transfers, "MiB", "fused_cnn")
    for network, title in (("vgg_e", "VGG-E, 5 convolutions"), ("alexnet", "AlexNet, 2 layers")):
        storage = reuse_words(network, MAIN_READING) * size / KB
        yield Figure(name, f"{title}: reuse buffers", figures[network]["storage_kb"], storage, "kB", "fused_cnn")
    again = recomputed_macs("alexnet") / 1e6
    what = "AlexNet, 2 layers: recomputed instead"
    yield Figure(name, what, alexnet["recomputed_millions"], again, "million", "fused_cnn")


def recomputed_macs(network: str) -> int:
    """Multiplications with additions that pyramids without reuse make more than once."""
    costs = pyramid_costs(network, recomputing=True)
    return sum(costs.work[link.name].recomputed for link in costs.group.links if link.spec.is_multiply_accumulate)


def fused_cnn_unchecked() -> Iterator[Unchecked]:
    name = "Fused-layer CNN"
    yield Unchecked(
        name,
        "VGG-E: transfers layer by layer",
        "not run",
        "77 MB are published; which transfers of which layers these are is not, and no plain count gives it "
        "(52 MB with poolings merged, 90 MB with poolings apart)",
    )
    alexnet = pyramid_costs("alexnet", recomputing=True)
    links = [link.name for link in alexnet.group.links if link.spec.is_multiply_accumulate]
    ratio = sum(alexnet.work[link].operations for link in links) / sum(alexnet.work[link].needed for link in links)
    yield Unchecked(
        name,
        "AlexNet: operations when recomputing, relative to reuse",
        f"{ratio:.2f}",
        "8.6 is published, of operations of which the 678 million above are a part; what they are relative to is not",
    )


# ISAAC ----------------------------------------------------------------------------------------------------------------


def isaac() -> Iterator[Figure]:
    """The buffers between layers of its table, and its formula for the steady state of the pipeline."""
    import looptree_mappings as mappings
    from looptree_groups import stage

    from passes.fusion.keeping import live

    machine, memories = target("isaac"), mappings.Memories("edram", "crossbar")
    for maps, kernel, extent, whole, pipelined in published()["isaac"]["buffers"]:
        group = stage(maps, kernel, extent)
        layer = f"{maps} maps of {extent} x {extent}, kernel {kernel}"
        ours = priced(machine, group, mappings.whole_maps(group, memories)).occupancy["before"]
        yield Figure("ISAAC", f"{layer}: whole", whole, ours / 1024, "KiB at 1 B", "isaac")
        ours = priced(machine, group, mappings.rolling_rows(group, memories)).occupancy["before"]
        yield Figure("ISAAC", f"{layer}: pipelined", pipelined, ours / 1024, "KiB at 1 B", "isaac")
        positions = priced(machine, group, mappings.rolling_positions(group, memories))
        formula = (extent * (kernel - 1) + kernel) * maps
        ours = live(positions.tiles, "before").largest
        yield Figure("ISAAC", f"{layer}: formula, steady state", formula, ours, "words", "isaac")


def isaac_unchecked() -> Iterator[Unchecked]:
    yield Unchecked(
        "ISAAC",
        "throughput and energy of VGG-1 to VGG-4, MSRA, DeepFace",
        "not run",
        "published relative to another chip (14.8 and 5.5 times better), whose runs are not public; a group has one "
        "turn for all of its links, while ISAAC's stages advance at rates of their own, so that layers are priced in "
        "pairs",
    )


# PipeLayer ------------------------------------------------------------------------------------------------------------

WIDTHS = ((784, 300, 10), (784, 500, 250, 10), (784, 1500, 1000, 500, 10))
"""Perceptrons for MNIST with two to four layers. Every layer takes a cycle an image, whatever its width."""
BATCHES = (16, 64)


def cycles(group: Group, pipelined: bool) -> int:
    """Cycles for a batch, if every layer works on a whole image in one."""
    import looptree_mappings as mappings

    from dialects.fused_mapping import Stages

    stages = Stages.PIPELINE if pipelined else Stages.SEQUENTIAL
    costs = priced(
        target("pipelayer"), group, mappings.images(group, mappings.Memories("subarrays", "crossbar"), stages)
    )
    return costs.steps({name: max(work.needed, 1) for name, work in costs.work.items()})


def pipelayer() -> Iterator[Figure]:
    """Cycles of a layer in one set of arrays, and of its pipelines for testing and for training."""
    import looptree_mappings as mappings
    from looptree_groups import perceptron, single_conv, training

    layer = published()["pipelayer"]["layer"]
    channels, filters, edge, kernel = (layer[key] for key in ("channels", "filters", "edge", "kernel"))
    group = single_conv(channels, filters, edge, kernel)
    whole = mappings.whole_maps(group, mappings.Memories("subarrays", "crossbar"))
    costs = priced(target("pipelayer"), group, whole)
    arrays = channels * kernel**2 * filters
    what = f"a layer of {channels * kernel**2} x {filters} weights"
    yield Figure("PipeLayer", what, layer["cycles"], costs.steps({"layer": arrays}), "cycles", "pipelayer")
    for widths in WIDTHS:
        layers = len(widths) - 1
        for images in BATCHES:
            where = f"{layers} layers, {images} images"
            test, train = perceptron(widths, images), training(widths, images)
            # The update of weights takes a cycle of its own after a batch; nothing goes on meanwhile.
            for what, formula, ours in (
                ("testing, L N", layers * images, cycles(test, False)),
                ("testing in a pipeline, N + L - 1", images + layers - 1, cycles(test, True)),
                ("training, (2 L + 1) N + N / B", (2 * layers + 1) * images + 1, cycles(train, False) + 1),
                ("training in a pipeline, N / B (2 L + B + 1)", 2 * layers + images + 1, cycles(train, True) + 1),
            ):
                yield Figure("PipeLayer", f"{where}: {what}", formula, ours, "cycles", "pipelayer")


def pipelayer_unchecked() -> Iterator[Unchecked]:
    yield Unchecked(
        "PipeLayer",
        "speed and energy of AlexNet and VGG-A to VGG-E",
        "not run",
        "published relative to a GPU (42.45 and 7.17 times better on average), and how often each layer's weights are "
        "repeated is not; a pooling is a link, and so a stage of its own, while PipeLayer's belongs to its convolution",
    )


# FLAT -----------------------------------------------------------------------------------------------------------------

SEQUENCES = (512, 2048, 16384)


def footprint(costs: FusedCosts, machine: NestMachine) -> int:
    """Words of the scratchpad that tiles need, those that are staged twice included."""
    return sum(costs.capacity(memory.name) * memory.buffers for memory in machine.memories[1:])


def flat() -> Iterator[Figure]:
    """The live memory footprint by granularity, for the batch, heads and sizes of BERT."""
    import looptree_mappings as mappings
    from looptree_groups import Attention

    machine = target("flat-cloud")
    for sequence in SEQUENCES:
        batch, heads, size, rows = published()["flat_runs"]["batch"], 12, 64, 256
        width = heads * size
        group = Attention(batch, heads, sequence, size).group()
        for granularity, text, formula in (
            (
                mappings.Granularity("M"),
                "8 B D N + B H N^2",
                8 * batch * width * sequence + batch * heads * sequence**2,
            ),
            (mappings.Granularity("B", 1), "8 D N + H N^2", 8 * width * sequence + heads * sequence**2),
            (mappings.Granularity("H", 1, 1), "8 N d + N^2", 8 * sequence * size + sequence**2),
            (
                mappings.Granularity("R", 1, 1, rows),
                "4 R d + 4 N d + R N",
                4 * rows * size + 4 * sequence * size + rows * sequence,
            ),
        ):
            costs = priced(machine, group, mappings.flat(group, granularity, "staged", "fused"))
            what = f"BERT, N = {sequence}: footprint of {granularity.name}-Gran, {text}"
            yield Figure("FLAT", what, formula, footprint(costs, machine), "words", "flat")


@dataclass(frozen=True)
class Run:
    """A published run of attention."""

    platform: str
    network: str
    sequence: int
    heads: int
    size: int
    rows: int | None
    on_chip: str
    stationary: str
    bytes: float
    seconds: float

    @property
    def machine(self) -> NestMachine:
        """Its target."""
        return target(f"flat-{self.platform}")

    @property
    def edge(self) -> int:
        """Elements along an edge of the array."""
        return self.machine.axes[0].size

    @property
    def tensor(self) -> int:
        """Words of queries, keys, values or results: batch x heads x sequence x size."""
        return math.prod((published()["flat_runs"]["batch"], self.heads, self.sequence, self.size))

    @property
    def fetched_first(self) -> float:
        """The traffic beyond whole tensors, in tiles of `edge` rows: what comes before the array starts."""
        return self.bytes / word_bytes(self.machine) % self.tensor / (self.edge * self.size)

    def expected_first(self, staged: str) -> int:
        """The same, if some operands are staged: all rows that stay on the chip, a tile of others, and two tiles."""
        rows = {"Q": self.rows or self.sequence, "K": self.sequence, "V": self.sequence}
        return 2 + sum(rows[each] // self.edge if each in staged else 1 for each in "QKV")

    @property
    def staged(self) -> str:
        """The operands that stay on the chip: as labelled, unless what comes first is as if one of them did not."""
        if self.machine.name != target("flat-cloud").name or self.expected_first(self.on_chip) == self.fetched_first:
            return self.on_chip
        return next(each for each in self.on_chip if self.expected_first(each) == self.fetched_first)

    def costs(self, staged: str | None = None) -> FusedCosts:
        """Its mapping, priced; with other operands staged on request."""
        import looptree_mappings as mappings
        from looptree_groups import Attention

        # Results stay in the elements: a tile of logits is as large as the array. Keys do: all rows of a tile pass by.
        rows = self.edge if self.stationary == "output" else self.rows or self.sequence
        on_chip = self.staged if staged is None else staged
        tiles = mappings.Streamed(rows, self.edge, on_chip, whole_head=self.rows is None)
        group = Attention(published()["flat_runs"]["batch"], self.heads, self.sequence, self.size).group()
        return priced(self.machine, group, mappings.flat_streamed(tiles, "staged", "fused"))

    def parallelism(self) -> dict[str, int]:
        """Elements at work: rows by keys and rows by features if results stay in them, or one kernel by the other."""
        features = min(self.size, self.edge)
        logits = self.edge if self.stationary == "output" else features
        return {"logits": self.edge * logits, "attend": self.edge * features}

    def latency(self, costs: FusedCosts) -> float:
        """Seconds: the array's, or those of the off-chip link if they are more."""
        cycles = costs.steps(self.parallelism())
        return max(cycles, costs.traffic / self.machine.link_words) / (self.machine.clock_mhz * 1e6)


def runs() -> list[Run]:
    """The published runs."""
    found = published()["flat_runs"]
    return [Run(**dict(zip(found["columns"], row, strict=True))) for row in found["runs"]]


def flat_runs() -> Iterator[Figure]:
    """Traffic and time of the published runs."""
    for run in runs():
        costs = run.costs()
        name = f"{run.network}, {run.platform}, N = {run.sequence}"
        ours = costs.traffic * word_bytes(run.machine) / 1e9
        yield Figure("FLAT", f"{name}: traffic of logits and attend", run.bytes / 1e9, ours, "GB", "flat_runs")
        yield Figure("FLAT", f"{name}: time", run.seconds * 1e3, run.latency(costs) * 1e3, "ms", "flat_runs")


def flat_unchecked() -> Iterator[Unchecked]:
    import looptree_mappings as mappings
    from looptree_groups import Attention

    for run in runs():
        if run.staged == run.on_chip:
            continue
        labelled = run.costs(run.on_chip)
        yield Unchecked(
            "FLAT",
            f"{run.network}, {run.platform}, N = {run.sequence}: traffic with all on the chip that is labelled so",
            f"{labelled.traffic / run.tensor:.2f} tensors",
            f"{run.bytes / word_bytes(run.machine) / run.tensor:.2f} are published, which is no traffic of that "
            f"mapping: before its array starts {run.expected_first(run.on_chip)} tiles would come, not "
            f"{run.fetched_first:.0f}",
        )
    batch, heads, sequence, size = 64, 12, 16384, 64
    group = Attention(batch, heads, sequence, size).with_softmax()
    granularity = mappings.Granularity("R", 1, 1, 256)
    machine = target("flat-cloud")
    costs = priced(machine, group, mappings.flat(group, granularity, "staged", "fused"))
    yield Unchecked(
        "FLAT",
        f"BERT, N = {sequence}: footprint of R-Gran with the links of a softmax",
        f"{footprint(costs, machine):,} words",
        "FLAT counts one tile of logits, written over in place",
    )
    yield Unchecked(
        "FLAT",
        "speed, energy and bandwidth beside other dataflows",
        "not run",
        "1.75 and 1.65 times as fast, 44 and 55 % less energy, 71 and 82 % less bandwidth are published, relative to "
        "the best that a simulator finds which is not public",
    )
    yield Unchecked(
        "FLAT",
        "runs with logits that do not fit",
        "not run",
        "the simulator lets a part of the logits lie off-chip; a place in a mapping holds all that its turn needs, or "
        "the mapping does not fit",
    )


# DepFiN ---------------------------------------------------------------------------------------------------------------


def depfin() -> Iterator[Unchecked]:
    """FSRCNN, twice as large: what goes over the off-chip link, and what its line buffers hold."""
    import looptree_mappings as mappings
    from looptree_groups import IMAGE, fsrcnn

    size = (540, 960)
    group = fsrcnn(size)
    costs = priced(target("depfin"), group, mappings.lines(group, mappings.Memories("lines", "kernels"), 2))
    features = feature_traffic(costs)
    million = published()["depfin"]["features_millions"]
    pixels = math.prod(size)
    yield Unchecked(
        "DepFiN",
        f"FSRCNN x2, {size[1]} x {size[0]} to full HD: features over the off-chip link",
        f"{features / 1e6:.3f} million",
        f"{million} million are published, but not for which size of image: at {features / pixels:.0f} features a "
        f"pixel of the input that is {million / (features / pixels) * 1e6:,.0f} pixels, here are {pixels:,}",
    )
    lines = sum(costs.occupancy[tensor] for tensor in (IMAGE, *costs.group.intermediates))
    yield Unchecked(
        "DepFiN",
        "the same: line buffers of all layers",
        f"{lines:,} features",
        "the chip's memories are not in its abstracts; LoopTree's own figures for it are in no public text either",
    )


def main() -> int:
    """Price all designs and print or write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--output", type=Path, help="write the page here instead of printing it")
    arguments = parser.parse_args()
    from looptree_designs_page import page

    text = page()
    if arguments.output:
        arguments.output.write_text(text)
    else:
        print(text)
    return 1 if any(abs(figure.error) > LARGEST for figure in all_figures()) else 0


if __name__ == "__main__":
    sys.exit(main())
