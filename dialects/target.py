"""The target as IR: `target.machine` describes the accelerator that the module is compiled for.

Generic passes read the machine from the module; none of them knows a backend. The description is checked by the
`Machine` model (unknown keys are errors), printed as a dictionary attribute, and read from TOML by `backends`.

Words are target words: one tensor element each, `word_bits` wide when bytes are reported.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
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

from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean
from dialects.events import EVENTS
from dialects.gconv.scalar import FUNCTIONS
from dialects.host import Cost, Host, Rate

_UNKNOWN_EVENT = "unknown_event"
_UNKNOWN_FUNCTION = "unknown_function"


def _known_event(name: str) -> str:
    if name not in EVENTS:
        raise PydanticCustomError(_UNKNOWN_EVENT, "no event is counted under this name")
    return name


def _known_function(name: str) -> str:
    if name not in FUNCTIONS:
        raise PydanticCustomError(_UNKNOWN_FUNCTION, "there is no scalar function of this name")
    return name


WordType = Literal["f32", "i1", "i8", "ui8", "i16", "ui16", "i32", "ui32", "i64", "ui64"]
Words = Annotated[int, Field(ge=1, le=1 << 40)]
Events = Annotated[tuple[Annotated[str, AfterValidator(_known_event)], ...], Field(strict=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


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

    banks: Annotated[int, Field(ge=1, le=1 << 20)]
    bank_words: Annotated[Words, Field(description="words in a bank")]

    @property
    def words(self) -> int:
        """Capacity in words."""
        return self.banks * self.bank_words


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


class Links(_Model):
    """Bandwidths in words per core clock cycle."""

    dram: Annotated[Rate, Field(description="off-chip link, both directions together")]
    input_bus: Annotated[Rate, Field(description="buffer to array, inputs")]
    kernel_bus: Annotated[Rate, Field(description="kernels to array")]
    output_bus: Annotated[Rate, Field(description="partial sums between buffer and array, each direction")]


class Limits(_Model):
    """What one processing pass can cover at most; longer loops are split over passes."""

    channels: Annotated[int, Field(ge=1, description="reduced channels in a pass")]
    filters: Annotated[int, Field(ge=1, description="output channels in a pass")]
    kernel_rows: Annotated[int, Field(ge=1, description="kernel rows across the array")]
    kernel_cols: Annotated[int, Field(ge=1, description="kernel columns in an element")]
    kernel_copies: Annotated[
        int, Field(ge=1, description="elements that may hold the same kernel word: 1 if kernels are not multicast")
    ] = 1 << 20
    chains_per_column: Annotated[
        int, Field(ge=1, description="output words whose sums may be formed in one column of the array at a time")
    ] = 1 << 10
    pre_steps: Annotated[int, Field(ge=0, description="scalar functions on the way in")] = 8
    mid_steps: Annotated[int, Field(ge=0, description="scalar functions between main operator and reduction")] = 8
    post_steps: Annotated[int, Field(ge=0, description="scalar functions on the way out")]
    post_operands: Annotated[int, Field(ge=0, le=12, description="tensors read on the way out")]
    output_path: Annotated[
        tuple[Annotated[str, AfterValidator(_known_function)], ...],
        Field(strict=False, description="scalar functions that the chip has on its way out without GCONV Chain"),
    ] = ()


class Energy(_Model):
    """Energy of one access to each level and of one operation, in units of `picojoules`."""

    picojoules: Annotated[Rate, Field(description="one unit of energy in pJ")]
    dram: Cost
    glb: Cost
    array: Cost
    spad: Cost
    operation: Annotated[Cost, Field(description="one MAC or other operation")]


class Counting(_Model):
    """Which events count as accesses where sources differ.

    Event names are those of `dialects.events`; every other event is still counted, but charged no energy.
    """

    padding_in_buffer: Annotated[bool, Field(description="padding words are written to and read from the buffer")]
    dram: Events
    glb: Events
    array: Events
    spad: Events


class Machine(_Model):
    """A row-stationary spatial accelerator."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
    summary: str
    clock_mhz: Rate
    word_bits: Annotated[int, Field(ge=1, le=64)]
    configuration_us: Annotated[
        Cost, Field(description="time to configure a layer in us, which passes weigh; not part of a layer's latency")
    ] = 0
    arithmetic: Annotated[
        tuple[WordType, ...],
        Field(strict=False, min_length=1, description="element types that words hold and elements compute in"),
    ] = get_args(WordType)
    array: Array
    pe: ProcessingElement
    glb: GlobalBuffer
    dram: Dram
    links: Links
    limits: Limits
    energy: Energy
    counting: Counting
    host: Annotated[Host | None, Field(description="the core that executes what leaves the accelerator")] = None
    figures: Annotated[
        dict[str, int | float | str | list[int]], Field(description="published figures that no model uses yet")
    ] = Field(default_factory=dict)
    sources: Annotated[dict[str, str], Field(description="where each constant comes from")]


