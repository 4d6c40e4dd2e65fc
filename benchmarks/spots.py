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
    from xdsl.context import Context

    from backends.program import LayerEntry
    from passes.work import Work

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
    "as it is": {},
}


@dataclass(frozen=True)
class Reference:
    """What closed forms over layer tables give for a network: GMAC, ms tall and in the best division, words saved.

    `saving` are the words of all patches, padding included, for each word of the inputs.
    """

    gmac: float
    tall: float
    best: float
    saving: float


REFERENCES = {
    "AlexNet": Reference(0.666, 2.91, 2.64, 11.1),
    "VGG-16": Reference(15.35, 67.5, 59.9, 9.0),
    "ResNet-50": Reference(4.09, 18.4, 16.1, 2.0),
    "GoogLeNet": Reference(1.58, 8.78, 6.35, 2.6),
}


@dataclass(frozen=True)
class Convolutions:
    """The convolutions of a network together: MACs, cycles of the array, words of patches and those read for them.

    Words are of patches made once, with padding; a layer that makes them again for other kernels counts the mean.
    `least` are the words of the inputs that any window touches, each once.
    """

    macs: int
    cycles: int
    words: float
    read: float
    least: int

    @property
    def milliseconds(self) -> float:
        """Time at the clock of SPOTS, 500 MHz."""
        return self.cycles / 500e3

    @property
    def saving(self) -> float:
        """Words that patches have for each that is read from the memory."""
        return self.words / self.read

    @property
    def most(self) -> float:
        """The saving if every word were read once."""
        return self.words / self.least


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


def computed_by(layer: LayerEntry, context: Context) -> Work:
    """What a layer computes, as its program says."""
    from dialects.unicode_parser import UnicodeParser
    from passes.work import ATTRIBUTES, work_from

    assert layer.work is not None
    texts = {name: getattr(layer.work, name) for name in ATTRIBUTES}
    attributes = {name: UnicodeParser(context, text).parse_attribute() for name, text in texts.items() if text}
    return work_from(attributes, tuple(False for _ in layer.work.tensors))


def convolutions(path: Path, kernels: Mapping[str, int], settings: Mapping[str, str]) -> Convolutions:
    """The layers of a network that come from convolutions, compiled with some settings.

    `kernels` are the names of these, and how many kernels each has for every group.
    """
    from compiler.compilation import CompileOptions, compile_source
    from compiler.ir_text import new_context
    from dialects.events import Counts
    from dialects.gemm_mapping import SRAM, GemmMapping
    from dialects.schedule import Mapping as Tiles
    from dialects.schedule import Operand, Storage
    from passes.gemm.tiles import GemmTiles

    whole, context = GemmMapping(1, None, Tiles((Storage(SRAM, (Operand.INPUT,)),))), new_context()
    program = compile_source(str(path), CompileOptions(target="spots", settings=settings)).program
    assert program is not None
    macs, cycles, words, read, least = 0, 0, 0.0, 0.0, 0
    for layer in program.layers:
        for name in kernels.keys() & set(layer.nodes):
            counts = Counts.of(layer.predicted)
            macs, cycles = macs + counts.events["operation.mac"], cycles + counts.array_cycles
            once = counts.events["operation.mac"] / kernels[name]
            words += once
            read += counts.events["glb.input.read"] * once / counts.events["array.input.deliver"]
            work = computed_by(layer, context)
            least += GemmTiles(work.spec, whole, work.input_shape).input_words()
    return Convolutions(macs, cycles, words, read, least)


def measured(model: onnx.ModelProto) -> dict[str, Convolutions]:
    """A network's convolutions in all variants."""
    import onnx

    shapes = {each.name: each.dims for each in model.graph.initializer}
    kernels: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            groups = next((each.i for each in node.attribute if each.name == "group"), 1)
            kernels[node.name] = shapes[node.input[1]][0] // groups
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        return {variant: convolutions(path, kernels, settings) for variant, settings in VARIANTS.items()}


_INTRODUCTION = """\
SPOTS (Soltaniyeh, Martin, Nagarakatte, TACO 2022) multiplies matrices in a systolic array of 128 x 4 elements that can
be divided into two or four; im2col units make the patches. The tables of the paper with sizes, powers and latencies by
layer were not found: memories and energies of the target `spots` are assumed, and no published latency is reproduced
here. What the array takes follows from its shape alone. `reference` are closed forms over tables of the layers,

    tall: groups * ceil(filters / 128) * ceil(patches / 4) * reduced indices
    u arrays: groups * ceil(filters / (128 / u)) * ceil(ceil(patches / u) / 4) * reduced indices

at 500 MHz, the best u for every layer. Ours are those of programs: tiles, loops and passes that fit the memories.
"""
_FILLING = """\
`with filling` adds the cycles in which words cross the array at the beginning of every pass. `as it is` is the target
without any change, whose mappings are chosen with its link in mind; cycles in which the array waits for the link are
left out here.
"""
_PATCHES = """\
Words of patches, padding included, for each word that is read from the memory of inputs. The reference, rounded as its
table has it, reads every word of the inputs once; `at most` is what that gives for our layers, of whose inputs words
that no window touches are left out. `across` hands words on along a row of patches only. The reserve of 32,768 words
(64 kB) keeps what the next row shares with the one before, also from one strip of rows to the next, for every channel:
channels times width times (kernel - stride) words, of which VGG-16 has 30,720 at most. Where several tiles of kernels
are worked on in a strip it keeps what they all begin with as well, in twice the room (`rewinds`). Patch units of all
arrays form one ring and take patches in turn, so that a divided array reads no more. The paper gives arrays halves, or
quarters, of all patches instead, which takes the same time. Patches that are made again for other kernels, because
elements cannot keep the results of all of them, count once, with the words that are read on an average.
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
            f"{each['as it is'].milliseconds:.3f}",
            f"{100 * (each['filling'].cycles / each['best'].cycles - 1):+.2f}",
        )
        for (name, each), reference in zip(found.items(), REFERENCES.values(), strict=True)
    ]
    columns = ("network", "GMAC", "tall ms, reference", "ours", "best ms, reference", "ours")
    columns += ("with filling", "as it is", "filling %")
    patches = [
        (
            name,
            f"{reference.saving:g}",
            f"{each['best'].most:.2f}",
            *(f"{each[variant].saving:.2f}" for variant in ("across", "tall", "best", "filling", "as it is")),
        )
        for (name, each), reference in zip(found.items(), REFERENCES.values(), strict=True)
    ]
    kinds = ("network", "reference", "at most")
    kinds += ("one array, across", "one array", "best divisions", "with filling", "as it is")
    return "\n".join(
        (
            NOTICE,
            "# SPOTS\n",
            _INTRODUCTION,
            "## Dense latency of the convolutions\n",
            table((columns[0], *map(number, columns[1:])), latencies).markdown() + "\n",
            _FILLING,
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
