"""Crossbars that convolutions of networks take, and products of them, beside published counts.

    python benchmarks/crossbar_counts.py [--network NAME] [--output docs/crossbar-counts.md]

One weight a cell. The networks have shapes only, no weights (`--hollow` in `benchmarks/models`).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compiler.driver import run_passes
from compiler.ir_text import new_context
from compiler.optimization import load_module
from compiler.pipelines import parse_passes
from compiler.sources import ImportOptions
from compiler.stages import stage_named
from compiler.tables import number, table
from dialects.gconv import LinkOp
from passes.crossbar_tiles import MatrixShape

HERE = Path(__file__).resolve().parent
NOTICE = "<!-- Made by `python benchmarks/crossbar_counts.py --output docs/crossbar-counts.md`; do not edit. -->\n"
LARGE, SMALL = 256, 128
"""Rows and columns of the crossbars of CLSA-CIM, and of those that PIMCOMP was run for."""


@dataclass(frozen=True)
class Network:
    """A generated network, and what is published of it; None where nothing is.

    `crossbars` and `steps` are those of convolutions on crossbars of `LARGE`: all that hold a weight, and output
    positions of one layer after the other. `products` are those of strips of `SMALL` rows, dense layers included.
    """

    name: str
    title: str
    script: str
    arguments: tuple[str, ...] = ()
    crossbars: int | None = None
    steps: int | None = None
    products: int | None = None


_HOLLOW = ("--hollow",)
NETWORKS = (
    Network("tiny_yolov3", "Tiny YOLOv3", "tiny_yolo.py", ("--version", "3", *_HOLLOW), 142, 232_882),
    Network("tiny_yolov4", "Tiny YOLOv4", "tiny_yolo.py", ("--version", "4", *_HOLLOW), 117, 113_061),
    Network("vgg16", "VGG-16", "vgg.py", ("--depth", "16", *_HOLLOW), 233, 137_788),
    Network("vgg19", "VGG-19", "vgg.py", ("--depth", "19", *_HOLLOW), 314),
    Network("resnet18", "ResNet-18", "resnet.py", ("--depth", "18", *_HOLLOW), 193, None, 132_500),
    Network("resnet50", "ResNet-50", "resnet.py", ("--depth", "50", "--original", *_HOLLOW), 390, 58_310),
    Network("resnet101", "ResNet-101", "resnet.py", ("--depth", "101", "--original", *_HOLLOW), 679),
    Network("resnet152", "ResNet-152", "resnet.py", ("--depth", "152", "--original", *_HOLLOW), 936),
    Network("squeezenet", "SqueezeNet", "light.py", ("--network", "squeezenet", *_HOLLOW), products=50_962),
    Network("googlenet", "GoogLeNet", "light.py", ("--network", "googlenet", "--ceil", *_HOLLOW), products=113_639),
    Network("mobilenet_v2", "MobileNet-v2", "mobilenet_v2.py", products=244_961),
    Network("alexnet", "AlexNet", "light.py", ("--network", "alexnet", *_HOLLOW), products=32_096),
)


@dataclass(frozen=True)
class Counts:
    """What is counted of a network, as `Network` has it."""

    crossbars: int
    steps: int
    products: int


def counts(network: Network) -> Counts:
    """Counted on the matrices of the network's chain."""
    convolutions, others = shapes(network)
    return Counts(
        sum(shape.crossbars(LARGE, LARGE) for shape in convolutions),
        sum(shape.vectors for shape in convolutions),
        sum(shape.dense.products(SMALL) for shape in (*convolutions, *others)),
    )


def shapes(network: Network) -> tuple[list[MatrixShape], list[MatrixShape]]:
    """The matrices of convolutions, and of other products of layers."""
    with tempfile.TemporaryDirectory() as name:
        model = Path(name) / "model.onnx"
        command = [sys.executable, str(HERE / "models" / network.script), *network.arguments, "--output", str(model)]
        subprocess.run(command, check=True)
        module = load_module(str(model), ImportOptions())
        run_passes(module, [each for text in stage_named("gconv").passes for each in parse_passes(text)], new_context())
    found: tuple[list[MatrixShape], list[MatrixShape]] = ([], [])
    for op in module.walk():
        if isinstance(op, LinkOp) and op.kernel is not None and op.spec.is_multiply_accumulate:
            is_image = {"C", "H", "W"} <= {dim.name for dim in op.spec.dims}
            found[0 if is_image else 1].append(MatrixShape.of(op.spec))
    return found


_INTRODUCTION = f"""\
The matrix of a convolution (im2col) has a row for every kernel position and a column for every filter. Cut into tiles
of a crossbar's size, it takes P_V x P_H of them; every output position is a vector that all of them multiply. Counted
here on the links of the chain (`passes/crossbar_tiles.py`), for generated networks of which shapes are enough.

CLSA-CIM (arXiv 2401.07671) needs so many crossbars of {LARGE} x {LARGE}, one weight a cell, for all convolutions, and
layer by layer so many steps of one product. PIMCOMP counts products of strips of {SMALL} rows, whatever their columns
are; dense layers are in it, and grouped convolutions lie dense, with zeros outside of their diagonals. Here crossbars
hold the groups of a convolution in diagonals and nothing of what lies outside of them.
"""


def page(networks: Sequence[Network]) -> str:
    """Counts beside what is published."""
    rows = []
    for network in networks:
        found = counts(network)
        published = (network.crossbars, network.steps, network.products)
        cells = [
            cell
            for ours, theirs in zip((found.crossbars, found.steps, found.products), published, strict=True)
            for cell in (f"{ours:,}", "" if theirs is None else f"{theirs:,}")
        ]
        rows.append((network.title, *cells))
    titles = ("crossbars", "published", "steps", "published", "products", "PIMCOMP")
    shown = table(["network", *map(number, titles)], rows).markdown()
    return f"{NOTICE}\n# Crossbars of networks\n\n{_INTRODUCTION}\n{shown}\n"


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description="Crossbars and products of networks beside published counts.")
    names = [network.name for network in NETWORKS]
    parser.add_argument("--network", action="append", choices=names, help="only this network; may be repeated")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="write the page here instead of printing it")
    arguments = parser.parse_args()
    text = page([network for network in NETWORKS if network.name in (arguments.network or names)])
    if arguments.output:
        arguments.output.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
