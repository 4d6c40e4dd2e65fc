"""The page of `isca16`: tables of what the mapper finds beside the published bars.

A module of `benchmarks/isca16.py`, no command of its own.
"""

from __future__ import annotations

import sys

from isca16 import (
    CONNECTED,
    CONVOLUTIONS,
    DATAFLOWS,
    IMAGES,
    QUANTITIES,
    Cost,
    attempt,
    bars,
    buffer_bytes,
    cost,
    published,
    quantities,
    unconstrained,
)

from compiler.tables import number, table

NOTICE = "<!-- Made by `python benchmarks/isca16.py --output docs/isca16.md`; do not edit. -->\n"
EFFORT = 5_000_000
LEVELS = ("alu", "dram", "buffer", "array", "rf")

_INTRODUCTION = """\
The paper that introduced row-stationary processing compares six dataflows on arrays of equal area (Chen, Emer, Sze:
Eyeriss, ISCA 2016, section VII): row stationary (RS), weight stationary (WS), output stationary with one filter (OSA),
with several filters (OSB) and with one position at a time (OSC), and no local reuse (NLR). Here each is a target,
`isca16-rs` to `isca16-nlr`: memories and axes of the array, the energy of each kind of access, and the loop nest that
its mappings share. `passes/mapper` counts the words that a nest moves and finds the best tile sizes, exactly
(`passes/mapper/search.py` states the space). Nothing is fitted to the bars.

Three conventions of the paper are keys of a description: tiles of every level count as if cut out of the whole loop
(`nested = false`, which only this comparison sets; strips may be fractions), what a memory holds is fetched again for
every visit, and sums that travel in the array weigh twice in the search. Energy is relative to that of a MAC; delay is
operations by busy elements.
"""


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


def page() -> str:
    """The whole page."""
    reference = cost("RS", 1, CONVOLUTIONS)
    parts = [NOTICE, "# Six dataflows in the same area\n", _INTRODUCTION]
    parts += ["## Convolutions of AlexNet, 256 elements\n", _comparison(reference)]
    parts += ["## Row stationary, layer by layer\n", _levels()]
    parts += ["## Any mapping on the same hardware\n", _unconstrained()]
    parts += ["## Larger arrays and fully connected layers\n", _predictions(reference)]
    return "\n".join(parts)


def _comparison(reference: Cost) -> str:
    rows: list[tuple[str, ...]] = []
    worst = dict.fromkeys(QUANTITIES, 0.0)
    for flow in DATAFLOWS:
        for images in IMAGES:
            _say(f"{flow}, {images} images")
            if (flow, images, "dram") not in bars():
                fits = attempt(flow, images, CONVOLUTIONS, 256) is not None
                rows.append((flow, str(images), *["fits" if fits else "does not fit", "", "no bar"] * 3))
                continue
            found = quantities(cost(flow, images, CONVOLUTIONS), reference)
            cells: list[str] = []
            for quantity, value in found.items():
                bar = bars()[flow, images, quantity]
                error = 100 * (value / bar - 1)
                worst[quantity] = max(worst[quantity], abs(error))
                cells += [f"{value:.4f}", f"{bar:.4f}", f"{error:+.2f}"]
            rows.append((flow, str(images), *cells))
    columns = ["dataflow", number("images")]
    for name in ("DRAM per MAC", "energy", "EDP"):
        columns += [number(name), number("published"), number("error (%)")]
    largest = ", ".join(f"{QUANTITIES[name]} {error:.2f} %" for name, error in worst.items())
    note = "Energy and energy-delay product are relative to RS with one image.\n"
    return f"{table(columns, rows).markdown()}\n\n{note}\nLargest errors: {largest}.\n"


def _levels() -> str:
    rows: list[tuple[str, ...]] = []
    for layer in (*CONVOLUTIONS, *CONNECTED):
        _say(f"RS, {layer.name}")
        found = cost("RS", 16, (layer,)).energy
        bar = dict(zip(LEVELS, published()["levels"]["rows"][layer.name], strict=True))
        rows.append((layer.name, *(f"{found[level] / 1e9:.3f} ({bar[level]:.3f})" for level in LEVELS)))
    text = table(["layer", *map(number, ("ALU", "DRAM", "buffer", "array", "register files"))], rows).markdown()
    return f"16 images; energy in 1e9 MAC energies, published figures in parentheses.\n\n{text}\n"


PROVED = 1e-9
"""A gap of less is rounding."""


def _unconstrained() -> str:
    rows: list[tuple[str, ...]] = []
    for flow in DATAFLOWS:
        _say(f"{flow}, any mapping")
        best = unconstrained(flow, 16, CONVOLUTIONS, EFFORT)
        less, gap = 100 * (1 - best.found / best.constrained), 100 * (1 - best.bound / best.found)
        layers = (f"{100 * each:.1f}" if each > PROVED else "0" for each in best.gaps.values())
        cells = (f"{best.constrained:.4f}", f"{best.found:.4f}", f"{less:.2f}", f"{best.bound:.4f}", f"{gap:.1f}")
        rows.append((flow, *cells, *layers))
    titles = ("its dataflow", "any mapping", "less by (%)", "bound", "gap (%)", *(each.name for each in CONVOLUTIONS))
    note = (
        "Energy of an operation in MAC energies, ALU included, 16 images. The hardware is that of the dataflow, its\n"
        "memories, axes and prices; but operands may get their places in any order, with loops cut between them, and\n"
        f"any loops may lie on the array (`passes/mapper/free.py`, an effort of {EFFORT:,} a layer, or the mapping in\n"
        "the dataflow where that is better). No mapping is below the bound, which is proved: the optimum lies between\n"
        "it and what was found, and the gap says what a better mapping may save at most, for all layers together and\n"
        "for each. Where it is 0, what was found is the optimum. In both columns tiles are cut out of those around\n"
        "them, so that figures of dataflows differ a little from those above.\n"
    )
    columns = ["hardware of", *map(number, titles)]
    return f"{note}\n{table(columns, rows).markdown()}\n"


def _predictions(reference: Cost) -> str:
    connected = cost("RS", 1, CONNECTED)
    rows: list[tuple[str, ...]] = []
    for elements in (256, 512, 1024):
        for flow in DATAFLOWS:
            cells: list[str] = []
            for layers, base in ((CONVOLUTIONS, reference), (CONNECTED, connected)):
                _say(f"{flow}, {elements} elements, {layers[0].name}")
                found = attempt(flow, 16, layers, elements)
                cells += [f"{v:.4f}" for v in quantities(found, base).values()] if found else ["does not fit", "", ""]
            rows.append((str(elements), flow, f"{buffer_bytes(flow, elements) / 1024:.1f}", *cells))
    columns = [number("elements"), "dataflow", number("buffer (kB)")]
    for kind in ("CONV", "FC"):
        columns += [number(f"{kind} DRAM per MAC"), number(f"{kind} energy"), number(f"{kind} EDP")]
    note = (
        "16 images. Predictions: the paper has plots for these, too, from which no figures were read. The buffer gets\n"
        "the area that 512 B per element and 512 B of buffer per element would take, less that of the dataflow's\n"
        "register files. Energies are relative to RS with 256 elements and one image, of the same layers.\n"
    )
    return f"{note}\n{table(columns, rows).markdown()}\n"


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/isca16.py: run that one")
