"""fuse-elementwise: element-wise links into the link before them (rules F1 and F2)."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as replaced

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass

from dialects.gconv import LinkOp, View, ViewOp, element_type_of_value, shape_of
from passes.chain_views import Source, is_constant, sole_link
from passes.elementwise import Applied, compact_in_shape, elementwise
from passes.rewriting import chain_blocks, replace


@dataclass(frozen=True)
class FuseElementwisePass(ModulePass):
    """Absorb element-wise links into the post steps of the link whose result they read.

    A link B is absorbed into A when B computes each element from one element of A's result, nothing else reads A, and
    the element types agree. What B reads besides becomes an extra operand of A, re-viewed in A's dimensions.
    F1 (`constants`): B's other operands are constants, or it has none. F2 (`residual`): they are live tensors, as in
    a residual addition; if B adds two links that nothing else reads, it goes into the later one.
    A takes the place of B, so that every operand is defined before it. Links that carry a mapping stay as they are.
    """

    name = "fuse-elementwise"

    constants: bool = True
    residual: bool = True
    max_steps: int = 8
    """Post steps a link may have."""
    max_operands: int = 4
    """Extra operands a link may have."""

    def __post_init__(self) -> None:
        if self.max_steps < 0 or self.max_operands < 0:
            raise ValueError("max-steps and max-operands must not be negative")

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every function. Raises `CatenaError` (CAT-R003) for functions of several blocks."""
        for block in chain_blocks(op, self.name):
            _Fusion(self, block).run()


@dataclass(frozen=True)
class _Candidate:
    """A link to absorb into, and what is to be done to its result."""

    producer: LinkOp
    steps: tuple[Applied, ...]


class _Fusion:
    """One sweep over a block. Links are met after their producers, so chains collapse into their first link."""

    def __init__(self, options: FuseElementwisePass, block: Block):
        self._options = options
        self._links = [op for op in block.ops if isinstance(op, LinkOp)]
        self._position: dict[Operation, int] = {op: index for index, op in enumerate(self._links)}

    def run(self) -> None:
        for link in self._links:
            # The later producer first: the earlier one has its result ready by then.
            for candidate in sorted(_candidates(link), key=lambda c: -self._position[c.producer]):
                if self._absorb(candidate, link):
                    break

    def _absorb(self, candidate: _Candidate, link: LinkOp) -> bool:
        producer = candidate.producer
        shape = shape_of(producer.result)
        steps = list(producer.spec.post)
        extras = list(producer.extras)
        views: list[Operation] = []
        for applied in candidate.steps:
            if applied.operand is None:
                steps.append(applied.step)
                continue
            operand = compact_in_shape(applied.operand, shape)
            if operand is None or not self._allows(operand.base):
                return False
            made, value = operand.materialise()
            steps.append(replaced(applied.step, operand=len(extras)))
            views += made
            extras.append(value)
        if len(steps) > self._options.max_steps or len(extras) > self._options.max_operands:
            return False
        fused = LinkOp.of(
            replaced(producer.spec, post=tuple(steps)),
            producer.input,
            producer.kernel,
            extras,
            tensor=link.tensor.data if link.tensor else None,
            element_type=element_type_of_value(link.result),
        )
        after, value = Source(fused.result, View.dense(shape_of(link.result))).materialise()
        replace(link, [*views, fused, *after], value, _absorbed_ops(link, producer))
        self._position[fused] = self._position[link]
        return True

    def _allows(self, operand: SSAValue) -> bool:
        return self._options.constants if is_constant(operand) else self._options.residual


def _candidates(link: LinkOp) -> list[_Candidate]:
    """The links that could absorb `link`."""
    found: list[_Candidate] = []
    form = None
    for value in (link.input, link.kernel):
        producer = None if value is None or link.mapping is not None else sole_link(value)
        if producer is None or producer.mapping is not None or not _same_type(producer, link):
            continue
        form = form or elementwise(link)
        if form is None:
            return []
        flowing, steps = (
            (form.input, form.steps_on_input()) if value is link.input else (form.kernel, form.steps_on_kernel())
        )
        if steps is not None and flowing is not None and flowing.base is producer.result and flowing.is_whole:
            found.append(_Candidate(producer, steps))
    return found


def _same_type(producer: LinkOp, link: LinkOp) -> bool:
    """Whether the producer computes in the type that `link` computes in: links round when they change type."""
    values = (producer.input, producer.result, link.input, *link.extras, *([link.kernel] if link.kernel else []))
    return len({element_type_of_value(value) for value in values}) == 1


def _absorbed_ops(link: LinkOp, producer: LinkOp) -> list[Operation]:
    """The producer and the views between it and the link, as sources of the fused link's location."""
    views: list[Operation] = []
    for value in (link.input, link.kernel):
        path: list[Operation] = []
        while value is not None and isinstance(owner := value.owner, ViewOp):
            path.append(owner)
            value = owner.base
        if value is producer.result:
            views += path
    return [producer, *reversed(views)]
