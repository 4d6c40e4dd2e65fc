"""Speed-up of the schemes and traffic of signals over layers, crossbars and buses, up to a thousand cores.

    python benchmarks/rram_grid.py [--layers TITLE ...] [--sides N ...] [--output docs/rram-grid.md]

A program does not depend on the width of the bus, which its description says: every schedule of a layer is compiled
once, its results are those of the interpreter, and it is emulated with every bus.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
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
IN_ORDER = {"sequential": {"schedule.scheme": "sequential"}, **SCHEDULES}
OVERLAPPED = {
    f"{scheme}, overlapped": {"schedule.scheme": scheme, "cores.overlap": "true"}
    for scheme in ("sequential", "linear", "cyclic")
}
EXACT = ("sequential", "linear", "sequential, overlapped", "linear, overlapped")
"""Schedules that are timed with partial sums of 32 bits, too."""
LEAST = 99
"""Percent of P_V that a linear ring of overlapped cores has where the bus is not the limit, and it can have so much."""
NEAR = 0.005
"""How far from the least time that it can take it is otherwise, as a share of it."""
INTRODUCTION = f"""\
# Layers on cores with crossbars: crossbars, buses, cores

Convolutions of MobileNet and ResNet-18 as matrices (rows by columns, 14 x 14 or 7 x 7 vectors), a tile of the matrix to
a core. Speed-ups are over the sequential scheme on the same chip, in which a core begins when the one before is done,
in percent of P_V, the cores that add to the same sums. A product takes {MVM_CYCLES} cycles; inputs, sums and results
are a byte a word and a signal is 4 bytes, as the paper's accounting has it. Signals are their share of all other
traffic. A bus that is busy for more than {FREE} % of the time under any scheme is called the limit. Results are those
of the interpreter to the bit, with every bus; events are those predicted, or this page is not made.

`12` is the cyclic ring with a signal for 12 vectors, or for as many as its smallest region has. Cores do everything in
order, but for the two columns `overlapped`: there a core brings the next input and finishes the last sums while its
crossbars multiply (`cores.overlap`), under the sequential scheme that it is compared with, too. In order, what cores
wait for each other's transfers adds to every turn, and their first turns meet on the bus; overlapped, most of that
hides behind products: the linear ring is at {LEAST} % of P_V and more wherever the bus is not the limit. `at most` is
what start and end allow, whatever the bus does between: a core has its first input before all of its products, and when
the first core is through with these, the transfers that follow the last product of every core are still to come, one
after the other. With 49 vectors that alone can cost more than 1 %: then the ring is within {100 * NEAR} % of the time
that this takes at least.

Registers are the sequence registers that are written, 4 bytes each: one for every pair of cores that signal. PUMA keeps
an attribute for every word of shared memory: `saved` is how much less registers take than an attribute of a byte for
each of the 16-bit words of the paper's 64 kB. A core's buffer is what it holds at most at a time, as counted and as
predicted: its input or the sums that it fetches, its own sums, 4 bytes each, constants of `post`; overlapped, there are
two inputs and two vectors' sums. Partial sums wait in place in the shared memory, one copy of them whatever P_V is.
"""
SUMS = """\
## Partial sums of 32 bits

The same with the sums that results are made with, 4 bytes a word on the bus. `traffic` is how much more the bus moves
than with 1 byte.

A speed-up above 100 % of P_V is one over a sequential scheme that waits more for the bus than the ring does: there all
rings go in step, so that one core of each asks for the bus at the same time, turn after turn, while rings whose cores
follow one another spread what they move. MobileNet 512 x 512 with crossbars of 128 and a bus of 16 bytes takes
1,259,252 cycles one core after the other, 9.8 % more than on a free bus (1,146,635), and 310,542 in linear rings, 7.4
% more (289,254). That is 101.38 % of P_V; with nobody waiting for the bus it would be 99.10 %.
"""
COLUMNS = (
    *("layer", number("crossbar"), number("cores"), number("P_V"), number("bus B")),
    *(number("linear %"), number("cyclic %"), number("12 %")),
    *(number("linear overlapped %"), number("at most %"), number("cyclic overlapped %")),
    *(number("signals %"), number("cyclic"), number("12"), number("bus busy %"), "limit"),
    *(number("registers B"), number("saved %"), number("buffer B"), number("overlapped")),
)
SUMS_COLUMNS = (
    *("layer", number("crossbar"), number("cores"), number("P_V"), number("bus B")),
    *(number("linear %"), number("linear overlapped %"), number("signals %"), number("traffic"), number("bus busy %")),
)


@dataclass(frozen=True)
class Timed:
    """Cycles of a run and of its bus, bytes of signals and of all else, registers written, bytes of a core's buffer."""

    cycles: int
    bus: int
    signals: int
    others: int
    registers: int
    buffer: int

    @property
    def share(self) -> float:
        """Signals in percent of other traffic."""
        return 100 * self.signals / self.others

    @property
    def busy(self) -> float:
        """How long the bus is busy, in percent."""
        return 100 * self.bus / self.cycles


def with_bus(program: Program, width: int, sum_bytes: int) -> Program:
    """The same program on a chip with another bus, and partial sums of some bytes on it."""
    metadata = program.metadata
    description: dict[str, Any] = dict(metadata.description)
    for table_name, change in (("bus", {"width_bytes": width}), ("shared", {"sum_bytes": sum_bytes})):
        description[table_name] = {**description[table_name], **change}
    changed = replace(metadata, description=description, target_sha256=target_digest(description))
    return replace(program, metadata=changed)


Times = dict[tuple[int, int], Timed]
"""By width of the bus and bytes of a partial sum."""


