"""Speed-up of the schemes and traffic of signals over layers, crossbars and buses, up to a thousand cores.

    python benchmarks/rram_grid.py [--layers TITLE ...] [--sides N ...] [--output docs/rram-grid.md]

A program does not depend on the width of the bus, which its description says: every schedule of a layer is compiled
once, its results are those of the interpreter, and it is emulated with every bus.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rram import MVM_CYCLES, SCHEDULES, Case, Layer, product_layer, settings_of

from backends.program import Program, target_digest
from backends.rram.emulator import MulticoreEmulator
from compiler.compilation import CompileOptions, compile_model
from compiler.execution import random_inputs
from compiler.tables import number, table
from compiler.targets import select_target
from dialects.gconv.interpreter import Interpreter

NOTICE = "<!-- Made by `python benchmarks/rram_grid.py --output docs/rram-grid.md`; do not edit. -->\n"
LAYERS = (
    Layer("MobileNet 512 x 512", 512, 512, 14),
    Layer("MobileNet 1024 x 1024", 1024, 1024, 7),
    Layer("ResNet-18 1152 x 256", 1152, 256, 14),
)
SIDES = (32, 64, 128)
BUSES = (4, 8, 16, 32, 64)
FREE = 75
"""Percent of the time that the bus may be busy without being called the limit."""
ALL = {"sequential": {"schedule.scheme": "sequential"}, **SCHEDULES}
INTRODUCTION = f"""\
# Layers on cores with crossbars: crossbars, buses, cores

Convolutions of MobileNet and ResNet-18 as matrices (rows by columns, 14 x 14 or 7 x 7 vectors), a tile of the matrix to
a core. Speed-ups are over the sequential scheme on the same chip, in percent of P_V, the cores that add to the same
sums. A product takes {MVM_CYCLES} cycles, inputs, sums and results a byte a word, a signal 4 bytes, as the paper's
accounting has it; `docs/rram.md` has the 32-bit sums that results are made with, timed. Signals are their share of all
other traffic. A bus that is busy for more than {FREE} % of the time under either scheme is called the limit. Results
are those of the interpreter to the bit, with every bus.

`12` is the cyclic ring with a signal for 12 vectors, or for as many as its smallest region has. Registers are the
sequence registers that are written, 4 bytes each: one for every pair of cores that signal. PUMA keeps an attribute for
every word of shared memory: the last column is how much less registers take than an attribute of a byte for each of
the 16-bit words of the paper's 64 kB. A core's buffer is what a turn takes: its input, its sums and those it fetches,
4 bytes each, a bias for each. Partial sums wait in place in the shared memory, one copy of them whatever P_V is.
"""
COLUMNS = (
    *(
        "layer",
        number("crossbar"),
        number("cores"),
        number("P_V"),
        number("bus B"),
        number("linear %"),
        number("cyclic %"),
    ),
    *(number("12 %"), number("signals %"), number("cyclic"), number("12"), number("bus busy %"), "limit"),
    *(number("registers B"), number("saved %"), number("buffer B")),
)


@dataclass(frozen=True)
class Timed:
    """Cycles of a run and of its bus, bytes of signals and of everything else, registers that are written."""

    cycles: int
    bus: int
    signals: int
    others: int
    registers: int

    @property
    def share(self) -> float:
        """Signals in percent of other traffic."""
        return 100 * self.signals / self.others

    @property
    def busy(self) -> float:
        """How long the bus is busy, in percent."""
        return 100 * self.bus / self.cycles


def with_bus(program: Program, width: int) -> Program:
    """The same program on a chip with another bus."""
    metadata = program.metadata
    description: dict[str, Any] = {**metadata.description, "bus": {**metadata.description["bus"], "width_bytes": width}}
    changed = replace(metadata, description=description, target_sha256=target_digest(description))
    return replace(program, metadata=changed)


def timed(case: Case, settings: Mapping[str, str]) -> dict[int, Timed]:
    """A schedule of a case, by bus. Raises `AssertionError` for wrong results."""
    model, target = product_layer(case.layer), select_target("rram", {**settings_of(case), **settings})
    program = compile_model(model, target).program
    assert program is not None
    inputs = random_inputs(program, 0)
    chain = compile_model(model, target, CompileOptions(stop="encoded")).module
    expected = Interpreter(chain).run(inputs)
    found: dict[int, Timed] = {}
    for width in BUSES:
        emulator = MulticoreEmulator(with_bus(program, width))
        results = emulator.run(inputs)
        for name, array in expected.items():
            np.testing.assert_array_equal(results[name], array)
        events = [counts.events for counts in emulator.counters.values()]
        signals = sum(each["bus.signal.bytes"] for each in events)
        moved = sum(each["bus.bytes"] for each in events)
        line = emulator.timeline
        found[width] = Timed(line.end, line.bus, signals, moved - signals, emulator.registers)
    return found


def buffer_bytes(case: Case) -> int:
    """What a turn takes of the buffer of a core."""
    rows, columns = min(case.side, case.layer.channels), min(case.side, case.layer.filters)
    return rows + 2 * 4 * columns + 4 * columns


def rows(case: Case) -> Iterator[tuple[str, ...]]:
    """The rows of a case: one for every bus."""
    runs = {title: timed(case, settings) for title, settings in ALL.items()}
    for width in BUSES:
        alone, *others = (runs[title][width] for title in ALL)
        faster = [100 * alone.cycles / each.cycles / case.ring for each in others]
        busy = max(each.busy for each in others[:2])
        memory = 4 * others[1].registers
        yield (
            *(case.layer.title, *map(str, (case.side, case.cores, case.ring, width))),
            *(f"{each:.2f}" for each in faster),
            *(f"{each.share:.2f}" for each in others),
            *(f"{busy:.0f}", "bus" if busy > FREE else ""),
            *(str(memory), f"{100 * (1 - memory / (1 << 15)):.1f}", str(buffer_bytes(case))),
        )


def page(made: Sequence[tuple[str, ...]]) -> str:
    """The page of some rows; it says which cases are not among them."""
    there = {row[:2] for row in made}
    absent = [f"{layer.title} at {side}" for layer in LAYERS for side in SIDES if (layer.title, str(side)) not in there]
    left = [f"Left out when this was made: {', '.join(absent)}.\n"] if absent else []
    return "\n".join([NOTICE, INTRODUCTION, table(COLUMNS, list(made)).markdown(), "", *left])


def main() -> int:
    """Make the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--layers", nargs="+", metavar="TITLE", help="only these layers")
    parser.add_argument("--sides", nargs="+", type=int, choices=SIDES, default=SIDES, help="only these crossbars")
    parser.add_argument("--output", type=Path, help="the file to write; standard output if none")
    arguments = parser.parse_args()
    made: list[tuple[str, ...]] = []
    for layer in LAYERS:
        if arguments.layers is None or layer.title in arguments.layers:
            for side in arguments.sides:
                made += rows(Case(layer, side, BUSES[-1]))
                print(*(" | ".join(row) for row in made[-len(BUSES) :]), sep="\n", file=sys.stderr, flush=True)
    text = page(made)
    if arguments.output is None:
        print(text)
    else:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
