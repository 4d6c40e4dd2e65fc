"""broadcast-reductions: what is done with a repeated reduction into the reduction itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace as replaced

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation
from xdsl.passes import ModulePass

from dialects.gconv import PASS, Dim, LinkOp, View, element_type_of_value, shape_of
from passes.chain_views import Source, only_reader_of, source_of
from passes.elementwise import Applied, compact_steps, elementwise, with_steps
from passes.rewriting import chain_blocks, replace
from passes.step_room import StepRoom


class BroadcastReductionsPass(ModulePass):
    """Absorb an element-wise link into the reduction whose repeated result it reads.

    A link without a kernel repeats its result along `op` for nothing: the sums leave the buffer several times. So where
    a link B computes each element from one element of a reduction A, which is repeated along dimensions in which A
    has one element (those it reduces), and nothing else reads A, then A repeats its result and applies B as post steps;
    what else B reads becomes an extra operand. In `x - mean(x)` or `x / norm(x)` that is the reduction's own input.
    The words moved stay the same; one link and its operations are saved.

    A takes the place of B. Links that carry a mapping, and steps beyond what the module's machine has, stay apart.
    Run it after fuse-elementwise, which brings to B what follows it.
    """

    name = "broadcast-reductions"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every function. Raises `CatenaError` (CAT-R003) for functions of several blocks."""
        room = StepRoom.of(op)
        for block in chain_blocks(op, self.name):
            _rewrite(block, room)


def _rewrite(block: Block, room: StepRoom) -> None:
    for link in list(block.ops):
        if isinstance(link, LinkOp) and link.mapping is None:
            found = next(_candidates(link, room), None)
            if found is not None:
                _absorb(found, link)


@dataclass(frozen=True)
class _Candidate:
    """A reduction, its dimensions once its result is repeated, and the steps that follow."""

    reduction: LinkOp
    dims: tuple[Dim, ...]
    steps: tuple[Applied, ...]


def _candidates(link: LinkOp, room: StepRoom) -> Iterator[_Candidate]:
    """The ways to apply `link` within a reduction."""
    bases = {source_of(value).base for value in link.operands}
    reductions = [base.owner for base in bases if _is_open(base.owner, link)]
    form = elementwise(link) if reductions else None
    for flowing, steps in form.flows() if form is not None else ():
        reduction = flowing.base.owner
        if not isinstance(reduction, LinkOp) or reduction not in reductions or not room.will_hold(reduction, steps):
            continue
        for shape in (shape_of(link.result), _input_shape(reduction)):
            dims = _repeated(reduction, flowing, shape)
            compact = None if dims is None else compact_steps(steps, shape)
            if dims is not None and compact is not None:
                yield _Candidate(reduction, dims, compact)


def _is_open(op: Operation | Block, reader: LinkOp) -> bool:
    """Whether an op is a reduction without a kernel that only `reader` reads, in the type that `reader` computes in."""
    if not isinstance(op, LinkOp) or op.spec.main != PASS or op.mapping is not None or op.acc or reader.acc:
        return False
    types = {element_type_of_value(value) for value in (op.input, op.result, *reader.operands)}
    return any(dim.ks > 1 for dim in op.nest.data) and only_reader_of(op.result) is reader and len(types) == 1


def _input_shape(reduction: LinkOp) -> tuple[int, ...]:
    """The extents of what a link reads along the dimensions that it reduces to one element, of its result elsewhere."""
    return tuple(dim.ks if dim.output_extent == 1 else dim.output_extent for dim in reduction.nest.data)


def _repeated(reduction: LinkOp, read: Source, shape: tuple[int, ...]) -> tuple[Dim, ...] | None:
    """The reduction's dimensions when its result is repeated to `shape`; None unless that is what `read` sees."""
    dims = reduction.nest.data
    if len(shape) != len(dims) or math.prod(shape) != read.view.size:
        return None
    whole = View.dense(shape_of(reduction.result))
    try:
        wanted = whole.expand(shape)
    except ValueError:
        return None
    if not read.view.reads_like(wanted):
        return None
    return tuple(
        replaced(dim, op=size) if dim.output_extent == 1 else dim for dim, size in zip(dims, shape, strict=True)
    )


def _absorb(found: _Candidate, link: LinkOp) -> None:
    tensor = link.tensor.data if link.tensor else None
    element_type = element_type_of_value(link.result)
    fused, views = with_steps(found.reduction, found.dims, found.steps, element_type, tensor)
    back, value = Source(fused.result, View.dense(shape_of(link.result))).materialise()
    replace(link, [*views, fused, *back], value, [found.reduction])
