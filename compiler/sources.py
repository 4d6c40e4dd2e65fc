"""What a person points at: an ONNX model, IR text or a program, told apart by name and content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.files import STANDARD_STREAM, cannot
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean

if TYPE_CHECKING:
    import onnx
    from xdsl.dialects.builtin import ModuleOp

PROGRAM_MAGIC = b"\x89CAT"
FALLBACKS = ("host",)
"""What may execute operators that cannot be compiled: `host` is ONNX Runtime, around the accelerator."""

LARGEST_EXTENT = 2**31 - 1
"""The largest size of a dimension that may be asked for."""


class SourceKind(StrEnum):
    """What a file is."""

    MODEL = "model"
    IR = "ir"
    PROGRAM = "program"


@dataclass(frozen=True)
class ImportOptions:
    """How a model is imported.

    `input_shapes` and `batch` make dynamic inputs static, `maps_words` leaves weights in the file, as in
    `compiler.importer.import_model`; `notes_hash` says whether the module notes the SHA-256 of the file, which a
    program needs, and `sha256` what it is, if that is known; `fallback` is one of `FALLBACKS`, or None.
    """

    input_shapes: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])
    batch: int | None = None
    notes_hash: bool = True
    sha256: str | None = None
    maps_words: bool = False
    fallback: str | None = None


def kind_of(name: str) -> SourceKind:
    """What the file of that name is. Standard input is IR text.

    Raises `CatenaError` (CAT-C002) if it cannot be read.
    """
    if name == STANDARD_STREAM:
        return SourceKind.IR
    path = Path(name)
    try:
        with path.open("rb") as stream:
            head = stream.read(len(PROGRAM_MAGIC))
    except (OSError, ValueError) as error:
        raise CatenaError(_unreadable(path, error)) from error
    if head == PROGRAM_MAGIC or path.suffix == ".cat":
        return SourceKind.PROGRAM
    return SourceKind.IR if path.suffix == ".mlir" else SourceKind.MODEL


def load_model(name: str, options: ImportOptions) -> ModuleOp:
    """Import an ONNX file and note in the module which file it was.

    Raises `CatenaError` as `compiler.importer.import_model` does, and CAT-C001 for sizes beyond `LARGEST_EXTENT`.
    """
    path = Path(name)
    return _load(path, path.stem, lambda: file_digest(path), options)


def load_message(model: onnx.ModelProto, options: ImportOptions) -> ModuleOp:
    """As `load_model` for a model in memory, which goes by the name of its graph."""
    return _load(model, model.graph.name, lambda: hashlib.sha256(model.SerializeToString()).hexdigest(), options)


def _load(source: Path | onnx.ModelProto, name: str, digest: Callable[[], str], options: ImportOptions) -> ModuleOp:
    from xdsl.dialects.builtin import StringAttr

    from compiler.importer import import_model
    from dialects.module_attributes import MODEL_HASH, MODEL_NAME

    _check_extents(options)
    _check_fallback(options)
    shapes = dict(options.input_shapes) or None
    allows_host = options.fallback is not None
    module = import_model(
        source,
        input_shapes=shapes,
        batch=options.batch,
        allows_host=allows_host,
        maps_words=options.maps_words,
    )
    module.attributes[MODEL_NAME] = StringAttr(name)
    if options.notes_hash:
        module.attributes[MODEL_HASH] = StringAttr(options.sha256 or digest())
    return module


def _check_fallback(options: ImportOptions) -> None:
    if options.fallback is not None and options.fallback not in FALLBACKS:
        expected = " or ".join(FALLBACKS)
        raise CatenaError(Diagnostic("CAT-C001", "no such fallback", expected=expected, found=options.fallback))


def _check_extents(options: ImportOptions) -> None:
    asked = {f"input {name!r}": max(shape, default=1) for name, shape in options.input_shapes.items()}
    asked["the batch"] = options.batch or 1
    problems = [
        Diagnostic("CAT-C001", f"{what} is too large", expected=f"at most {LARGEST_EXTENT}", found=str(extent))
        for what, extent in asked.items()
        if extent > LARGEST_EXTENT
    ]
    if problems:
        raise CatenaError(problems)


def file_digest(path: Path) -> str:
    """SHA-256 of a file as hex digits. Raises `CatenaError` (CAT-C002) if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise CatenaError(cannot("read", str(path), error)) from error


def _unreadable(path: Path, error: Exception) -> Diagnostic:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    near: list[str] = []
    if isinstance(error, FileNotFoundError) and path.parent.is_dir():
        near = [str(each) for each in sorted(path.parent.iterdir()) if each.is_file()]
    hint = did_you_mean(str(path), near)
    return Diagnostic("CAT-C002", f"cannot read {path}: {reason}", hint=hint if hint.startswith("did you") else "")
