"""The page of `eyeriss_chip`: what the cost model predicts and the emulator counts beside what the chip measured.

A module of `benchmarks/eyeriss_chip.py`, no command of its own.
"""

from __future__ import annotations

from eyeriss_chip import (
    DRAM,
    GLB,
    LAYERS,
    RATIO,
    TIME,
    ZEROS_KNOWN,
    Run,
    Shares,
    chip_mappings,
    choices,
    compression,
    cost,
    machine,
    measure,
    megabytes,
    milliseconds,
    power,
    predicted_with,
    published,
)

from compiler.tables import number, table

NOTICE = "<!-- Made by `python benchmarks/eyeriss_chip.py --output docs/eyeriss-chip.md`; do not edit. -->\n"
PRINTED = "CONV3, printed"

_INTRODUCTION = """\
The Eyeriss chip was measured on the convolutions of AlexNet, four images, at 1 V with a core of 200 MHz and a link of
60 MHz (Chen, Krishna, Emer, Sze, JSSC 2017, table V). Here the same layers are compiled for a description of the chip,
`benchmarks/eyeriss_chip/target.toml`, with the mappings that the chip used (table III), predicted by the cost model
from the published shares of zeros, and run on the emulator, one by one, with random inputs of which as many are zero.
No constant is fitted to the figures that are compared.

Of the cost model and the emulator, all counts are equal that do not depend on the data: words at every level,
operations, cycles of the array. Words of compressed feature maps and gated operations are expectations in the one and
counted in the other. MB are 10^6 bytes.
"""

_BUFFER = """\
Words that passes read of inputs, padding included, and partial sums that they read and write; filters do not go
through the buffer. With the mapping that table III prints for CONV3 (q = 4, r = 1, t = 4) 64 passes fold into a sum,
and the buffer moves what the row `CONV3, printed` says; with q = 3, r = 2, t = 2, the mapping of CONV4 and CONV5, it is
43 passes and the published traffic. Table III and table V cannot both be right; the text of the paper agrees with
table III. The rest of this page has CONV3 with the mapping that table V implies, unless it says otherwise.
"""

_OFF_CHIP = """\
What is counted: the input of every tile with its padding, once for each m filters (the chip stores padded maps: only
with padding do the uncompressed words agree with the published ratio, on all five layers); filters once for each strip
of n images; outputs once. Feature maps but the first input are compressed: pairs of a 5-bit run of zeros and a 16-bit
word, three to 64 bits and one bit that marks the last. Every transfer is a stream of its own.

Shares of zeros are known of inputs (table V, taken to be of padded maps) and of outputs with nothing between them and
the next input, CONV3 and CONV4, where the padding is taken out again. The other outputs go through pooling; theirs is
the share that the published traffic implies, so that the predicted traffic of these layers is no test (`implied`); the
range is that without any and with only zeros in the output. Uncompressed words beside what published traffic times
published ratio can be, both rounded, are a test on all layers.
"""

_RATIOS = """\
What compression saves of the whole off-chip traffic of a layer, filters included, which go as they are: uncompressed
words over words with the run-length code, beside the chip's published ratio.
"""

_TIME = """\
Processing time is that of the array: a pass takes as long as the words of the first windows on the 16-bit input
network, then the element with most work, then three pipeline stages and the way of the last sums up their chain; or as
long as inputs or sums take on their networks, if that is longer. Before it, filters come at four words a cycle. Latency
has the transfers of feature maps besides, which do not overlap with the array, at 1.2 words a cycle; filters are
fetched meanwhile.
"""

_POWER = """\
Power of the chip itself: energy without DRAM over latency. An access costs its energy relative to a MAC, and an
element saves 45 % on an input of zero, so that the power depends on the zeros. The energies are those of a comparison
of dataflows, made before the chip was measured; none is the chip's own. The papers say that arithmetic takes less than
10 % and scratchpads, buffer and network up to 45 % of the chip's power, the rest being largely the clock, for which
they give no figure and this model has no term. That is missing most in CONV1, where nothing is gated.
"""

_MAPPINGS = """\
The paper finds its mappings by minimising the energy of ISCA 2016 within the limits of the chip.
`benchmarks/eyeriss_chip/dataflow.toml` is that search: the dataflow of the target `isca16-rs` on 12 rows and 168
elements, with scratchpads of 12, 224 and 24 words, 25 banks of 4 kB with words of one operand each, and filters cut
into equal tiles. It is exact over that space. Energy is that of all accesses per MAC, relative to a MAC, as the search
weighs it.
"""