def timed(case: Case, settings: Mapping[str, str], sums: Sequence[int] = (1,)) -> Times:
    """A schedule of a case. Raises `AssertionError` for wrong results, and for events that were not predicted."""
    model, target = product_layer(case.layer), select_target("rram", {**settings_of(case), **settings})
    program = compile_model(model, target).program
    assert program is not None
    inputs = random_inputs(program, 0)
    chain = compile_model(model, target, CompileOptions(stop="encoded")).module
    expected = Interpreter(chain).run(inputs)
    found: Times = {}
    for width, sum_bytes in product(BUSES, sums):
        emulator = MulticoreEmulator(with_bus(program, width, sum_bytes))
        results = emulator.run(inputs)
        for name, array in expected.items():
            np.testing.assert_array_equal(results[name], array)
        events = [counts.events for counts in emulator.counters.values()]
        for layer, counted in zip(program.layers, events, strict=True):
            assert sum_bytes != case.sum_bytes or all(layer.predicted[name] == counted[name] for name in counted)
        signals = sum(each["bus.signal.bytes"] for each in events)
        moved = sum(each["bus.bytes"] for each in events)
        line, buffer = emulator.timeline, max(emulator.buffers.values())
        found[width, sum_bytes] = Timed(line.end, line.bus, signals, moved - signals, emulator.registers, buffer)
    return found


def least_cycles(case: Case, width: int) -> int:
    """Cycles that a linear ring of overlapped cores takes at the least, with partial sums of a byte."""
    inputs, results = (-(-min(case.side, extent) // width) for extent in (case.layer.channels, case.layer.filters))
    signal, follow = -(-4 // width), case.ring - 1
    rings = case.cores // case.ring
    # The first core of a ring fetches nothing, the last one stores results and does not signal.
    last = rings * (follow * (results + signal) + follow * results + results)
    return inputs + case.layer.width**2 * MVM_CYCLES + last


Rows = tuple[list[tuple[str, ...]], list[tuple[str, ...]]]
"""Of the first table, and of that of exact sums."""


def rows(case: Case) -> Rows:
    """The rows of a case: one for every bus. Raises `AssertionError` for a free bus and too low a speed-up."""
    runs = {
        title: timed(case, settings, (1, 4) if title in EXACT else (1,))
        for title, settings in {**IN_ORDER, **OVERLAPPED}.items()
    }
    found: Rows = [], []
    for width in BUSES:
        place = (case.layer.title, *map(str, (case.side, case.cores, case.ring, width)))
        alone, *others = (runs[title][width, 1] for title in IN_ORDER)
        slow, linear, cyclic = (runs[title][width, 1] for title in OVERLAPPED)
        busy = max(each.busy for each in (*others[:2], linear, cyclic))
        least, reached = least_cycles(case, width), slow.cycles / linear.cycles
        near = linear.cycles <= (1 + NEAR) * least
        assert linear.cycles >= least, place
        assert busy > FREE or reached >= LEAST / 100 * case.ring or near, place
        faster = [alone.cycles / each.cycles for each in others]
        faster += [reached, slow.cycles / least, slow.cycles / cyclic.cycles]
        memory = 4 * others[1].registers
        found[0].append(
            (
                *(*place, *(_share(each, case) for each in faster)),
                *(f"{each.share:.2f}" for each in others),
                *(f"{busy:.0f}", "bus" if busy > FREE else ""),
                *(str(memory), f"{100 * (1 - memory / (1 << 15)):.1f}"),
                *(str(max(each.buffer for each in several)) for several in (others, (linear, cyclic))),
            )
        )
        exact = [runs[title][width, 4] for title in EXACT]
        faster = [exact[0].cycles / exact[1].cycles, exact[2].cycles / exact[3].cycles]
        more = exact[1].others / others[0].others
        found[1].append(
            (
                *(*place, *(_share(each, case) for each in faster)),
                *(f"{exact[1].share:.2f}", f"{more:.2f}", f"{exact[1].busy:.0f}"),
            )
        )
    return found


def _share(speed_up: float, case: Case) -> str:
    """A speed-up in percent of P_V."""
    return f"{100 * speed_up / case.ring:.2f}"


def page(made: Rows) -> str:
    """The page of some rows; it says which cases are not among them."""
    there = {row[:2] for row in made[0]}
    absent = [f"{layer.title} at {side}" for layer in LAYERS for side in SIDES if (layer.title, str(side)) not in there]
    left = [f"Left out when this was made: {', '.join(absent)}.\n"] if absent else []
    tables = (
        table(columns, several).markdown() for columns, several in zip((COLUMNS, SUMS_COLUMNS), made, strict=True)
    )
    first, second = tables
    return "\n".join([NOTICE, INTRODUCTION, first, "", SUMS, second, "", *left])


def main() -> int:
    """Make the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--layers", nargs="+", metavar="TITLE", help="only these layers")
    parser.add_argument("--sides", nargs="+", type=int, choices=SIDES, default=SIDES, help="only these crossbars")
    parser.add_argument("--output", type=Path, help="the file to write; standard output if none")
    arguments = parser.parse_args()
    made: Rows = [], []
    for layer in LAYERS:
        if arguments.layers is None or layer.title in arguments.layers:
            for side in arguments.sides:
                for all_rows, several in zip(made, rows(Case(layer, side, BUSES[-1])), strict=True):
                    all_rows += several
                    print(*(" | ".join(row) for row in several), sep="\n", file=sys.stderr, flush=True)
    text = page(made)
    if arguments.output is None:
        print(text)
    else:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
