"""Programs: what a backend emits and the emulator loads.

All addresses and sizes of tensors and constants count target words; addresses of code count instructions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np

from backends.canonical_json import Record, canonical
from backends.fields import Array
from backends.problems import Problems
from dialects.diagnostics import Diagnostic
from dialects.dtypes import NARROW_DTYPES, dtype_named, little_endian

MAX_ADDRESS = 1 << 62
WORD_TYPES = NARROW_DTYPES | {
    "bool",
    *(f"float{bits}" for bits in (16, 32, 64)),
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
}
"""What words of a memory can hold, by NumPy's names."""
TENSOR_TYPES = WORD_TYPES | {"bfloat16"}
"""What a model can say that a tensor holds."""


class Role(StrEnum):
    """What a tensor is to the program."""

    INPUT = "input"
    OUTPUT = "output"
    INTERMEDIATE = "intermediate"
    CONSTANT = "constant"


@dataclass(frozen=True)
class Metadata(Record):
    """What the program is for and where it came from.

    `backend` is the entry point that runs it; `target` the name of the machine, `description` its whole description
    and `target_sha256` the SHA-256 of the canonical JSON of that; `model_sha256` the SHA-256 of the model file.
    """

    tool: str
    backend: str
    isa: str
    isa_version: int
    word_bits: int
    model: str
    model_sha256: str
    target: str
    target_sha256: str
    description: dict[str, Any]

    def __post_init__(self) -> None:
        if self.word_bits <= 0 or self.word_bits % 8:
            raise ValueError("word_bits is not a positive multiple of 8")
        for digest in (self.model_sha256, self.target_sha256):
            if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
                raise ValueError("a digest is not 64 lower-case hex digits")


@dataclass(frozen=True)
class Quantization(Record):
    """Real value = scale * (stored - zero_point); one of each, or one per index of `axis`."""

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None

    def __post_init__(self) -> None:
        if len(self.scale) != len(self.zero_point) or (self.axis is None and len(self.scale) != 1):
            raise ValueError("scale and zero_point differ in length, or have several values and no axis")


HELD = "held"
"""The memory of tensors that lie in holds of the outermost one: their addresses are names of elements."""


@dataclass(frozen=True)
class TensorEntry(Record):
    """A tensor in a memory of the target.

    Element (i0, i1, ...) of `shape` is the word at `address` + i0*strides[0] + i1*strides[1] + ...; all of them lie
    in the `words` words from `address`. `dtype` is the NumPy name of the element type that the model gave it, `word`
    that of the words it is kept in, empty if they are the same; `produced_by` names a layer, empty for inputs and
    constants. `onnx` is the tensor of the model that it holds in row-major order, empty if the model has none of this
    value.
    """

    name: str
    role: Role
    memory: str
    address: int
    words: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    produced_by: str = ""
    quantization: Quantization | None = None
    onnx: str = ""
    word: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.address <= MAX_ADDRESS or not 0 <= self.words <= MAX_ADDRESS:
            raise ValueError("address or words out of range")
        if len(self.shape) != len(self.strides) or min((*self.shape, *self.strides), default=0) < 0:
            raise ValueError("shape and strides must be equally many numbers >= 0")
        if self.dtype not in TENSOR_TYPES:
            raise ValueError(f"unknown dtype {self.dtype!r}")
        if self.word_type not in WORD_TYPES:
            raise ValueError(f"unknown word type {self.word_type!r}")
        if self.extent > self.words:
            raise ValueError(f"shape and strides reach {self.extent} words, the tensor has {self.words}")

    @property
    def word_type(self) -> str:
        """The NumPy name of the type of its words."""
        return self.word or self.dtype

    @property
    def extent(self) -> int:
        """Words from the first to the last element."""
        if 0 in self.shape:
            return 0
        return 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))


@dataclass(frozen=True)
class LayerWork(Record):
    """What a layer computes, as attributes in IR text: what the costs of a mapping of it depend on.

    `tensors` name those of `accesses` in their order: input, kernel if there is one, post operands, output. What a
    layer has not is empty.
    """

    tensors: tuple[str, ...]
    nest: str
    main: str
    reduce: str
    accesses: str
    acc: str = ""
    pad: str = ""
    pre: str = ""
    mid: str = ""
    post: str = ""
    read_lookup: str = ""
    write_lookup: str = ""
    update: str = ""
    zeros: str = ""
    live: str = ""


