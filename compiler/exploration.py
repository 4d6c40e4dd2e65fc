"""What a network moves off-chip, or costs, by size of the buffer: layer by layer, fused, and what must be moved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backends.registry import installed_backends
from compiler.compilation import CompileOptions, compile_source
from compiler.displaying import Displayed, Part
from compiler.line_chart import Chart, Line
from compiler.sources import SourceKind, kind_of
from compiler.tables import Column, Table
from compiler.targets import select_target, target_names
from dialects.accelerator import Accelerator
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import LinkOp
from dialects.gconv.interpreter import main_function
from dialects.nest_machine import NestMachine
from dialects.schedule import Objective
from dialects.target import find_machine
from passes.fuse_layers import MOST_PRICED, fusing_machine
from passes.fusion.judged_plans import ExactPrices
from passes.fusion.members import with_words
from passes.fusion.network import GroupSearches, Network, NetworkSearch, NetworkSpace
from passes.fusion.paths import value_of
from passes.fusion.priced_network import PricedSearch
from passes.fusion.runs import fusible_runs, network_of

KINDS = {
    "layer by layer": NetworkSpace(longest=1, staying=0),
    "fused": NetworkSpace(staying=0),
    "fused, tensors stay": NetworkSpace(),
}
"""What is looked at: links alone, groups of links, and groups between which tensors may stay in the buffer."""
DEFAULT_TARGET = "generic"
"""What models are explored on unless a target is given."""
STEPS = 9
"""Sizes that are looked at unless some are given: from a sixteenth of the target's buffer to sixteen times of it."""


@dataclass(frozen=True)
class Axis:
    """What is made least, and shown: its name, unit and key, and of how many of the model's units one is shown."""

    what: str
    unit: str
    key: str
    scale: float = 1.0

    def text(self, value: float) -> str:
        """A value as tables show it."""
        return f"{value:,.0f}" if self.scale == 1 else f"{value / self.scale:.4g}"


AXES = {
    Objective.TRAFFIC: Axis("words off-chip", "words", "words"),
    Objective.ENERGY: Axis("energy", "mJ", "energy_pj", 1e9),
    Objective.LATENCY: Axis("cycles", "cycles", "cycles"),
}


@dataclass(frozen=True)
class Exploration(Displayed):
    """The least of what `objective` asks for, by kind and by words of the buffer; None where nothing fits.

    Those are words over the off-chip link, energy in pJ, or cycles. `left_out` are links that are no part of any group,
    and of these figures.
    """

    source: str
    memory: str
    word_bits: int
    compulsory: int
    moved: Mapping[str, Mapping[int, float | None]]
    left_out: int
    objective: Objective = Objective.TRAFFIC

    @property
    def _axis(self) -> Axis:
        return AXES[self.objective]

    @property
    def json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "model": self.source,
            "memory": self.memory,
            "word_bits": self.word_bits,
            "provenance": "estimated: the model of fused groups, least over all mappings that were searched",
            "compulsory_words": self.compulsory,
            "links_left_out": self.left_out,
            f"{self._axis.key}_by_buffer_words": {
                kind: {str(size): value for size, value in moved.items()} for kind, moved in self.moved.items()
            },
        }

    def table(self) -> Table:
        """A row for each size of the buffer."""
        columns = [Column(f"{self.memory} (words)", True), Column("(kB)", True)]
        axis = self._axis
        columns += [Column(f"{kind} ({axis.unit})", True) for kind in self.moved]
        sizes = next(iter(self.moved.values()))
        rows = [
            (
                f"{size:,}",
                f"{size * self.word_bits / 8192:.4g}",
                *(
                    "does not fit" if (least := moved[size]) is None else axis.text(least)
                    for moved in self.moved.values()
                ),
            )
            for size in sizes
        ]
        title = f"{self.source}: least {axis.what} (estimated)"
        if self.objective is Objective.TRAFFIC:
            must = f"at least {self.compulsory:,} must be"
            title = f"{self.source}: least words over the off-chip link (estimated); {must}"
        return Table(tuple(columns), tuple(rows), title)

    def displayed(self) -> Iterable[Part]:
        """What notebooks show."""
        return [self.table(), self.chart()]

    def chart(self) -> Chart:
        """The fronts of buffer and what is made least: with so much room; and the words that must be moved."""
        axis = self._axis
        fronts = {
            kind: [(size, least / axis.scale) for size, least in each.items() if least]
            for kind, each in self.moved.items()
        }
        sizes, is_moved = next(iter(self.moved.values())), self.objective is Objective.TRAFFIC
        must = [(size, self.compulsory) for size in sizes if self.compulsory and is_moved]
        lines = (*fronts.items(), ("must be moved", must))
        return Chart(
            f"{Path(self.source).name}: {axis.what} by size of {self.memory} (estimated)",
            f"{self.memory} (words of {self.word_bits} bits)",
            "words over the off-chip link" if is_moved else f"{axis.what} ({axis.unit})",
            [Line(kind, points) for kind, points in lines if points],
        )


