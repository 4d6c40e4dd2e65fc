"""The page of `chain_claim`: what was measured as tables, and what follows.

A module of `benchmarks/chain_claim.py`, no command of its own.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from types import ModuleType

from chain_claim import TARGETS, Compilation, Measured
from chain_claim_prices import (
    SCENARIOS,
    arithmetic_mean,
    cost,
    geometric_mean,
    machine_of,
    other_share,
    ratios,
    slowdown_for,
)

from compiler.tables import number, table

NOTICE = "<!-- Made by `python benchmarks/chain_claim.py --output docs/chain-claim.md`; do not edit. -->\n"
PAPER = (3.4, 3.2)
"""Performance and energy efficiency of a chain over the conventional use, on average (Zhang et al., IEEE TC 2021)."""

REFERENCE = {
    "alexnet": ("34", "15", "7 -> 4"),
    "googlenet": ("195", "76", "35 -> 18"),
    "densenet121": ("732", "188", "70 -> 25"),
    "mobilenet": ("115", "", ""),
    "c3d": ("41", "", ""),
    "capsnet": ("33", "", ""),
}
"""An independent count: links unfused and fused, and a bound of the other layers' share of cycles in per cent."""


def page(found: Sequence[Measured], targets: Sequence[str] = TARGETS) -> str:
    """The whole page."""
    parts = [NOTICE, "# The whole network on the accelerator\n", _INTRODUCTION.format(*PAPER)]
    parts += ["## Chain against offload\n", *(_result(found, target) for target in targets)]
    parts += ["## What the result depends on\n", _SENSITIVITY, *(_sensitivity(found, target) for target in targets)]
    parts += [_slowdowns(found, targets), "## Why\n", _why(found, targets)]
    parts += ["## Chains before and after fusion\n", _lengths(found, targets[0])]
    parts += ["## What a chain asks of the hardware\n", _hardware(found, targets)]
    parts += ["## What a new operator asks of the developer\n", _developer()]
    parts += ["## How it was measured\n", _how(found, targets)]
    return "\n".join(parts)


_INTRODUCTION = """\
The paper behind GCONV Chain (Zhang, Chen, Ray: IEEE Transactions on Computers 2021) reports that running whole
networks as chains on existing convolution accelerators makes them {0} times as fast and {1} times as sparing, on
average, as using the same accelerators the conventional way. Its constants are not public. Here both ways are compile
modes of one compiler: `--mode chain` runs everything on the array; `--mode offload` keeps convolutions and matrix
products, with the biases and activations that the chip's output path has, and leaves the rest to a host core. Both
start from the same fused chain: batch normalization is folded into convolutions, concatenations are written in place,
and the host gets its element-wise links fused, too. The host is described in each target with a source for every
figure, and in its favour where a source leaves room: peak rates of its vector unit, perfect overlap of computing and
moving, no cost of calls. No constant was chosen for its effect on the ratios.
"""

_SENSITIVITY = """\
Speed-up / energy ratio of the chain over offloading. *host xN*: the host's rates times N and its energy per operation
divided by N; *link xN*: the bandwidth between host and DRAM; *shared memory*: no link at all; *ideal host*:
everything that leaves the accelerator takes no time and no energy but that of DRAM; *100 us a layer*: a fixed cost of
every offloaded layer; *pools free*: pools cost the baseline nothing, as on a chip with a pooling unit; *no output
path*: the chip hands out bare sums, and biases and activations are the host's work.
"""


def _result(found: Sequence[Measured], target: str) -> str:
    columns = (
        "network",
        number("chain ms"),
        number("offload ms"),
        number("of it host"),
        number("speed-up"),
        number("chain mJ"),
        number("offload mJ"),
        number("of it host"),
        number("energy ratio"),
    )
    rows: list[tuple[str, ...]] = []
    for each in found:
        chain, offload = (cost(each.compilations[target, mode]) for mode in ("chain", "offload"))
        speed_up, energy = ratios(each, target)
        rows.append(
            (
                each.network.title,
                f"{chain.milliseconds:,.2f}",
                f"{offload.milliseconds:,.2f}",
                f"{100 * offload.host_milliseconds / offload.milliseconds:.1f} %",
                f"{speed_up:.2f}",
                f"{chain.millijoules:,.2f}",
                f"{offload.millijoules:,.2f}",
                f"{100 * offload.host_millijoules / offload.millijoules:.1f} %",
                f"{energy:.2f}",
            )
        )
    pairs = [ratios(each, target) for each in found]
    for name, mean in (("geometric mean", geometric_mean), ("arithmetic mean", arithmetic_mean)):
        speed_up, energy = (mean([pair[index] for pair in pairs]) for index in (0, 1))
        rows.append((name, "", "", "", f"{speed_up:.2f}", "", "", "", f"{energy:.2f}"))
    others = [ratios(each, target) for each in found if "MaxRoiPool" not in each.operators]
    if 0 < len(others) < len(found):
        speed_up, energy = (geometric_mean([pair[index] for pair in others]) for index in (0, 1))
        rows.append(("without region pooling", "", "", "", f"{speed_up:.2f}", "", "", "", f"{energy:.2f}"))
    rows.append(("the paper's average", "", "", "", f"{PAPER[0]}", "", "", "", f"{PAPER[1]}"))
    return f"### {_summary(found, target)}\n\n{table(columns, rows).markdown()}\n"


