"""The first pair of convolutions of ResNet-18, without padding, under the fused mappings whose figures are known.

F1 (64, 60, 60) -W1-> F2 (64, 58, 58) -W2-> F3 (64, 56, 56), words of one byte. The first five rows are measured with
LoopTree's own model, the others with a walk of its definition.
"""

from __future__ import annotations

from dataclasses import dataclass

from dialects.fused_mapping import FusedMapping, Retention, Stages
from dialects.gconv.spec import LoopKind
from dialects.schedule import Loop, Temporal
from tests.passes.fusion.groups import conv_pair

GROUP = conv_pair(60, 64)

FIRST, SECOND = 58 * 58 * 64 * 64 * 9, 56 * 56 * 64 * 64 * 9
"""Operations of the two links, each done once."""

FLOOR = 230_400 + 2 * 36_864 + 200_704
"""Words that any mapping moves: F1, W1, W2 and F3 once."""


@dataclass(frozen=True)
class Row:
    """A mapping and its figures: words on the chip, words that cross its border, operations of the first link."""

    name: str
    mapping: FusedMapping
    capacity: int
    offchip: int
    first: int = FIRST
    held: tuple[int, int, int] | None = None
    """Most words held of F1, F2 and F3, where known."""
    slow: bool = False
    """Whether its turns are too many to walk in a second."""


def mapping(
    loops: str,
    f1: int,
    f2: int,
    reuse: tuple[bool, bool] = (True, True),
    f3: int | None = None,
    weights: tuple[int, int] = (0, 0),
    stages: Stages = Stages.SEQUENTIAL,
) -> FusedMapping:
    """All on the chip's one memory; levels of the tensors, F3 below all loops unless stated.

    `loops` are tiles of the second convolution's rows P (H.opc), columns Q (W.opc), made channels M (C.op) and read
    channels C (C.ks): "P4 Q4".
    """
    ranks = {
        "P": Loop("H", LoopKind.OPC),
        "Q": Loop("W", LoopKind.OPC),
        "M": Loop("C", LoopKind.OP),
        "C": Loop("C", LoopKind.KS),
    }
    nodes = tuple(Temporal(ranks[loop[0]], int(loop[1:])) for loop in loops.split())
    return FusedMapping(
        nodes,
        (
            Retention("f1", "glb", f1, reuse[0]),
            Retention("w1", "glb", weights[0]),
            Retention("conv1.out", "glb", f2, reuse[1]),
            Retention("w2", "glb", weights[1]),
            Retention("conv2.out", "glb", len(nodes) if f3 is None else f3),
        ),
        stages,
    )


PIPELINED = mapping("P1", 1, 1, stages=Stages.PIPELINE)
"""As a pipeline of both links, 107,648 words and 126,074,880 steps of one operation, instead of FIRST + SECOND."""

_LOST = 179_601_408
"""Operations of the first link where tiles of 4 rows, or of 4 x 4, lose the overlap along the rows."""

ROWS = (
    Row("P4, halo kept", mapping("P4", 1, 1), 141_056, FLOOR, held=(30_720, 22_272, 14_336)),
    Row("P4, F2 made again", mapping("P4", 1, 1, (True, False)), 141_056, FLOOR, _LOST, (30_720, 22_272, 14_336)),
    Row("P4Q4, band kept", mapping("P4 Q4", 1, 1), 127_744, FLOOR, held=(30_720, 22_272, 1_024)),
    Row("P4Q4, kept along Q only", mapping("P4 Q4", 2, 2), 81_152, 704_512, _LOST, (4_096, 2_304, 1_024)),
    Row("P4Q4, F1 band, F2 along Q", mapping("P4 Q4", 1, 2), 107_776, FLOOR, _LOST, (30_720, 2_304, 1_024)),
    Row("P1, halo kept", mapping("P1", 1, 1), 107_648, FLOOR),
    Row("P1Q1, band kept", mapping("P1 Q1", 1, 1), 104_128, FLOOR, slow=True),
    Row("P1Q1, F1 band, F2 along Q", mapping("P1 Q1", 1, 2), 93_568, FLOOR, 3 * 56 * 58 * 64 * 576, slow=True),
    Row("P2, halo kept", mapping("P2", 1, 1), 118_784, FLOOR),
    Row("P7, halo kept", mapping("P7", 1, 1), 174_464, FLOOR),
    Row("P14, halo kept", mapping("P14", 1, 1), 252_416, FLOOR),
    Row("P28, halo kept", mapping("P28", 1, 1), 408_320, FLOOR),
    Row("P7, nothing kept", mapping("P7", 1, 1, (False, False)), 174_464, 612_352, 8 * 9 * 58 * 64 * 576),
    Row("P14, nothing kept", mapping("P14", 1, 1, (False, False)), 252_416, 550_912, 4 * 16 * 58 * 64 * 576),
    Row("P28, nothing kept", mapping("P28", 1, 1, (False, False)), 408_320, 520_192, 2 * 30 * 58 * 64 * 576),
    Row("P14Q4, kept along Q only", mapping("P14 Q4", 2, 2), 92_672, 550_912, 4 * 16 * 58 * 64 * 576),
    Row("P2Q4, F1 along Q, F2 band", mapping("P2 Q4", 2, 1), 92_160, 712_192),
    Row("C8, F1 and F3 whole", mapping("C8", 0, 1, f3=0, weights=(1, 1)), 467_232, FLOOR),
    Row("M8, F1 and F2 whole", mapping("M8", 0, 0, weights=(0, 1)), 512_256, FLOOR),
)
