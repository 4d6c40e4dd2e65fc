"""Random networks, chips, schemes and interleavings of cores: no race, no deadlock, no wrong bit.

    python -m tests.backends.rram.schedules [--programs 125] [--paces 8] [--log FILE] [--output docs/rram-schedules.md]

What is in the log is not run again, so that a campaign can be stopped; --programs 0 makes the page of what is there.

Every program is proved when it is compiled, run by the fast engine, which has to count what was predicted, and then
turn by turn at random paces of its cores, where races are looked for. All results are those of the chain's interpreter.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx

from backends.rram.steps import Pace
from compiler.tables import number, table
from dialects.diagnostics import CatenaError
from tests.backends.rram.quantized import Network, ready, residual

NOTICE = "<!-- Made by `python -m tests.backends.rram.schedules --output docs/rram-schedules.md`; do not edit. -->\n"
INTRODUCTION = """\
# Random schedules of cores with crossbars

Random quantized networks on random chips: cores, crossbars and their sizes, a bus or a mesh with its width, latency
and ports, units that overlap turns or not; scheme, pipeline, copies, signals for several turns. `prove-order` proves
each program when it is compiled. The fast engine has to count what was predicted. Then the program runs turn by turn
at random paces: every core is up to 8 times as slow as the fastest, every action again, and who is first of those that
come at the same time is drawn. Vector clocks look for races. All results have to be those of the chain's interpreter,
to the bit.

Tests change such programs token by token. A change is refused, and both sides are named with their cores, ONNX nodes
and ops, if something is not ordered without the token: most signals or waits that are removed, a wait behind what it
is for, a signal before its core is done or from another one. What is ordered all the same is proved and harmless: a
signal that a later one makes up for, one that stands twice in its place, as registers take values and do not count,
and a wait that comes earlier than it has to. Then results are the same, to the bit, at all paces tried.

