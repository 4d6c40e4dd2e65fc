"""What several cores with crossbars do together for a layer: who holds what, what a turn takes, and what limits them.

Cycles of turns are closed forms for windows without padding; counts are those predicted, and so are cycles of the layer
alone, as if all layers before it were done, on a free bus.
"""

from __future__ import annotations

from dataclasses import dataclass

from dialects.events import Counts
from dialects.multicore_machine import MulticoreMachine
from dialects.multicore_mapping import CrossbarMapping, Scheme, VectorMapping
from passes.multicore.matrix import INPUT_BITS, Grid, Matrix, Part
from passes.work import Work

_TILES = "adding tiles below one another"
_BUS_BOUND = 0.9
"""The share of a layer's cycles in which the bus is taken from which on it is what limits it."""


@dataclass(frozen=True)
class Step:
    """What a core does in a turn, on what resource, for how many cycles."""

    name: str
    resource: str
    cycles: int


@dataclass(frozen=True)
class CoreFacts:
    """A layer on several cores.

    `ring` is P_V, the cores that add to the same sums, `beside` those that share their inputs; a copy has both, and
    `abreast` copies lie in the same cores. `buffer_bytes` are the most that a core needs of its buffer, `part_bytes`
    what a part takes on average. `sequential` are the cycles if the cores of a ring worked one after another, `alone`
    those predicted. Layers on vector units have a ring of one, and neither crossbars nor steps; some `is_wide`, whose
    weights cells do not hold.
    """

    form: str
    cores: tuple[int, ...]
    ring: int
    beside: int
    copies: int
    abreast: int
    crossbars: int
    cells: int
    rewritten: int
    vectors: int
    turns: int
    steps: tuple[Step, ...]
    buffer_bytes: int
    part_bytes: int
    alone: int
    sequential: int
    bus_cycles: int
    bus_bytes: int
    signal_bytes: int
    binds: str
    is_wide: bool = False

    @property
    def speed_up(self) -> float:
        """How much faster than one core of a ring after another."""
        return self.sequential / self.alone if self.alone else 0.0

    @property
    def signal_share(self) -> float:
        """Bytes of signals over those of all other traffic, as the literature counts them."""
        return self.signal_bytes / max(1, self.bus_bytes - self.signal_bytes)

    @property
    def bus_share(self) -> float:
        """The share of the layer's cycles in which the bus is taken, at least."""
        return min(1.0, self.bus_cycles / self.alone) if self.alone else 0.0