_OWN = """\
What Catena chooses when it is free, for the same machine: it minimises energy times latency over a space with more ways
to fill the array (rows in segments of any size, halves of sets), takes filters in tiles that need not be equal, and
goes on from the best of these to better mappings beside it, which may cut kernels. Both columns are predicted with the
shares of zeros above.
"""


def page() -> str:
    """The whole page."""
    runs, shares, printed = measure()
    parts = [NOTICE, "# The Eyeriss chip\n", _INTRODUCTION]
    parts += ["## Operations and buffer traffic\n", _BUFFER, _buffer(runs, printed)]
    parts += ["## Off-chip traffic\n", _OFF_CHIP, _off_chip(runs, shares), _RATIOS, _ratios(runs)]
    parts += ["## Time\n", _TIME, _time(runs, printed)]
    parts += ["## Power\n", _POWER, _power(runs)]
    parts += ["## The chip's mappings and the best ones\n", _MAPPINGS, _mappings(), _OWN, _own(shares)]
    parts += ["## Constants\n", _constants()]
    return "\n".join(parts)


def _error(value: float, reference: float) -> str:
    return f"{100 * (value / reference - 1):+.1f}"


def _worst(pairs: list[tuple[float, float]], bound: float) -> str:
    worst = max(abs(value / reference - 1) for value, reference in pairs)
    return f"Largest error: {100 * worst:.1f} %; the tests allow {100 * bound:g} %.\n"


def _buffer(runs: dict[str, Run], printed: Run) -> str:
    rows: list[tuple[str, ...]] = []
    for name, run in {**runs, PRINTED: printed}.items():
        row, counts = published()[name[:5]], run.emulated
        traffic = megabytes(counts, "glb")
        operations = f"{counts.events['operation.mac'] / 1e6:.1f}", f"{row.mmac:.1f}"
        rows.append(
            (name, *operations, f"{counts.peak_pes}", f"{row.elements}", f"{traffic:.2f}", f"{row.glb_mb:.1f}",
             _error(traffic, row.glb_mb))
        )  # fmt: skip
    columns = ["layer", *map(number, ("MMAC", "chip", "elements", "chip", "buffer (MB)", "chip", "error (%)"))]
    pairs = [(megabytes(run.emulated, "glb"), published()[layer].glb_mb) for layer, run in runs.items()]
    return f"{table(columns, rows).markdown()}\n\n{_worst(pairs, GLB)}"


def _off_chip(runs: dict[str, Run], shares: dict[str, Shares]) -> str:
    rows: list[tuple[str, ...]] = []
    for layer, run in runs.items():
        row, share = published()[layer], shares[layer]
        raw = megabytes(run.predicted, "dram", raw=True)
        low, high = ((row.dram_mb + d) * (row.dram_ratio + d) for d in (-0.05, 0.05))
        expected, counted = megabytes(run.predicted, "dram"), megabytes(run.emulated, "dram")
        is_known = layer in ZEROS_KNOWN
        output = f"{100 * share.output:.1f}" + ("" if is_known else " (implied)")
        errors = (_error(expected, row.dram_mb), _error(counted, row.dram_mb)) if is_known else ("", "")
        others = expected - run.predicted.events["dram.output.compressed"] * 2 / 1e6
        dense = others + run.predicted.events["dram.output.write"] * 2 / 1e6 * 4 / 3
        limits = "" if is_known else f"{others:.2f} to {dense:.2f}"
        rows.append(
            (layer, f"{raw:.2f}", f"{low:.2f} to {high:.2f}", f"{100 * share.input:.1f}", output, f"{expected:.3f}",
             f"{counted:.3f}", f"{row.dram_mb:.1f}", *errors, limits)
        )  # fmt: skip
    titles = (
        "uncompressed (MB)", "chip", "zeros in input (%)", "in output (%)", "predicted (MB)", "emulated (MB)", "chip",
        "error (%)", "error of emulated (%)", "whatever the output (MB)",
    )  # fmt: skip
    pairs = [(megabytes(runs[layer].predicted, "dram"), published()[layer].dram_mb) for layer in ZEROS_KNOWN]
    return f"{table(['layer', *map(number, titles)], rows).markdown()}\n\n{_worst(pairs, DRAM)}"


