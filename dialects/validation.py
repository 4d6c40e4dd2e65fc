"""Plain data as a model of a machine: every wrong, missing or unknown key is said in the words of descriptions."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from dialects.diagnostics import CatenaError

Model = TypeVar("Model", bound=BaseModel)

KEY = "key"
"""What an error of a whole description calls the key that is to blame in its context, beside what is `expected`."""
UNKNOWN_EVENT = "unknown_event"
"""The kind of validation error for an event that is not counted."""


def validated(kind: type[Model], description: object, where: str = "", stage: str = "target") -> Model:
    """A model of plain data, which a stage reads.

    Raises `CatenaError` (CAT-C003) with one diagnostic per wrong, missing or unknown key.
    """
    try:
        return kind.model_validate(description)
    except ValidationError as error:
        # most descriptions are right
        from dialects.validation_messages import messages_of

        found = messages_of(error, kind, description, where)
        raise CatenaError(dict.fromkeys(replace(each, stage=stage) for each in found)) from error