@dataclass(frozen=True)
class SearchEntry(Record):
    """How good a mapping is that was searched for: no other of `space` has less than (1 - `gap`) of its `objective`.

    The names are those of `dialects.schedule.Search`.
    """

    objective: str
    space: str
    gap: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.gap <= 1:
            raise ValueError("a gap is a share from 0 to 1")


@dataclass(frozen=True)
class StreamEntry(Record):
    """When a core is predicted to be at work on a layer: from cycle `begin` of a run to `end`, `busy` cycles of it."""

    core: int
    begin: int
    end: int
    busy: int

    def __post_init__(self) -> None:
        if self.core < 0 or not 0 <= self.begin <= self.end < MAX_ADDRESS:
            raise ValueError("core, begin and end must be numbers >= 0 with begin <= end")
        if not 0 <= self.busy <= self.end - self.begin:
            raise ValueError("a core is busy for no longer than from begin to end")


@dataclass(frozen=True)
class LayerEntry(Record):
    """A layer: what the counters are reported by.

    `kind` is a short word such as `conv`; `nodes` are the ONNX nodes it came from; `inputs` and `outputs` name
    tensors of the tensor table. `mapping` is the mapping it was made from, as IR text, `predicted` what the cost
    model expects it to count, by event, `work` what it computes, and `search` how good the mapping is, if it was
    searched for, `streams` when cores are predicted to be at work on it, and `alone` the cycles that it would take if
    nothing else ran and no core waited for the bus; an emulator reads none of them. `group` names the fused group that
    it takes turns in, if it does: its mapping is then that of its largest turn. `tensor` is the one of the model that
    it makes, of which an output may have more; empty if the model has none.
    """

    name: str
    kind: str
    nodes: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    mapping: str = ""
    predicted: dict[str, Any] = field(default_factory=dict[str, Any])
    work: LayerWork | None = None
    search: SearchEntry | None = None
    group: str = ""
    streams: tuple[StreamEntry, ...] = ()
    tensor: str = ""
    alone: int | None = None


@dataclass(frozen=True)
class GroupEntry(Record):
    """A fused group: layers that take turns on tiles, so that they run together or not at all.

    `layers` are in the order of their turns; `inputs` and `outputs` name what the group reads and writes off-chip, what
    else its layers hand on stays on the chip. `mapping` is what it was made from, as IR text, `held` the words that
    tensors take of each memory at most, by its name.
    """

    name: str
    layers: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    mapping: str = ""
    held: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class DebugEntry(Record):
    """Instructions `start` up to but without `end` of a core belong to a layer, at these loop indices."""

    core: int
    start: int
    end: int
    layer: str
    loops: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end or self.core < 0:
            raise ValueError("core, start and end must be numbers >= 0 with start < end")


@dataclass(frozen=True, eq=False)
class ConstantImage:
    """The words of a memory from address `base` before the program starts; `word` is their NumPy type name.

    `pieces` are (address, words) pairs in ascending order; words between them are zero. A piece has any shape and is
    stored in C order. `pieces` may be any re-iterable, so that a compiler can make arrays one at a time; a loaded
    image has one piece, mapped from the file and read-only.
    """

    memory: str
    base: int
    size: int
    word: str
    pieces: Iterable[tuple[int, Array]]

    def __post_init__(self) -> None:
        if self.word not in WORD_TYPES:
            raise ValueError(f"unknown word type {self.word!r}")
        if not 0 <= self.base <= MAX_ADDRESS or not 0 <= self.size <= MAX_ADDRESS:
            raise ValueError("base or size out of range")

    @property
    def dtype(self) -> np.dtype[Any]:
        """The little-endian NumPy type of a word."""
        return little_endian(dtype_named(self.word))

    def runs(self) -> Iterator[Array]:
        """The image from start to end as flat arrays, without gaps.

        Raises `ValueError` if the pieces overlap, are out of order, exceed the image or have another type.
        """
        position = self.base
        for address, piece in self.pieces:
            if little_endian(piece.dtype) != self.dtype:
                raise ValueError(f"a piece at {address} has type {piece.dtype}, the image {self.word}")
            if not position <= address <= self.base + self.size - piece.size:
                raise ValueError(f"a piece at {address} overlaps, is out of order or exceeds the image")
            if address > position:
                yield np.zeros(address - position, self.dtype)
            if piece.size:
                yield np.ascontiguousarray(piece, self.dtype).reshape(-1)
            position = address + piece.size
        if position < self.base + self.size:
            yield np.zeros(self.base + self.size - position, self.dtype)

    def array(self) -> Array:
        """The whole image [size]; without a copy if it is one piece, as in a loaded program."""
        parts = list(self.runs())
        if not parts:
            return np.zeros(0, self.dtype)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


