"""fuse-pre: scalar functions into the link that reads them (rule F3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from dataclasses import replace as replaced

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block
from xdsl.passes import ModulePass

from dialects.gconv import LinkOp, Step, element_type_of_value, shape_of
from passes.chain_views import Source, only_reader_of, source_of
from passes.elementwise import elementwise, unary_steps
from passes.rewriting import chain_blocks, replace
from passes.step_room import StepRoom

ALU_FUNCTIONS = frozenset((
    "affine", "clip", "saturate", "abs", "neg", "sign", "square", "relu", "leaky_relu", "not", "nonzero",
))  # fmt: skip
"""Scalar functions of at most one multiplication, addition and comparison: one operation each. Others cost a table."""

TABLE_COST = 8
"""Operations that a function outside `ALU_FUNCTIONS` is taken to cost."""


@dataclass(frozen=True)
class FusePrePass(ModulePass):
    """Move links of scalar functions into the pre steps of the one link that reads them.

    A link A that applies only unary functions, element by element, is absorbed by its only reader B as B's pre. A
    padding value does not pass through pre, so padded windows stay right. B applies pre at every trip: with parallel
    kernels or overlapping windows several times per word. A is absorbed if that costs no more than it saves,

        cost(A) * (trips(B) - words(A)) <= word-cost * 2 * words(A)

    where cost(A) counts 1 for functions of one ALU operation and 8 for others, and the 2 * words(A) words are those
    that A wrote and B read. `word-cost` is the cost of a DRAM word in operations (200 in the Eyeriss papers).
    Run it after fuse-elementwise: what can be a post step is computed once.
    """

    name = "fuse-pre"

    word_cost: int = 200

    def __post_init__(self) -> None:
        if self.word_cost < 0:
            raise ValueError("word-cost must not be negative")

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every function. Raises `CatenaError` (CAT-R003) for functions of several blocks."""
        room = StepRoom.of(op)
        for block in chain_blocks(op, self.name):
            self._rewrite(block, room)

    def _rewrite(self, block: Block, room: StepRoom) -> None:
        # Backwards, so that a reader has its own reader's place already when its producer looks at it.
        for link in reversed(list(block.ops)):
            if link.parent is None or not isinstance(link, LinkOp) or link.mapping is not None:
                continue
            reader = only_reader_of(link.result)
            steps = unary_steps(link)
            if not isinstance(reader, LinkOp) or reader.mapping is not None or steps is None:
                continue
            if room.pre is None or len(steps) + len(reader.spec.pre) <= room.pre:
                self._absorb(link, steps, reader)

    def _absorb(self, link: LinkOp, steps: tuple[Step, ...], reader: LinkOp) -> None:
        source = _read_through(link, reader)
        if source is None or not self._pays(link, steps, reader):
            return
        views, value = source.materialise()
        spec = replaced(reader.spec, pre=(*steps, *reader.spec.pre))
        fused = LinkOp.of(
            spec,
            value,
            reader.kernel,
            list(reader.extras),
            tensor=reader.tensor.data if reader.tensor else None,
            element_type=element_type_of_value(reader.result),
        )
        replace(reader, [*views, fused], fused.result, [link])

    def _pays(self, link: LinkOp, steps: tuple[Step, ...], reader: LinkOp) -> bool:
        words = math.prod(shape_of(link.result))
        cost = sum(1 if step.function in ALU_FUNCTIONS else TABLE_COST for step in steps)
        return cost * (reader.spec.trips - words) <= self.word_cost * 2 * words


def _read_through(link: LinkOp, reader: LinkOp) -> Source | None:
    """What the reader's input is a view of when it takes the link's input instead of its result."""
    form = elementwise(link)
    seen = source_of(reader.input)
    if form is None or seen.base is not link.result:
        return None
    return form.input.through(seen.view)
