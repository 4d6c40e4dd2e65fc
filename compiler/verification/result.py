"""What verification finds: every comparison, and of a wrong layer where it is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compiler.displaying import Displayed, Part
from compiler.host_summary import HostSegment
from compiler.localising.evidence import Evidence, Stop, WrongOutputs
from compiler.verification.comparison import Comparison
from compiler.verification.text import comparison_table
from dialects.diagnostics import Diagnostic

if TYPE_CHECKING:
    from compiler.localising.locating import Location
    from compiler.localising.reproducer import Reproducer


ON_CHIP = "what it makes stays on the chip, so that only the results of its group are compared"
TOGETHER = "what it makes of a tensor is compared with what other layers of its group make of it"
UNKNOWN = "the model has no such tensor: it is part of an operator, whose result is compared"
"""Why a layer is not compared by itself."""


@dataclass(frozen=True)
class NotCompared:
    """A layer none of whose results is compared by itself, and why."""

    subject: str
    nodes: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Verification(Displayed):
    """All layers in program order, each alone with the reference's inputs; then the outputs from end to end.

    `host_segments` are those among the layers that ONNX Runtime executed, as it did for the reference.
    """

    layers: tuple[Comparison, ...]
    outputs: tuple[Comparison, ...]
    host_segments: tuple[HostSegment, ...] = ()
    evidence: Evidence | None = None
    """Of the first wrong layer that an emulator ran."""
    location: Location | None = None
    """Where that layer goes wrong, once somebody has looked."""
    reproducer: Reproducer | None = None
    faults: tuple[Diagnostic, ...] = ()
    """What stopped the emulator in the last of the layers, or in the whole program; nothing after it is compared."""
    stop: Stop | None = None
    """The run of the whole program that stopped, if the layers ran one by one."""
    wrong_outputs: WrongOutputs | None = None
    """The run of the whole program whose outputs are wrong, if every layer alone is right."""
    inside: tuple[NotCompared, ...] = ()
    """Layers of groups that ran, and have no comparison of their own."""

    @property
    def not_compared(self) -> tuple[NotCompared, ...]:
        """Layers that ran without being compared by themselves."""
        unknown = (NotCompared(each.subject, each.nodes, UNKNOWN) for each in self.layers if each.error is None)
        return (*self.inside, *unknown)

    def displayed(self) -> Iterable[Part]:
        """What notebooks show."""
        return [comparison_table((*self.layers, *self.outputs))]

    @property
    def is_equal(self) -> bool:
        """Whether everything is within the tolerance."""
        return not self.faults and all(each.is_equal for each in (*self.layers, *self.outputs))

    @property
    def first_wrong(self) -> Comparison | None:
        """The first layer that differs, else the first output that does."""
        return next((each for each in (*self.layers, *self.outputs) if not each.is_equal), None)

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What stopped the emulator, then one problem for everything that differs, the first wrong layer first."""
        differing = tuple(
            Diagnostic(
                "CAT-V001",
                f"{each.subject} {'does not come to its end' if each.stopped else 'differs from the reference'}",
                stage="verification",
                node=" + ".join(each.nodes),
                expected="" if each.stopped else each.unit.text(each.tolerance, "at most"),
                found=each.worst if each.stopped else f"{each.error:.3g} {each.worst}",
            )
            for each in (*self.layers, *self.outputs)
            if not each.is_equal
        )
        return (*self.faults, *differing)
