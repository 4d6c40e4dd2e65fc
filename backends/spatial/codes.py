"""Numbers that instructions have for loops, reductions, tensors, words, memories and axes."""

from __future__ import annotations

from enum import IntEnum


class Kind(IntEnum):
    """The four loops of a dimension of a general convolution."""

    G = 0
    OP = 1
    OPC = 2
    KS = 3


class Fold(IntEnum):
    """Reductions."""

    NONE = 0
    ADD = 1
    MAX = 2
    MIN = 3
    MUL = 4


class Slot(IntEnum):
    """Where a scalar function is applied."""

    PRE = 0
    MID = 1
    POST = 2


class Tensor(IntEnum):
    """The tensors of a layer; EXTRA0 to EXTRA11 are operands of post functions, indices make addresses.

    BITMAPS say which words of a kernel in blocks there are.
    """

    INPUT = 0
    KERNEL = 1
    OUTPUT = 2
    EXTRA0 = 3
    EXTRA1 = 4
    EXTRA2 = 5
    EXTRA3 = 6
    EXTRA4 = 7
    EXTRA5 = 8
    EXTRA6 = 9
    EXTRA7 = 10
    EXTRA8 = 11
    EXTRA9 = 12
    EXTRA10 = 13
    EXTRA11 = 14
    INPUT_INDEX = 15
    OUTPUT_INDEX = 16
    BITMAPS = 17


INDICES = {Tensor.INPUT: Tensor.INPUT_INDEX, Tensor.OUTPUT: Tensor.OUTPUT_INDEX}
"""The tensors that can be addressed by an index, and that index."""


class Word(IntEnum):
    """Element types of words; the names are those of MLIR, `ui` for unsigned integers."""

    F32 = 0
    I1 = 1
    I8 = 2
    UI8 = 3
    I16 = 4
    UI16 = 5
    I32 = 6
    UI32 = 7
    I64 = 8
    UI64 = 9
    I4 = 10
    UI4 = 11
    I2 = 12
    UI2 = 13
    F8E4M3FN = 16
    F8E4M3FNUZ = 17
    F8E5M2 = 18
    F8E5M2FNUZ = 19
    F8E8M0FNU = 20
    F4E2M1FN = 21


class Memory(IntEnum):
    """On-chip memories."""

    GLB = 0
    SPAD = 1


BUFFER = 1
"""The memory that holds of groups lie in, as instructions count memories: 0 is off-chip."""


class Axis(IntEnum):
    """Array axes."""

    ROW = 0
    COL = 1
