"""What fusing layers saves: ResNet-18, ResNet-50 and MobileNet-v2 on a machine with buffers of several sizes.

    python benchmarks/fused_networks.py --output docs/fused-networks.md

Compiles each network for the target `generic` with and without `--fuse`; prints, as Markdown, words over the off-chip
link, energy, operations and the CPU time of the compilation, beside the words that any schedule moves. All counts are
predicted, and equal the emulator's. Also what the same search finds if loops around groups may cut `ks` of the head,
of which no code is made yet. Option `--network NAME` does one. Some minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

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

Groups have up to three layers in these networks. In shorter rows of layers that can be fused they may have more: six in
a row of up to 11, five in one of up to 14, four in one of up to 17.

A layer alone has two of every tile in this buffer, so that transfers go on while it works. A group has each word once,
and its transfers wait for its work and the other way round. So a single layer, too, can move less as a group, and
becomes one then; groups cost time where layers alone are not slowed by the link. `--objective` takes those apart that
cost more of what it asks for.

Tensors may stay in the buffer from one group to others that have loops of their own: two at a time at most. Groups
between which any do are one in the program, and count once. What the search finds if loops around groups may cut `ks`
of the head, too, of which no code is made, is in a column of its own: words by the model, which a walk of all elements
equals; there single layers have no mappings but those of groups.
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
    from compiler.execution import predicted_report

    before = time.process_time()
    options = CompileOptions(target=TARGET, settings={BUFFER: str(words)}, fuse=fuse)
    program = compile_source(str(model), options).program
    seconds = time.process_time() - before
    assert program is not None
    report = predicted_report(program)
    moved = report.counts.charged([f"dram.{event}" for event in MOVED])
    cycles = sum(layer.price.cycles for layer in report.layers)
    groups, singles = len(program.groups), sum(len(group.layers) == 1 for group in program.groups)
    return Figures(moved, report.energy, report.counts.operations, cycles, groups, singles, seconds)


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
    known = bounds(model, list(words.values()))
    lines = [
        f"## {network}",
        "",
        f"Every schedule moves {known.compulsory:,} words at least: weights, image and result, each once.",
        "",
        "| buffer (KB) | words, unfused | fused | less by | with loops over ks (model) "
        "| energy, unfused (mJ) | fused | operations, fused / unfused | cycles, fused / unfused "
        "| groups (of one layer) | compiling, unfused (CPU s) | fused |",
        "| ---: " * 12 + "|",
    ]
    for kilobytes, capacity in words.items():
        alone, fused = (figures(model, capacity, fuse=fuse) for fuse in (False, True))
        cells = (
            f"{kilobytes}",
            f"{alone.words:,}",
            f"{fused.words:,}",
            f"{100 * (1 - fused.words / alone.words):.0f} %",
            f"{known.all_ranks[capacity]:,}" if capacity in known.all_ranks else "does not fit",
            f"{alone.energy / 1e9:.2f}",
            f"{fused.energy / 1e9:.2f}",
            f"{fused.operations / alone.operations:.3f}",
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
    with tempfile.TemporaryDirectory() as folder:
        parts = [
            section(network, generated(network, Path(folder)), KILOBYTES) for network in arguments.network or NETWORKS
        ]
    text = NOTICE + "\n" + INTRODUCTION + "\n" + "\n".join(parts)
    if arguments.output is None:
        print(text)
    else:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main())
