"""What every machine says about itself, whatever its array and its memories: what generic passes read.

`dialects.machine_kinds` has the machines themselves. Words are target words: one tensor element each.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from dialects.diagnostics import Diagnostic
from dialects.gconv.scalar import FUNCTIONS
from dialects.host import Clock, Cost, Host
from dialects.value_kinds import NAME_LENGTH, Line, Text, distinct

UNKNOWN_FUNCTION = "unknown_function"
"""The kind of validation error for a scalar function that does not exist."""


def _known_function(name: str) -> str:
    if name not in FUNCTIONS:
        raise PydanticCustomError(UNKNOWN_FUNCTION, "there is no scalar function of this name")
    return name


MachineName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z][A-Za-z0-9_-]*$",
        max_length=NAME_LENGTH,
        description="what mapping files, IR and programs call it",
    ),
]
WordType = Literal["f32", "i1", "i8", "ui8", "i16", "ui16", "i32", "ui32", "i64", "ui64"]


Figure = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
"""A whole number, as IR holds it."""


class StepLimits(BaseModel):
    """How many scalar functions a link may have, and how many tensors they may read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    pre_steps: Annotated[int, Field(ge=0, le=1 << 16, description="scalar functions on the way in")] = 8
    mid_steps: Annotated[
        int, Field(ge=0, le=1 << 16, description="scalar functions between main operator and reduction")
    ] = 8
    post_steps: Annotated[int, Field(ge=0, le=1 << 16, description="scalar functions on the way out")]
    post_operands: Annotated[int, Field(ge=0, le=12, description="tensors read on the way out")]
    output_path: Annotated[
        tuple[Annotated[str, AfterValidator(_known_function)], ...],
        AfterValidator(distinct),
        Field(strict=False, description="scalar functions that the chip has on its way out without GCONV Chain"),
    ] = ()


def _known_format(text: str) -> str:
    # most machines take no formats
    from dialects.encodings.names import format_named

    try:
        format_named(text)
    except ValueError as error:
        raise PydanticCustomError("wrong_format", "{reason}", {"reason": str(error)}) from error
    return text


Formats = Annotated[
    tuple[Annotated[str, AfterValidator(_known_format)], ...], AfterValidator(distinct), Field(strict=False)
]


class Encodings(BaseModel):
    """The formats in which the machine takes tensors with many zeros, as in `spots<height 4>`; dense it takes all."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    weights: Annotated[Formats, Field(description="formats of kernels that are constants")] = ()
    activations: Annotated[Formats, Field(description="formats of tensors that links hand to links")] = ()


class Accelerator(BaseModel, frozen=True):
    """A machine as generic passes see it."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True)

    runs_on_cores: ClassVar[bool] = False
    """Whether it is of several cores, over which passes of their own lay layers."""
    has_levels: ClassVar[bool] = False
    """Whether it is a hierarchy of memories and axes."""

    name: MachineName
    summary: Annotated[Line, Field(description="what it is, in a line")]
    clock_mhz: Clock
    word_bits: Annotated[int, Field(ge=1, le=64, description="bits of a word, which holds a tensor element")]
    configuration_us: Annotated[
        Cost, Field(description="time to configure a layer in us, which passes weigh; not part of a layer's latency")
    ] = 0
    arithmetic: Annotated[
        tuple[WordType, ...],
        AfterValidator(distinct),
        Field(strict=False, min_length=1, description="element types that words hold and elements compute in"),
    ] = get_args(WordType)
    limits: Annotated[StepLimits, Field(description="what a link may have")]
    encodings: Annotated[Encodings | None, Field(description="formats of tensors with many zeros")] = None
    host: Annotated[Host | None, Field(description="the core that executes what leaves the accelerator")] = None
    figures: Annotated[
        dict[Text, Figure | float | Text | list[Figure]], Field(description="published figures that no model uses yet")
    ] = Field(default_factory=dict)

    def contradictions(self, where: str = "") -> list[Diagnostic]:
        """What the description says that does not go together (CAT-C003)."""
        return []

    def in_machine_words(self) -> Accelerator:
        """The machine with all that it describes in words of `word_bits`."""
        return self

    @property
    def pipelines_layers(self) -> bool:
        """Whether a layer begins before those that it reads from are over."""
        return False

    @property
    @abstractmethod
    def link_words(self) -> float:
        """Words that cross the off-chip link in a cycle."""
