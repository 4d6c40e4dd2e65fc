"""What a network moves over the off-chip link by size of the buffer: layer by layer, fused, and what must be moved."""

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
from dialects.target import find_machine
from passes.fusion.network import GroupSearches, Network, NetworkSearch, NetworkSpace
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
class Exploration(Displayed):
    """Words over the off-chip link, by kind and by words of the buffer; None where nothing fits.

    `left_out` are links that are no part of any group, and of these figures.
    """

    source: str
    memory: str
    word_bits: int
    compulsory: int
    moved: Mapping[str, Mapping[int, int | None]]
    left_out: int

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
            "words_by_buffer_words": {
                kind: {str(size): words for size, words in moved.items()} for kind, moved in self.moved.items()
            },
        }

    def table(self) -> Table:
        """A row for each size of the buffer."""
        columns = [Column(f"{self.memory} (words)", True), Column("(kB)", True)]
        columns += [Column(f"{kind} (words)", True) for kind in self.moved]
        sizes = next(iter(self.moved.values()))
        rows = [
            (
                f"{size:,}",
                f"{size * self.word_bits / 8192:.4g}",
                *("does not fit" if (words := moved[size]) is None else f"{words:,}" for moved in self.moved.values()),
            )
            for size in sizes
        ]
        title = f"{self.source}: least words over the off-chip link (estimated); at least {self.compulsory:,} must be"
        return Table(tuple(columns), tuple(rows), title)

    def displayed(self) -> Iterable[Part]:
        """What notebooks show."""
        return [self.table(), self.chart()]

    def chart(self) -> Chart:
        """The fronts of buffer and words off-chip: what is moved with so much room, and what must be."""
        fronts = {kind: [(size, words) for size, words in each.items() if words] for kind, each in self.moved.items()}
        sizes = next(iter(self.moved.values()))
        must = [(size, self.compulsory) for size in sizes if self.compulsory]
        lines = (*fronts.items(), ("must be moved", must))
        return Chart(
            f"{Path(self.source).name}: words off-chip by size of {self.memory} (estimated)",
            f"{self.memory} (words of {self.word_bits} bits)",
            "words over the off-chip link",
            [Line(kind, points) for kind, points in lines if points],
        )


def explore(
    source: str, options: CompileOptions, sizes: Sequence[int] = (), say: Callable[[str], None] = lambda line: None
) -> Exploration:
    """Search the networks of groups of a model for buffers of so many words, or of sizes around the target's.

    Raises `CatenaError`: CAT-U006 if the target has no levels of memory or the model nothing to fuse.
    """
    if options.target is None and kind_of(source) is SourceKind.MODEL:
        options = replace(options, target=DEFAULT_TARGET)
    module = compile_source(source, replace(options, stop="fused", without=frozenset(["merge-dims"]))).module
    machine, function = find_machine(module), main_function(module)
    runs = list(fusible_runs(function))
    networks = [network for run in runs if (network := network_of(run, function)) is not None]
    if not isinstance(machine, NestMachine) or not _can_be_explored(machine):
        name = "no machine" if machine is None else machine.name
        message, hint = "buffers are explored on machines of levels", f"use --target with one of {_explorable()}"
        raise CatenaError(Diagnostic("CAT-U006", message, "mapped", found=name, hint=hint))
    if not networks:
        raise CatenaError(Diagnostic("CAT-U006", "the model has no layers that could be fused", "mapped", where=source))
    memory = machine.memories[1]
    around = memory.words or 1 << 16
    wanted = sorted(set(sizes)) or [around * 2**step // 16 for step in range(STEPS)]
    moved = {kind: _moved(networks, memory.name, space, wanted, kind, say) for kind, space in KINDS.items()}
    links = sum(isinstance(op, LinkOp) for op in function.body.block.ops)
    return Exploration(
        source,
        memory.name,
        machine.word_bits,
        sum(map(_compulsory, networks)),
        moved,
        links - sum(network.count for network in networks),
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


def _moved(
    networks: Sequence[Network],
    memory: str,
    space: NetworkSpace,
    sizes: Sequence[int],
    kind: str,
    say: Callable[[str], None],
) -> dict[int, int | None]:
    """The least words that all networks move, by size of the buffer; more room is never worse."""
    searches = GroupSearches(memory, space)
    found: dict[int, int | None] = {}
    best: list[int | None] = [None] * len(networks)
    for size in sizes:
        say(f"{kind}, {size:,} words")
        for place, network in enumerate(networks):
            plan = NetworkSearch(network, size, searches).run()
            known = [words for words in (best[place], None if plan is None else plan.traffic) if words is not None]
            best[place] = min(known, default=None)
        fitting = [words for words in best if words is not None]
        found[size] = sum(fitting) if len(fitting) == len(best) else None
    return found