def _ratios(runs: dict[str, Run]) -> str:
    rows: list[tuple[str, ...]] = []
    for layer, run in runs.items():
        row, found = published()[layer], [compression(each) for each in (run.predicted, run.emulated)]
        errors = [_error(each, row.dram_ratio) for each in found]
        kind = "a test" if layer in ZEROS_KNOWN else "given by the implied output"
        rows.append((layer, *(f"{each:.2f}" for each in found), f"{row.dram_ratio:.1f}", *errors, kind))
    titles = ("predicted", "emulated", "chip", "error (%)", "error of emulated (%)")
    pairs = [
        (compression(each), published()[layer].dram_ratio)
        for layer in ZEROS_KNOWN
        for each in (runs[layer].predicted, runs[layer].emulated)
    ]
    rendered = table(["layer", *map(number, titles), "which is"], rows).markdown()
    return f"{rendered}\n\nCONV3 and CONV4: {_worst(pairs, RATIO)}"


def _time(runs: dict[str, Run], printed: Run) -> str:
    rows: list[tuple[str, ...]] = []
    for name, run in {**runs, PRINTED: printed}.items():
        row = published()[name[:5]]
        array, latency = milliseconds(run.emulated.array_cycles), milliseconds(cost(run.emulated).cycles)
        first = (f"{array:.2f}", f"{row.processing_ms:.1f}", _error(array, row.processing_ms))
        rows.append((name, *first, f"{latency:.2f}", f"{row.latency_ms:.1f}", _error(latency, row.latency_ms)))
    totals = [
        sum(milliseconds(each) for each in of)
        for of in (
            [run.emulated.array_cycles for run in runs.values()],
            [cost(run.emulated).cycles for run in runs.values()],
        )
    ]
    chip = [sum(getattr(row, name) for row in published().values()) for name in ("processing_ms", "latency_ms")]
    cells = [
        cell for own, row in zip(totals, chip, strict=True) for cell in (f"{own:.2f}", f"{row:.1f}", _error(own, row))
    ]
    rows.insert(len(LAYERS), ("all", *cells))
    titles = ("processing (ms)", "chip", "error (%)", "latency (ms)", "chip", "error (%)")
    pairs = [(milliseconds(run.emulated.array_cycles), published()[layer].processing_ms) for layer, run in runs.items()]
    note = f"CONV4 and CONV5 have equal passes; the chip took 6 % less time for each in CONV5. {_worst(pairs, TIME)}"
    return f"{table(['layer', *map(number, titles)], rows).markdown()}\n\nProcessing time: {note}"


def _power(runs: dict[str, Run]) -> str:
    rows: list[tuple[str, ...]] = []
    for layer, run in runs.items():
        row, parts = published()[layer], power(run.emulated)
        total, gated = sum(parts.values()), run.emulated.events["operation.gated"] / run.emulated.operations
        cells = (f"{watts:.0f}" for watts in parts.values())
        picojoules = total * milliseconds(cost(run.emulated).cycles) * 1e6 / run.emulated.operations
        measured = row.mw * row.latency_ms / row.mmac
        energies = (f"{picojoules:.1f}", f"{measured:.1f}")
        rows.append(
            (layer, f"{100 * gated:.1f}", *cells, f"{total:.0f}", f"{row.mw:.0f}", _error(total, row.mw), *energies)
        )
    titles = (
        "gated (%)", "elements (mW)", "network (mW)", "buffer (mW)", "static (mW)", "power (mW)", "chip", "error (%)",
        "pJ per MAC", "chip",
    )  # fmt: skip
    return f"{table(['layer', *map(number, titles)], rows).markdown()}\n"


