"""The fixed-area comparison of six dataflows on AlexNet (Chen et al., ISCA 2016), by the mapper.

    python benchmarks/isca16.py [--output docs/isca16.md]

Every dataflow is a target of the generic machine, `isca16-rs` and so on: levels, what they cost, and the nest that its
mappings have. The mapper finds the best mapping of every layer in each; the figures stand beside the published bars for
256 elements. Arrays of 512 and 1024 elements, for which the descriptions say nothing new, are predicted.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dialects.gconv import GConv
    from dialects.hierarchy import Hierarchy
    from passes.mapping.roles import Roles

HERE = Path(__file__).resolve().parent / "isca16"
DATAFLOWS = ("RS", "WS", "OSA", "OSB", "OSC", "NLR")
IMAGES = (1, 16, 64)
QUANTITIES = {"dram": "DRAM accesses per MAC", "en": "energy per MAC", "edp": "energy-delay product"}
REGISTER_FILE, BUFFER = 512, 512
"""Bytes of an element, and of the buffer for each element, whose area every dataflow may divide as it likes."""


@dataclass(frozen=True)
class Layer:
    """A layer of AlexNet: groups, then per group channels and filters; output and kernel edge, stride."""

    name: str
    groups: int
    channels: int
    filters: int
    edge: int
    kernel: int
    stride: int = 1

    def spec(self, images: int) -> GConv:
        """As a general convolution; a fully connected layer has a kernel as large as its input."""
        from dialects.gconv import Dim, GConv, Reduce

        window = {"opc": self.edge, "ks": self.kernel, "stride": self.stride}
        channels = Dim("C", g=self.groups, op=self.filters, ks=self.channels)
        dims = (Dim("N", opc=images), channels, Dim("H", **window), Dim("W", **window))
        return GConv(dims, main="mul", reduce=Reduce.ADD)


def parts() -> Roles:
    """Which loop of a layer plays which part, in fully connected layers as in convolutions."""
    from dialects.gconv import LoopKind
    from dialects.schedule import Loop
    from passes.mapping.roles import Roles

    return Roles(
        images=Loop("N", LoopKind.OPC),
        groups=Loop("C", LoopKind.G),
        filters=Loop("C", LoopKind.OP),
        channels=Loop("C", LoopKind.KS),
        rows_out=Loop("H", LoopKind.OPC),
        rows_kernel=Loop("H", LoopKind.KS),
        slide=Loop("W", LoopKind.OPC),
        slide_kernel=Loop("W", LoopKind.KS),
    )


CONVOLUTIONS = (
    Layer("CONV1", 1, 3, 96, 55, 11, 4),
    Layer("CONV2", 2, 48, 128, 27, 5),
    Layer("CONV3", 1, 256, 384, 13, 3),
    Layer("CONV4", 2, 192, 192, 13, 3),
    Layer("CONV5", 2, 192, 128, 13, 3),
)
CONNECTED = (
    Layer("FC1", 1, 256, 4096, 1, 6),
    Layer("FC2", 1, 4096, 4096, 1, 1),
    Layer("FC3", 1, 4096, 1000, 1, 1),
)


@dataclass(frozen=True)
class Cost:
    """What layers cost: operations, energy by kind of access in MAC energies, busy elements times time."""

    operations: int
    energy: dict[str, float]
    dram: float
    delay: float

    @property
    def per_operation(self) -> float:
        """Energy of an operation, in MAC energies."""
        return sum(self.energy.values()) / self.operations


@cache
def published() -> dict[str, Any]:
    """The bars of the paper."""
    return json.loads((HERE / "published.json").read_text())


def bars() -> dict[tuple[str, int, str], float]:
    """The published bars for 256 elements: by dataflow, images and quantity, relative to RS with one image."""
    return {(flow, images, quantity): value for flow, images, quantity, value in published()["bars"]["rows"]}


def area(size: float) -> float:
    """Area of a byte in um2 in a memory of `size` bytes."""
    sizes, areas = published()["area"]["size_bytes"], published()["area"]["um2_per_byte"]
    for (low, here), (high, there) in pairwise(zip(sizes, areas, strict=True)):
        if size <= high:
            return here + (there - here) * max(size - low, 0) / (high - low)
    return areas[-1]


def buffer_bytes(flow: str, elements: int) -> float:
    """What is left for the buffer of the area that the paper gives every dataflow."""
    own = published()["register_bytes"][flow]
    total = elements * REGISTER_FILE * area(REGISTER_FILE) + elements * BUFFER * area(elements * BUFFER)
    return (total - (elements * own * area(own) if own else 0)) / area(elements * BUFFER)


@cache
def machine(flow: str, elements: int = 256) -> Hierarchy:
    """A dataflow on an array of some elements."""
    from compiler.targets import select_target
    from dialects.hierarchy import Hierarchy

    settings = {"nested": "false"}
    if elements != 256:
        words = int(buffer_bytes(flow, elements) // 2)
        settings |= {"elements": str(elements), "levels.glb.words": str(words)}
        settings |= {f"levels.{axis.name}.size": str(elements) for axis in machine(flow).axes}
    found = select_target(f"isca16-{flow.lower()}", settings).machine
    assert isinstance(found, Hierarchy)
    return found


def cost(flow: str, images: int, layers: tuple[Layer, ...], elements: int = 256) -> Cost:
    """What layers cost with their best mappings in a dataflow.

    Raises `CatenaError` (CAT-F001) if a layer does not fit.
    """
    from passes.mapper.search import best_in_dataflow

    hierarchy = machine(flow, elements)
    operations, dram, delay = 0, 0.0, 0.0
    energy = dict.fromkeys(("alu", *(access.name for access in hierarchy.accesses)), 0.0)
    for layer in layers:
        found = best_in_dataflow(layer.spec(images), hierarchy, layer.name, parts())
        done = found.events["operation"]
        operations += done
        delay += done / found.elements
        energy["alu"] += hierarchy.operation * done
        for access in hierarchy.accesses:
            count = sum(times * found.events.get(event, 0) for event, times in access.events.items())
            energy[access.name] += access.energy * count
            dram += count if access.name == "dram" else 0.0
    return Cost(operations, energy, dram, delay)


@dataclass(frozen=True)
class Unconstrained:
    """Energies of an operation on the hardware of a dataflow, in MAC energies, with tiles cut out of those around them.

    `constrained`: of the best mappings in the dataflow; `found`: of the best ones of any kind that were found; no
    mappings have less than `bound`. `gaps`: by layer, the share of its energy that a better mapping may save at most.
    """

    constrained: float
    found: float
    bound: float
    gaps: dict[str, float]


def unconstrained(flow: str, images: int, layers: tuple[Layer, ...], effort: float) -> Unconstrained:
    """What layers cost at best if the hardware of a dataflow may execute any mapping; `effort` is spent on each layer.

    Raises `CatenaError` (CAT-F001) if a layer does not fit.
    """
    from compiler.targets import select_target
    from dialects.hierarchy import Hierarchy
    from passes.mapper.effort import Effort
    from passes.mapper.free import best_mapping
    from passes.mapper.pricing import Prices
    from passes.mapper.search import best_in_dataflow

    hierarchy = select_target(f"isca16-{flow.lower()}", {}).machine
    assert isinstance(hierarchy, Hierarchy)
    prices = Prices(hierarchy).of
    operations, constrained, found, bound = 0, 0.0, 0.0, 0.0
    gaps: dict[str, float] = {}
    for layer in layers:
        spec = layer.spec(images)
        inside = best_in_dataflow(spec, hierarchy, layer.name, parts())
        energy = sum(price * inside.events.get(event, 0) for event, price in prices.items())
        best = best_mapping(spec, hierarchy, layer.name, effort=Effort(effort))
        done = inside.events["operation"]
        work = hierarchy.operation * done
        operations += done
        constrained += energy + work
        # a mapping in the dataflow is one of all mappings
        least = min(best.energy, energy) + work
        lowest = min(best.bound + work, least)
        found, bound = found + least, bound + lowest
        gaps[layer.name] = 1 - lowest / least
    return Unconstrained(constrained / operations, found / operations, bound / operations, gaps)


def quantities(found: Cost, reference: Cost) -> dict[str, float]:
    """The three quantities of the paper's bars."""
    energy = found.per_operation / reference.per_operation
    delay = (found.delay / found.operations) / (reference.delay / reference.operations)
    return {"dram": found.dram / found.operations, "en": energy, "edp": energy * delay}


def attempt(flow: str, images: int, layers: tuple[Layer, ...], elements: int) -> Cost | None:
    """`cost`, None where a layer does not fit."""
    from dialects.diagnostics import CatenaError

    try:
        return cost(flow, images, layers, elements)
    except CatenaError:
        return None


def main() -> None:
    """Find all mappings and print or write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--output", type=Path, help="write the page here instead of printing it")
    arguments = parser.parse_args()
    sys.path.insert(0, str(HERE.parent))
    from isca16_page import page

    text = page()
    if arguments.output:
        arguments.output.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
