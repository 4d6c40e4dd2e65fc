"""Random networks, chips, schemes and interleavings of cores: no race, no deadlock, no wrong bit.

    python -m tests.backends.rram.schedules [--programs 125] [--paces 8] [--seed 0] [--output docs/rram-schedules.md]

Every program is proved when it is compiled, run by the fast engine, which has to count what was predicted, and then
turn by turn at random paces of its cores, where races are looked for. All results are those of the chain's interpreter.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    """What the runs of a schedule did: cores with work, tests of registers and transfers at all paces together."""

    paces: int
    cores: int
    waits: int
    transfers: int


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
    made = ready(schedule.model, schedule.settings, schedule.seed)
    emulator = made.emulate()
    assert not made.differences(emulator, but="cycles")
    waits = transfers = 0
    for pace in range(paces):
        ran = made.emulate("steps", Pace(paces * schedule.seed + pace))
        assert not made.differences(ran, but="cycles")
        waits += sum(counts.events["sync.wait"] for counts in ran.counters.values())
        transfers += sum(counts.events["bus.transfers"] for counts in ran.counters.values())
    return Ran(paces, emulator.occupancy.used, waits, transfers)


def _rows(found: Sequence[tuple[Schedule, Ran]]) -> Iterator[tuple[str, ...]]:
    kinds = Counter(schedule.kind for schedule, _ in found)
    for kind in sorted(kinds):
        several = [ran for schedule, ran in found if schedule.kind == kind]
        cores = [ran.cores for ran in several]
        yield (
            *(*kind, str(len(several)), str(sum(ran.paces for ran in several)), f"{min(cores)} to {max(cores)}"),
            *(f"{sum(ran.waits for ran in several):,}", f"{sum(ran.transfers for ran in several):,}"),
        )


COLUMNS = (
    *("scheme", "layers begin when", "on a", number("programs"), number("schedules"), number("cores at work")),
    *(number("waits tested"), number("transfers")),
)


def page(found: Sequence[tuple[Schedule, Ran]], wrong: Sequence[str], seconds: float) -> str:
    """The page."""
    total = sum(ran.paces for _, ran in found)
    last = found[-1][0].seed if found else 0
    said = f"{total:,} schedules of {len(found)} programs, seeds {found[0][0].seed if found else 0} to {last}: "
    said += "no race, no deadlock, no wrong bit" if not wrong else f"{len(wrong)} programs failed"
    lines = [*(f"- {each}" for each in wrong), table(COLUMNS, list(_rows(found))).markdown()]
    return "\n".join([NOTICE, INTRODUCTION, f"**{said}.** It took {seconds:.0f} s of CPU time.\n", *lines, ""])


def main() -> int:
    """Run them and make the page; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--programs", type=int, default=125)
    parser.add_argument("--paces", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    parser.add_argument("--output", type=Path, help="the file to write; standard output if none")
    arguments = parser.parse_args()
    found: list[tuple[Schedule, Ran]] = []
    wrong: list[str] = []
    begun = time.process_time()
    for seed in range(arguments.seed, arguments.seed + arguments.programs):
        schedule = drawn(seed)
        try:
            found.append((schedule, check(schedule, arguments.paces)))
        except (AssertionError, CatenaError) as error:
            wrong.append(f"seed {seed}: {' '.join(str(error).split())[:400]}")
            print(wrong[-1], file=sys.stderr, flush=True)
        print(f"{seed}: {schedule.network}, {', '.join(schedule.kind)}", file=sys.stderr, flush=True)
    text = page(found, wrong, time.process_time() - begun)
    if arguments.output is None:
        print(text)
    else:
        arguments.output.write_text(text, encoding="utf-8")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
