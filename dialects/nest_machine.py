"""A machine of any hierarchy of memories and axes as a description, in its own words or in words of its memories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from dialects import soundness
from dialects.accelerator import Accelerator, StepLimits
from dialects.diagnostics import Diagnostic
from dialects.events import EVENTS, NEST_EVENTS, OPTIONAL
from dialects.hierarchy import Hierarchy, Memory, Name
from dialects.host import Rate
from dialects.value_kinds import Line
from dialects.widths import narrowed, per_element, word_unit, wrong_times, wrong_widths
from dialects.word_units import WordUnit

_UNLIMITED = float(1 << 60)


class NestLimits(StepLimits):
    """What a sequencer has room for, unless a machine says otherwise."""

    post_steps: Annotated[int, Field(ge=0, description="scalar functions on the way out")] = 8
    post_operands: Annotated[int, Field(ge=0, le=12, description="tensors read on the way out")] = 4


class NestMachine(Hierarchy, Accelerator, frozen=True):
    """A machine that executes loop nests on any hierarchy of memories and axes: all that its description says.

    It has a sequencer that runs a layer's loops and moves words between neighbouring memories as they ask; every
    element computes one operation at a time (`backends.generic`).
    """

    model_config = ConfigDict(strict=True)

    has_levels: ClassVar[bool] = True

    summary: Annotated[Line, Field(description="what it is, in a line")] = ""
    limits: Annotated[NestLimits, Field(description="what a link may have")] = NestLimits.model_construct()
    picojoules: Annotated[Rate, Field(description="one unit of energy, of accesses and of the operation, in pJ")] = 1.0

    @property
    def event_names(self) -> frozenset[str]:
        """All events that may be counted: those of the hierarchy, and what else happens in a layer."""
        outer = f"{self.memories[0].name}."
        besides = ("operation", "host", "segment")
        shared = {name for name in EVENTS if name.split(".")[0] in besides and name not in OPTIONAL}
        return super().event_names | shared | {outer + name for name in NEST_EVENTS}

    @property
    def never(self) -> Mapping[str, str]:
        """Events that limits and a host that is not there rule out, each with the reason."""
        found: dict[str, str] = {}
        if self.host is None:
            found |= {name: "there is no table host" for name in EVENTS if name.startswith("host.")}
        if not self.limits.post_steps:
            found["operation.post"] = "limits.post_steps is 0"
        if not self.limits.post_operands:
            names = (f"{memory.name}.extra.{event}" for memory in self.memories for event in ("read", "fill"))
            found |= dict.fromkeys(names, "limits.post_operands is 0")
        return found

    @property
    def link_words(self) -> float:
        """Words that cross the off-chip link in a cycle: as many as the outermost memory sends, or all of them."""
        return self.memories[0].read or _UNLIMITED

    def contradictions(self, where: str = "") -> list[Diagnostic]:
        """What levels, widths and the dataflow say that does not go together (CAT-C003)."""
        memories = {memory.name: memory for memory in self.memories}
        problems = [*soundness.contradictions(self, where), *wrong_widths(self.memories, self.word_bits, where)]
        problems += wrong_times(self.accesses, memories, self.word_bits, where)
        if not self.nested and self.dataflow is None:
            message = "there is no dataflow whose tiles could be counted so"
            hint = "leave it out, or describe a dataflow: only its search counts tiles as if they were not nested"
            problems.append(soundness.Contradiction("nested", message, "true", "false", hint).diagnostic(where))
        return problems

    def in_machine_words(self) -> NestMachine:
        """The machine with memories described in its own words (`dialects.widths`), if widths go together."""
        if all(memory.word_bits is None for memory in self.memories):
            return self
        bits, memories = self.word_bits, {memory.name: memory for memory in self.memories}
        fields = {name: getattr(self, name) for name in NestMachine.model_fields}
        fields["levels"] = tuple(narrowed(each, bits) if isinstance(each, Memory) else each for each in self.levels)
        fields["accesses"] = tuple(per_element(each, memories, bits) for each in self.accesses)
        fields["widths"] = {name: each.word_bits for name, each in memories.items() if each.word_bits is not None}
        return ConvertedMachine.model_construct({*self.model_fields_set, "widths"}, **fields)


class ConvertedMachine(NestMachine, frozen=True):
    """A machine in its own words whose description counts some memories in words of theirs: messages do so, too."""

    widths: Annotated[dict[Name, Annotated[int, Field(ge=1)]], Field(description="bits of a word of these memories")]

    @model_validator(mode="after")
    def _check_widths(self) -> ConvertedMachine:
        for name in self.widths.keys() - {memory.name for memory in self.memories}:
            raise PydanticCustomError("no_memory", "widths.{name}: there is no such memory", {"name": name})
        return self

    def word_unit(self, memory: str) -> WordUnit:
        """The words in which the description of the machine counts what a memory holds."""
        return word_unit(self.widths.get(memory), self.word_bits)
