"""Budgets of CPU time: what commands take, as shares of what IREE takes for ResNet-50 beside them.

    python benchmarks/budgets.py [--environments DIR] [--rounds 3] [--output docs/budgets.md]

Budgets in seconds were set beside measurements in which `iree-compile` took up to 11.3 CPU seconds for ResNet-50. A
machine that is slower, or busy, is so for IREE, too: so every command is measured between two of IREE's, and its share
of them is what has to keep to the budget, in every round. CPU seconds are user and system time of whole
processes; caches are empty but where that is said. The exit code is 1 if a budget is not kept. IREE is installed with
pip. Half an hour.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from run import Models

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NOTICE = "<!-- Made by `python benchmarks/budgets.py --output docs/budgets.md`; do not edit. -->\n"
REFERENCE = 11.3
"""CPU seconds of `iree-compile` for ResNet-50 beside which budgets were set: the most, so that shares are least."""
ALONE, FUSED = "eyeriss", "generic"
"""The machine whose search is exact, and the one with a buffer for groups."""

INTRODUCTION = """\
# Budgets of CPU time

What commands may take. Budgets in seconds were set beside measurements in which `iree-compile` took 9.6 to
{reference:g} CPU seconds for ResNet-50. Machines differ, and one differs from minute to minute: so every
command was run between two of `iree-compile` for ResNet-50 (IREE {version}, for this CPU), and its share of their mean
is what has to keep to the budget's share of {reference:g} s, in each of {rounds} rounds. CPU seconds are user and
system time of whole processes with all that they import, but for the search of a layer, on {cores} cores: the least and
the greatest. In this run two of IREE's took {least:.1f} to {most:.1f} s on average, so that the machine was
{slower:.1f} times as slow as in the slowest of those measurements. A share that is kept is no budget of seconds that is
met on this machine: seconds are as they were.
"""


@dataclass(frozen=True)
class Case:
    """Something with a budget of CPU seconds, and how its CPU seconds are measured once."""

    title: str
    budget: float
    measure: Callable[[], float]


@dataclass
class Row:
    """CPU seconds of a case by round, and those of the reference around it."""

    title: str
    budget: float
    seconds: list[float] = field(default_factory=list[float])
    beside: list[float] = field(default_factory=list[float])

    @property
    def shares(self) -> list[float]:
        """The case by the reference, by round."""
        return [ours / theirs for ours, theirs in zip(self.seconds, self.beside, strict=True)]

    @property
    def is_kept(self) -> bool:
        """Whether every round keeps to the budget."""
        return max(self.shares) <= self.budget / REFERENCE


def measure(cases: list[Case], reference: Callable[[], float], rounds: int) -> list[Row]:
    """Every case in turn, each between two runs of the reference; all of that several times."""
    rows = [Row(case.title, case.budget) for case in cases]
    before = reference()
    for _ in range(rounds):
        for case, row in zip(cases, rows, strict=True):
            row.seconds.append(case.measure())
            after = reference()
            row.beside.append((before + after) / 2)
            before = after
            print(f"{row.title}: {row.seconds[-1]:.2f} s beside {row.beside[-1]:.2f} s", file=sys.stderr, flush=True)
    return rows


def page(rows: list[Row], version: str, rounds: int) -> str:
    """The page: every case with its seconds, its shares and its budget."""
    from compiler.tables import number, table

    columns = [number("budget (s)"), number("CPU s"), number("IREE beside it (s)"), number("shares of it")]
    columns += [number("may be"), "kept"]
    cells = [
        (
            *(row.title, f"{row.budget:g}", between(row.seconds), between(row.beside), between(row.shares)),
            *(f"{row.budget / REFERENCE:.3g}", "yes" if row.is_kept else "no"),
        )
        for row in rows
    ]
    beside = [seconds for row in rows for seconds in row.beside]
    introduction = INTRODUCTION.format(
        reference=REFERENCE,
        version=version,
        rounds=rounds,
        cores=os.cpu_count(),
        least=min(beside),
        most=max(beside),
        slower=statistics.median(beside) / REFERENCE,
    )
    return "\n".join((NOTICE, introduction, table(("what", *columns), cells).markdown() + "\n"))


def between(values: list[float]) -> str:
    """The least and the greatest of some values, in three digits."""
    least, most = (f"{value:.3g}" for value in (min(values), max(values)))
    return least if least == most else f"{least} - {most}"


def cases(networks: dict[str, Path], others: Models, folder: Path) -> Iterator[Case]:
    """All that has a budget: ResNet-50 alone, in int8 and BERT of `others`, and `networks` with fused layers."""
    from fused_networks import BUFFER, KILOBYTES, WORD_BYTES
    from run import slowest_search

    model, kept = others.resnet, folder / "kept"
    programs = {path: path.with_suffix(".cat") for path in (model, others.int8)}
    for path in programs:
        compiled(path, kept, "-t", ALONE)
    yield Case("`catena --help`", 0.3, partial(seconds, "--help"))
    yield Case("`check` of ResNet-50", 1.0, partial(seconds, "check", model))
    yield Case(f"`compile` of ResNet-50, {ALONE}, mapped exactly", 3.0, partial(cold, model, "-t", ALONE))
    yield Case("the same, compiled before", 1.0, partial(compiled, model, kept, "-t", ALONE))
    yield Case("the slowest search of one of its layers", 0.2, lambda: slowest_search(model, 1)[0])
    yield Case("`run` of it", 5.0, partial(seconds, "run", programs[model], "--random"))
    yield Case("`compile` of ResNet-50 in int8", 3.0, partial(cold, others.int8, "-t", ALONE))
    yield Case("`run` of it in int8", 5.0, partial(seconds, "run", programs[others.int8], "--random"))
    yield Case("`compile` of BERT-base's encoder", 10.0, partial(cold, others.bert, "-t", ALONE))
    for name, path in networks.items():
        for size in KILOBYTES:
            setting = f"{BUFFER}={size * 1024 // WORD_BYTES}"
            fused = partial(cold, path, "-t", FUSED, "--fuse", "--set", setting)
            yield Case(f"`compile --fuse` of {name}, {FUSED} with {size} KB", 10.0, fused)


def cold(model: Path, *words: str) -> float:
    """CPU seconds of `catena compile` with an empty cache."""
    with tempfile.TemporaryDirectory(prefix="catena-cold-") as cache:
        return compiled(model, Path(cache), *words)


def compiled(model: Path, cache: Path, *words: str) -> float:
    """CPU seconds of `catena compile` with a cache, in which what is compiled is kept."""
    return seconds("compile", model, *words, "-o", model.with_suffix(".cat"), "--cache-dir", cache, "-q")


def seconds(*words: object) -> float:
    """CPU seconds of a `catena` command."""
    from peers import CATENA, measured

    return measured([CATENA, *words], 1)[0]


def main() -> int:
    """Measure; print or write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--environments", type=Path, metavar="DIR", help="install IREE there, and keep it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="write the page here instead of printing it")
    arguments = parser.parse_args()
    sys.path[:0] = [str(HERE), str(ROOT)]
    from fused_networks import NETWORKS, generated
    from peers import PEERS, installed, iree_words, measured, version_in
    from run import make_models

    iree = next(peer for peer in PEERS if peer.name == "IREE")
    with tempfile.TemporaryDirectory(prefix="catena-budgets-") as name:
        folder = Path(name)
        python = installed(iree, arguments.environments or folder / "environments")
        networks = {network: generated(network, folder) for network in NETWORKS}
        others = make_models(folder, depth=50, size=224, layers=12)
        imports, compiles = iree_words(python, others.resnet, folder)
        measured(imports, 1)
        planned = list(cases(networks, others, folder))
        rows = measure(planned, lambda: measured(compiles, 1)[0], arguments.rounds)
        text = page(rows, version_in(python, iree.packages[0]), arguments.rounds)
    if arguments.output is None:
        print(text)
    else:
        arguments.output.write_text(text, encoding="utf-8")
    return 0 if all(row.is_kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
