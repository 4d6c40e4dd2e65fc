"""A link that multiplies by constant integers, as the matrix that crossbars hold."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.ir import SSAValue

from dialects.dtypes import dtype_named
from dialects.element_types import numpy_dtype_of
from dialects.gconv import GConv, LinkOp, element_type_of_value
from dialects.gconv.interpreter import take_view
from dialects.gconv.scalar import Array
from dialects.multicore_machine import MulticoreMachine
from dialects.multicore_mapping import CrossbarMapping
from dialects.vector_sets import VectorSet
from dialects.weights import ConstantOp
from passes.chain_views import source_of
from passes.computed_addresses import read_lookup
from passes.crossbar_tiles import MatrixShape

INPUT_BITS = 8
"""Bits of an input of a product: what `mvm_cycles` is the time of."""


@dataclass(frozen=True)
class Matrix(MatrixShape):
    """The matrix of a link: loops of the general convolution, flattened in the order of its dimensions."""

    width: int
    """Vectors of one row of the output: the extent of the last dimension that has several."""

    @classmethod
    def of(cls, spec: GConv) -> Matrix:
        shape = MatrixShape.of(spec)
        several = [dim.opc for dim in spec.dims if dim.opc > 1]
        return cls(shape.groups, shape.rows, shape.columns, shape.vectors, several[-1] if several else 1)


def narrow_product_words(link: LinkOp) -> Array | None:
    """The constants of sums of products of narrow integers, which crossbars do if cells hold them; None of others."""
    words, acc = product_words(link, INPUT_BITS), link.spec.acc
    return words if acc is not None and dtype_named(acc).name == "int32" else None


def product_words(link: LinkOp, input_bits: int) -> Array | None:
    """The constants that a link multiplies integers of so many bits or fewer by; None if it does something else."""
    spec, kernel = link.spec, link.kernel
    if kernel is None or not spec.is_multiply_accumulate or spec.mid or any(dim.up > 1 for dim in spec.dims):
        return None
    if read_lookup(link) is not None or not float(spec.padding).is_integer():
        return None
    input, acc = numpy_dtype_of(element_type_of_value(link.input)), spec.acc
    if input.kind not in "iu" or input.itemsize * 8 > input_bits or acc is None or dtype_named(acc).kind not in "iu":
        return None
    words = constant_words(kernel)
    return words if words is not None and words.dtype.kind in "iu" and words.size else None


def shift_of(words: Array, machine: MulticoreMachine) -> int | None:
    """What is taken off all weights so that cells can hold them, 0 if they can already; None if they never can.

    Its product with the sum of the inputs is added again, as that of an offset encoding: weights with a zero point.
    """
    low, high = machine.crossbar.weights.range
    least, most = int(words.min()), int(words.max())
    if low <= least and most <= high:
        return 0
    return least - low if most - least <= high - low else None


def constant_words(value: SSAValue) -> Array | None:
    """The words of a value that is a view of a constant, None of any other."""
    source = source_of(value)
    owner = source.base.owner
    return take_view(source.view, owner.array) if isinstance(owner, ConstantOp) else None


def tile_of(matrix: Matrix, machine: MulticoreMachine) -> tuple[int, int]:
    """Rows and columns of the matrix that a crossbar holds; as many small groups as there is room lie in a diagonal."""
    rows, columns = machine.crossbar.rows, machine.weight_columns
    together = min(rows // matrix.rows, columns // matrix.columns, matrix.groups)
    if matrix.groups > 1 and together >= 1:
        return together * matrix.rows, together * matrix.columns
    return min(rows, matrix.rows), min(columns, matrix.columns)


@dataclass(frozen=True)
class Part:
    """What a core does: groups, rows and columns of the matrix in its crossbars, and the vectors that it works on.

    With several vectors to a turn, crossbars hold as many copies. `ring` are the numbers of the parts that add to the
    same sums, in the order of their rows, this one's among them.
    """

    number: int
    groups: range
    rows: range
    columns: range
    vectors: VectorSet
    crossbars: int
    ring: tuple[int, ...]

    @property
    def place(self) -> int:
        """The part's place in its ring."""
        return self.ring.index(self.number)


@dataclass(frozen=True)
class Grid:
    """A matrix cut into tiles, and tiles gathered for cores: `tall` and `wide` count parts of one copy."""

    matrix: Matrix
    mapping: CrossbarMapping
    per_tile: int
    """Groups of a tile."""
    tall_tiles: int
    wide_tiles: int
    """Tiles below one another; beside one another, in one group or of all packed groups."""
    crossbars_of_tile: int

    @classmethod
    def of(cls, matrix: Matrix, mapping: CrossbarMapping, machine: MulticoreMachine) -> Grid:
        tall, wide = mapping.tile
        fits = matrix.groups > 1 and tall >= matrix.rows and wide >= matrix.columns
        together = min(tall // matrix.rows, wide // matrix.columns) if fits else 1
        beside = -(-matrix.groups // together) if together > 1 else -(-matrix.columns // wide)
        each = machine.crossbar.weights.crossbars
        return cls(matrix, mapping, together, -(-matrix.rows // tall) if together == 1 else 1, beside, each)

    @property
    def outer_groups(self) -> int:
        """Groups that have tiles of their own."""
        return 1 if self.per_tile > 1 else self.matrix.groups

    @property
    def tall(self) -> int:
        """Parts below one another: those that add to the same sums."""
        return -(-self.tall_tiles // self.mapping.span[0])

    @property
    def wide(self) -> int:
        """Parts beside one another."""
        return self.outer_groups * -(-self.wide_tiles // self.mapping.span[1])

    @property
    def crossbars(self) -> int:
        """Crossbars of one copy."""
        return self.outer_groups * self.tall_tiles * self.wide_tiles * self.crossbars_of_tile

    def parts(self) -> list[Part]:
        """All parts, copy by copy, those beside one another before those below."""
        found: list[Part] = []
        for copy in range(self.mapping.copies):
            first = copy * self.tall * self.wide
            total, width, mapping = self.matrix.vectors, self.matrix.width, self.mapping
            vectors = VectorSet.share(total, width, mapping.copies, copy, mapping.abreast)
            for below in range(self.tall):
                for beside in range(self.wide):
                    ring = tuple(first + each * self.wide + beside for each in range(self.tall))
                    found.append(self._part(len(found), below, beside, vectors, ring))
        return found

    def _part(self, number: int, below: int, beside: int, vectors: VectorSet, ring: tuple[int, ...]) -> Part:
        matrix, (tall, wide), (high, broad) = self.matrix, self.mapping.tile, self.mapping.span
        tiles = range(below * high, min((below + 1) * high, self.tall_tiles))
        rows = range(tiles.start * tall, min(tiles.stop * tall, matrix.rows)) if self.per_tile == 1 else None
        per_group = -(-self.wide_tiles // broad)
        group, place = (0, beside) if self.per_tile > 1 else divmod(beside, per_group)
        across = range(place * broad, min((place + 1) * broad, self.wide_tiles))
        if rows is None:
            groups = range(across.start * self.per_tile, min(across.stop * self.per_tile, matrix.groups))
            rows, columns = range(matrix.rows), range(matrix.columns)
        else:
            groups, columns = (
                range(group, group + 1),
                range(across.start * wide, min(across.stop * wide, matrix.columns)),
            )
        crossbars = len(tiles) * len(across) * self.crossbars_of_tile * self.mapping.abreast
        return Part(number, groups, rows, columns, vectors, crossbars, ring)