def _text(parameters: dict[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parameters.items())


def _mappings() -> str:
    rows: list[tuple[str, ...]] = []
    found = choices()
    for layer, chosen in found.items():
        for index, each in enumerate(chosen):
            same = each.parameters == each.best
            label = f"{layer}{', printed' if len(chosen) > 1 and not index else ''}"
            distance = f"{100 * (each.energy / each.best_energy - 1):+.2f}"
            best = ("the same", "", "") if same else (_text(each.best), str(each.best_elements), distance)
            energies = (f"{each.energy:.4f}", f"{each.best_energy:.4f}")
            rows.append((label, _text(each.parameters), str(each.elements), *energies, *best))
    titles = ("elements", "energy", "best energy")
    columns = ["layer", "the chip's mapping", *map(number, titles), "best mapping"]
    columns += [number("elements"), number("the chip's takes more (%)")]
    best = {**chip_mappings(), "CONV2": found["CONV2"][0].best}
    own, other = (predicted_with(mappings)["CONV2"][0] for mappings in (chip_mappings(), best))
    traffic = [f"{megabytes(each, 'dram', raw=True):.2f}" for each in (own, other)]
    times = [f"{milliseconds(each.array_cycles):.2f}" for each in (own, other)]
    text = (
        "CONV1, CONV4, CONV5: the chip's mappings are the best ones. CONV3: so is the one that the buffer traffic\n"
        "implies; the printed one is not. CONV2: the best mapping has the same passes on the same elements, and only\n"
        "keeps half as many filters for twice as many images: filters come half as often, inputs twice as often. The\n"
        f"chip's takes {traffic[0]} MB off chip (uncompressed) and {times[0]} ms, the best one {traffic[1]} MB and\n"
        f"{times[1]} ms: what it saves is the filters' way through the array. That filters are cut into equal\n"
        "tiles matters: with 20 filters in an element, not 16, CONV1 would take 0.14 % less energy by these formulas.\n"
    )
    return f"{table(columns, rows).markdown()}\n\n{text}"


def _own(shares: dict[str, Shares]) -> str:
    rows: list[tuple[str, ...]] = []
    others: list[str] = []
    free, given = predicted_with({}, shares), predicted_with(chip_mappings(), shares)
    for layer in LAYERS:
        (counts, mapping), (chip, chips) = free[layer], given[layer]
        product, reference = (cost(each).total_energy * cost(each).cycles for each in (counts, chip))
        cells = [
            f"{value:.2f}" for level in ("glb", "dram") for value in (megabytes(counts, level), megabytes(chip, level))
        ]
        times = [f"{milliseconds(each.array_cycles):.2f}" for each in (counts, chip)]
        elements = str(counts.peak_pes), str(chip.peak_pes)
        label = "the chip's" if mapping == chips else "another"
        rows.append((layer, label, *elements, *cells, *times, f"{product / reference:.3f}"))
        others += [f"Another, {layer}: `{mapping}`; the chip's is `{chips}`.\n"] if mapping != chips else []
    titles = (
        "elements", "chip's", "buffer (MB)", "chip's", "DRAM (MB)", "chip's", "processing (ms)", "chip's",
        "energy x latency, chip's is 1",
    )  # fmt: skip
    return "\n".join([table(["layer", "mapping", *map(number, titles)], rows).markdown() + "\n", *others])


def _constants() -> str:
    chip = machine()
    code, pipeline, energy = chip.dram.compression, chip.pipeline, chip.energy
    assert code is not None
    assert pipeline is not None
    assert energy.gating is not None
    sources = chip.sources
    relative = f"DRAM {energy.dram:g}, buffer {energy.glb:g}, network {energy.array:g}, scratchpad {energy.spad:g}"
    rows = [
        ("clock", f"{chip.clock_mhz:g} MHz", sources["clock_mhz"]),
        ("array", f"{chip.array.rows} x {chip.array.cols} elements", sources["array"]),
        ("scratchpads", f"{chip.pe.input_words}, {chip.pe.kernel_words}, {chip.pe.output_words} words", sources["pe"]),
        ("buffer", f"{chip.glb.banks} banks of {chip.glb.bank_words} words", sources["glb"]),
        (
            "links",
            f"off chip {chip.links.dram:g}, inputs {chip.links.input_bus:g}, filters {chip.links.kernel_bus:g}, "
            f"sums {chip.links.output_bus:g} words a cycle",
            sources["links"],
        ),
        (
            "compression",
            f"{code.pairs} pairs of {code.run_bits} + {chip.word_bits} bits in {code.link_bits}",
            sources["dram"],
        ),
        ("pipeline", f"{pipeline.stages} stages, passes one after another", sources["pipeline"]),
        (
            "energy of an access",
            f"{relative}, operation {energy.operation:g} times {energy.picojoules:g} pJ",
            sources["energy"],
        ),
        ("gating", f"{100 * energy.gating:g} % of an element on an input of zero", sources["gating"]),
        ("static power", f"{energy.static_mw:g} mW", sources["static"]),
        ("what is counted", "padding in DRAM and buffer; every pass reads and writes sums", sources["counting"]),
    ]
    return f"{table(['constant', 'value', 'source'], rows).markdown()}\n"


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/eyeriss_chip.py: run that one")
