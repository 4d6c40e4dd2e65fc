"""The SPOTS machine on four networks: dense latencies and patches.

    python benchmarks/spots.py [--output docs/spots.md]

Networks are generated with seeded weights, compiled for the target `spots`, and read off the programs' predictions,
which the emulator's counts equal.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

HERE = Path(__file__).resolve().parent
NOTICE = "<!-- Made by `python benchmarks/spots.py --output docs/spots.md`; do not edit. -->\n"
WIDE_LINK = {"dram.words_per_cycle": "1000000.0"}
"""A link that no layer waits for: the reference's latencies are those of the array."""
DENSE = {"im2col.skips": "false", **WIDE_LINK}
VARIANTS = {
    "tall": {**DENSE, "array.splits": "[1]", "array.fills": "false"},
    "best": {**DENSE, "array.fills": "false"},
    "filling": DENSE,
    "across": {**DENSE, "array.splits": "[1]", "im2col.reserve_words": "1"},
}


@dataclass(frozen=True)
class Reference:
    """What closed forms over layer tables give for a network: GMAC and ms, tall and in the best division."""

    gmac: float
    tall: float
    best: float


REFERENCES = {
    "AlexNet": Reference(0.666, 2.91, 2.64),
    "VGG-16": Reference(15.35, 67.5, 59.9),
    "ResNet-50": Reference(4.09, 18.4, 16.1),
    "GoogLeNet": Reference(1.58, 8.78, 6.35),
}


@dataclass(frozen=True)
class Convolutions:
    """The convolutions of a network together: MACs, cycles of the array, patch words by where they came from."""

    macs: int
    cycles: int
    memory: int
    others: int

    @property
    def milliseconds(self) -> float:
        """Time at the clock of SPOTS, 500 MHz."""
        return self.cycles / 500e3

    @property
    def saving(self) -> float:
        """Words that patches have for each that is read from the memory."""
        return (self.memory + self.others) / self.memory


def networks(names: Collection[str] = ()) -> dict[str, onnx.ModelProto]:
    """The four networks, or those of some names, for one image. Raises `KeyError` for others."""
    sys.path.insert(0, str(HERE / "models"))
    from alexnet_paper import alexnet_paper
    from googlenet import googlenet
    from resnet import resnet
    from vgg import vgg

    builders: dict[str, Callable[[], onnx.ModelProto]] = {
        "AlexNet": lambda: alexnet_paper(1),
        "VGG-16": lambda: vgg(16),
        "ResNet-50": lambda: resnet(50),
        "GoogLeNet": googlenet,
    }
    return {name: builders[name]() for name in names or builders}


def convolutions(path: Path, names: set[str], settings: Mapping[str, str]) -> Convolutions:
    """The layers of a network that come from the convolutions of these names, compiled with some settings."""
    from compiler.compilation import CompileOptions, compile_source
    from dialects.events import Counts

    program = compile_source(str(path), CompileOptions(target="spots", settings=settings)).program
    assert program is not None
    counts = [Counts.of(layer.predicted) for layer in program.layers if names.intersection(layer.nodes)]

    def total(*events: str) -> int:
        return sum(each.charged(events) for each in counts)

    cycles = sum(each.array_cycles for each in counts)
    others = total("patch.neighbour", "patch.reserve")
    return Convolutions(total("operation.mac"), cycles, total("glb.input.read"), others)


def measured(model: onnx.ModelProto) -> dict[str, Convolutions]:
    """A network's convolutions in all variants."""
    import onnx

    names = {node.name for node in model.graph.node if node.op_type == "Conv"}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        return {variant: convolutions(path, names, settings) for variant, settings in VARIANTS.items()}


_INTRODUCTION = """\
SPOTS (Soltaniyeh, Martin, Nagarakatte, TACO 2022) multiplies matrices in a systolic array of 128 x 4 elements that can
be divided into two or four; im2col units make the patches. The tables of the paper with sizes, powers and latencies by
layer were not found: memories and energies of the target `spots` are assumed, and no published latency is reproduced
here. What the array takes follows from its shape alone. `reference` are closed forms over tables of the layers,

    tall: groups * ceil(filters / 128) * ceil(patches / 4) * reduced indices
    u arrays: groups * ceil(filters / (128 / u)) * ceil(ceil(patches / u) / 4) * reduced indices

at 500 MHz, the best u for every layer. Ours are those of programs: tiles, loops and passes that fit the memories.
"""
_PATCHES = """\
What patches have of input words, for each that is read from the memory of inputs: padding is made up and counts for
nothing. `across` hands words on along a row of patches only. With a reserve of 16,384 words in every unit, the next row
finds what it shares with the one before, for as many channels as there is room. A tile of the input begins anew, and so
does the part of every array: what they share with the one before is read again.
"""


def page() -> str:
    """The whole page."""
    from compiler.tables import number, table

    found = {name: measured(model) for name, model in networks().items()}
    latencies = [
        (
            name,
            f"{each['tall'].macs / 1e9:.3f}",
            f"{reference.tall:g}",
            f"{each['tall'].milliseconds:.3f}",
            f"{reference.best:g}",
            f"{each['best'].milliseconds:.3f}",
            f"{each['filling'].milliseconds:.3f}",
            f"{100 * (each['filling'].cycles / each['best'].cycles - 1):+.2f}",
        )
        for (name, each), reference in zip(found.items(), REFERENCES.values(), strict=True)
    ]
    columns = (
        "network",
        *("GMAC", "tall ms, reference", "ours", "best ms, reference", "ours", "with filling", "filling %"),
    )
    patches = [
        (name, *(f"{each[variant].saving:.2f}" for variant in ("across", "tall", "filling")))
        for name, each in found.items()
    ]
    kinds = ("network", "one array, across", "one array, with reserve", "best divisions, with reserve")
    return "\n".join(
        (
            NOTICE,
            "# SPOTS\n",
            _INTRODUCTION,
            "## Dense latency of the convolutions\n",
            table((columns[0], *map(number, columns[1:])), latencies).markdown() + "\n",
            "`with filling` adds the cycles in which words cross the array at the beginning of every pass.\n",
            "## Patches\n",
            _PATCHES,
            table((kinds[0], *map(number, kinds[1:])), patches).markdown() + "\n",
        )
    )


def main() -> None:
    """Compile the networks and print or write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--output", type=Path, help="write the page here instead of printing it")
    arguments = parser.parse_args()
    text = page()
    if arguments.output:
        arguments.output.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
