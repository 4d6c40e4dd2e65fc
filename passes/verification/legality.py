"""Stage legality: which ops may stand in a module after a stage, and what they must carry by then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from xdsl.ir import Operation

from passes.verification.problems import Problem, name_of

STRUCTURE = frozenset({"builtin.module", "func.func", "func.return"})
"""Ops that are legal at every stage."""


@dataclass(frozen=True)
class Legality:
    """The ops that may remain: whole dialects, single ops, and the properties an op must have.

    `required` maps an op name to the properties each such op must carry; what stands inside another such op leaves them
    to that.
    """

    dialects: frozenset[str] = frozenset()
    ops: frozenset[str] = frozenset()
    required: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def allows(self, op: Operation) -> bool:
        """Whether this kind of op may stand in the module."""
        return op.name in STRUCTURE or op.name in self.ops or op.dialect_name() in self.dialects

    def extended(self, dialects: frozenset[str]) -> Legality:
        """The same rule with more dialects."""
        return Legality(self.dialects | dialects, self.ops, self.required)

    def problems(self, ops: Iterable[Operation], stage: str) -> Iterator[Problem]:
        """One problem for each op that is not legal after `stage`."""
        for op in ops:
            if not self.allows(op):
                yield Problem(
                    op,
                    "CAT-R003",
                    f"the op is not legal after stage {stage}",
                    expected=self.describe(),
                    found=name_of(op),
                )
            around = op.parent_op()
            if around is not None and around.name in self.required:
                continue
            for name in self.required.get(op.name, ()):
                if name not in op.properties:
                    yield Problem(op, "CAT-R003", f"the op has no {name} after stage {stage}")

    def describe(self) -> str:
        """The legal dialects and ops in one line."""
        return ", ".join([*sorted(f"{name}.*" for name in self.dialects), *sorted(self.ops), *sorted(STRUCTURE)])
