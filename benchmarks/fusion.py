"""What every rewrite of the chain saves: on the nine ImageNet networks that the onnx package bundles, two blocks of
networks of other kinds, and small networks that have what a rewrite is for.

    python benchmarks/fusion.py --output docs/fusion.md

Compiles each network for Eyeriss with all passes, and again without each one of the rewrites; prints, as Markdown, the
length of the chains, what each rewrite saves in links, words across the off-chip link, cycles and energy, and what the
choice of layouts saves. All figures are predicted by the cost model, which the emulator's counts equal. Option
`--network NAME` (several times) does some of the nine. A few minutes.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

NOTICE = "<!-- Made by `python benchmarks/fusion.py --output docs/fusion.md`; do not edit. -->\n"

REFERENCE = {
    "bvlc_alexnet": 15,
    "zfnet512": 15,
    "inception_v1": 76,
    "inception_v2": 85,
    "resnet50": 58,
    "densenet121": 188,
    "squeezenet": 32,
    "shufflenet": 60,
    "vgg19": 26,
}
"""Links of each network after fusion in a reference implementation of GCONV Chain: a bound, not a copy."""

REWRITES = (
    "fold-quantization",
    "evaluate-constants",
    "match-activations",
    "fold-copies",
    "fold-pad",
    "fuse-elementwise",
    "share-terms",
    "broadcast-reductions",
    "fold-weights",
    "fuse-pre",
    "fold-lookups",
    "merge-dims",
)
"""The passes of stage `fused` that are there to save something."""

EXAMPLES = {
    "fold-quantization": "quantized",
    "evaluate-constants": "quantized_weights",
    "match-activations": "activations",
    "fold-copies": "shuffled",
    "fold-pad": "padded",
    "fuse-pre": "preactivated",
    "fold-lookups": "embedded",
}
"""Rewrites, and a network of `models/rewrites.py` that has what each is for."""

BLOCKS = ("transformer_block", "int8_block")
"""Networks of `models/rewrites.py` that several rewrites change."""

OTHERS = {
    "fold-views": "composes views of views for the passes after it. Links read through views in any case: no figure.",
    "split-steps": "cuts links of more steps than the target has, which would be refused. Fusion stops at that number "
    "by itself, so only operators that are lowered to longer links are cut; each cut is a link, and writes and reads "
    "the tensor between once. It cuts none of the links counted here.",
    "order-segments": "puts host segments, which a chain on the accelerator alone has none of, where they run.",
}
"""Passes of the stage that save nothing, and what they are for."""

COPYING = ("copy-concat", "joined")
"""The pass that adds the copies without which nothing can be placed, and a network that needs one."""

LAYOUTS = "choose-layouts"
TARGETS = ("eyeriss", "nlr", "systolic")
CHARGED_BURST = 32
"""16-bit words in a burst of 8 transfers of a 64-bit DRAM (DDR3)."""


@dataclass(frozen=True)
class Figures:
    """What a compilation predicts: links, words and words of bursts on the off-chip link, cycles, energy in pJ."""

    links: int
    words: int
    burst_words: int
    cycles: int
    energy: float
    longest: tuple[int, int, int, int]
    copies: int


@dataclass(frozen=True)
class Saving:
    """A network with a rewrite, and without it."""

    network: str
    rewrite: str
    kept: Figures
    without: Figures


def bundled(network: str) -> Path:
    """The file of a network in the onnx package."""
    import onnx

    return Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{network}.onnx"


def generated(network: str, folder: Path) -> Path:
    """The file, in `folder`, of a network of `models/rewrites.py`."""
    path = folder / f"{network}.onnx"
    script = Path(__file__).parent / "models" / "rewrites.py"
    subprocess.run([sys.executable, str(script), "--network", network, "--output", str(path)], check=True)
    return path


def figures(model: Path, without: Sequence[str] = (), burst: int = 0, target: str = "eyeriss") -> Figures:
    """Compile a model and add up the predictions of its layers; with `burst`, bursts of so many words are charged."""
    from backends.spatial.emit import predictions
    from compiler.compilation import CompileOptions, compile_source
    from dialects.events import BURSTS, Counts
    from dialects.spatial import LayerOp
    from dialects.target import require_machine
    from passes.mapping.cost import price

    gc.collect()  # The weights of the network before hang on cycles.
    settings = {"dram.burst_words": str(burst), "dram.charge_bursts": "true"} if burst else {}
    options = CompileOptions(target=target, stop="placed", without=frozenset(without), settings=settings)
    module = compile_source(str(model), options).module
    machine = require_machine(module, "placed")
    counts = predictions(module)
    prices = [price(each, machine) for each in counts.values()]
    total = Counts()
    for each in counts.values():
        total.add(each)
    specs = [(op.spec, len(op.extras)) for op in module.walk() if isinstance(op, LayerOp)]
    lengths = [(len(spec.pre), len(spec.mid), len(spec.post), extras) for spec, extras in specs]
    return Figures(
        links=len(counts),
        words=total.charged(BURSTS),
        burst_words=total.charged(BURSTS.values()),
        cycles=sum(each.cycles for each in prices),
        energy=sum(each.total_energy for each in prices),
        longest=(max(a for a, *_ in lengths), max(b for _, b, *_ in lengths),
                 max(c for *_, c, _ in lengths), max(d for *_, d in lengths)),
        copies=sum(1 for (spec, _), (pre, mid, post, _) in zip(specs, lengths, strict=True)
                   if spec.main == "pass" and not (pre or mid or post) and all(dim.ks == 1 for dim in spec.dims)),
    )  # fmt: skip


def savings(models: Mapping[str, Path], full: Mapping[str, Figures], rewrites: Sequence[str]) -> Iterator[Saving]:
    """Every network without each of the rewrites that change it."""
    for network, model in models.items():
        for rewrite in rewrites:
            found = figures(model, [rewrite])
            if found != full[network]:
                yield Saving(network, rewrite, full[network], found)


def all_savings(networks: Sequence[str], full: Mapping[str, Figures], folder: Path) -> Iterator[Saving]:
    """What the rewrites save on the nine networks and the blocks, and each one with an example on that."""
    yield from savings({network: bundled(network) for network in networks}, full, REWRITES)
    small = {network: generated(network, folder) for network in (*BLOCKS, *EXAMPLES.values())}
    whole = {network: figures(model) for network, model in small.items()}
    yield from savings({block: small[block] for block in BLOCKS}, whole, REWRITES)
    for rewrite, network in EXAMPLES.items():
        yield from savings({network: small[network]}, whole, [rewrite])


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * (len(header) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def change(kept: float, without: float) -> str:
    """How much less there is with the rewrite than without it, in percent."""
    return f"{100 * (1 - kept / without):+.1f} %" if kept != without else "0"


def length_table(networks: Sequence[str], full: dict[str, Figures]) -> str:
    """Links and longest steps of every network."""
    rows = [
        (name, str(found.links), str(REFERENCE[name]), *map(str, found.longest), str(found.copies))
        for name, found in ((name, full[name]) for name in networks)
    ]
    return markdown(("network", "links", "reference", "pre", "mid", "post", "operands", "copies"), rows)


def rewrite_tables(found: Sequence[Saving]) -> str:
    """For each rewrite the networks that it changes."""
    parts: list[str] = []
    for rewrite in REWRITES:
        rows = [
            (
                each.network,
                f"{each.without.links} to {each.kept.links}",
                f"{(each.without.words - each.kept.words) / 1e6:.3f}",
                change(each.kept.words, each.without.words),
                change(each.kept.cycles, each.without.cycles),
                change(each.kept.energy, each.without.energy),
            )
            for each in found
            if each.rewrite == rewrite
        ]
        header = ("network", "links", "Mwords saved", "words", "cycles", "energy")
        parts.append(f"### {rewrite}\n\n{markdown(header, rows)}")
    return "\n".join(parts)


def layout_table(networks: Sequence[str], target: str, burst: int = 0) -> str:
    """What the choice of layouts saves on a target; with `burst`, where it charges bursts of so many words."""
    rows: list[tuple[str, ...]] = []
    for network in networks:
        plain, chosen = (figures(bundled(network), without, burst, target) for without in ([LAYOUTS], []))
        words = [f"{count / 1e6:.2f}" for count in (plain.words, plain.burst_words, chosen.burst_words)]
        saved = [change(chosen.burst_words, plain.burst_words)]
        if burst:
            saved += [change(chosen.cycles, plain.cycles), change(chosen.energy, plain.energy)]
        rows.append((network, *words, *saved))
    charged = ("cycles", "energy") if burst else ()
    return markdown(("network", "Mwords", "in bursts, row-major", "in bursts, chosen", "words saved", *charged), rows)


def layouts(networks: Sequence[str]) -> str:
    """The tables of all targets, and of a machine that charges bursts."""
    parts = [f"### {target}\n\n{layout_table(networks, target)}" for target in TARGETS]
    title = f"### eyeriss, if it charged bursts of {CHARGED_BURST} words"
    return "\n".join([*parts, f"{title}\n\n{layout_table(networks, 'eyeriss', CHARGED_BURST)}"])


def other_passes(copied: Figures) -> str:
    """The passes of the stage that save nothing; `copied` is the example of the one that makes copies."""
    name, network = COPYING
    lines = [f"- {other}: {what}" for other, what in OTHERS.items()]
    lines.append(
        f"- {name}: makes the copies without which parts of a concatenation, or a result, would not lie where they "
        f"have to; without it nothing can be placed. What it adds is the column of copies above: none on the nine "
        f"networks, whose parts and transposed results are all written in place. Of the {copied.links} links of "
        f"`{network}`, a concatenation of an input, it adds {copied.copies}."
    )
    return "\n".join(lines) + "\n"


def page(networks: Sequence[str], folder: Path) -> str:
    """The whole page; the small networks are written into `folder`."""
    full = {network: figures(bundled(network)) for network in networks}
    found = list(all_savings(networks, full, folder))
    copied = figures(generated(COPYING[1], folder))
    return f"""{NOTICE}
