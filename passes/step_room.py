"""How many scalar functions a link may have before and after it, and how many tensors those after it may read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from xdsl.dialects.builtin import ModuleOp

from dialects.gconv import LinkOp, Step
from dialects.target import find_machine
from passes.chain_views import is_constant
from passes.elementwise import Applied

_LINEAR = frozenset({"affine", "neg", "add", "sub", "rsub", "mul", "div"})
"""Functions that are a multiplication and an addition if their operand is constant."""


@dataclass(frozen=True)
class StepRoom:
    """Pre steps, post steps and post operands that a link may have; None: any number."""

    pre: int | None = None
    post: int | None = None
    operands: int | None = None

    @classmethod
    def of(cls, module: ModuleOp, post: int | None = None, operands: int | None = None) -> StepRoom:
        """The given numbers; those of the module's machine, if it names one, where none is given."""
        machine = find_machine(module)
        if machine is None:
            return cls(None, post, operands)
        limits = machine.limits
        return cls(
            limits.pre_steps,
            limits.post_steps if post is None else post,
            limits.post_operands if operands is None else operands,
        )

    def holds(self, post: Sequence[Step]) -> bool:
        """Whether a link may have these post steps."""
        return self._is_within(len(post), len({step.operand for step in post if step.operand is not None}))

    def will_hold(self, link: LinkOp, more: Sequence[Applied]) -> bool:
        """Whether a link may have more post steps, each of which reads a tensor of its own, once constants are folded.

        Multiplications and additions of constants, one after another, become one of each, or a single function if the
        constants are numbers (`passes.fold_weights`).
        """
        flows = [
            (step.function, step.operand is not None, step.operand is None or is_constant(link.extras[step.operand]))
            for step in link.spec.post
        ]
        flows += [
            (each.step.function, each.operand is not None, each.operand is None or is_constant(each.operand.base))
            for each in more
        ]
        steps = operands = 0
        for folds, run in groupby(flows, key=lambda flow: flow[0] in _LINEAR and flow[2]):
            reads = [reads for _, reads, _ in run]
            steps += min(len(reads), 2 if any(reads) else 1) if folds else len(reads)
            operands += min(sum(reads), 2) if folds else sum(reads)
        return self._is_within(steps, operands)

    def _is_within(self, steps: int, operands: int) -> bool:
        return (self.post is None or steps <= self.post) and (self.operands is None or operands <= self.operands)
