"""copy-concat: parts of concatenations, scatters and results of functions are written where they have to lie."""

from __future__ import annotations

from dataclasses import dataclass, field

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass

from dialects.gconv import ConcatOp, Dim, GConv, IndexedOp, LinkOp, ScatterOp, View, ViewOp, shape_of
from dialects.gconv.interpreter import result_names
from dialects.locations import fuse_locations, node_location, node_names
from passes.chain_views import Source, source_of
from passes.elementwise import elementwise
from passes.fold_views import fold_views
from passes.merge_dims import merge_link
from passes.rewriting import chain_functions, insert_before, replace
from passes.storage import DATA, UPDATES, Storage, placed_operands, streams


class CopyConcatPass(ModulePass):
    """Make concatenations and results free of further copies by inserting the few links that must copy.

    Afterwards
    - each part of a `gconv.concat` is the whole result, perhaps reshaped, of a link or a concatenation that writes the
      part's block of the concatenation in place (`passes.storage`), and every other reader reads that block by a view;
    - the data of each `gconv.scatter` are in its place, and the link before it makes the updates and nothing else;
    - each result of a function is the whole result, perhaps reshaped, of an op of its own, unless it has no elements;
    - no view is a view of a view.

    Where a link only puts all of a result in another order of dimensions, as before a reshape or for a result that the
    network wants transposed, the link that makes the result writes it in that order: a `gconv.concat` of one part, a
    transposed view, stands for the copy. Parts that are arguments, constants, proper views, in another place already,
    or read in a way that the block does not allow get a copying link; so do such results. A concatenation that begins
    with the parts of an earlier one takes that one as its first part: dense blocks grow in place.
    """

    name = "copy-concat"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every function. Raises `CatenaError` (CAT-R003) for functions of several blocks."""
        for function in chain_functions(op, self.name):
            _settle(function)


def _settle(function: FuncOp) -> None:
    block = function.body.block
    fold_views(block)
    _share_prefixes(block)
    _copy_nested_views(block)
    _copy_results(function)
    _write_permuted(block)
    _copy_operands(block, ConcatOp)
    _drop_written(block)
    _copy_operands(block, ScatterOp, DATA)
    _copy_operands(block, ScatterOp, UPDATES)
    storage = Storage(block)
    for link in list(block.ops):
        if isinstance(link, LinkOp) and link.mapping is None and link.spec == GConv(link.nest.data):
            merge_link(link, storage)
    fold_views(block)


@dataclass
class _Prefix:
    """A node of the tree of part lists: the concatenation of the parts on the way to it, and longer lists."""

    concat: ConcatOp | None = None
    longer: dict[SSAValue, _Prefix] = field(default_factory=dict["SSAValue", "_Prefix"])


def _share_prefixes(block: Block) -> None:
    """Let concatenations that begin with all parts of an earlier one begin with that one.

    Those of one part go, unless they say in which order the part lies.
    """
    roots: dict[int, _Prefix] = {}
    for op in list(block.ops):
        if not isinstance(op, ConcatOp):
            continue
        if len(op.parts) == 1:
            if not source_of(op.parts[0]).is_permuted:
                replace(op, [], op.parts[0])
            continue
        axis = op.axis.value.data
        node = roots.setdefault(axis, _Prefix())
        shared, known = 0, None
        for index, part in enumerate(op.parts):
            node = node.longer.setdefault(part, _Prefix())
            if node.concat is not None:
                shared, known = index + 1, node.concat
        if known is None:
            node.concat = op
            continue
        tensor = op.tensor.data if op.tensor else None
        rest = list(op.parts)[shared:]
        if not rest:
            if known.tensor is None and op.tensor is not None:
                known.properties["tensor"] = op.tensor
            known.location = fuse_locations((known.location, op.location))
            replace(op, [], known.result)
            continue
        node.concat = ConcatOp.of([known.result, *rest], axis, tensor)
        replace(op, [node.concat], node.concat.result)


def _copy_nested_views(block: Block) -> list[LinkOp]:
    """Copy what a view shows that the views of it do not compose with."""
    copies: list[LinkOp] = []
    copied: dict[SSAValue, SSAValue] = {}
    for op in list(block.ops):
        if not isinstance(op, ViewOp | IndexedOp):
            continue
        inner = op.base
        if inner in copied:
            op.operands[0] = copied[inner]
        elif isinstance(inner.owner, ViewOp) and (isinstance(op, IndexedOp) or source_of(op.result).base is inner):
            copies.append(_copy_operand(op, 0))
            copied[inner] = op.base
    return copies


def _copy_results(function: FuncOp) -> list[LinkOp]:
    end = function.body.block.last_op
    if not isinstance(end, ReturnOp):
        return []
    copies: list[LinkOp] = []
    taken: set[SSAValue] = set()
    named = function.res_attrs is not None
    for index, (value, name) in enumerate(zip(end.operands, result_names(function), strict=True)):
        if 0 in shape_of(value):
            continue
        source = source_of(value)
        if (
            source.is_whole
            and source.base not in taken
            and isinstance(source.base.owner, LinkOp | ConcatOp | ScatterOp)
        ):
            taken.add(source.base)
            continue
        copies.append(_copy_operand(end, index, name if named else None))
    return copies


def _write_permuted(block: Block) -> None:
    """Let what makes a result write it in the order in which a link would only copy it."""
    returned = Storage(block)
    for link in list(block.ops):
        if not isinstance(link, LinkOp) or link.mapping is not None or link.spec != GConv(link.nest.data):
            continue
        form = elementwise(link)
        if form is None or form.cast is not None or not form.input.is_permuted:
            continue
        base = form.input.base
        if isinstance(base.owner, LinkOp | ConcatOp) and not returned.is_returned(base):
            views, value = form.input.materialise()
            tensor = link.tensor.data if link.tensor else None
            written = ConcatOp.of([value], 0, tensor)
            replace(link, [*views, written], written.result)


def _drop_written(block: Block) -> None:
    """A concatenation of one part that had to be copied is that copy."""
    for op in list(block.ops):
        if not isinstance(op, ConcatOp) or len(op.parts) > 1:
            continue
        copy = source_of(op.parts[0])
        if isinstance(copy.base.owner, LinkOp) and copy.is_whole:
            if op.tensor is not None:
                copy.base.owner.properties["tensor"] = op.tensor
            replace(op, [], op.parts[0])


def _copy_operands(block: Block, kind: type[ConcatOp | ScatterOp], only: int | None = None) -> list[LinkOp]:
    """Copy the operands of concatenations or scatters that are not made in place: all, or the one at `only`."""
    _sink_updates(block)
    storage = Storage(block)
    return [
        _copy_operand(op, index)
        for op in block.ops
        if isinstance(op, kind)
        for index in placed_operands(op)
        if only in (None, index) and not storage.is_in_place(op, index)
    ]


def _sink_updates(block: Block) -> None:
    """Move every link that only a scatter reads right before it: by then everything else is done with the data."""
    for op in list(block.ops):
        if not isinstance(op, ScatterOp):
            continue
        value, path = op.updates, list[Operation]()
        while value.has_one_use() and isinstance(owner := value.owner, ViewOp):
            path.insert(0, owner)
            value = owner.base
        if value.has_one_use() and isinstance(value.owner, LinkOp) and streams(value.owner):
            for moved in (value.owner, *path):
                moved.detach()
                block.insert_op_before(moved, op)


def _copy_operand(op: Operation, index: int, tensor: str | None = None) -> LinkOp:
    """Let `op` read a copy of an operand, made right before it and located at both, or at `tensor` if they are not."""
    value = op.operands[index]
    seen = source_of(value).reshape(shape_of(value) or (1,))
    assert seen is not None
    views, input = seen.materialise()
    dims = tuple(Dim(f"d{axis}", opc=size) for axis, size in enumerate(seen.view.shape))
    copy = LinkOp.of(GConv(dims), input, tensor=tensor)
    back, result = Source(copy.result, View.dense(shape_of(value))).materialise()
    made = [*views, copy, *back]
    insert_before(op, made, [each for each in (value.owner, op) if isinstance(each, Operation)])
    if tensor is not None and not node_names(copy.location):
        for each in made:
            each.location = node_location(tensor)
    op.operands[index] = result
    return copy