# Fusion

The nine ImageNet networks of the onnx package on Eyeriss, as the cost model predicts them, and small networks
(`benchmarks/models/rewrites.py`) for what these have not.

## Chain lengths

Links after all rewrites, beside those of a reference implementation of GCONV Chain; the most steps before, within and
after a link, and the most tensors that they read; links that only copy.

{length_table(networks, full)}
## What each rewrite saves

The network compiled with all rewrites, against all but one: links without and with it, words across the off-chip link,
cycles and energy. A rewrite that another could stand in for shows less than it would alone, and a minus is what one
costs. Networks that it does not change are left out. Time to configure a layer is not part of the cycles: share-terms
gives words for it. Chains of integers are what fold-quantization is for, exact as the model says; that words are saved
comes with it where a tensor has one reader. Where a dequantized tensor has two, as the shortcut of `int8_block`, it is
written as a tensor of its own, and a word of Eyeriss holds a float as it holds an 8-bit integer.

{rewrite_tables(found)}
### Passes of the stage that save nothing

{other_passes(copied)}
## Layouts of tensors between links

Layers begin and end in DRAM, so neighbours meet there: {LAYOUTS} gives each tensor between links the order of
dimensions in which its producer's writes and its consumers' reads together take the fewest bursts. Words that are
moved, cycles and energy stay the same on these targets, which charge words, as the authors of Eyeriss count them; what
the link carries in whole bursts does not. A bank of the buffer holds words of one tensor at a time, from one layer:
there is no layout to agree on between layers.

{layouts(networks)}"""


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description="What every rewrite of the chain saves.")
    parser.add_argument("--network", action="append", choices=list(REFERENCE), help="one of the networks; all if none")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the page there; else print it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = page(arguments.network or list(REFERENCE), Path(folder))
    if arguments.output is None:
        print(text)
    else:
        arguments.output.write_text(text)


if __name__ == "__main__":
    main()