Programs may still have signals that a later one makes up for. `synchronize-cores` takes out every wait without which
all is ordered still, and then every signal by which no wait passes; it knows order and no time. So the first signal
that lets a wait pass stays, though the core may come to the wait so late that the next one is there as well. That
happens in cyclic rings with signals for several turns (`schedule.signal_every`): one program sends 541 signals and
takes 166,341 cycles, and 94 less without 5 of them, as its bus is freer. Elsewhere such a signal saves time: another
program sends 231 and takes 38,814 cycles, and 46,210 without one of them.
"""


@dataclass(frozen=True)
class Schedule:
    """A network on a chip."""

    seed: int
    network: str
    model: onnx.ModelProto
    settings: Mapping[str, str]

    @property
    def kind(self) -> tuple[str, str, str]:
        """Scheme, when layers begin, and what connects cores."""
        begins = "rows are there" if self.settings["schedule.pipelined"] == "true" else "layers are over"
        return self.settings["schedule.scheme"], begins, "mesh" if "bus.mesh.rows" in self.settings else "bus"


@dataclass(frozen=True)
class Ran:
    """What the runs of a schedule did, as a line of the log has it.

    `kind` is that of the schedule; `cores` had work; tests of registers and transfers are those at all paces together.
    """

    seed: int
    kind: tuple[str, str, str]
    paces: int
    cores: int = 0
    waits: int = 0
    transfers: int = 0
    seconds: float = 0.0
    wrong: str = ""

    @classmethod
    def of_line(cls, line: str) -> Ran:
        """What a line says."""
        given = json.loads(line)
        return cls(**{**given, "kind": tuple(given["kind"])})


def drawn(seed: int) -> Schedule:
    """The schedule of a seed."""
    random = np.random.default_rng(seed)
    count = int(random.choice([12, 24, 40, 144]))
    settings = {
        "cores.count": str(count),
        "cores.crossbars": str(random.choice([1, 2, 4])),
        "crossbar.rows": str(random.choice([9, 16, 32])),
        "crossbar.columns": str(random.choice([8, 16, 64])),
        "schedule.scheme": str(random.choice(["sequential", "linear", "cyclic"])),
        "schedule.pipelined": str(random.choice(["true", "false"])),
        "schedule.duplicate": str(random.choice(["true", "false"])),
        "schedule.signal_every": str(random.integers(1, 5)),
        "cores.overlap": str(random.choice(["true", "false"])),
        "bus.width_bytes": str(random.choice([1, 8, 64])),
    }
    if random.integers(2):
        columns = int(random.integers(3, 13))
        rows = -(-count // columns)
        places = random.choice(rows * columns, int(random.integers(1, 4)), replace=False)
        ports = [list(divmod(int(place), columns)) for place in places]
        settings |= {"bus.mesh.rows": str(rows), "bus.mesh.columns": str(columns), "bus.mesh.ports": str(ports)}
        settings["bus.latency"] = str(random.integers(0, 4))
    else:
        settings["bus.latency"] = str(random.integers(0, 20))
    if random.integers(2):
        return Schedule(seed, "residual", residual(seed, int(random.integers(3, 7))), settings)
    return Schedule(seed, "drawn", _network(seed), settings)


def _network(seed: int) -> onnx.ModelProto:
    """Up to four convolutions, pooling or paths that join again, with windows and strides that are drawn."""
    random = np.random.default_rng(seed)
    network = Network(random)
    extent = int(random.integers(1, 7))
    channels = int(random.integers(2, 9))
    tensor = network.conv("x", 3, channels, 3, pads=[1, 1, 1, 1])
    for _ in range(int(random.integers(1, 4))):
        match random.integers(4):
            case 0:
                filters = int(random.integers(2, 13))
                tensor, channels = network.conv(tensor, channels, filters, 1), filters
            case 1:
                tensor = network.conv(tensor, channels, channels, 3, channels, pads=[1, 1, 1, 1])
            case 2:
                strides = [int(random.integers(1, 3))] * 2
                tensor = network.conv(tensor, channels, channels, 3, pads=[1, 1, 1, 1], strides=strides)
            case _:
                tensor = network.add(tensor, network.conv(tensor, channels, channels, 3, pads=[1, 1, 1, 1]))
    return network.model((1, 3, extent, extent), tensor)


def check(schedule: Schedule, paces: int) -> Ran:
    """Run a schedule at so many paces. Raises `AssertionError` or `CatenaError` for whatever is wrong."""
    begun = time.process_time()
    made = ready(schedule.model, schedule.settings, schedule.seed)
    emulator = made.emulate()
    assert not made.differences(emulator)
    waits = transfers = 0
    for pace in range(paces):
        ran = made.emulate("steps", Pace(paces * schedule.seed + pace))
        assert not made.differences(ran, but="cycles")
        waits += sum(counts.events["sync.wait"] for counts in ran.counters.values())
        transfers += sum(counts.events["bus.transfers"] for counts in ran.counters.values())
    spent = round(time.process_time() - begun, 1)
    return Ran(schedule.seed, schedule.kind, paces, emulator.occupancy.used, waits, transfers, spent)


def _rows(found: Sequence[Ran]) -> Iterator[tuple[str, ...]]:
    for kind in sorted({ran.kind for ran in found}):
        several = [ran for ran in found if ran.kind == kind]
        cores = [ran.cores for ran in several]
        yield (
            *(*kind, str(len(several)), str(sum(ran.paces for ran in several)), f"{min(cores)} to {max(cores)}"),
            *(f"{sum(ran.waits for ran in several):,}", f"{sum(ran.transfers for ran in several):,}"),
        )


COLUMNS = (
    *("scheme", "layers begin when", "on a", number("programs"), number("schedules"), number("cores at work")),
    *(number("waits tested"), number("transfers")),
)


def page(found: Sequence[Ran]) -> str:
    """The page."""
    wrong = [ran for ran in found if ran.wrong]
    total, seeds = sum(ran.paces for ran in found), sorted(ran.seed for ran in found)
    said = f"{total:,} schedules of {len(found)} programs, seeds {seeds[0]} to {seeds[-1]}: "
    said += f"{len(wrong)} programs failed" if wrong else "no race, no deadlock, no wrong bit"
    lines = [*(f"- seed {ran.seed}: {ran.wrong}" for ran in wrong), table(COLUMNS, list(_rows(found))).markdown()]
    seconds = sum(ran.seconds for ran in found)
    return "\n".join([NOTICE, INTRODUCTION, f"**{said}.** It took {seconds:.0f} s of CPU time.\n", *lines, ""])


def run(seed: int, paces: int) -> Ran:
    """Run the schedule of a seed; what is wrong is noted."""
    schedule = drawn(seed)
    try:
        return check(schedule, paces)
    except (AssertionError, CatenaError) as error:
        return Ran(seed, schedule.kind, paces, wrong=" ".join(str(error).split())[:400])


def main() -> int:
    """Run them and make the page; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--programs", type=int, default=125)
    parser.add_argument("--paces", type=int, default=8)
    parser.add_argument("--log", type=Path, help="a file to note every program in")
    parser.add_argument("--output", type=Path, help="the file to write; standard output if none")
    arguments = parser.parse_args()
    log: Path | None = arguments.log
    found = [] if log is None or not log.exists() else [Ran.of_line(line) for line in log.read_text().splitlines()]
    for seed in sorted(set(range(arguments.programs)) - {ran.seed for ran in found}):
        found.append(run(seed, arguments.paces))
        if log is not None:
            with log.open("a") as file:
                file.write(json.dumps(asdict(found[-1])) + "\n")
    if arguments.output is None:
        print(page(found))
    else:
        arguments.output.write_text(page(found), encoding="utf-8")
    return int(any(ran.wrong for ran in found))


if __name__ == "__main__":
    sys.exit(main())
