"""Whether layers on cores become a pipeline, where fusing is asked for: not where that is predicted to cost more.

Pipelines are made for layers on crossbars, beside which what vector units do takes little. These bring the kernel of a
layer again for every row, and in a pipeline few cores share a layer. If nothing is for crossbars, both ways are tried.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import IntegerType, ModuleOp, TensorType

from backends.program import Program
from compiler.targets import Target
from dialects.machine_kinds import parse_machine

WIDTHS = range(2, 17)
"""Bits of integers that crossbars multiply."""
NOT_FUSED = "layers are not fused: as a pipeline they are predicted to move more words and to take no fewer cycles"


@dataclass(frozen=True)
class Way:
    """What a compiled network is predicted to move from and to the shared memory, in words, and to take, in cycles."""

    words: int
    cycles: int

    @staticmethod
    def of(module: ModuleOp, target: Target) -> Way:
        """That of a placed module."""
        from passes.off_chip import off_chip_words

        counts = target.backend.predict(module).values()
        words = sum(off_chip_words(each, target.machine) for each in counts)
        return Way(words, sum(each.cycles or 0 for each in counts))

    def is_worse_than(self, other: Way) -> bool:
        """Whether it moves more, and is no faster for that."""
        return self.words > other.words and self.cycles >= other.cycles


def may_use_crossbars(module: ModuleOp) -> bool:
    """Whether there are tensors of integers that crossbars multiply."""
    types = (value.type for op in module.walk() for value in op.results)
    elements = (each.get_element_type() for each in types if isinstance(each, TensorType))
    return any(isinstance(each, IntegerType) and each.width.data in WIDTHS for each in elements)


def remark_on(program: Program, *, fuse: bool) -> str:
    """A line about a program of cores whose layers should have been fused and are not; empty for others."""
    if not fuse:
        return ""
    machine = parse_machine(program.metadata.description, where="the program's target")
    return NOT_FUSED if machine.runs_on_cores and not machine.pipelines_layers else ""
