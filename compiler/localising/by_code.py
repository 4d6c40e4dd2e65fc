"""Effects held against code: what it says has to come, one after the other, and what it configures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from backends.effects import Effect, Shown
from backends.isa import Isa
from backends.program import LayerEntry, Program
from compiler.localising.configuration import Configurations
from compiler.localising.defined import DefinedLayers
from compiler.localising.group_sequence import GroupSequence
from compiler.localising.group_turns import group_turns_of
from compiler.localising.sequence import Sequence
from compiler.localising.stream_sequence import StreamSequence
from compiler.localising.stream_turns import pieces_of_cores
from compiler.localising.turns import LayerLoops, turns_of


@dataclass(frozen=True)
class ByCode:
    """What code says of some layers: sequences by number, of those whose loops run as they come, and of their group."""

    configured: Configurations | None = None
    sequences: Mapping[int, Sequence] = field(default_factory=dict[int, Sequence])
    group: GroupSequence | None = None
    streams: StreamSequence | None = None

    def check(self, effect: Effect) -> None:
        """Raise `WrongEffectError` for what does not come now, or is configured otherwise."""
        if effect.shown is Shown.CONFIGURED:
            if self.configured is not None:
                self.configured.check(effect)
            if self.group is not None:
                self.group.note_read(effect.address)
            return
        if effect.layer in self.sequences:
            self.sequences[effect.layer].check(effect)
        if self.group is not None:
            self.group.check(effect)
        if self.streams is not None:
            self.streams.check(effect)

    def end(self) -> None:
        """Raise `WrongEffectError` if more should have come."""
        for sequence in self.sequences.values():
            sequence.end()
        if self.group is not None:
            self.group.end()
        if self.streams is not None:
            self.streams.end()


def by_code(program: Program, layer: LayerEntry, defined: DefinedLayers, isa: Isa) -> ByCode:
    """What code says of a layer, or of those of its group, all of which are defined."""
    found: dict[int, Sequence] = {}
    for number, expectation in defined.expectations.items():
        turns = turns_of(program, program.layers[number], expectation.spec, isa)
        if turns is not None:
            found[number] = Sequence(turns, number, expectation)
    group = next((each for each in program.groups if each.name == layer.group), None)
    of_group = None if group is None else group_turns_of(program, group, isa)
    loops = (
        (number, found_loops)
        for number, expectation in defined.expectations.items()
        if (found_loops := LayerLoops.of(program, program.layers[number], expectation.spec, isa)) is not None
    )
    streams = pieces_of_cores(program, defined.expectations.keys(), isa)
    return ByCode(
        Configurations(program, defined.expectations.keys(), isa),
        found,
        None if of_group is None else GroupSequence(of_group, defined.expectations, dict(loops)),
        None if streams is None else StreamSequence(streams),
    )