@dataclass(frozen=True, eq=False)
class Program:
    """A program: code per core, constant images, tensor table, layers, debug map (sorted by core and start), groups."""

    metadata: Metadata
    code: tuple[bytes | memoryview, ...]
    constants: tuple[ConstantImage, ...]
    tensors: tuple[TensorEntry, ...]
    layers: tuple[LayerEntry, ...]
    debug: tuple[DebugEntry, ...]
    groups: tuple[GroupEntry, ...] = ()


def target_digest(description: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a target description, as 64 hex digits."""
    return hashlib.sha256(canonical(description)).hexdigest()


def check_program(program: Program, code: str, where: str) -> list[Diagnostic]:
    """What is inconsistent between the parts of a program, as diagnostics with the given code."""
    problems = Problems()
    for check in (
        _target_problems,
        _name_problems,
        _group_problems,
        _constant_problems,
        _debug_problems,
        _code_problems,
    ):
        for message in check(program):
            problems.add(Diagnostic(code, message, where=where))
    return problems.report()


def _target_problems(program: Program) -> Iterator[str]:
    if target_digest(program.metadata.description) != program.metadata.target_sha256:
        yield "the target description does not have the digest given for it"


def _name_problems(program: Program) -> Iterator[str]:
    tensors: set[str] = set()
    for tensor in program.tensors:
        if tensor.name in tensors:
            yield f"two tensors are named {tensor.name!r}"
        tensors.add(tensor.name)
    layers: set[str] = set()
    for layer in program.layers:
        if layer.name in layers:
            yield f"two layers are named {layer.name!r}"
        layers.add(layer.name)
        for name in (*layer.inputs, *layer.outputs, *(layer.work.tensors if layer.work else ())):
            if name not in tensors:
                yield f"layer {layer.name!r} names an unknown tensor {name!r}"
    for tensor in program.tensors:
        if tensor.produced_by and tensor.produced_by not in layers:
            yield f"tensor {tensor.name!r} is produced by an unknown layer {tensor.produced_by!r}"
    for entry in program.debug:
        if entry.layer not in layers:
            yield f"the debug map names an unknown layer {entry.layer!r}"


def _group_problems(program: Program) -> Iterator[str]:
    layers = {layer.name: layer.group for layer in program.layers}
    tensors = {tensor.name for tensor in program.tensors}
    members: dict[str, str] = {}
    for group in program.groups:
        for name in group.layers:
            if layers.get(name) != group.name or name in members:
                yield f"group {group.name!r} names layer {name!r}, which is none of it"
            members[name] = group.name
        for name in (*group.inputs, *group.outputs):
            if name not in tensors:
                yield f"group {group.name!r} names an unknown tensor {name!r}"
    for name, group in layers.items():
        if group and name not in members:
            yield f"layer {name!r} is of group {group!r}, which does not name it"


def _constant_problems(program: Program) -> Iterator[str]:
    images: dict[str, list[tuple[int, int]]] = {}
    for image in program.constants:
        images.setdefault(image.memory, []).append((image.base, image.base + image.size))
    for memory, ranges in images.items():
        ranges.sort()
        if any(after[0] < before[1] for before, after in pairwise(ranges)):
            yield f"constant images of memory {memory!r} overlap"
    for tensor in program.tensors:
        inside = any(
            start <= tensor.address and tensor.address + tensor.words <= end
            for start, end in images.get(tensor.memory, [])
        )
        if tensor.role is Role.CONSTANT and not inside:
            yield f"constant tensor {tensor.name!r} is not within a constant image of {tensor.memory!r}"


def _debug_problems(program: Program) -> Iterator[str]:
    word_bytes = program.metadata.word_bits // 8
    position = (0, 0)
    for entry in program.debug:
        if (entry.core, entry.start) < position:
            yield f"the debug map is out of order or overlaps at core {entry.core}, instruction {entry.start}"
        if entry.core >= len(program.code) or entry.end > len(program.code[entry.core]) // word_bytes:
            yield f"the debug map reaches outside of the code at core {entry.core}, instruction {entry.end}"
        position = (entry.core, entry.end)


def _code_problems(program: Program) -> Iterator[str]:
    word_bytes = program.metadata.word_bits // 8
    for core, words in enumerate(program.code):
        if len(words) % word_bytes:
            yield f"the code of core {core} does not end at an instruction of {word_bytes} bytes"
