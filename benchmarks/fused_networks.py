"""What fusing layers saves: ResNet-18, ResNet-50 and MobileNet-v2 on a machine with buffers of several sizes.

    python benchmarks/fused_networks.py --output docs/fused-networks.md

Compiles each network for the target `generic` without `--fuse`, with groups of one layer only, and with `--fuse`;
prints, as Markdown, words over the off-chip link, energy, operations and the CPU time of the compilation, beside the
words that any schedule moves. All counts are predicted, and equal the emulator's. Also what the same search finds if
loops around groups of several layers may cut `ks` of the head. Option `--network NAME` does one. A quarter of an hour.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from backends.program import Program

Measured = TypeVar("Measured")

NOTICE = "<!-- Made by `python benchmarks/fused_networks.py --output docs/fused-networks.md`; do not edit. -->\n"
MODELS = Path(__file__).parent / "models"
NETWORKS = {
    "ResNet-18": ("resnet.py", "--depth", "18"),
    "ResNet-50": ("resnet.py", "--depth", "50"),
    "MobileNet-v2": ("mobilenet_v2.py",),
}
KILOBYTES = (64, 108, 256, 512)
WORD_BYTES = 2
TARGET, BUFFER = "generic", "levels.glb.words"
MOVED = ("input.read", "kernel.read", "extra.read", "output.update", "output.add")


INTRODUCTION = """\
# What fusing layers saves

The target is `generic` with buffers of other sizes: a buffer for everything, 16 x 16 elements, words of 16 bits.
Unfused layers are mapped for least energy, each with the whole buffer. `--fuse` looks for the groups that move least in
all, then every layer's part of a turn is mapped for the least product of energy and time. Words are those over the
off-chip link; counts and energy are predicted, and equal the emulator's. Halos that are made again are operations more.

Not all that this saves is saved by fusing. Unfused layers keep to the dataflow of the target, which leaves open the
sizes of tiles; loops around groups, places of tensors and nests within groups are free, and are chosen for words first.
So the columns of layers alone as groups are of the same search with groups of one layer, wherever such a group moves
less than the unfused layer, and nothing stays in the buffer between them. Beside these, `--fuse` shows what fusing
saves; beside unfused layers, it shows both. It goes for words, so that energy may be a little more than that of layers
alone as groups where few words are saved (ResNet-50, 64 KB). Most of the cycles that MobileNet-v2 saves are
saved by free nests.

Groups have up to three layers in these networks. In shorter rows of layers that can be fused they may have more: six in
a row of up to 11, five in one of up to 14, four in one of up to 17.

A layer alone has two of every tile in this buffer, so that transfers go on while it works. A group has each word once,
and its transfers wait for its work and the other way round. So a single layer, too, can move less as a group, and
becomes one then; groups cost time where layers alone are not slowed by the link. With `--objective` groups are chosen
by energy, cycles or their product, not by words.

Tensors may stay in the buffer from one group to others that have loops of their own: two at a time at most. Groups
between which any do are one in the program, and count once. Loops around groups of one layer may cut `ks`. What the
search finds if those around groups of several may, too, for which `--fuse` does not look, is in a column of its own:
words by the model, which a walk of all elements equals; there single layers have no mappings but those of groups.

Every compilation runs in a process of its own, and nothing is known before from others. Times are CPU time with that of
loading passes; those of `--fuse` are the least of two runs.
"""


@dataclass(frozen=True)
class Figures:
    """A compiled network: words over the off-chip link, energy in pJ, operations, cycles, groups, CPU seconds.

    `singles` are groups of one link.
    """

    words: int
    energy: float
    operations: int
    cycles: int
    groups: int
    singles: int
    seconds: float


def generated(network: str, folder: Path) -> Path:
    """The file of a network, in `folder`."""
    script, *options = NETWORKS[network]
    path = folder / f"{network}.onnx"
    subprocess.run([sys.executable, str(MODELS / script), *options, "--output", str(path)], check=True)
    return path


def figures(model: Path, words: int, *, fuse: bool) -> Figures:
    """A network compiled for a buffer of so many words."""
    from compiler.compilation import CompileOptions, compile_source

    before = time.process_time()
    options = CompileOptions(target=TARGET, settings={BUFFER: str(words)}, fuse=fuse)
    program = compile_source(str(model), options).program
    return counted(program, time.process_time() - before)


def figures_of_singles(model: Path, words: int) -> Figures:
    """A network compiled with `--fuse`, but for groups of one layer between which nothing stays."""
    from compiler.compilation import CompileOptions, compile_source, resume_inside
    from compiler.ir_text import new_context, write_module
    from passes.fuse_layers import FuseLayersPass
    from passes.merge_dims import MergeDimsPass

    before = time.process_time()
    options = CompileOptions(target=TARGET, settings={BUFFER: str(words)}, fuse=True)
    early = replace(options, fuse=False, stop="encoded", without=frozenset([MergeDimsPass.name]))
    module = compile_source(str(model), early).module
    steps = FuseLayersPass(longest=1, staying=0), MergeDimsPass()  # those with which `--fuse` begins stage `mapped`
    for step in steps:
        step.apply(new_context(), module)
    path = model.with_suffix(".mlir")
    write_module(module, path)
    write_module(resume_inside(str(path), options, "mapped", len(steps)).module, path)
    program = compile_source(str(path), CompileOptions(start="mapped")).program
    return counted(program, time.process_time() - before)


def counted(program: Program | None, seconds: float) -> Figures:
    """What is predicted of a program that was compiled in so many CPU seconds."""
    from compiler.execution import predicted_report

    assert program is not None
    report = predicted_report(program)
    moved = report.counts.charged([f"dram.{event}" for event in MOVED])
    cycles = sum(layer.price.cycles for layer in report.layers)
    groups, singles = len(program.groups), sum(len(group.layers) == 1 for group in program.groups)
    return Figures(moved, report.energy, report.counts.operations, cycles, groups, singles, seconds)


def apart(measure: Callable[[], Measured]) -> Measured:
    """What is measured in a process of its own, where no cache is filled by others."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=lambda: theirs.send(measure()))
    process.start()
    theirs.close()
    found = ours.recv()
    process.join()
    return found


