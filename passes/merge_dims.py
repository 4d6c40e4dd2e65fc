"""merge-dims: as few dimensions as the views allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import Dim, LinkOp, LoopKind, View, shape_of
from dialects.locations import describe
from dialects.target import find_machine
from passes.chain_views import Source, source_of
from passes.computed_addresses import read_lookup
from passes.elementwise import extra_in_result_shape
from passes.fold_views import fold_views
from passes.redimension import distinctly_named, redimension
from passes.rewriting import chain_blocks
from passes.storage import Storage


@dataclass(frozen=True)
class MergeDimsPass(ModulePass):
    """Drop dimensions of one index and merge neighbours that step through every operand evenly.

    Two neighbouring dimensions merge if both consist of one loop of the same kind (all g, all op, all opc or all ks),
    without window, stride or padding, and each operand that sees them, through its view, steps over the outer one as
    over a further round of the inner one. Crops and strides of dimensions without a window become part of the input's
    view first. Results that lie in place inside a concatenation stay strided views of it, and what is read or written
    at computed addresses steps evenly through its index, too. Windows stay as they are.

    On a machine whose layers run as a pipeline (`pipelines_layers`) output positions stay apart, so that rows can be
    told from one another. Links with a mapping are left alone, and so are those that have the loops for which the
    mapping file `mappings` says they were mapped; with `only-named`, also all that it gives no loops.
    A link of more than `max-rank` dimensions afterwards is refused.
    """

    name = "merge-dims"

    max_rank: int = 8
    mappings: str | None = None
    only_named: bool = False

    def __post_init__(self) -> None:
        if self.max_rank < 1:
            raise ValueError("max-rank must be at least 1")

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every function.

        Raises `CatenaError` for functions of several blocks (CAT-R003) and, all at once, for links of too many
        dimensions (CAT-U006).
        """
        problems: list[Diagnostic] = []
        machine = find_machine(op)
        has_rows = machine is not None and machine.pipelines_layers
        kept = self._kept(ctx, [link for link in op.walk() if isinstance(link, LinkOp)])
        for block in chain_blocks(op, self.name):
            _merge_block(block, kept, has_rows=has_rows)
            problems += self._rank_problems(block)
        if problems:
            raise CatenaError(problems)

    def _kept(self, ctx: Context, links: Sequence[LinkOp]) -> frozenset[LinkOp]:
        """The links that the mapping file asks to leave as they are."""
        if self.mappings is None:
            return frozenset()
        # most chains are compiled without a mapping file
        from passes.mapping_file.names import loops_text, named_links
        from passes.mapping_file.reading import stated_loops

        known = named_links(links)
        stated = {known[name]: loops for name, loops in stated_loops(Path(self.mappings), ctx).items() if name in known}
        alike = {link for link, loops in stated.items() if loops.split() == loops_text(link).split()}
        return frozenset(alike | ({*links} - {*stated} if self.only_named else set()))

    def _rank_problems(self, block: Block) -> list[Diagnostic]:
        return [
            Diagnostic(
                "CAT-U006",
                "the link has too many dimensions, and its operands' views keep them apart",
                node=describe(op),
                expected=f"at most {self.max_rank} dimensions",
                found=f"{len(op.nest.data)}: {', '.join(dim.name for dim in op.nest.data)}",
            )
            for op in block.ops
            if isinstance(op, LinkOp) and len(op.nest.data) > self.max_rank
        ]


@dataclass(frozen=True)
class _Axis:
    """One dimension: its loops, and (extent, stride) in the input and in everything else that sees it."""

    dim: Dim
    input: tuple[int, int]
    others: tuple[tuple[int, int], ...]

    @property
    def kind(self) -> LoopKind | None:
        """The kind of its only loop if the dimension can merge with neighbours, else None."""
        dim = self.dim
        kinds = [kind for kind in LoopKind if dim.count(kind) > 1]
        plain = dim.stride == dim.dilation == dim.up == 1 and dim.pad == 0
        if len(kinds) != 1 or not plain:
            return None
        return kinds[0] if self.input[0] == dim.g * dim.opc * dim.ks else None

    @property
    def is_unit(self) -> bool:
        """Whether the dimension has one index everywhere."""
        dim = self.dim
        return dim.g == dim.op == dim.opc == dim.ks == self.input[0] == 1 and dim.pad == 0

    def merged(self, inner: _Axis) -> _Axis | None:
        """This dimension and the next as one; None if they differ in kind or do not step evenly."""
        pairs = list(zip((self.input, *self.others), (inner.input, *inner.others), strict=True))
        if self.kind is None or self.kind is not inner.kind or not all(_is_even(*pair) for pair in pairs):
            return None
        outer = self.dim
        dim = Dim(
            outer.name + inner.dim.name,
            outer.g * inner.dim.g,
            outer.op * inner.dim.op,
            outer.opc * inner.dim.opc,
            outer.ks * inner.dim.ks,
        )
        first, *rest = (_joined(*pair) for pair in pairs)
        return _Axis(dim, first, tuple(rest))


