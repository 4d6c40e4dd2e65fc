"""Weights: constants that live beside the IR, named by their content.

`weights.constant` holds a `#weights.ref<"digest">`. The digest is the SHA-256 of dtype, shape and bytes; the words
themselves stay in memory or in a store: a folder with one safetensors file per digest, memory-mapped when read.
IR text therefore never holds more than a name.
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.ir import Attribute, Data, Dialect, Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.dtypes import NARROW_DTYPES, dtype_named, little_endian
from dialects.durable_files import put_in_place
from dialects.element_types import element_type_of, numpy_dtype_of, tensor_type

Array = npt.NDArray[Any]


_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
"""NumPy types by their names in safetensors files."""


def digest_of(array: Array) -> str:
    """SHA-256 over dtype, shape and little-endian bytes of an array, as 64 hex digits."""
    contiguous = _canonical(array)
    dtype = contiguous.dtype
    # NumPy's own codes do not tell the types of `ml_dtypes` apart.
    kind = dtype.name if dtype.name in NARROW_DTYPES else dtype.str
    digest = hashlib.sha256(f"{kind}{contiguous.shape}".encode())
    digest.update(contiguous.reshape(-1).view(np.uint8).data if contiguous.size else b"")
    return digest.hexdigest()


def _canonical(array: Array) -> Array:
    """The same words contiguous and little-endian; a view or the array itself if they are so already."""
    return np.asarray(array, dtype=little_endian(array.dtype), order="C")


class Blob:
    """The words of one constant: known by digest, by value, or both.

    Equal digests mean equal blobs. The digest of a blob made from an array is computed when first asked for.
    """

    __slots__ = ("_array", "_digest")

    def __init__(self, array: Array | None = None, digest: str | None = None):
        if array is None and digest is None:
            raise ValueError("a blob needs an array or a digest")
        if array is not None:
            array = _canonical(array).view()
            array.flags.writeable = False
        self._array = array
        self._digest = digest

    @property
    def digest(self) -> str:
        if self._digest is None:
            assert self._array is not None
            self._digest = digest_of(self._array)
        return self._digest

    @property
    def is_bound(self) -> bool:
        """Whether the words are at hand."""
        return self._array is not None

    @property
    def array(self) -> Array:
        """The words, read-only.

        Raises `CatenaError` (CAT-R004) if the blob was parsed from IR text and no store holds it.
        """
        if self._array is None:
            raise CatenaError(
                Diagnostic(
                    "CAT-R004",
                    f"weight {self.digest[:16]} is not at hand",
                    hint="keep the weights/ folder beside the IR file, or run bind-weights{folder=...} first",
                )
            )
        return self._array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Blob) and (self is other or self.digest == other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)


@irdl_attr_definition
class WeightRef(Data[Blob]):
    """A constant by content: `#weights.ref<"0123...">`."""

    name = "weights.ref"

    @classmethod
    def of(cls, array: Array) -> WeightRef:
        """A reference that holds `array` in memory."""
        return cls(Blob(array))

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Blob:
        with parser.in_angle_brackets():
            digest = parser.parse_str_literal("weight digest")
            if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
                parser.raise_error("a weight digest is 64 lower-case hex digits")
            return Blob(digest=digest)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string_literal(self.data.digest)


@irdl_op_definition
class ConstantOp(IRDLOperation):
    """A constant tensor whose words are in the weight store."""

    name = "weights.constant"

    value = prop_def(WeightRef)
    result = result_def(TensorType)

    traits = traits_def(Pure())

    assembly_format = "$value attr-dict `:` type($result)"

    @classmethod
    def of(cls, array: Array) -> ConstantOp:
        """A constant with the shape, type and words of `array`."""
        shaped = tensor_type(element_type_of(array.dtype), array.shape)
        return cls.create(properties={"value": WeightRef.of(array)}, result_types=[shaped])

    @property
    def array(self) -> Array:
        """The words, read-only, shaped as the result."""
        return self.value.data.array

    def verify_(self) -> None:
        blob = self.value.data
        if not blob.is_bound:
            return
        kind = self.result.type
        assert isinstance(kind, TensorType)
        if blob.array.shape != kind.get_shape() or blob.array.dtype != numpy_dtype_of(kind.element_type):
            raise VerifyException(
                f"weight {blob.digest[:16]} has type {blob.array.dtype}{list(blob.array.shape)}, the op says {kind}"
            )


class WeightStore:
    """A folder of safetensors files, one per blob, named `<digest>.safetensors`."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path_of(self, digest: str) -> Path:
        """Where the blob with this digest is kept."""
        return self.folder / f"{digest}.safetensors"

    def put(self, blob: Blob) -> None:
        """Write a blob unless it is there already; a reader never sees a partial file.

        Raises `CatenaError` (CAT-C002) if the store cannot be written.
        """
        path = self.path_of(blob.digest)
        if path.exists():
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write(path, blob)
        except OSError as error:
            raise CatenaError(
                Diagnostic("CAT-C002", f"cannot write {path}: {error.strerror or error}", where=str(path))
            ) from error

    def _write(self, path: Path, blob: Blob) -> None:
        handle, temporary = tempfile.mkstemp(dir=self.folder, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(_serialized(blob.array))
                put_in_place(stream, Path(temporary), path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def get(self, digest: str) -> Blob | None:
        """The blob with this digest, or None if it is not in the store.

        Raises `CatenaError` (CAT-R004) if the file is damaged.
        """
        path = self.path_of(digest)
        if not path.is_file():
            return None
        from safetensors import SafetensorError

        try:
            array = _mapped(path)
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise CatenaError(
                Diagnostic("CAT-R004", f"weight file {path.name} is damaged: {error}", where=str(path))
            ) from error
        if digest_of(array) != digest:
            raise CatenaError(
                Diagnostic("CAT-R004", f"weight file {path.name} does not hold what its name says", where=str(path))
            )
        return Blob(array, digest)


_NARROW_TYPE = "dtype"
"""The key under which a file says that its bytes are of a type that safetensors has no name for."""


def _serialized(array: Array) -> bytes:
    """A safetensors file of one tensor, `data`; words of narrow types are stored as bytes, with their type noted."""
    from safetensors.numpy import save

    if array.dtype.name in NARROW_DTYPES:
        return save({"data": array.view(np.uint8)}, {_NARROW_TYPE: array.dtype.name})
    return save({"data": array})


def _mapped(path: Path) -> Array:
    """The tensor `data` of a safetensors file, mapped from the file and read-only.

    The library checks the header and that the file holds what it says. Raises what the library and NumPy raise.
    """
    from safetensors import safe_open

    with cast(Any, safe_open)(path, framework="numpy") as file:
        piece = file.get_slice("data")
        dtype, shape = np.dtype(_DTYPES[piece.get_dtype()]), tuple(piece.get_shape())
        notes = cast("dict[str, str] | None", file.metadata()) or {}
        narrow = notes.get(_NARROW_TYPE)
    with path.open("rb") as stream:
        start = 8 + int.from_bytes(stream.read(8), "little")
    size = math.prod(shape)
    flat: Array = np.memmap(path, dtype, "r", start, (size,)) if size else np.zeros(0, dtype)
    if narrow is not None:
        if narrow not in NARROW_DTYPES:
            raise ValueError(f"words of unknown type {narrow}")
        flat = flat.view(dtype_named(narrow))
    return flat.reshape(shape)


def save_weights(module: ModuleOp, folder: Path) -> None:
    """Write every bound weight of a module to the store at `folder`.

    Raises `CatenaError` (CAT-C002) if it cannot be written.
    """
    store = WeightStore(folder)
    for _, _, blob in _references(module):
        if blob.is_bound:
            store.put(blob)


def bind_weights(module: ModuleOp, folder: Path) -> None:
    """Attach the words of every unbound weight of a module that the store at `folder` holds.

    Raises `CatenaError` (CAT-R004) if a file of the store is damaged.
    """
    store = WeightStore(folder)
    found: dict[str, Blob | None] = {}
    for op, name, unbound in _references(module):
        if unbound.is_bound:
            continue
        if unbound.digest not in found:
            found[unbound.digest] = store.get(unbound.digest)
        blob = found[unbound.digest]
        if blob is not None:
            op.properties[name] = WeightRef(blob)


def _references(module: ModuleOp) -> list[tuple[Operation, str, Blob]]:
    """Every property of an op that refers to a weight: the op, the property's name, the blob."""
    return [
        (op, name, value.data)
        for op in module.walk()
        for name, value in op.properties.items()
        if isinstance(value, WeightRef)
    ]


def constant_value(value: SSAValue) -> Array | None:
    """The words of an SSA value if a `weights.constant` defines it, else None."""
    owner = value.owner
    return owner.array if isinstance(owner, ConstantOp) else None


_ATTRIBUTES: list[type[Attribute]] = [WeightRef]
WEIGHTS = Dialect("weights", [ConstantOp], _ATTRIBUTES)