def _summary(found: Sequence[Measured], target: str) -> str:
    return str(found[0].compilations[target, "chain"].machine["summary"])


def _sensitivity(found: Sequence[Measured], target: str) -> str:
    columns = ("assumption", *(number(each.network.title) for each in found), number("geometric mean"))
    rows: list[tuple[str, ...]] = []
    for scenario in SCENARIOS:
        pairs = [ratios(each, target, scenario) for each in found]
        means = tuple(geometric_mean([pair[index] for pair in pairs]) for index in (0, 1))
        rows.append((scenario.name, *(f"{speed:.2f} / {energy:.2f}" for speed, energy in (*pairs, means))))
    return f"### {target}\n\n{table(columns, rows).markdown()}\n"


def _slowdowns(found: Sequence[Measured], targets: Sequence[str]) -> str:
    """How slow the host would have to be."""
    rows: list[tuple[str, ...]] = []
    for target in targets:
        factors = [slowdown_for(speed_up, found, target) for speed_up in (1.0, PAPER[0])]
        rows.append((target, *("never" if each is None else f"{each:.1f}" for each in factors)))
    columns = ("target", number("chain as fast as offload"), number(f"chain {PAPER[0]} times as fast"))
    lead = (
        "How many times slower than described host, link and memory would have to be, all together, for the geometric "
        "mean:\n"
    )
    return f"{lead}\n{table(columns, rows).markdown()}\n"


def _why(found: Sequence[Measured], targets: Sequence[str]) -> str:
    lines: list[str] = []
    for target in targets:
        shares = [other_share(each.compilations[target, "chain"]) for each in found]
        means = [geometric_mean([ratios(each, target)[index] for each in found]) for index in (0, 1)]
        lines.append(
            f"- `{target}`: geometric means {means[0]:.2f} and {means[1]:.2f}, not {PAPER[0]} and {PAPER[1]}. Layers "
            f"other than convolutions and products take {100 * min(shares):.1f} to {100 * max(shares):.1f} % of a "
            "chain's cycles, which bounds what an ideal host can win."
        )
    return "\n".join([*lines, "", _REASONS])


_REASONS = """The ratios differ from the paper's for these reasons:

1. *The baseline is a fused one.* Biases, activations and folded batch normalization never leave the chip, and
   concatenations cost neither side anything. A conventional flow that sends every such layer to the host is the row
   *no output path*, and is still spared the unfolded normalizations.
2. *The host is fast.* A vector unit at its peak does the few operations per word of a pool or a sum faster than words
   cross the link, so the host's layers cost what their traffic costs. A host that runs scalar code, or a driver call
   for every layer, is one to two orders of magnitude slower: the rows *host x0.1*, *host x0.01*, *100 us a layer*.
3. *The link is the accelerator's own.* An offloaded layer moves its tensors over the same bandwidth that the chain
   needs for an unfused layer. With a narrower one the chain gains, with shared memory it loses.
4. *What the chain does itself, the machine model does not overlap.* Feature maps are moved before and after a layer,
   not during it, as measured on the Eyeriss chip; the host is taken to overlap perfectly. On Eyeriss the input bus
   carries one word per cycle, which pools and element-wise links, having no reuse, fill completely.
5. *The mapper is a row-stationary one.* Windows over channels (LRN) slide over whole planes in a few elements, and
   one-dimensional work uses a fraction of an array; a more general mapper helps the chain alone.
6. *The host executes the chain's links.* Region pooling as masked contractions is many times the work of reading the
   regions; a host that did the latter would be as in the rows *host x100* and *ideal host* for that layer.

Energy differs less than time because DRAM dominates what non-convolution layers cost, and both ways move their words
once.
"""


