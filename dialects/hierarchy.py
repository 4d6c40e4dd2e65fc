"""A spatial accelerator of any memory hierarchy, as data.

From the outermost memory, which holds everything, levels lie one inside the other: memories, and axes of the array
along which everything further in exists many times. Each says what it may hold, pass on to several, or add up.
Capacities and traffic are in words, one tensor element each.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Annotated, Literal, Self, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from dialects.accelerator import MachineName
from dialects.events import HELD_EVENTS
from dialects.gconv.spec import LoopKind
from dialects.host import Cost, Rate
from dialects.schedule import Operand
from dialects.value_kinds import NAME_LENGTH, Line, Text, distinct
from dialects.word_units import MACHINE_WORD, WordUnit

Words = Annotated[int, Field(ge=1, le=1 << 48)]
OperandName = Annotated[Operand, Field(strict=False)]
_UNIQUE: JsonDict = {"uniqueItems": True}
Operands = Annotated[tuple[OperandName, ...], AfterValidator(distinct), Field(strict=False, json_schema_extra=_UNIQUE)]
Loops = Annotated[
    tuple[Annotated[LoopKind, Field(strict=False)], ...],
    AfterValidator(distinct),
    Field(strict=False, json_schema_extra=_UNIQUE),
]
Times = Annotated[float, Field(ge=0, le=1e9)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=NAME_LENGTH)]


class _Model(BaseModel, frozen=True):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


def _named(tables: object) -> object:
    """Tables by name as tables with names, in the order in which they are written."""
    if not isinstance(tables, dict):
        return tables
    items = cast("dict[str, object]", tables).items()
    return tuple(
        {**cast("dict[str, object]", table), "name": name} if isinstance(table, dict) else table
        for name, table in items
    )


class Memory(_Model, frozen=True):
    """A memory, once for all elements or once for each element of the axes further out."""

    kind: Literal["memory"]
    name: Name
    word_bits: Annotated[
        int | None,
        Field(
            ge=1,
            le=1 << 20,
            description="width of a word here, of which `words`, `rooms`, `bank`, `read` and `write` are numbers, and "
            "which an access moves; none: the machine's",
        ),
    ] = None
    words: Annotated[Words | None, Field(description="capacity in words for all operands; none: unlimited")] = None
    reserve: Annotated[
        str,
        Field(
            description="words that something else takes, as an expression of the dataflow's parameters; where that is "
            "less than 0, there is no mapping"
        ),
    ] = "0"
    operands: Annotated[Operands, Field(min_length=1, description="which operands stay here")] = tuple(Operand)
    bypass: Annotated[Operands, Field(description="which of them may as well pass by")] = ()
    rooms: Annotated[
        dict[OperandName, Words], Field(description="words that an operand has for itself here, at most")
    ] = Field(default_factory=dict[Operand, int])
    bank: Annotated[Words | None, Field(description="words of a bank, which holds one operand; none: no banks")] = None
    read: Annotated[Rate | None, Field(description="words per cycle that leave it; none: unlimited")] = None
    write: Annotated[Rate | None, Field(description="words per cycle that come in; none: unlimited")] = None
    buffers: Annotated[
        int, Field(ge=1, le=2, description="2: tiles are held twice, and moved while the array works on others")
    ] = 1
    stays: Annotated[
        bool,
        Field(
            description="what is there is not brought again while steps do not change it; a memory that does not stay "
            "empties those further in, too"
        ),
    ] = True
    slides: Annotated[bool, Field(description="input words that neighbouring steps of a window share are kept")] = False

    def whole_banks(self, words: int) -> int:
        """Words that so many words of one operand take, in whole banks."""
        bank = self.bank or 1
        return -(-words // bank) * bank


class Axis(_Model, frozen=True):
    """An axis of the array: everything further in exists once for every position along it."""

    kind: Literal["axis"]
    name: Name
    size: Annotated[int, Field(ge=1, le=1 << 20, description="positions")]
    multicast: Annotated[Operands, Field(description="operands of which one word may go to several positions")] = ()
    reduces: Annotated[bool, Field(description="partial sums of neighbours are added on the way out")] = False
    loops: Annotated[
        Loops, Field(min_length=1, description="kinds of loops that may be laid along it: g, op, opc, ks")
    ] = tuple(LoopKind)


Level = Annotated[Memory | Axis, Field(discriminator="kind")]


class Access(_Model, frozen=True):
    """A kind of access that costs energy: which events are such accesses, and how many each."""

    name: Name
    energy: Annotated[Cost, Field(description="energy of one access")]
    events: Annotated[dict[str, Times], Field(description="accesses for each event of `memory.operand.event`")]


class Dataflow(_Model, frozen=True):
    """What mappings of a machine look like: a nest whose tiles are products of parameters.

    The text is that of a mapping, `passes.mapper.dataflow`, with the parts of a convolution for loops. What is right of
    the bar is decided first.
    """

    nest: Annotated[str, Field(description="`for PART TILE`, `par PART TILE on AXIS`, `store MEMORY [OPERANDS]` ...")]
    even: Annotated[
        tuple[str, ...],
        AfterValidator(distinct),
        Field(strict=False, description="parts of a convolution that are cut into equal tiles only"),
    ] = ()
    weigh: Annotated[
        dict[str, Times], Field(description="factors of events in the search, where it weighs them differently")
    ] = Field(default_factory=dict)


class Hierarchy(_Model, frozen=True):
    """The levels of an accelerator, outermost first; the first is a memory that holds every operand."""

    name: MachineName
    summary: Line
    levels: Annotated[
        tuple[Level, ...],
        BeforeValidator(_named),
        Field(strict=False, min_length=1, description="memories and array axes, from the outside in"),
    ]
    elements: Annotated[
        int | None, Field(ge=1, le=1 << 48, description="positions that may be used over all axes together")
    ] = None
    operation: Annotated[Cost, Field(description="energy of one operation (MAC)")] = 1
    accesses: Annotated[
        tuple[Access, ...],
        BeforeValidator(_named),
        Field(strict=False, description="what costs energy, from the outside in"),
    ] = ()
    nested: Annotated[
        bool,
        Field(
            description="tiles are cut out of those around them; no: the search counts them as cut out of the whole "
            "loop, as papers do, while programs run, and are predicted, as they are"
        ),
    ] = True
    dataflow: Annotated[
        Dataflow | None, Field(description="what mappings look like; none: all mappings are searched, to a limit")
    ] = None
    sources: Annotated[dict[Text, Text], Field(description="where each constant comes from")] = Field(
        default_factory=dict
    )

    @cached_property
    def memories(self) -> tuple[Memory, ...]:
        """The memories, outermost first."""
        return tuple(level for level in self.levels if isinstance(level, Memory))

    @cached_property
    def executed(self) -> Self:
        """The machine as it runs mappings: with nested tiles, however its search counts them."""
        return self if self.nested else self.model_copy(update={"nested": True})

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The axes, outermost first."""
        return tuple(level for level in self.levels if isinstance(level, Axis))

    @property
    def places(self) -> tuple[str, ...]:
        """Where words come in and leave: the memories, outermost first, and the operations."""
        return (*(memory.name for memory in self.memories), "operation")

    @property
    def event_names(self) -> frozenset[str]:
        """All events that may be counted."""
        kinds = [f"{operand}.{event}" for operand in ("input", "kernel") for event in ("read", "fill")]
        kinds += [f"output.{event}" for event in ("update", "add", "hop")]
        return frozenset(f"{place}.{kind}" for place in self.places for kind in kinds) | {
            f"{self.places[0]}.extra.read"
        }

    @property
    def held_event_names(self) -> frozenset[str]:
        """Further events that are counted in layers of fused groups."""
        return frozenset(f"{memory.name}.{event}" for memory in self.memories[1:] for event in HELD_EVENTS)

    @property
    def never(self) -> Mapping[str, str]:
        """Events that what is said besides levels rules out, each with the reason."""
        return {}

    def kept(self, in_nest: Collection[tuple[str, Operand]] | None) -> frozenset[tuple[str, Operand]]:
        """Which operands may not go past which memories; `in_nest` is where a dataflow stores them, if there is one."""
        places = {
            (memory.name, operand)
            for memory in self.memories[1:]
            for operand in memory.operands
            if operand not in memory.bypass
        }
        return frozenset(places if in_nest is None else places.intersection(in_nest))

    def begins(self, operand: Operand) -> str:
        """The memory in which the path of an operand begins: words of it are there, and results go back there."""
        return self.memories[0].name

    @property
    def forbidden(self) -> tuple[str, ...]:
        """Events that a mapping must not cause."""
        return ()

    def memory(self, name: str) -> Memory:
        """The memory of a name."""
        return next(each for each in self.memories if each.name == name)

    def word_unit(self, memory: str) -> WordUnit:
        """The words in which the description of the machine counts what a memory holds: those of the machine."""
        return MACHINE_WORD

    def axes_outside(self, memory: str) -> tuple[Axis, ...]:
        """The axes along which a memory exists many times, outermost first."""
        names = [level.name for level in self.levels]
        return tuple(level for level in self.levels[: names.index(memory)] if isinstance(level, Axis))

    def axis(self, name: str) -> Axis:
        """The axis of a name."""
        return next(each for each in self.axes if each.name == name)
