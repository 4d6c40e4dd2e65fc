"""A model with all that belongs to it, as one message."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from compiler.importer.loading import not_a_model, read_model
from dialects.onnx.native_errors import NATIVE_ERRORS, reason_of

if TYPE_CHECKING:
    import onnx


def load_whole(path: Path) -> onnx.ModelProto:
    """The model of a file, with the constants that are kept in other files.

    Raises `CatenaError`: CAT-C002 if the file cannot be read, CAT-M001 if it is no model or its constants are missing.
    """
    from onnx.external_data_helper import load_external_data_for_model

    model = read_model(path).model
    try:
        load_external_data_for_model(model, str(path.parent))
    except NATIVE_ERRORS as error:
        raise not_a_model(f"its constants cannot be read: {reason_of(error)}", where=str(path)) from error
    return model
