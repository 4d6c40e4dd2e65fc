"""A row-stationary array as a description: what its TOML file says, checked, and what is charged for what it counts.

Words are target words: one tensor element each, `word_bits` wide when bytes are reported.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from dialects.accelerator import Accelerator, StepLimits
from dialects.encodings.run_length import RunLengthCode
from dialects.events import BURSTS, COMPRESSED, EVENTS
from dialects.host import Cost, Rate
from dialects.validation import UNKNOWN_EVENT
from dialects.value_kinds import Text


def _known_event(name: str) -> str:
    if name not in EVENTS:
        raise PydanticCustomError(UNKNOWN_EVENT, "no event is counted under this name")
    return name


Words = Annotated[int, Field(ge=1, le=1 << 40)]
Events = Annotated[tuple[Annotated[str, AfterValidator(_known_event)], ...], Field(strict=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class Array(_Model):
    """The spatial array: partial sums travel up the rows of a column, words are multicast to any set of elements."""

    rows: Annotated[int, Field(ge=1, le=1024, description="processing elements in a column")]
    cols: Annotated[int, Field(ge=1, le=1024, description="processing elements in a row")]


class ProcessingElement(_Model):
    """The scratchpads of one processing element, in words."""

    input_words: Annotated[Words, Field(description="input scratchpad")]
    kernel_words: Annotated[Words, Field(description="kernel (filter) scratchpad")]
    output_words: Annotated[Words, Field(description="partial-sum scratchpad")]


class GlobalBuffer(_Model):
    """The on-chip buffer that inputs and partial sums share; a bank holds words of one tensor only."""

    banks: Annotated[int, Field(ge=1, le=1 << 20, description="banks of the buffer")]
    bank_words: Annotated[Words, Field(description="words in a bank")]

    @property
    def words(self) -> int:
        """Capacity in words."""
        return self.banks * self.bank_words


class Compression(_Model):
    """A run-length code for feature maps on the off-chip link, as the Eyeriss chip has it.

    A pair is a run of zeros and the word after it; a word of the link holds some pairs, and in the bits that are left
    whether it is the last. Constants and inputs of the network go as they are.
    """

    run_bits: Annotated[int, Field(ge=1, le=16, description="bits for the length of a run of zeros")]
    pairs: Annotated[int, Field(ge=1, le=64, description="pairs in a word of the link")]
    link_bits: Annotated[int, Field(ge=8, le=64, description="bits of a word of the link")]

    def code(self, word_bits: int) -> RunLengthCode:
        """The code for words of a width."""
        return RunLengthCode(self.run_bits, self.pairs, self.link_bits, word_bits)


class Dram(_Model):
    """The off-chip memory."""

    words: Annotated[Words, Field(description="capacity in words")]
    burst_words: Annotated[
        int,
        Field(ge=0, le=1 << 16, description="words of a burst, which scattered words take whole; 0: no bursts"),
    ] = 0
    charge_bursts: Annotated[
        bool, Field(description="energy and time of the off-chip link go by words of bursts, not by words moved")
    ] = False
    compression: Annotated[
        Compression | None, Field(description="how feature maps are compressed on the link, which then goes by that")
    ] = None


class Links(_Model):
    """Bandwidths in words per core clock cycle."""

    dram: Annotated[Rate, Field(description="off-chip link, both directions together")]
    input_bus: Annotated[Rate, Field(description="buffer to array, inputs")]
    kernel_bus: Annotated[Rate, Field(description="kernels to array")]
    output_bus: Annotated[Rate, Field(description="partial sums between buffer and array, each direction")]


class Pipeline(_Model):
    """What a processing pass takes besides its longest flow of words; without it, passes overlap seamlessly.

    Elements start a pass with empty input scratchpads. The pass begins with the words of their first windows on the
    input bus, and ends when the last sums have come through `stages` and up their chain, an element a cycle.
    """

    stages: Annotated[int, Field(ge=0, le=64, description="cycles from reading a word to its sum in an element")]


class Limits(StepLimits):
    """What one processing pass can cover at most; longer loops are split over passes."""

    channels: Annotated[int, Field(ge=1, le=1 << 48, description="reduced channels in a pass")]
    filters: Annotated[int, Field(ge=1, le=1 << 48, description="output channels in a pass")]
    kernel_rows: Annotated[int, Field(ge=1, le=1 << 48, description="kernel rows across the array")]
    kernel_cols: Annotated[int, Field(ge=1, le=1 << 48, description="kernel columns in an element")]
    kernel_copies: Annotated[
        int,
        Field(
            ge=1, le=1 << 48, description="elements that may hold the same kernel word: 1 if kernels are not multicast"
        ),
    ] = 1 << 20
    chains_per_column: Annotated[
        int,
        Field(
            ge=1, le=1 << 48, description="output words whose sums may be formed in one column of the array at a time"
        ),
    ] = 1 << 10


class Energy(_Model):
    """Energy of one access to each level and of one operation, in units of `picojoules`."""

    picojoules: Annotated[Rate, Field(description="one unit of energy in pJ")]
    dram: Annotated[Cost, Field(description="an access to the off-chip memory")]
    glb: Annotated[Cost, Field(description="an access to the buffer")]
    array: Annotated[Cost, Field(description="a word that goes through the array")]
    spad: Annotated[Cost, Field(description="an access to a scratchpad")]
    operation: Annotated[Cost, Field(description="one MAC or other operation")]
    gating: Annotated[
        float | None,
        Field(ge=0, le=1, description="share of an operation and its scratchpad accesses saved on an input of zero"),
    ] = None
    static_mw: Annotated[Cost | None, Field(description="power whatever the chip does, in mW")] = None


class Counting(_Model):
    """Which events count as accesses where sources differ.

    Event names are those of `dialects.events`; every other event is still counted, but charged no energy.
    """

    padding_in_buffer: Annotated[bool, Field(description="padding words are written to and read from the buffer")]
    dram: Annotated[Events, Field(description="events that are accesses of the off-chip memory")]
    glb: Annotated[Events, Field(description="events that are accesses of the buffer")]
    array: Annotated[Events, Field(description="events that are accesses of the way through the array")]
    spad: Annotated[Events, Field(description="events that are accesses of the scratchpads")]

    @property
    def padding_in_dram(self) -> bool:
        """Whether padding lies in DRAM and is fetched: it counts as an access there."""
        return "dram.input.padding" in self.dram


class Machine(Accelerator, frozen=True):
    """A row-stationary spatial accelerator."""

    model_config = ConfigDict(strict=True)

    array: Annotated[Array, Field(description="sides of the array")]
    pe: Annotated[ProcessingElement, Field(description="scratchpads of an element")]
    glb: Annotated[GlobalBuffer, Field(description="on-chip buffer")]
    dram: Annotated[Dram, Field(description="off-chip memory")]
    links: Annotated[Links, Field(description="words a cycle")]
    pipeline: Annotated[Pipeline | None, Field(description="how passes follow each other")] = None
    limits: Annotated[Limits, Field(description="what a pass covers at most")]
    energy: Annotated[Energy, Field(description="energy of accesses")]
    counting: Annotated[Counting, Field(description="which events are accesses")]
    sources: Annotated[dict[Text, Text], Field(description="where each constant comes from")]

    @property
    def link_words(self) -> float:
        """Words that cross the off-chip link in a cycle."""
        return self.links.dram

    @model_validator(mode="after")
    def _check_compression(self) -> Machine:
        code = self.dram.compression
        if code is None:
            return self
        if code.link_bits % self.word_bits or code.pairs * (code.run_bits + self.word_bits) >= code.link_bits:
            reason = "a word of the link is whole words, and holds its pairs and a bit that marks the last one"
            raise PydanticCustomError("wrong_code", f"dram.compression: {reason}")
        if self.dram.charge_bursts:
            raise PydanticCustomError("wrong_code", "dram: what is compressed is not charged in bursts")
        return self

    def charged(self, level: str) -> tuple[str, ...]:
        """The events that are accesses to a level as they cost energy: as bursts, or compressed, if it does that."""
        return self.on_link(getattr(self.counting, level))

    def on_link(self, events: Iterable[str]) -> tuple[str, ...]:
        """Events with words of the off-chip link as they go over it."""
        if self.dram.compression is not None:
            return tuple(COMPRESSED.get(event, event) for event in events if event != "dram.input.padding")
        if self.dram.charge_bursts:
            return tuple(BURSTS.get(event, event) for event in events)
        return tuple(events)
