"""A spatial accelerator of any memory hierarchy, as data.

From the outermost memory, which holds everything, levels lie one inside the other: memories, and axes of the array
along which everything further in exists many times. Each says what it may hold, pass on to several, or add up.
Capacities and traffic are in words, one tensor element each.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dialects.schedule import Operand

Words = Annotated[int, Field(ge=1, le=1 << 48)]
Operands = Annotated[tuple[Operand, ...], Field(strict=False)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Memory(_Model):
    """A memory, once for all elements or once for each element of the axes further out."""

    kind: Literal["memory"] = "memory"
    name: Name
    words: Annotated[Words | None, Field(description="capacity in words for all operands; none: unlimited")] = None
    holds: Annotated[Operands, Field(description="operands that may lie here")] = tuple(Operand)
    stays: Annotated[bool, Field(description="words stay until others are needed; no: they only pass by")] = True
    slides: Annotated[bool, Field(description="input words that neighbouring steps of a window share are kept")] = False


class Axis(_Model):
    """An axis of the array: everything further in exists once for every position along it."""

    kind: Literal["axis"] = "axis"
    name: Name
    size: Annotated[int, Field(ge=1, le=1 << 20, description="positions")]
    multicast: Annotated[Operands, Field(description="operands of which one word may go to several positions")] = ()
    reduces: Annotated[bool, Field(description="partial sums of neighbours are added on the way out")] = False


Level = Annotated[Memory | Axis, Field(discriminator="kind")]


class Hierarchy(_Model):
    """The levels of an accelerator, outermost first; the first is a memory that holds every operand."""

    levels: tuple[Level, ...]

    @property
    def memories(self) -> tuple[Memory, ...]:
        """The memories, outermost first."""
        return tuple(level for level in self.levels if isinstance(level, Memory))

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The axes, outermost first."""
        return tuple(level for level in self.levels if isinstance(level, Axis))

    def memory(self, name: str) -> Memory:
        """The memory of a name; `KeyError` if there is none."""
        return next(iter(each for each in self.memories if each.name == name))

    def axis(self, name: str) -> Axis:
        """The axis of a name."""
        return next(iter(each for each in self.axes if each.name == name))