def facts_on_cores(
    work: Work,
    mapping: CrossbarMapping | VectorMapping,
    machine: MulticoreMachine,
    predicted: Counts,
    alone: int,
    output_bytes: int,
) -> CoreFacts:
    """The facts of a layer that takes `alone` cycles by itself; its results have words of `output_bytes` bytes."""
    events = predicted.events
    bus = events["mesh.link_cycles"]
    if machine.bus.mesh is None:
        bus = -(-events["bus.bytes"] // machine.bus.width_bytes) + machine.bus.latency * events["bus.transfers"]
    traffic = bus, events["bus.bytes"], events["bus.signal.bytes"]
    if isinstance(mapping, VectorMapping):
        parts = len(mapping.cores)
        operations = machine.vector_cycles(events["operation.vector"])
        binds = "bus" if bus >= _BUS_BOUND * alone else "vector units" if operations > bus * parts else "bus and waits"
        form = f"{mapping.loop} in {parts} parts" if mapping.loop else "all of it on one core"
        one = (1, 1, 1, 1, 0, 0, 0, 0, 0)
        buffer = events.get("buffer.most", 0), -(-events.get("buffer.bytes", 0) // parts)
        return CoreFacts(form, mapping.cores, *one, (), *buffer, alone, alone, *traffic, binds, mapping.is_wide)
    grid = Grid.of(Matrix.of(work.spec), mapping, machine)
    parts = grid.parts()
    ring = [parts[number] for number in parts[0].ring]
    turn = [_steps(work, part, machine, mapping.cores, output_bytes) for part in ring]
    turns, overlap = parts[0].vectors.turns, machine.cores.overlap
    sequential = turns * sum(_cycles(steps, overlap=overlap) for steps in turn)
    (tall, wide), (high, broad) = mapping.tile, mapping.span
    form = (
        f"{mapping.matrix[0]} x {mapping.matrix[1]} in tiles of {tall} x {wide}, {high} x {broad} of them to a core; "
        f"{mapping.scheme}, a signal for {mapping.every} turns in a ring, phase {mapping.phase}"
    )
    return CoreFacts(
        form,
        mapping.cores,
        grid.tall,
        grid.wide,
        mapping.copies,
        mapping.abreast,
        sum(part.crossbars for part in parts),
        events["crossbar.cells"],
        events["crossbar.rewrite"],
        grid.matrix.vectors,
        max(part.vectors.turns for part in parts),
        max(turn, key=lambda steps: _cycles(steps, overlap=overlap)),
        events.get("buffer.most", 0),
        -(-events.get("buffer.bytes", 0) // len(parts)),
        alone,
        sequential,
        *traffic,
        _binding(turn, mapping.scheme, turns, bus, alone, overlap=overlap),
    )


def _steps(
    work: Work, part: Part, machine: MulticoreMachine, cores: tuple[int, ...], output_bytes: int
) -> tuple[Step, ...]:
    """What a core does in a turn, by its place in the ring; `cores` are those of all parts."""
    core = cores[part.number]
    results, together = _results(part), part.vectors.abreast
    is_first, is_last = part.place == 0, part.place == len(part.ring) - 1
    tiles = -(-len(part.rows) // machine.crossbar.rows) - 1 if len(part.groups) == 1 else 0

    def moved(name: str, size: int) -> Step:
        return Step(name, "bus", together * machine.transfer_cycles(size, core))

    def worked(name: str, operations: int) -> Step:
        return Step(name, "vector unit", together * machine.vector_cycles(operations))

    steps = [
        moved("inputs", _inputs(part)),
        Step("product", "crossbars", machine.crossbar.mvm_cycles),
        worked(_TILES, tiles * results),
    ]
    if not is_first:
        steps.append(moved("fetching sums", results * machine.shared.sum_bytes))
        steps.append(worked("adding sums", results))
    if is_last:
        steps.append(worked("post functions", results * len(work.spec.post)))
        steps.append(moved("results", results * output_bytes))
    else:
        steps.append(moved("storing sums", results * machine.shared.sum_bytes))
        follower = cores[part.ring[part.place + 1]]
        steps.append(Step("signal", "bus", machine.signal_cycles(core, follower)))
    return tuple(each for each in steps if each.cycles)


def _results(part: Part) -> int:
    return len(part.groups) * len(part.columns)


def _inputs(part: Part) -> int:
    """Bytes of the inputs of a vector."""
    return len(part.groups) * len(part.rows) * INPUT_BITS // 8


def _units(steps: tuple[Step, ...]) -> dict[str, int]:
    """Cycles of a turn by unit of a core that overlaps turns."""
    taken = {"bringing inputs": 0, "crossbars": 0, "finishing sums": 0}
    for step in steps:
        unit = "bringing inputs" if step.name == "inputs" else "finishing sums"
        taken["crossbars" if step.name in ("product", _TILES) else unit] += step.cycles
    return taken


def _cycles(steps: tuple[Step, ...], *, overlap: bool) -> int:
    """Cycles of a turn, or of its longest part where turns overlap."""
    return max(_units(steps).values()) if overlap else sum(step.cycles for step in steps)


def _binding(turn: list[tuple[Step, ...]], scheme: Scheme, turns: int, bus: int, alone: int, *, overlap: bool) -> str:
    """What limits a layer that runs alone."""
    if bus >= _BUS_BOUND * alone:
        return "bus"
    longest = max(turn, key=lambda steps: _cycles(steps, overlap=overlap))
    taken: dict[str, int] = {}
    if overlap:
        taken = {unit: turns * cycles for unit, cycles in _units(longest).items()}
    else:
        for step in longest:
            taken[step.resource] = taken.get(step.resource, 0) + turns * step.cycles
    if len(turn) > 1:
        # A core of a ring begins when the one before it is behind its product, or all done.
        behind = _units(longest)["finishing sums"]
        waited = alone * (len(turn) - 1) // len(turn) if scheme is Scheme.SEQUENTIAL else (len(turn) - 1) * behind
        taken["waiting in the ring"] = waited if scheme is not Scheme.CYCLIC else 0
    return max(taken, key=lambda name: taken[name])