def explore(
    source: str,
    options: CompileOptions,
    sizes: Sequence[int] = (),
    say: Callable[[str], None] = lambda line: None,
    objective: Objective = Objective.TRAFFIC,
) -> Exploration:
    """Search the networks of groups of a model for buffers of so many words, or of sizes around the target's.

    The `objective` is one of `AXES`. Raises `CatenaError`: CAT-U006 if the target has no levels of memory or the model
    nothing to fuse.
    """
    if options.target is None and kind_of(source) is SourceKind.MODEL:
        options = replace(options, target=DEFAULT_TARGET)
    module = compile_source(source, replace(options, stop="fused", without=frozenset(["merge-dims"]))).module
    machine, function = find_machine(module), main_function(module)
    runs = list(fusible_runs(function))
    networks = [network for run in runs if (network := network_of([run], function)) is not None]
    if not isinstance(machine, NestMachine) or not _can_be_explored(machine):
        name = "no machine" if machine is None else machine.name
        message, hint = "buffers are explored on machines of levels", f"use --target with one of {_explorable()}"
        raise CatenaError(Diagnostic("CAT-U006", message, "mapped", found=name, hint=hint))
    if not networks:
        raise CatenaError(Diagnostic("CAT-U006", "the model has no layers that could be fused", "mapped", where=source))
    memory = machine.memories[1]
    around = memory.words or 1 << 16
    wanted = sorted(set(sizes)) or [around * 2**step // 16 for step in range(STEPS)]
    search = _words if objective is Objective.TRAFFIC else _Costs(machine, objective)
    moved = {
        kind: _least(networks, search, GroupSearches(memory.name, space), wanted, kind, say)
        for kind, space in KINDS.items()
    }
    links = sum(isinstance(op, LinkOp) for op in function.body.block.ops)
    return Exploration(
        source,
        memory.name,
        machine.word_bits,
        sum(map(_compulsory, networks)),
        moved,
        links - sum(network.count for network in networks),
        objective,
    )


def _can_be_explored(machine: Accelerator | None) -> bool:
    return isinstance(machine, NestMachine) and len(machine.memories) >= 2


def _explorable() -> str:
    """The targets that come with backends and can be explored; those of backends that cannot be loaded are left out."""
    names: list[str] = []
    for installed in installed_backends():
        with suppress(CatenaError):
            names += [name for name in target_names(installed) if _can_be_explored(select_target(name).machine)]
    return ", ".join(names)


def _compulsory(network: Network) -> int:
    whole = network.whole
    outside = {*whole.external, *whole.exported, *(head.result for head in whole.heads)}
    return sum(map(network.words, outside))


Search = Callable[[Network, int, GroupSearches], float | None]
"""The least that a network moves or costs in a buffer of so many words; None if it does not fit."""


def _words(network: Network, size: int, searches: GroupSearches) -> float | None:
    plan = NetworkSearch(network, size, searches).run()
    return None if plan is None else plan.traffic


class _Costs:
    """What networks cost on a machine with buffers of other sizes."""

    def __init__(self, machine: NestMachine, objective: Objective):
        self._machine, self._objective = machine, objective
        self._memory = machine.memories[1].name
        self._prices: dict[int, ExactPrices] = {}

    def __call__(self, network: Network, size: int, searches: GroupSearches) -> float | None:
        if size not in self._prices:
            prices = fusing_machine(with_words(self._machine, {self._memory: size}, ())).prices(self._objective)
            assert prices is not None
            self._prices[size] = prices
        prices, objective = self._prices[size], self._objective
        plan = PricedSearch(network, size, searches, prices, objective, most_priced=MOST_PRICED).run()
        return None if plan is None else value_of(objective, plan.energy, plan.cycles)


def _least(
    networks: Sequence[Network],
    search: Search,
    searches: GroupSearches,
    sizes: Sequence[int],
    kind: str,
    say: Callable[[str], None],
) -> dict[int, float | None]:
    """The least that all networks move or cost, by size of the buffer; more room is never worse."""
    found: dict[int, float | None] = {}
    best: list[float | None] = [None] * len(networks)
    for size in sizes:
        say(f"{kind}, {size:,} words")
        for place, network in enumerate(networks):
            known = [least for least in (best[place], search(network, size, searches)) if least is not None]
            best[place] = min(known, default=None)
        fitting = [least for least in best if least is not None]
        found[size] = sum(fitting) if len(fitting) == len(best) else None
    return found
