"""The target as IR: `target.machine` describes the accelerator that the module is compiled for.

Generic passes read the machine from the module; none of them knows a backend. The description is checked by the
`Machine` model (unknown keys are errors), printed as a dictionary attribute, and read from TOML by `backends`.

Words are target words: one tensor element each, `word_bits` wide when bytes are reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    FloatAttr,
    IntegerAttr,
    ModuleOp,
    StringAttr,
    SymbolNameConstraint,
    f64,
    i1,
    i64,
)
from xdsl.ir import Attribute, Dialect
from xdsl.irdl import IRDLOperation, irdl_op_definition, prop_def, traits_def
from xdsl.traits import SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from dialects import soundness
from dialects.accelerator import Accelerator, StepLimits
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.events import BURSTS, COMPRESSED, EVENTS, NEST_EVENTS, OPTIONAL
from dialects.hierarchy import Hierarchy, Memory, Name
from dialects.host import Cost, Rate
from dialects.validation import UNKNOWN_EVENT, validated
from dialects.value_kinds import Line, Text
from dialects.widths import narrowed, per_element, word_unit, wrong_widths
from dialects.word_units import WordUnit


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

    @property
    def longest_run(self) -> int:
        """Zeros that one pair can stand for, the word after them aside."""
        return (1 << self.run_bits) - 1


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


def parse_machine(description: object, where: str = "") -> Accelerator:
    """The machine of a description: a `NestMachine` if it has levels, a row-stationary `Machine` if not.

    One that `MachineOp` has written may have been converted before. Raises `CatenaError` (CAT-C003) with one diagnostic
    per wrong, missing or unknown key.
    """
    is_converted = "widths" in _table(description)
    machine = validated(ConvertedMachine, description, where) if is_converted else read_machine(description, where)
    if problems := contradictions(machine, where):
        raise CatenaError(problems)
    return in_machine_words(machine)


def read_machine(description: object, where: str = "") -> Accelerator:
    """As `parse_machine`, but what keys say of each other is left to `contradictions`."""
    return validated(NestMachine if "levels" in _table(description) else Machine, description, where)


def contradictions(machine: Accelerator, where: str = "") -> list[Diagnostic]:
    """What the description of a machine says that does not go together (CAT-C003)."""
    if not isinstance(machine, NestMachine):
        return []
    problems = [*soundness.contradictions(machine, where), *wrong_widths(machine.memories, machine.word_bits, where)]
    if not machine.nested and machine.dataflow is None:
        message = "there is no dataflow whose tiles could be counted so"
        hint = "leave it out, or describe a dataflow: only its search counts tiles as if they were not nested"
        problems.append(soundness.Contradiction("nested", message, "true", "false", hint).diagnostic(where))
    return problems


def in_machine_words(machine: Accelerator) -> Accelerator:
    """A machine with memories described in its own words of `word_bits` (`dialects.widths`), if widths go together."""
    if not isinstance(machine, NestMachine) or all(memory.word_bits is None for memory in machine.memories):
        return machine
    bits, memories = machine.word_bits, {memory.name: memory for memory in machine.memories}
    fields = {name: getattr(machine, name) for name in NestMachine.model_fields}
    fields["levels"] = tuple(narrowed(each, bits) if isinstance(each, Memory) else each for each in machine.levels)
    fields["accesses"] = tuple(per_element(each, memories, bits) for each in machine.accesses)
    fields["widths"] = {name: each.word_bits for name, each in memories.items() if each.word_bits is not None}
    return ConvertedMachine.model_construct({*machine.model_fields_set, "widths"}, **fields)


def _table(description: object) -> dict[str, object]:
    """A description as a table, an empty one if it is none."""
    return cast("dict[str, object]", description) if isinstance(description, dict) else {}


def spatial_machine(machine: Accelerator, stage: str, where: str = "") -> Machine:
    """A machine as a row-stationary one.

    Raises `CatenaError` (CAT-R003) if it is another one.
    """
    if not isinstance(machine, Machine):
        raise CatenaError(_other_kind(machine, "a row-stationary array", stage, where))
    return machine


def nest_machine(machine: Accelerator, stage: str, where: str = "") -> NestMachine:
    """A machine as a hierarchy of memories and axes.

    Raises `CatenaError` (CAT-R003) if it is another one.
    """
    if not isinstance(machine, NestMachine):
        raise CatenaError(_other_kind(machine, "a hierarchy of levels", stage, where))
    return machine


def _other_kind(machine: Accelerator, expected: str, stage: str, where: str) -> Diagnostic:
    message = f"the machine {machine.name} is of another kind"
    return Diagnostic("CAT-R003", message, stage, where=where, expected=expected, hint="use the passes of its backend")


@irdl_op_definition
class MachineOp(IRDLOperation):
    """The machine that this module is compiled for; at most one in a module."""

    name = "target.machine"

    sym_name = prop_def(SymbolNameConstraint())
    description = prop_def(DictionaryAttr)

    traits = traits_def(SymbolOpInterface())

    assembly_format = "$sym_name $description attr-dict"

    @classmethod
    def of(cls, machine: Accelerator) -> MachineOp:
        """The op that holds `machine`."""
        plain = machine.model_dump(mode="json", exclude_none=True)
        return cls(properties={"sym_name": StringAttr(machine.name), "description": _to_dictionary(plain)})

    @property
    def machine(self) -> Accelerator:
        """The description as a checked model."""
        return _machine_of(self.description, f"@{self.sym_name.data}")

    def verify_(self) -> None:
        try:
            machine = self.machine
        except CatenaError as error:
            raise VerifyException(str(error)) from error
        if machine.name != self.sym_name.data:
            raise VerifyException(f"the machine is called {machine.name}, the symbol @{self.sym_name.data}")


@lru_cache(maxsize=8)
def _machine_of(description: DictionaryAttr, where: str) -> Accelerator:
    """A description is checked once, however many passes and verifications ask for it."""
    return parse_machine(from_attribute(description), where)


def to_attribute(value: object) -> Attribute:
    """Plain data (str, bool, int, float, list, dict) as an attribute."""
    match value:
        case str():
            return StringAttr(value)
        case bool():
            return IntegerAttr(int(value), i1)
        case int():
            return IntegerAttr(value, i64)
        case float():
            return FloatAttr(value, f64)
        case list():
            return ArrayAttr([to_attribute(item) for item in cast("list[object]", value)])
        case dict():
            return _to_dictionary(cast("dict[str, object]", value))
        case _:
            raise TypeError(f"{type(value).__name__} has no attribute form")


def _to_dictionary(value: dict[str, Any]) -> DictionaryAttr:
    return DictionaryAttr({key: to_attribute(item) for key, item in value.items()})


def from_attribute(attribute: Attribute) -> object:
    """The plain data that `to_attribute` made; other attributes become their text."""
    match attribute:
        case StringAttr():
            return attribute.data
        case IntegerAttr():
            return bool(attribute.value.data) if attribute.type == i1 else attribute.value.data
        case FloatAttr():
            return attribute.value.data
        case ArrayAttr():
            return [from_attribute(item) for item in attribute]
        case DictionaryAttr():
            return {key: from_attribute(item) for key, item in attribute.data.items()}
        case _:
            return str(attribute)


def find_machine(module: ModuleOp) -> Accelerator | None:
    """The machine a module is compiled for, if it says.

    Raises `CatenaError` (CAT-R003) if it says so more than once, CAT-C003 if the description is not valid.
    """
    machines = [op for op in module.ops if isinstance(op, MachineOp)]
    if len(machines) > 1:
        names = ", ".join(f"@{op.sym_name.data}" for op in machines)
        raise CatenaError(Diagnostic("CAT-R003", "the module has several target.machine", found=names))
    return machines[0].machine if machines else None


def require_machine(module: ModuleOp, stage: str) -> Accelerator:
    """The machine a module is compiled for.

    Raises `CatenaError` (CAT-R003) if the module names none, or several.
    """
    machine = find_machine(module)
    if machine is None:
        raise CatenaError(
            Diagnostic("CAT-R003", "the module has no target.machine", stage=stage, hint="compile with --target")
        )
    return machine


def require_spatial(module: ModuleOp, stage: str) -> Machine:
    """The row-stationary array a module is compiled for. Raises `CatenaError` (CAT-R003) for any other machine."""
    return spatial_machine(require_machine(module, stage), stage)


def require_nest_machine(module: ModuleOp, stage: str) -> NestMachine:
    """The hierarchy a module is compiled for. Raises `CatenaError` (CAT-R003) for any other machine."""
    return nest_machine(require_machine(module, stage), stage)


TARGET = Dialect("target", [MachineOp], [])