def _is_even(outer: tuple[int, int], inner: tuple[int, int]) -> bool:
    return outer[0] == inner[0] == 1 or outer[1] == inner[0] * inner[1]


def _joined(outer: tuple[int, int], inner: tuple[int, int]) -> tuple[int, int]:
    return outer[0] * inner[0], inner[1]


def _merge_block(block: Block, kept: frozenset[LinkOp], *, has_rows: bool) -> None:
    fold_views(block)
    storage = Storage(block)
    for op in list(block.ops):
        if isinstance(op, LinkOp) and op.mapping is None and op not in kept:
            merge_link(op, storage, has_rows=has_rows)
    fold_views(block)


def merge_link(link: LinkOp, storage: Storage, *, has_rows: bool = False) -> None:
    """Replace a link by one of fewer dimensions, if there are fewer; `storage` is kept up to date.

    If it `has_rows`, dimensions of output positions do not merge.
    """
    lookup = read_lookup(link)
    source = source_of(link.input)
    dims, input = (link.nest.data, source) if lookup is not None else _without_crops(link.nest.data, source)
    axes = _merged_axes(_axes(link, dims, input, storage), has_rows=has_rows)
    new_dims = distinctly_named([axis.dim for axis in axes])
    if new_dims == list(link.nest.data):
        return
    shape = tuple(axis.input[0] for axis in axes)
    view = View(shape, tuple(axis.input[1] for axis in axes), input.view.offset)
    old = link.result
    merged = Source(input.base, view) if lookup is None else lookup.reshape(shape)
    new = None if merged is None else redimension(link, new_dims, merged)
    assert new is not None, "dimensions were merged that step unevenly through an operand"
    storage.renew(old, new.result)


def _without_crops(dims: Sequence[Dim], input: Source) -> tuple[Sequence[Dim], Source]:
    """Dimensions that read one position per index, and all inside the input, read a slice of it instead."""
    view = input.view
    plain: list[Dim] = []
    for axis, dim in enumerate(dims):
        step = dim.stride if dim.opc > 1 else dim.dilation if dim.ks > 1 else dim.up
        low, high = dim.window
        inside = low >= 0 and high < view.shape[axis] * dim.up
        if dim.g > 1 or dim.is_window or not inside or step % dim.up or low % dim.up:
            plain.append(dim)
            continue
        view = view.slice(axis, low // dim.up, dim.opc * dim.ks, step // dim.up)
        plain.append(Dim(dim.name, op=dim.op, opc=dim.opc, ks=dim.ks))
    return plain, Source(input.base, view)


def _axes(link: LinkOp, dims: Sequence[Dim], input: Source, storage: Storage) -> list[_Axis]:
    shape = shape_of(link.result)
    operands = [extra_in_result_shape(extra, shape) for extra in link.extras]
    if link.kernel is not None:
        operands.append(source_of(link.kernel))
    views = [operand.view for operand in operands]
    # Merged dimensions must also be strided views of what holds operands and result: a concatenation's buffer.
    places = [storage.seen(operand) for operand in (*operands, input, Source(link.result, View.dense(shape)))]
    views += [place.view for place in places if place is not None]
    for lookup in storage.lookups(link):
        views += [lookup.view.plain, lookup.index_positions]
    columns = [zip(view.shape, view.strides, strict=True) for view in (input.view, *views)]
    return [
        _Axis(dim, first, tuple(rest)) for dim, (first, *rest) in zip(dims, zip(*columns, strict=True), strict=True)
    ]


def _merged_axes(axes: Sequence[_Axis], *, has_rows: bool) -> list[_Axis]:
    result: list[_Axis] = []
    for axis in [axis for axis in axes if not axis.is_unit] or axes[-1:]:
        is_apart = has_rows and axis.kind is LoopKind.OPC
        merged = result[-1].merged(axis) if result and not is_apart else None
        if merged is not None:
            result[-1] = merged
        else:
            result.append(axis)
    return result
