"""fold-copies: readers of a copied view read the view itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass

from dialects.gconv import Dim, LinkOp, View, ViewOp
from dialects.locations import fuse_locations
from passes.chain_views import Source, source_of
from passes.elementwise import elementwise, unary_steps
from passes.fold_views import fold_views
from passes.redimension import distinctly_named, redimension
from passes.rewriting import chain_blocks, erase_dead, insert_before


class FoldCopiesPass(ModulePass):
    """Remove links that only copy a strided view, where every reader can read that view.

    A copy is what makes the reshape of a transposed tensor possible, as in a channel shuffle. A reader whose own view
    of the copy composes with the copied view reads the source directly. A reader that takes the copy in other
    dimensions is split: a g, opc or ks loop of n indices becomes several of the same kind, outermost first, whose
    counts multiply to n and follow the strides of the view. Windows are not split. A copy that any reader needs,
    among them concatenations and results, stays.
    """

    name = "fold-copies"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every function. Raises `CatenaError` (CAT-R003) for functions of several blocks."""
        for block in chain_blocks(op, self.name):
            fold_views(block)
            _fold_block(block)
            fold_views(block)


@dataclass(frozen=True)
class _Reading:
    """What an operand of a reader becomes: a view of the source, and other dimensions if it needs them."""

    reader: LinkOp
    operand: int
    source: Source
    dims: tuple[Dim, ...] | None = None


def _fold_block(block: Block) -> None:
    # Backwards: a copy of a copy goes into its readers before the copy it reads.
    for link in reversed(list(block.ops)):
        if not isinstance(link, LinkOp):
            continue
        copied = _copied(link)
        for reading in (_readings(link.result, copied) if copied is not None else None) or ():
            _rewrite(reading, link)


def _copied(link: LinkOp) -> Source | None:
    """What a link copies, as a view in the shape of its result; None if it does anything else."""
    if link.mapping is not None or unary_steps(link) != ():
        return None
    form = elementwise(link)
    return None if form is None else form.input


def _uses(value: SSAValue) -> Iterator[tuple[Operation, int]]:
    """Every op that reads a value, directly or through views, and which of its operands does."""
    for use in value.uses:
        if isinstance(use.operation, ViewOp):
            yield from _uses(use.operation.result)
        else:
            yield use.operation, use.index


def _readings(value: SSAValue, copied: Source) -> list[_Reading] | None:
    """How every reader of a copy can do without it; None if one cannot."""
    readings: list[_Reading] = []
    for reader, operand in _uses(value):
        if not isinstance(reader, LinkOp) or reader.mapping is not None:
            return None
        seen = source_of(reader.operands[operand])
        if seen.base is not value:
            return None
        direct = copied.through(seen.view)
        if direct is not None:
            readings.append(_Reading(reader, operand, direct))
            continue
        dims = _split_dims(reader.nest.data, seen.view.shape, copied.view) if operand == 0 and seen.is_whole else None
        if dims is None:
            return None
        shape = tuple(extent for _, extent in dims)
        source = copied.reshape(shape)
        if source is None:
            return None
        readings.append(_Reading(reader, operand, source, tuple(distinctly_named([dim for dim, _ in dims]))))
    split = [reading.reader for reading in readings if reading.dims is not None]
    # A split replaces its reader: other operands of the same reader would be lost from sight.
    return readings if all(sum(r.reader is reader for r in readings) == 1 for reader in split) else None


def _rewrite(reading: _Reading, copy: LinkOp) -> None:
    reader = reading.reader
    if reading.dims is not None:
        new = redimension(reader, reading.dims, reading.source, [copy])
        assert new is not None, "splitting a dimension needed a copy"
        return
    views, value = reading.source.materialise()
    insert_before(reader, views, [copy, reader])
    old = reader.operands[reading.operand].owner
    reader.operands[reading.operand] = value
    reader.location = fuse_locations((copy.location, reader.location))
    if isinstance(old, Operation):
        erase_dead(old)


def _split_dims(dims: Sequence[Dim], extents: Sequence[int], view: View) -> list[tuple[Dim, int]] | None:
    """Dimensions, with their input extents, that step evenly through `view`; None where they would cross its runs."""
    runs = [size for size, _ in view.runs()]
    left = runs.pop() if runs else 1
    result: list[tuple[Dim, int]] = []
    for dim, extent in zip(reversed(dims), reversed(extents), strict=True):
        factors: list[int] = []
        rest = extent
        while rest > 1:
            if left == 1:
                left = runs.pop()
            factor = min(rest, left)
            if rest % factor or left % factor:
                return None
            factors.insert(0, factor)
            rest //= factor
            left //= factor
        split = _split(dim, extent, factors)
        if split is None:
            return None
        result = split + result
    return result


def _split(dim: Dim, extent: int, factors: Sequence[int]) -> list[tuple[Dim, int]] | None:
    """One dimension as several whose input extents are `factors`, outermost first."""
    if len(factors) <= 1:
        return [(dim, extent)]
    outer: list[tuple[Dim, int]] = []
    inner = list(factors)
    groups = dim.g
    while groups > 1:
        count = min(groups, inner[0])
        if groups % count or inner[0] % count:
            return None
        outer.append((Dim(dim.name, g=count), count))
        groups //= count
        inner = [n for n in (inner[0] // count, *inner[1:]) if n > 1]
    rest = replaced(dim, g=1)
    if len(inner) <= 1:
        return [*outer, (rest, extent // dim.g)] if rest != Dim(dim.name) or inner else outer
    plain = rest.stride == rest.dilation == rest.up == 1 and rest.pad == 0 and not rest.is_window
    if not plain or rest.opc * rest.ks != extent // dim.g:
        return None
    loops = [Dim(dim.name, opc=n) if rest.opc > 1 else Dim(dim.name, ks=n) for n in inner]
    # Kernels are counted outside of positions and kernel extents.
    loops[0] = replaced(loops[0], op=rest.op)
    return [*outer, *zip(loops, inner, strict=True)]
