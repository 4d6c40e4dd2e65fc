"""What values of descriptions are: texts that a terminal can show, lists without repeats."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from dialects.diagnostics import is_control

Item = TypeVar("Item")

NAME_LENGTH = 64
"""Characters of a name, at most."""


def _shown(text: str) -> str:
    if any(is_control(character) for character in text):
        raise PydanticCustomError("control_characters", "must have no control characters")
    return text


def _in_one_line(text: str) -> str:
    if text.splitlines() not in ([], [text]):
        raise PydanticCustomError("several_lines", "must be one line")
    return text


def distinct(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """A list in which nothing is twice; a validator."""
    if repeated := [str(item) for item, times in Counter(items).items() if times > 1]:
        raise PydanticCustomError("repeated", "has {items} more than once", {"items": ", ".join(repeated)})
    return items


Text = Annotated[str, AfterValidator(_shown)]
"""Free text, which is printed as it is."""
Line = Annotated[str, Field(max_length=500), AfterValidator(_shown), AfterValidator(_in_one_line)]
"""Free text in a table."""
