"""The files beside a model that hold words of its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compiler.importer.loading import read_split_model


def external_files(model: Path) -> list[str]:
    """Their names, relative to the model's folder. Raises `CatenaError` if the model cannot be read."""
    return sorted(set(_names(read_split_model(model, maps_words=True).model)))


def _names(message: Any) -> Iterator[str]:
    """The locations of external data anywhere in a protobuf message."""
    for descriptor, value in message.ListFields():
        if descriptor.name == "external_data":
            yield from (entry.value for entry in value if entry.key == "location")
        elif descriptor.message_type is not None:
            for each in value if descriptor.is_repeated else (value,):
                yield from _names(each)
