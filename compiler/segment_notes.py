"""What the ONNX model of a host segment notes in its metadata: lists of names."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

RESULTS = "catena.results"
"""The outputs that the user gets."""
OPEN_SHAPES = "catena.open_shapes"
"""The tensors without a static shape that keep those of its nodes there that use them."""


def write_note(model: onnx.ModelProto, key: str, names: Iterable[str]) -> None:
    """Note names, in the order of the alphabet."""
    model.metadata_props.add(key=key, value=json.dumps(sorted(names)))


def read_note(model: onnx.ModelProto, key: str) -> list[str]:
    """The names that are noted. Raises `KeyError` if there is no such note, `ValueError` for a damaged one."""
    return json.loads({each.key: each.value for each in model.metadata_props}[key])
