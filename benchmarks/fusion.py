"""What every rewrite of the chain saves, on the nine ImageNet networks that the onnx package bundles.

    python benchmarks/fusion.py --output docs/fusion.md

Compiles each network for Eyeriss with all passes, and again without each one of the rewrites; prints, as Markdown, the
length of the chains, what each rewrite saves in links, words across the off-chip link, cycles and energy, and what the
choice of layouts saves on the same machine when it charges bursts. All figures are predicted by the cost model, which
the emulator's counts equal. `--network NAME` (several times) does some of the networks. A few minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
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
    "match-activations",
    "fold-copies",
    "fold-pad",
    "fuse-elementwise",
    "share-terms",
    "broadcast-reductions",
    "fold-weights",
    "fuse-pre",
    "merge-dims",
)
"""The passes of stage `fused` that a compilation can do without."""

LAYOUTS = "choose-layouts"
BURSTS = (4, 32)
"""16-bit words in a transfer of the chip's 64-bit link, and in a burst of 8 transfers of a 64-bit DRAM (DDR3)."""


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


def figures(model: Path, without: Sequence[str] = (), burst: int = 0) -> Figures:
    """Compile a model and add up the predictions of its layers; with `burst`, bursts of so many words are charged."""
    from backends.spatial.emit import predictions
    from compiler.compilation import CompileOptions, compile_source
    from dialects.events import BURSTS, Counts
    from dialects.spatial import LayerOp
    from dialects.target import require_machine
    from passes.mapping.cost import price

    settings = {"dram.burst_words": str(burst), "dram.charge_bursts": "true"} if burst else {}
    options = CompileOptions(target="eyeriss", stop="placed", without=frozenset(without), settings=settings)
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


def savings(networks: Sequence[str], full: dict[str, Figures]) -> Iterator[Saving]:
    """Every network without each of the rewrites that change it."""
    for network in networks:
        for rewrite in REWRITES:
            found = figures(bundled(network), [rewrite])
            if found != full[network]:
                yield Saving(network, rewrite, full[network], found)


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
                f"{(each.without.words - each.kept.words) / 1e6:.2f}",
                change(each.kept.words, each.without.words),
                change(each.kept.cycles, each.without.cycles),
                change(each.kept.energy, each.without.energy),
            )
            for each in found
            if each.rewrite == rewrite
        ]
        header = ("network", "links", "Mwords saved", "words", "cycles", "energy")
        parts.append(f"### {rewrite}\n\n{markdown(header, rows) if rows else 'Changes none of these networks.'}\n")
    return "\n".join(parts)


def layout_table(networks: Sequence[str], burst: int) -> str:
    """What the choice of layouts saves where bursts are charged."""
    rows: list[tuple[str, ...]] = []
    for network in networks:
        plain = figures(bundled(network), [LAYOUTS], burst)
        chosen = figures(bundled(network), (), burst)
        rows.append(
            (
                network,
                f"{plain.words / 1e6:.2f}",
                f"{plain.burst_words / 1e6:.2f}",
                f"{chosen.burst_words / 1e6:.2f}",
                change(chosen.burst_words, plain.burst_words),
                change(chosen.cycles, plain.cycles),
                change(chosen.energy, plain.energy),
            )
        )
    return markdown(
        ("network", "Mwords", "in bursts, row-major", "in bursts, chosen", "words saved", "cycles", "energy"), rows
    )


def page(networks: Sequence[str]) -> str:
    """The whole page."""
    full = {network: figures(bundled(network)) for network in networks}
    found = list(savings(networks, full))
    return f"""{NOTICE}
# Fusion

The nine ImageNet networks of the onnx package on Eyeriss, as the cost model predicts them.

## Chain lengths

Links after all rewrites, beside those of a reference implementation of GCONV Chain; the most steps before, within and
after a link, and the most tensors that they read; links that only copy.

{length_table(networks, full)}
## What each rewrite saves

The network compiled with all rewrites, against all but one: links without and with it, words across the off-chip link,
cycles and energy. A rewrite that another could stand in for shows less than it would alone. Time to configure a layer
is not part of the cycles: share-terms gives words for it.

{rewrite_tables(found)}
## Layouts of tensors between links

The same networks on a machine that charges whole bursts: {LAYOUTS} against row-major tensors. Eyeriss itself charges
words, as its authors count them.

""" + "\n".join(f"### Bursts of {burst} words\n\n{layout_table(networks, burst)}" for burst in BURSTS)


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description="What every rewrite of the chain saves.")
    parser.add_argument("--network", action="append", choices=list(REFERENCE), help="one of the networks; all if none")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the page there; else print it")
    arguments = parser.parse_args()
    text = page(arguments.network or list(REFERENCE))
    if arguments.output is None:
        print(text)
    else:
        arguments.output.write_text(text)


if __name__ == "__main__":
    main()
