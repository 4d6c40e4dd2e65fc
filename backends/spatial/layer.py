"""The configuration of a layer as the machine holds it, and the geometry of tiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backends.fields import Array
from backends.spatial.codes import INDICES, Axis, Fold, Kind, Memory, Slot, Tensor
from backends.spatial.holds import HoldState
from backends.spatial.memory import Fault
from dialects.dtypes import dtype_named
from dialects.gconv.scalar import BY_CODE, Arity, apply
from dialects.gconv.spec import Reduce, partial_type


@dataclass
class Dimension:
    """Loop counts and input addressing of one dimension, as configured."""

    counts: tuple[int, int, int, int] = (1, 1, 1, 1)
    stride: int = 1
    dilation: int = 1
    pad: int = 0
    up: int = 1
    extent: int = 1

    def existing(self, low: int, length: int) -> tuple[int, int]:
        """The first input word of a group in a range of dilated, padded positions, and how many there are."""
        first = max(-(-low // self.up), 0)
        last = min((low + length - 1) // self.up, self.extent - 1)
        return first, max(last - first + 1, 0)


@dataclass
class TensorAddress:
    """Where a tensor is in DRAM, and the type of its words."""

    address: int
    dtype: np.dtype[Any]
    strides: dict[int, int] = field(default_factory=dict[int, int])


FOLDS: dict[Fold, np.ufunc] = {
    Fold.ADD: np.add,
    Fold.MAX: np.maximum,
    Fold.MIN: np.minimum,
    Fold.MUL: np.multiply,
}
"""What adds a value to a sum."""
REDUCTIONS = {fold: Reduce[fold.name] for fold in Fold}
"""What a fold is called in the definition of a general convolution."""


@dataclass(frozen=True)
class TermConfig:
    """A component of a tensor's index: where it lies behind the first one, what it counts, how many there are."""

    place: int
    step: int
    extent: int


