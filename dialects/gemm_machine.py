"""A machine that turns general convolutions into matrix products: im2col units in front of a systolic array.

Words are target words: one tensor element each, `word_bits` wide when bytes are reported. For one group of a link, rows
of the product are parallel kernels (`op`), columns output positions (`opc`, one patch of the input each), and the
reduction runs over the kernel's extent (`ks`). The array keeps results where they are summed up.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from dialects.accelerator import Accelerator, StepLimits
from dialects.encodings.names import format_named
from dialects.encodings.spots_blocks import SpotsBlocks
from dialects.host import Cost, Rate
from dialects.value_kinds import Text, distinct

Words = Annotated[int, Field(ge=1, le=1 << 40)]
Halves = Annotated[int, Field(ge=2, le=1 << 40)]
Part = Annotated[int, Field(ge=1, le=64)]
STREAM_WORD_BITS = (8, 16, 32, 64)
"""Widths of words in which streams lie: whole bytes, and a number of words for the places of tiles."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class GemmArray(_Model):
    """The systolic array: kernels enter from the left, patches from the top, results stay in the elements."""

    rows: Annotated[int, Field(ge=1, le=1024, description="elements in a column: kernels at a time")]
    cols: Annotated[int, Field(ge=1, le=1024, description="elements in a row: patches at a time")]
    accumulators: Annotated[int, Field(ge=1, le=64, description="results that an element keeps, of as many kernels")]
    splits: Annotated[
        tuple[Part, ...],
        AfterValidator(distinct),
        Field(
            strict=False,
            min_length=1,
            description="in how many arrays it can be divided, which share kernels and take patches in turn",
        ),
    ]
    fills: Annotated[
        bool, Field(description="a pass takes the time that words need to cross the array; without, passes overlap")
    ]

    def resident(self, split: int) -> int:
        """Kernels whose results the elements keep at a time, divided into `split` arrays."""
        return self.rows // split * self.accumulators


class Im2colUnits(_Model):
    """Units that make patches of input words, one for every array; a unit has a patch unit for every column.

    Patch units of all arrays that are in use form one ring.
    """

    neighbour_words: Annotated[Words, Field(description="words that a patch unit gets from the one beside it")]
    reserve_words: Annotated[Words, Field(description="words that units keep together for next rows of patches")]
    rows_per_cycle: Annotated[int, Field(ge=1, le=64, description="indices of the reduction that a unit makes a cycle")]
    skips: Annotated[
        bool, Field(description="indices of the reduction are left out whose words, or kernels, are all zero")
    ]
    block_rows: Annotated[int, Field(ge=1, le=64, description="indices of the reduction that share a bit of zeros")]


class Srams(_Model):
    """The memories on the chip, each for one tensor; halves of them are filled or emptied while others are in use."""

    input_words: Annotated[Halves, Field(description="words of inputs, in both halves")]
    kernel_words: Annotated[Halves, Field(description="words of kernels, in both halves")]
    output_words: Annotated[
        Halves, Field(description="results, in both halves, of as many bits as they are summed up in")
    ]
    bitmap_words: Annotated[
        Halves | None, Field(description="words of the bitmaps of kernels in blocks of zeros or none, in both halves")
    ] = None


class GemmDram(_Model):
    """The off-chip memory."""

    words: Annotated[Words, Field(description="capacity in words")]
    words_per_cycle: Annotated[Rate, Field(description="words on the off-chip link a cycle, both directions together")]

    def cycles(self, words: int) -> int:
        """Whole cycles in which so many words cross the link, at the rate as it is written in decimal."""
        return math.ceil(words / Fraction(str(self.words_per_cycle)))


class GemmLimits(StepLimits):
    """What a link may have."""


class GemmEnergy(_Model):
    """Energy of one access to each level and of one operation, in units of `picojoules`."""

    picojoules: Annotated[Rate, Field(description="one unit of energy in pJ")]
    dram: Annotated[Cost, Field(description="a word on the off-chip link")]
    sram: Annotated[Cost, Field(description="an access to a memory on the chip")]
    array: Annotated[Cost, Field(description="a word that an element hands on, or a patch unit to the next")]
    result: Annotated[Cost, Field(description="an access to a result in an element, or to a reserved word")]
    operation: Annotated[Cost, Field(description="one multiply-accumulate or other operation that is carried out")]


class GemmMachine(Accelerator, frozen=True):
    """A machine of im2col units and a systolic array that can be divided, as SPOTS has them."""

    model_config = ConfigDict(strict=True)

    array: Annotated[GemmArray, Field(description="the systolic array")]
    im2col: Annotated[Im2colUnits, Field(description="the units that make patches")]
    sram: Annotated[Srams, Field(description="memories on the chip")]
    dram: Annotated[GemmDram, Field(description="off-chip memory")]
    accumulator_bits: Annotated[int, Field(ge=8, le=64, description="bits of a result while it is summed up")]
    fixed_point: Annotated[
        bool,
        Field(
            description="integer products lose low bits, rounded, so that their sums fit accumulator_bits; without, "
            "sums are as wide as the network has them"
        ),
    ] = False
    limits: Annotated[GemmLimits, Field(description="what a link may have")]
    energy: Annotated[GemmEnergy, Field(description="energy of accesses")]
    sources: Annotated[dict[Text, Text], Field(description="where each constant comes from")]

    @property
    def link_words(self) -> float:
        """Words that cross the off-chip link in a cycle."""
        return self.dram.words_per_cycle

    @property
    def arrays(self) -> int:
        """The most arrays that it can be divided into, each with an im2col unit."""
        return max(self.array.splits)

    @model_validator(mode="after")
    def _check_splits(self) -> GemmMachine:
        for split in self.array.splits:
            if self.array.rows % split:
                reason = "array.splits: {rows} rows do not divide into {split} arrays"
                raise PydanticCustomError("wrong_split", reason, {"rows": self.array.rows, "split": split})
        return self

    @model_validator(mode="after")
    def _check_encodings(self) -> GemmMachine:
        """Kernels come dense or as blocks of SPOTS, everything else dense."""
        if self.encodings is None:
            return self
        if self.encodings.activations:
            raise PydanticCustomError("wrong_encoding", "encodings.activations: tensors between links come dense")
        for text in self.encodings.weights:
            if not isinstance(format_named(text), SpotsBlocks):
                reason = "encodings.weights: kernels come in blocks, as in spots<height 8>, not as {text}"
                raise PydanticCustomError("wrong_encoding", reason, {"text": text})
        if self.encodings.weights and (self.sram.bitmap_words is None or self.word_bits not in STREAM_WORD_BITS):
            reason = "encodings.weights: needs sram.bitmap_words, and word_bits of {widths}"
            raise PydanticCustomError("wrong_encoding", reason, {"widths": " or ".join(map(str, STREAM_WORD_BITS))})
        return self