def parse_machine(description: object, where: str = "") -> Machine:
    """A `Machine` from plain data.

    Raises `CatenaError` (CAT-C003) with one diagnostic per wrong, missing or unknown key.
    """
    try:
        return Machine.model_validate(description)
    except ValidationError as error:
        raise CatenaError(_validation_diagnostics(error, where)) from error


def _validation_diagnostics(error: ValidationError, where: str) -> list[Diagnostic]:
    diagnostics: list[Diagnostic] = []
    for problem in error.errors(include_url=False):
        key = ".".join(map(str, problem["loc"]))
        hint = _hint(problem["type"], problem["loc"], problem["input"])
        message = f"{key}: {problem['msg']}" if key else str(problem["msg"])
        found = "" if problem["type"] == "missing" else repr(problem["input"])[:80]
        diagnostics.append(Diagnostic("CAT-C003", message, stage="target", where=where, found=found, hint=hint))
    return diagnostics


def _hint(kind: str, location: tuple[int | str, ...], value: object) -> str:
    if kind == "extra_forbidden":
        return _nearest_key(location)
    known = {_UNKNOWN_EVENT: EVENTS, _UNKNOWN_FUNCTION: FUNCTIONS}.get(kind, {})
    return did_you_mean(str(value), known)


def _nearest_key(location: tuple[int | str, ...]) -> str:
    from difflib import get_close_matches

    model: type[BaseModel] = Machine
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return ""
        model = field.annotation
    near = get_close_matches(str(location[-1]), list(model.model_fields), 1)
    return f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(model.model_fields)}"


@irdl_op_definition
class MachineOp(IRDLOperation):
    """The machine that this module is compiled for; at most one in a module."""

    name = "target.machine"

    sym_name = prop_def(SymbolNameConstraint())
    description = prop_def(DictionaryAttr)

    traits = traits_def(SymbolOpInterface())

    assembly_format = "$sym_name $description attr-dict"

    @classmethod
    def of(cls, machine: Machine) -> MachineOp:
        """The op that holds `machine`."""
        plain = machine.model_dump(mode="json", exclude_none=True)
        return cls(properties={"sym_name": StringAttr(machine.name), "description": _to_dictionary(plain)})

    @property
    def machine(self) -> Machine:
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
def _machine_of(description: DictionaryAttr, where: str) -> Machine:
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


def find_machine(module: ModuleOp) -> Machine | None:
    """The machine a module is compiled for, if it says.

    Raises `CatenaError` (CAT-R003) if it says so more than once, CAT-C003 if the description is not valid.
    """
    machines = [op for op in module.ops if isinstance(op, MachineOp)]
    if len(machines) > 1:
        names = ", ".join(f"@{op.sym_name.data}" for op in machines)
        raise CatenaError(Diagnostic("CAT-R003", "the module has several target.machine", found=names))
    return machines[0].machine if machines else None


def require_machine(module: ModuleOp, stage: str) -> Machine:
    """The machine a module is compiled for.

    Raises `CatenaError` (CAT-R003) if the module names none, or several.
    """
    machine = find_machine(module)
    if machine is None:
        raise CatenaError(
            Diagnostic("CAT-R003", "the module has no target.machine", stage=stage, hint="compile with --target")
        )
    return machine


TARGET = Dialect("target", [MachineOp], [])