@dataclass(frozen=True)
class PlaceConfig:
    """Where a tile is kept on chip."""

    memory: Memory
    address: int
    words: int

    @property
    def end(self) -> int:
        """The first word behind the place."""
        return self.address + self.words

    def banks(self, bank_words: int) -> range:
        """The banks of a memory that the place lies in."""
        return range(self.address // bank_words, -(-self.end // bank_words))


@dataclass(frozen=True)
class SpreadConfig:
    """One level of laying a loop over the array."""

    dim: int
    kind: Kind
    tile: int
    axis: Axis


@dataclass(frozen=True)
class ScalarStep:
    """A scalar function with its parameters; `operand` is a tensor or None."""

    name: str
    parameters: tuple[float, ...]
    operand: Tensor | None


def scalar_step(slot: Slot, code: int, first: float, second: float, operand: Tensor) -> ScalarStep:
    """A decoded `function` instruction.

    Raises `Fault` CAT-E003 for unknown functions, and for operands where none (or one) belongs.
    """
    function = BY_CODE.get(code)
    if function is None:
        raise Fault("CAT-E003", f"there is no scalar function number {code}")
    binary = function.arity is Arity.BINARY
    if binary != (Tensor.EXTRA0 <= operand <= Tensor.EXTRA11) or (binary and slot is not Slot.POST):
        raise Fault("CAT-E003", f"function {function.name} with operand {operand.name} in {slot.name}")
    return ScalarStep(function.name, (first, second)[: len(function.parameters)], operand if binary else None)


def binary_function(code: int) -> str:
    """The name of a main function.

    Raises `Fault` CAT-E003 unless the code is that of a binary function.
    """
    function = BY_CODE.get(code)
    if function is None or function.arity is not Arity.BINARY:
        raise Fault("CAT-E003", f"there is no main function number {code}")
    return function.name


class LayerState:
    """A layer's configuration and, while it runs, the current range of every loop."""

    def __init__(self, index: int, main: str | None, fold: Fold, padding: float, acc: np.dtype[Any]):
        self.index, self.main, self.fold, self.padding, self.acc = index, main, fold, padding, acc
        self.dims: list[Dimension] = []
        self.steps: dict[Slot, list[ScalarStep]] = {slot: [] for slot in Slot}
        self.tensors: dict[Tensor, TensorAddress] = {}
        self.terms: dict[Tensor, list[TermConfig]] = {tensor: [] for tensor in INDICES}
        self.compressed: set[Tensor] = set()
        self.update = Fold.NONE
        self.places: dict[Tensor, PlaceConfig] = {}
        self.spreads: list[SpreadConfig] = []
        self.keeps: dict[Tensor, HoldState] = {}
        self.starts: list[list[int]] = []
        self.sizes: list[list[int]] = []
        self._box: list[tuple[range, ...]] | None = None

    def dimension(self, index: int) -> Dimension:
        """The dimension `index`, configured on first use."""
        while len(self.dims) <= index:
            self.dims.append(Dimension())
            self.starts.append([0, 0, 0, 0])
            self.sizes.append([1, 1, 1, 1])
        return self.dims[index]

    def set_counts(self, index: int, counts: tuple[int, int, int, int]) -> None:
        """Loop counts (g, op, opc, ks) of a dimension; its ranges become whole.

        Without a kernel, op loops are not run: the way out of the buffer repeats the sums.
        """
        self.dimension(index).counts = counts
        self.sizes[index] = self.whole_sizes(index)

    def work_on(self, box: list[tuple[range, ...]]) -> None:
        """Take these ranges of (g, op, opc, ks) of every dimension for the whole ones."""
        self._box = box
        self.starts = [[indices.start for indices in ranges] for ranges in box]
        self.sizes = [self.whole_sizes(index) for index in range(len(self.dims))]

    @property
    def begins_sums(self) -> bool:
        """Whether sums of the whole ranges start from nothing, and go on from none that lie in a hold."""
        return all(self.taps(dim).start == 0 for dim in range(len(self.dims)))

    @property
    def finishes_sums(self) -> bool:
        """Whether sums of the whole ranges are finished in the end, and do not go on in a later turn."""
        return all(self.taps(index).stop == dim.counts[Kind.KS] for index, dim in enumerate(self.dims))

    def taps(self, index: int) -> range:
        """The indices of the kernel loop of a dimension that are worked through."""
        return range(self.dims[index].counts[Kind.KS]) if self._box is None else self._box[index][Kind.KS]

    def repeated(self, index: int) -> range:
        """The indices of parallel kernels of a dimension that are wanted, which a layer without a kernel repeats."""
        return range(self.dims[index].counts[Kind.OP]) if self._box is None else self._box[index][Kind.OP]

    def whole_sizes(self, index: int) -> list[int]:
        """The sizes of the whole ranges of a dimension's loops."""
        sizes = list(self.dims[index].counts if self._box is None else map(len, self._box[index]))
        if self.main is None:
            sizes[Kind.OP] = 1
        return sizes

    def drained(self, sizes: Sequence[Sequence[int]]) -> list[int]:
        """What leaves the buffer for the sums of some ranges: (g, op, opc) of every dimension in turn."""
        return [
            len(self.repeated(dim)) if kind is Kind.OP and self.main is None else of_dim[kind]
            for dim, of_dim in enumerate(sizes)
            for kind in (Kind.G, Kind.OP, Kind.OPC)
        ]

    @property
    def is_multiply_accumulate(self) -> bool:
        """Whether an operation is a MAC."""
        return self.main == "mul" and self.fold is Fold.ADD

    @property
    def partial(self) -> np.dtype[Any]:
        """The type of partial results, which main, mid and the reduction compute in; stores cast them to `acc`."""
        terms = math.prod(dim.counts[Kind.KS] for dim in self.dims)
        return dtype_named(partial_type(self.acc.name, REDUCTIONS[self.fold], terms))

    def strides(self, tensor: Tensor) -> list[int]:
        """The DRAM strides of a tensor, one per dimension.

        Raises `Fault` CAT-E003 if the tensor has no address.
        """
        entry = self.address(tensor)
        return [entry.strides.get(index, 0) for index in range(len(self.dims))]

    def address(self, tensor: Tensor) -> TensorAddress:
        """Where a tensor is in DRAM.

        Raises `Fault` CAT-E003 if it has no address.
        """
        entry = self.tensors.get(tensor)
        if entry is None:
            raise Fault("CAT-E003", f"{tensor.name} has no address")
        return entry

    def place(self, tensor: Tensor, memory: Memory) -> PlaceConfig:
        """Where the tile of a tensor is kept.

        Raises `Fault` CAT-E003 if it has no place in that memory.
        """
        place = self.places.get(tensor)
        if place is None or place.memory is not memory:
            raise Fault("CAT-E003", f"{tensor.name} has no place in {memory.name}")
        return place

    def signature(self) -> tuple[int, ...]:
        """The sizes of all current ranges: transfers and passes of equal signature have equal shapes."""
        return tuple(size for sizes in self.sizes for size in sizes)

    def is_first_pass(self) -> bool:
        """Whether all kernel loops are at their start."""
        return all(starts[Kind.KS] == 0 for starts in self.starts)

    def is_last_pass(self) -> bool:
        """Whether all kernel loops are at their end."""
        return all(
            start[Kind.KS] + size[Kind.KS] == dim.counts[Kind.KS]
            for start, size, dim in zip(self.starts, self.sizes, self.dims, strict=True)
        )

    def is_last_of_turn(self) -> bool:
        """Whether all kernel loops are at the end of their whole ranges, which a later turn may go on from."""
        return all(
            start[Kind.KS] + size[Kind.KS] == self.taps(dim).stop
            for dim, (start, size) in enumerate(zip(self.starts, self.sizes, strict=True))
        )

    def is_reduced(self) -> bool:
        """Whether the kernel loops are whole, so that a stored output has all that is added up."""
        return all(sizes[Kind.KS] == len(self.taps(dim)) for dim, sizes in enumerate(self.sizes))


@dataclass(frozen=True)
class InputTile:
    """An input tile in the buffer: per dimension first group, groups, first position and positions (padding counts).

    It is kept row-major as (groups, positions) of every dimension in turn.
    """

    groups: tuple[tuple[int, int], ...]
    positions: tuple[tuple[int, int], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(n for g, p in zip(self.groups, self.positions, strict=True) for n in (g[1], p[1]))

    @property
    def words(self) -> int:
        return math.prod(self.shape)


def input_tile(layer: LayerState) -> InputTile:
    """The input tile of the current ranges."""
    groups: list[tuple[int, int]] = []
    positions: list[tuple[int, int]] = []
    for dim, start, size in zip(layer.dims, layer.starts, layer.sizes, strict=True):
        low = start[Kind.OPC] * dim.stride + start[Kind.KS] * dim.dilation - dim.pad
        length = (size[Kind.OPC] - 1) * dim.stride + (size[Kind.KS] - 1) * dim.dilation + 1
        groups.append((start[Kind.G], size[Kind.G]))
        positions.append((low, length))
    return InputTile(tuple(groups), tuple(positions))


@dataclass(frozen=True)
class Existing:
    """The part of an input tile that a tensor has, without padding and without the gaps of spread words.

    `shape` has groups and positions of every dimension; `firsts` are the first position of each in the tensor; `inside`
    says where in the tile the words belong.
    """

    shape: tuple[int, ...]
    firsts: tuple[int, ...]
    inside: tuple[slice, ...]

    @classmethod
    def of(cls, layer: LayerState, tile: InputTile) -> Existing:
        shape: list[int] = []
        firsts: list[int] = []
        inside: list[slice] = []
        for dim, (_, groups), (low, length) in zip(layer.dims, tile.groups, tile.positions, strict=True):
            first, count = dim.existing(low, length)
            shape += [groups, count]
            firsts.append(first if count else 0)
            start = first * dim.up - low
            inside += [slice(None), slice(start, start + count * dim.up, dim.up) if count else slice(0)]
        return cls(tuple(shape), tuple(firsts), tuple(inside))


@dataclass(frozen=True)
class Ranges:
    """A copy of the current ranges: (start, size) per dimension and kind."""

    starts: tuple[tuple[int, ...], ...]
    sizes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, layer: LayerState) -> Ranges:
        return cls(tuple(map(tuple, layer.starts)), tuple(map(tuple, layer.sizes)))


def row_major(shape: Sequence[int]) -> list[int]:
    """Strides of a dense row-major array."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return strides


def run_steps(steps: Sequence[ScalarStep], value: Array, operand: Callable[[Tensor], Array] | None = None) -> Array:
    """Apply scalar functions one after another; `operand` reads the tile of an extra tensor."""
    for step in steps:
        if step.operand is None:
            value = apply(step.name, value, parameters=step.parameters)
        else:
            assert operand is not None
            value = apply(step.name, value, operand(step.operand), parameters=step.parameters)
    return value
