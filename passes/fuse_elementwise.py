"""fuse-elementwise: element-wise links into the link before them (rules F1 and F2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass

from dialects.element_types import numpy_dtype_of
from dialects.gconv import ConcatOp, LinkOp, View, ViewOp, cast_to, element_type_of_value, shape_of
from passes.chain_views import Source, is_constant, sole_producer, source_of
from passes.elementwise import Applied, compact_steps, elementwise, with_steps
from passes.rewriting import chain_blocks, insert_before, replace
from passes.step_room import StepRoom


@dataclass(frozen=True)
class FuseElementwisePass(ModulePass):
    """Absorb element-wise links into the post steps of the link whose result they read.

    A link B is absorbed into A when B computes each element from one element of A's result and nothing else reads A.
    Where A's result is rounded to a type (an integer of a requantized convolution), a cast stands between.
    What B reads besides becomes an extra operand of A, re-viewed in A's dimensions.
    F1 (`constants`): B's other operands are constants, or it has none. F2 (`residual`): they are live tensors, as in
    a residual addition; if B adds two links that nothing else reads, it goes into the later one.
    Where A is a concatenation, B goes into the links of all its parts, or into none.
    A takes the place of B, so that every operand is defined before it. Links that carry a mapping stay as they are.
    """

    name = "fuse-elementwise"

    constants: bool = True
    residual: bool = True
    max_steps: int | None = None
    """Post steps a link may have; as many as the module's machine has unless given."""
    max_operands: int | None = None
    """Extra operands a link may have; likewise."""

    def __post_init__(self) -> None:
        if min(self.max_steps or 0, self.max_operands or 0) < 0:
            raise ValueError("max-steps and max-operands must not be negative")

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every function. Raises `CatenaError` (CAT-R003) for functions of several blocks."""
        room = StepRoom.of(op, self.max_steps, self.max_operands)
        for block in chain_blocks(op, self.name):
            _Fusion(self, room, block).run()


@dataclass(frozen=True)
class _Candidate:
    """An op to absorb into, and what is to be done to its result, operands in the result's shape."""

    producer: LinkOp | ConcatOp
    steps: tuple[Applied, ...]


@dataclass(frozen=True)
class _Absorption:
    """What will become of an op: more steps for a link, or for each part of a concatenation.

    The operands of `steps` have the result's rank, repeated dimensions cut to extent 1.
    """

    producer: LinkOp | ConcatOp
    steps: tuple[Applied, ...] = ()
    parts: tuple[_Absorption, ...] = ()


class _Fusion:
    """One sweep over a block. Links are met after their producers, so chains collapse into their first link."""

    def __init__(self, options: FuseElementwisePass, room: StepRoom, block: Block):
        self._options, self._room = options, room
        self._ops = list(block.ops)
        self._position: dict[Operation, int] = {op: index for index, op in enumerate(self._ops)}

    def run(self) -> None:
        for link in self._ops:
            if not isinstance(link, LinkOp) or link.mapping is not None:
                continue
            # The later producer first: the earlier one has its result ready by then.
            for candidate in sorted(_candidates(link), key=lambda c: -self._position[c.producer]):
                plan = self._plan(candidate.producer, candidate.steps)
                if plan is not None:
                    self._absorb(plan, link)
                    break

    def _plan(self, op: LinkOp | ConcatOp, steps: Sequence[Applied]) -> _Absorption | None:
        if isinstance(op, ConcatOp):
            return self._plan_parts(op, steps)
        cast = _cast_between(op)
        if op.mapping is not None or cast is None:
            return None
        steps = (*cast, *steps)
        operands = [applied.operand for applied in steps if applied.operand is not None]
        if not self._room.will_hold(op, steps) or not all(self._allows(operand.base) for operand in operands):
            return None
        compact = compact_steps(steps, shape_of(op.result))
        return None if compact is None else _Absorption(op, compact)

    def _plan_parts(self, op: ConcatOp, steps: Sequence[Applied]) -> _Absorption | None:
        axis = op.axis.value.data
        shaped = [_reshaped(applied, shape_of(op.result)) for applied in steps]
        plans: list[_Absorption] = []
        start = 0
        for part in op.parts:
            size = shape_of(part)[axis]
            producer = sole_producer(part)
            if producer is None or not source_of(part).is_whole:
                return None
            sliced = [_sliced(applied, axis, start, size) for applied in shaped if applied is not None]
            plan = self._plan(producer, sliced) if len(sliced) == len(steps) else None
            if plan is None:
                return None
            plans.append(plan)
            start += size
        return _Absorption(op, parts=tuple(plans))

    def _allows(self, operand: SSAValue) -> bool:
        return self._options.constants if is_constant(operand) else self._options.residual

    def _absorb(self, plan: _Absorption, link: LinkOp) -> None:
        fused = self._build(plan, link, link.tensor.data if link.tensor else None)
        after, value = Source(fused, View.dense(shape_of(link.result))).materialise()
        replace(link, after, value, _absorbed_ops(link, plan.producer))

    def _build(self, plan: _Absorption, link: LinkOp, tensor: str | None) -> SSAValue:
        """Put the op that a plan describes before `link`; returns its result."""
        op = plan.producer
        if isinstance(op, ConcatOp):
            parts: list[SSAValue] = []
            views: list[Operation] = []
            for old, part in zip(op.parts, plan.parts, strict=True):
                made, value = Source(self._build(part, link, None), View.dense(shape_of(old))).materialise()
                views += made
                parts.append(value)
            fused = ConcatOp.of(parts, op.axis.value.data, tensor)
        else:
            fused, views = with_steps(op, op.spec.dims, plan.steps, element_type_of_value(link.result), tensor)
        insert_before(link, [*views, fused], (*_absorbed_ops(link, op), link))
        self._position[fused] = self._position[link]
        return fused.result


def _reshaped(applied: Applied, shape: tuple[int, ...]) -> Applied | None:
    if applied.operand is None:
        return applied
    operand = applied.operand.reshape(shape)
    return None if operand is None else Applied(applied.step, operand)


def _sliced(applied: Applied, axis: int, start: int, size: int) -> Applied:
    if applied.operand is None:
        return applied
    return Applied(applied.step, Source(applied.operand.base, applied.operand.view.slice(axis, start, size)))


def _candidates(link: LinkOp) -> list[_Candidate]:
    """The ops that could absorb `link`."""
    made = (sole_producer(value) for value in link.operands)
    producers: dict[SSAValue, LinkOp | ConcatOp] = {
        producer.result: producer for producer in made if producer is not None
    }
    form = elementwise(link) if producers else None
    if form is None:
        return []
    flows = ((producers.get(flowing.base), flowing, steps) for flowing, steps in form.flows())
    return [_Candidate(producer, steps) for producer, flowing, steps in flows if producer and flowing.is_whole]


def _cast_between(op: LinkOp) -> tuple[Applied, ...] | None:
    """The step that rounds to a link's result type what its post makes in another; None if there is no such step."""
    result = numpy_dtype_of(element_type_of_value(op.result)).name
    if op.spec.flow(numpy_dtype_of(element_type_of_value(op.input)).name) == result:
        return ()
    cast = cast_to(result)
    return None if cast is None else (Applied(cast),)


def _absorbed_ops(link: LinkOp, producer: LinkOp | ConcatOp) -> list[Operation]:
    """The producer and the views between it and the link, as sources of the fused link's location."""
    views: list[Operation] = []
    for value in link.operands:
        path: list[Operation] = []
        while isinstance(owner := value.owner, ViewOp):
            path.append(owner)
            value = owner.base
        if value is producer.result:
            views += path
    return [producer, *reversed(views)]
