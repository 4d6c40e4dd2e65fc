"""split-steps: links with more scalar functions than the machine has become several links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as replaced

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue
from xdsl.passes import ModulePass

from dialects.element_types import element_type_of, numpy_dtype_of
from dialects.gconv import Dim, GConv, LinkOp, Step, element_type_of_value, shape_of
from passes.rewriting import chain_blocks, insert_before, replace
from passes.step_room import StepRoom


class SplitStepsPass(ModulePass):
    """Cut a link whose post steps, or the tensors that they read, are more than the module's machine has.

    The link keeps the first steps, as many as there is room for; links that only apply steps do the rest, in the type
    that the link computes in. Pre steps beyond the machine's become a link before. Fusion keeps to the same numbers, so
    only operators that are lowered to long links are cut. Without a machine, or where it has no steps at all, nothing
    is.
    """

    name = "split-steps"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every function. Raises `CatenaError` (CAT-R003) for functions of several blocks."""
        room = StepRoom.of(op)
        for block in chain_blocks(op, self.name):
            _split_block(block, room)


def _split_block(block: Block, room: StepRoom) -> None:
    for op in list(block.ops):
        link = _without_excess_pre(op, room) if isinstance(op, LinkOp) and op.mapping is None else None
        while link is not None:
            link = _without_excess_post(link, room)


def _without_excess_pre(link: LinkOp, room: StepRoom) -> LinkOp:
    """The link, its first pre steps in links before it if they are too many."""
    pre = link.spec.pre
    if not room.pre or len(pre) <= room.pre:
        return link
    first = LinkOp.of(GConv(_dims(link.input), pre=pre[: room.pre]), link.input)
    insert_before(link, [first], [link])
    rest = _replaced(link, replaced(link.spec, pre=pre[room.pre :]), first.result, link.kernel, list(link.extras))
    return _without_excess_pre(rest, room)


def _without_excess_post(link: LinkOp, room: StepRoom) -> LinkOp | None:
    """Cut a link with too many post steps in two; returns the second, None if nothing was cut."""
    post = link.spec.post
    kept = next(n for n in range(len(post), -1, -1) if n == 0 or room.holds(post[:n]))
    if kept in (0, len(post)):
        return None
    steps, extras = _renumbered(post[:kept], link.extras)
    spec = replaced(link.spec, post=steps)
    made = element_type_of(spec.flow(numpy_dtype_of(element_type_of_value(link.input)).name))
    first = LinkOp.of(spec, link.input, link.kernel, extras, element_type=made)
    insert_before(link, [first], [link])
    steps, extras = _renumbered(post[kept:], link.extras)
    return _replaced(link, GConv(_dims(link.result), post=steps), first.result, None, extras)


def _dims(value: SSAValue) -> tuple[Dim, ...]:
    return tuple(Dim(f"d{axis}", opc=size) for axis, size in enumerate(shape_of(value)))


def _renumbered(steps: Sequence[Step], extras: Sequence[SSAValue]) -> tuple[tuple[Step, ...], list[SSAValue]]:
    """Some of a link's steps, and the extra operands that they read, counted from 0."""
    used = sorted({step.operand for step in steps if step.operand is not None})
    numbered = (step if step.operand is None else replaced(step, operand=used.index(step.operand)) for step in steps)
    return tuple(numbered), [extras[operand] for operand in used]


def _replaced(
    link: LinkOp, spec: GConv, input: SSAValue, kernel: SSAValue | None, extras: Sequence[SSAValue]
) -> LinkOp:
    """A link in the place of another, whose result it has."""
    tensor = link.tensor.data if link.tensor else None
    new = LinkOp.of(spec, input, kernel, extras, tensor=tensor, element_type=element_type_of_value(link.result))
    replace(link, [new], new.result)
    return new
