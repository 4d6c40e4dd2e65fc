"""Pass `toychip-split-clips`: the chip's scalar unit compares with one bound at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from dialects.gconv import LinkOp, Step, StepsAttr


@dataclass(frozen=True)
class SplitClipsPass(ModulePass):
    """Split every clip of an output with two bounds into two clips with one bound each."""

    name = "toychip-split-clips"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for link in op.walk():
            if isinstance(link, LinkOp) and link.post is not None:
                link.properties["post"] = StepsAttr(tuple(part for step in link.post.data for part in _parts(step)))


def _parts(step: Step) -> tuple[Step, ...]:
    if step.function != "clip" or not all(math.isfinite(bound) for bound in step.parameters):
        return (step,)
    low, high = step.parameters
    return (Step("clip", (low, math.inf)), Step("clip", (-math.inf, high)))