@dataclass(frozen=True)
class Bounds:
    """What any schedule moves, and by buffer what groups do whose loops may cut all ranks of the head: words."""

    compulsory: int
    all_ranks: dict[int, int]


def bounds(model: Path, sizes: list[int]) -> Bounds:
    """The bounds of a network, for buffers of so many words."""
    from compiler.compilation import CompileOptions, compile_source
    from dialects.gconv import LinkOp
    from dialects.gconv.interpreter import main_function
    from passes.fusion.from_ir import group_of_links
    from passes.fusion.network import GroupSearches, Network, NetworkSearch, NetworkSpace

    module = compile_source(
        str(model), CompileOptions(target=TARGET, stop="fused", without=frozenset(["merge-dims"]))
    ).module
    links = [op for op in main_function(module).body.block.ops if isinstance(op, LinkOp)]
    network = Network(group_of_links(links))
    outside = {*network.whole.external, *network.whole.exported, *(head.result for head in network.whole.heads)}
    searches = GroupSearches("buffer", NetworkSpace())
    plans = {words: NetworkSearch(network, words, searches).run() for words in sizes}
    all_ranks = {words: plan.traffic for words, plan in plans.items() if plan is not None}
    return Bounds(sum(map(network.words, outside)), all_ranks)


def section(network: str, model: Path, sizes: tuple[int, ...]) -> str:
    """The table of a network, for buffers of so many kilobytes."""
    words = {kilobytes: kilobytes * 1024 // WORD_BYTES for kilobytes in sizes}
    known = apart(partial(bounds, model, list(words.values())))
    lines = [
        f"## {network}",
        "",
        f"Every schedule moves {known.compulsory:,} words at least: weights, image and result, each once.",
        "",
        "| buffer (KB) | words, unfused | layers alone as groups | fused | less by than unfused | than layers alone "
        "| with loops over ks (model) | energy, unfused (mJ) | layers alone as groups | fused "
        "| operations, fused / unfused | cycles, layers alone as groups / unfused | fused / unfused "
        "| groups (of one layer) | compiling, unfused (CPU s) | fused |",
        "| ---: " * 16 + "|",
    ]
    for kilobytes, capacity in words.items():
        alone = apart(partial(figures, model, capacity, fuse=False))
        singles = apart(partial(figures_of_singles, model, capacity))
        twice = [apart(partial(figures, model, capacity, fuse=True)) for _ in range(2)]
        fused = min(twice, key=lambda each: each.seconds)
        cells = (
            f"{kilobytes}",
            f"{alone.words:,}",
            f"{singles.words:,}",
            f"{fused.words:,}",
            f"{100 * (1 - fused.words / alone.words):.0f} %",
            f"{100 * (1 - fused.words / singles.words):.0f} %",
            f"{known.all_ranks[capacity]:,}" if capacity in known.all_ranks else "does not fit",
            f"{alone.energy / 1e9:.2f}",
            f"{singles.energy / 1e9:.2f}",
            f"{fused.energy / 1e9:.2f}",
            f"{fused.operations / alone.operations:.3f}",
            f"{singles.cycles / alone.cycles:.2f}",
            f"{fused.cycles / alone.cycles:.2f}",
            f"{fused.groups} ({fused.singles})",
            f"{alone.seconds:.1f}",
            f"{fused.seconds:.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], file=sys.stderr)
    return "\n".join(lines) + "\n"


def main() -> int:
    """Make the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--network", choices=list(NETWORKS), action="append")
    parser.add_argument("--output", type=Path, help="the file to write; standard output if none")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        parts = [
            section(network, generated(network, Path(folder)), KILOBYTES) for network in arguments.network or NETWORKS
        ]
    busy = (
        f"The machine has {os.cpu_count()} cores; on average {load:.1f} processes wanted them when this began, and "
        f"{os.getloadavg()[0]:.1f} when it ended, of\nwhich one is this. On an idle one times may be shorter.\n"
    )
    text = NOTICE + "\n" + INTRODUCTION + busy + "\n" + "\n".join(parts)
    if arguments.output is None:
        print(text)
    else:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main())
