"""The mapping of a fused group, as data: loops around all of its links, and what is retained between their turns.

The design space is LoopTree's (Gilbert, Wu, Emer, Sze: arXiv 2409.13625, section 4). Loops between layers cut ranks of
the *head*, the one link of the group whose result nobody in the group reads. Everything else follows from the head's
tile: what its links read, what their makers must have made, back to the tensors that lie off-chip.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from io import StringIO

from xdsl.printer import Printer

from dialects.gemm_mapping import GemmMapping, Nest
from dialects.multicore_mapping import CrossbarMapping, VectorMapping
from dialects.schedule import Loop, Mapping, Temporal

Branch = Nest | CrossbarMapping | VectorMapping
"""What a link does in a turn: a nest, or how it is laid over cores."""


class Stages(StrEnum):
    """How the links of a group take turns within one turn of the loops around them."""

    SEQUENTIAL = "sequential"
    PIPELINE = "pipeline"


@dataclass(frozen=True)
class Retention:
    """Where a tensor of a group lies on the chip, and for how long.

    Its place stands below the first `level` loops: it holds what one turn of these loops needs of the tensor (all of it
    for 0), and what the next turn needs as well stays there. With `level` None the place stands within the links that
    use the tensor and is theirs for their own turn only, so that nothing stays; a link whose own mapping stores the
    tensor in that memory below loops brings it in pieces, each as large as those loops leave it. Without `reuse`
    nothing stays either, although the place is there: what the next turn needs is fetched again, or made again by the
    links of the group.

    All of a `resident` tensor is on the chip before the group begins or after it ends, so that the group neither
    fetches nor sends it; its place is above all loops.
    """

    tensor: str
    memory: str
    level: int | None = 0
    reuse: bool = True
    resident: bool = False


@dataclass(frozen=True)
class FusedMapping:
    """Loops of the head, outermost first, the retention of every tensor, and what each link does within a turn."""

    loops: tuple[Temporal, ...]
    retentions: tuple[Retention, ...]
    stages: Stages = Stages.SEQUENTIAL
    branches: tuple[tuple[str, Branch], ...] = ()
    """The mapping of a link's part in one turn, by the name of the link."""

    def retention(self, tensor: str) -> Retention:
        """How a tensor is retained. Raises `KeyError` if the mapping does not say."""
        for each in self.retentions:
            if each.tensor == tensor:
                return each
        raise KeyError(tensor)

    @property
    def in_order(self) -> FusedMapping:
        """The same with retentions in the order in which they are written, that of their levels."""
        inside = len(self.loops) + 1
        ordered = sorted(self.retentions, key=lambda each: inside if each.level is None else each.level)
        return replace(self, retentions=tuple(ordered))

    @property
    def nests(self) -> dict[str, Nest]:
        """The mappings of links that are nests, by link."""
        return {link: branch for link, branch in self.branches if isinstance(branch, Mapping | GemmMapping)}

    def position(self, loop: Loop) -> int | None:
        """Which of the loops cuts a loop of the head."""
        for index, node in enumerate(self.loops):
            if node.loop == loop:
                return index
        return None


def quoted(name: str) -> str:
    """A name as IR text has it."""
    stream = StringIO()
    Printer(stream).print_string_literal(name)
    return stream.getvalue()