def _lengths(found: Sequence[Measured], target: str) -> str:
    columns = (
        "network",
        number("links unfused"),
        number("fused"),
        number("reference"),
        number("code bytes unfused"),
        number("fused"),
        number("other cycles % unfused -> fused"),
        number("reference"),
    )
    rows: list[tuple[str, ...]] = []
    for each in found:
        fused = each.compilations[target, "chain"]
        unfused_links, fused_links, share = REFERENCE.get(each.network.name, ("", "", ""))
        rows.append(
            (
                each.network.title,
                str(len(each.unfused.layers)),
                str(len(fused.layers)),
                f"{unfused_links} -> {fused_links or '?'}" if unfused_links else "",
                f"{each.unfused.code_bytes:,}",
                f"{fused.code_bytes:,}",
                f"{100 * other_share(each.unfused):.1f} -> {100 * other_share(fused):.1f}",
                share,
            )
        )
    lead = (
        f"On `{target}`. The reference counts links after element-wise fusion and residual fusion, and is a bound "
        "without limits of the on-chip networks. Unfused chains keep views and evaluated constants, but no link "
        "absorbs another.\n"
    )
    return f"{lead}\n{table(columns, rows).markdown()}\n"


def _hardware(found: Sequence[Measured], targets: Sequence[str]) -> str:
    rows: list[tuple[str, ...]] = []
    for target in targets:
        chains = [each.compilations[target, "chain"] for each in found]
        machine = machine_of(chains[0], SCENARIOS[0])
        has = {"main": {"mul"}, "reduce": {"add"}, "pre": set(), "mid": set(), "post": set(machine.limits.output_path)}
        for place, there in has.items():
            used = {name for chain in chains for name in chain.functions.get(place, ())}
            added = sorted(used - there - {"none"})
            rows.append((target, place, ", ".join(sorted(there)) or "nothing", ", ".join(added) or "nothing"))
    columns = ("target", "place", "there for convolutions", "added for the seven networks")
    chains = [each.compilations[target, "chain"] for each in found for target in targets]
    return "\n".join(
        (
            "Scalar functions that the chains use and a convolution does not; `pass` is a mode without kernel.\n",
            table(columns, rows).markdown() + "\n",
            f"Ports and storage, the most that any link of the seven networks uses: {_ports(chains)}\n",
            "Besides: a programmable padding value instead of zero; an accumulator that can take a maximum; a mode "
            "without kernel and one with a fresh kernel word for every operation; addresses with signed strides, crops "
            "and input dilation in each dimension.\n",
        )
    )


def _ports(chains: Sequence[Compilation]) -> str:
    def most(what: str) -> int:
        return max(chain.most_steps.get(what, 0) for chain in chains)

    return (
        f"{most('operands')} tensors read on the way out, {most('pre')} functions before, {most('mid')} between and "
        f"{most('post')} after the reduction, {most('dimensions')} dimensions."
    )


def _developer() -> str:
    import passes.lower_onnx.region_pooling as region_pooling
    from passes.lower_onnx.table import LOWERINGS

    lrn, roi = LOWERINGS["LRN"], LOWERINGS["MaxRoiPool"]
    rows = (
        ("LRN", str(_lines(inspect.getsource(lrn.emit))), str(len(lrn.constraints)), lrn.doc),
        ("MaxRoiPool", str(_lines(_source(region_pooling))), str(len(roi.constraints)), roi.doc),
    )
    columns = ("operator", number("lines"), number("constraints"), "links")
    return "\n".join(
        (
            "An operator is a function that says which links it becomes; mapping, cost, code, emulation and "
            "verification follow. Lines without blanks and comments, constraints as `catena ops` lists them:\n",
            table(columns, rows).markdown() + "\n",
        )
    )


def _source(module: ModuleType) -> str:
    return inspect.getsource(module)


def _lines(source: str) -> int:
    """Lines of code: neither blank nor comments."""
    return sum(1 for line in source.splitlines() if line.strip() and not line.strip().startswith("#"))


def _how(found: Sequence[Measured], targets: Sequence[str]) -> str:
    emulated = [f"{each.network.title} ({', '.join(each.emulated)})" for each in found if each.emulated]
    verdict = "equal" if all(all(each.emulated.values()) for each in found) else "NOT EQUAL"
    machine = found[0].compilations[targets[0], "chain"].machine["name"]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return (
        "Networks at their full sizes, batch 1, seeded weights (`benchmarks/models`); the proposals of Faster R-CNN "
        "are constants, because sorting and suppressing them is no static chain. Times and energies are those of the "
        f"cost model. Emulated on `{machine}` besides, every event compared with the predicted one: "
        f"{'; '.join(emulated) or 'none'}: {verdict}. Python {version}.\n"
    )


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/chain_claim.py: run that one")
