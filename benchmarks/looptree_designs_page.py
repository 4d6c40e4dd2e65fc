"""The page of `looptree_designs`: tables of published figures beside ours, and what is unchecked.

A module of `benchmarks/looptree_designs.py`, no command of its own.
"""

from __future__ import annotations

from looptree_designs import (
    KB,
    LARGEST,
    READINGS,
    Figure,
    all_figures,
    all_unchecked,
    published,
    reuse_words,
    runs,
    target,
    word_bytes,
)

from compiler.tables import number, table

NOTICE = "<!-- Made by `python benchmarks/looptree_designs.py --output docs/looptree-designs.md`; do not edit. -->\n"

_INTRODUCTION = """\
LoopTree (Gilbert, Wu, Emer, Sze: arXiv 2409.13625) was validated with five published designs and a largest error of
4 %. Here each is a target (`benchmarks/looptree_designs/`), a group of links (`looptree_groups.py`) and a fixed mapping
(`looptree_mappings.py`): ranks of the last link that are cut, what is retained where, stages in sequence or as a
pipeline. `passes/fusion` prices them, and what is public of the designs stands beside it. No constant is fitted; where
it is not public what a figure counts, the reading that was chosen is named. LoopTree's own table of figures is in no
public text that was found, so that the figures are those of the designs' authors.
"""

_TEXTS = {
    "Fused-layer CNN": """\
Layers are fused position by position of the last feature map: loops over its rows and columns with tiles of 1, feature
maps retained below the first, kernels on the chip, stages as a pipeline. Transfers are of feature maps only. What is
published as storage is not what a turn holds but what is *kept* between turns: the rows of every map that neighbouring
rows of pyramids share, and the columns of a tile that neighbouring pyramids share. `passes/fusion/keeping.py` computes
both as intersections of what the turns need, the first turns aside, which fill the pyramids; a test compares them with
the closed form. The published 77 MB of transfers layer by layer are left out: they are not reproducible.

For AlexNet it is not public what the two layers are. They are read as one of its two towers with both poolings, because
the operations that are made again without reuse are then those published. What the storage counts can be read in four
ways. VGG-E is met by all of them, AlexNet by one, which is used for both: so AlexNet's storage is no test of its own.
""",
    "ISAAC": """\
Two layers at a time, as stages of a pipeline. *Whole* is the buffer without pipelining; *pipelined* is what a place
below a loop over rows holds, K rows. The formula, ((K - 1) N + K) maps, is what is *live* with loops over rows and
columns, from first use to last (`live` in `keeping.py`). The published table counts a byte a value; ISAAC's have two.
""",
    "PipeLayer": """\
Turns are images of a batch, links whole layers, which take a cycle each; as a pipeline or in sequence. The update of
weights takes a cycle after each batch of B, all N images being one batch here. Training is a group of 2 L + 1 links.
""",
    "FLAT": """\
Footprints: batches, heads and rows are cut, logits retained below all loops, keys and values below those of their head.
Operands and results are staged twice, the tile of logits is not, which is what the target's memories say.

Runs: an array of 256 x 256 (edge: 32 x 32) elements works on a tile of logits at a time and streams operands that are
not on the chip. Which these are, and which operand stays in the array, is published with every run. With all operands
streamed, n tiles along a sequence make 3 n + 1 tensors of traffic out of four. The time is that of the array, whose
columns idle while it makes results with fewer features than it has; published times are longer by a few microseconds.

Published traffic is a whole number of tensors and a rest, which does not grow with batch or heads: what comes before
the array starts. On the cloud machine it is, in tiles of 256 rows, two, one for every operand that is streamed, and all
rows of one that is staged, in every run. By that, two runs of XLM that are labelled as having keys *and* values on the
chip have only one of them there, and stream the other. They are run so (which one makes no difference), and traffic
agrees; with both staged it is n + 3 tensors, which the last table has.
""",
}

_UNCHECKED = """\
What was run and has nothing public to be compared with, or was not run for that reason; and what is public, but differs
or cannot be reproduced, with what is known of why.
"""


def page() -> str:
    """The whole page."""
    figures = all_figures()
    worst = max(figures, key=lambda figure: abs(figure.error))
    parts = [NOTICE, "# The designs that LoopTree was validated with\n", _INTRODUCTION]
    parts.append(
        f"{len(figures)} figures. Largest error: {abs(worst.error) * 100:.1f} % ({worst.design}, {worst.what}); "
        f"the tests allow {LARGEST * 100:.0f} %.\n"
    )
    for design, text in _TEXTS.items():
        parts += [f"## {design}\n", text]
        if design == "Fused-layer CNN":
            parts.append(_readings())
        parts.append(_figures([figure for figure in figures if figure.design == design]))
        if design == "FLAT":
            parts.append(_fetched_first())
    parts += ["## Unchecked, or different\n", _UNCHECKED, _unchecked()]
    parts += ["## Sources\n", _sources()]
    return "\n".join(parts)


def _figures(figures: list[Figure]) -> str:
    rows = (
        (each.what, _value(each.published), _value(each.ours), each.unit, f"{100 * each.error:+.2f}")
        for each in figures
    )
    columns = ["figure", number("published"), number("ours"), "unit", number("error (%)")]
    return f"{table(columns, rows).markdown()}\n"


def _value(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.5g}"


def _readings() -> str:
    figures, size = published()["fused_cnn"], word_bytes(target("fused-cnn"))
    rows: list[tuple[str, ...]] = []
    for reading in READINGS:
        cells = [str(reading)]
        for network in ("vgg_e", "alexnet"):
            storage, theirs = reuse_words(network, reading) * size / KB, figures[network]["storage_kb"]
            cells += [f"{storage:.1f}", f"{100 * (storage / theirs - 1):+.1f}"]
        rows.append(tuple(cells))
    columns = ["reading", number("VGG-E (kB)"), number("error (%)"), number("AlexNet (kB)"), number("error (%)")]
    note = "A kB is 1000 bytes, a MiB 2^20; with kB of 1024 bytes storage is 2.3 % less, and within 4 % as well.\n"
    return f"{table(columns, rows).markdown()}\n\n{note}"


def _fetched_first() -> str:
    """What comes before the array starts, on the machine whose runs have tiles of one size."""
    cloud = [run for run in runs() if run.platform == "cloud"]
    rows = (
        (
            f"{run.network}, N = {run.sequence}",
            run.on_chip or "none",
            f"{run.fetched_first:.0f}",
            str(run.expected_first(run.on_chip)),
            str(run.expected_first(run.staged)),
            run.staged or "none",
        )
        for run in cloud
    )
    columns = [
        "run",
        "labelled as staged",
        number("published rest (tiles)"),
        number("as labelled"),
        number("as run here"),
    ]
    return f"{table([*columns, 'staged here'], rows).markdown()}\n"


def _unchecked() -> str:
    rows = ((each.design, each.what, each.ours, each.why) for each in all_unchecked())
    return f"{table(['design', 'what', 'ours', 'why'], rows).markdown()}\n"


def _sources() -> str:
    rows = ((f"`{key}`", found["source"], found["basis"]) for key, found in published().items())
    return f"{table(['figures', 'source', 'taken from'], rows).markdown()}\n"


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/looptree_designs.py: run that one")
