"""A general convolution as plain data: what `gconv.link` holds, what the interpreter runs.

Formal definition (every dimension d, all indices from 0):

    i_d = g * (I_d / G_d) + (opc * stride + ks * dilation - pad) / up
    k_d = (g * OP_d + op) * KS_d + ks
    o_d = (g * OP_d + op) * OPC_d + opc
    O[o] = post( reduce over ks ( mid( main( pre(I[i]), K[k] ) ) ) )

Where i_d lies outside its group or is fractional, the pad value stands for pre(I[i]): it does not pass through `pre`.

Types: `pre` computes in the input's type; its results and the kernel's words are cast to `acc` (the input's type
unless stated), in which main, mid and the reduction compute; post goes on in that type, and cast steps (`to_int32`
...) change it along the way; what comes out is cast to the output's type. Integers wrap around. Sums and products of
several floats are rounded once: words are cast to float64 instead of `acc`, and the result to `acc` before post.

`g` indexes all three tensors, `op` kernel and output, `opc` input and output, `ks` input and kernel (and is reduced).
Without a kernel, `op` says how often a result is repeated; its body runs once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class LoopKind(StrEnum):
    """The four ways an index can occur in a general convolution."""

    G = "g"
    OP = "op"
    OPC = "opc"
    KS = "ks"


class Reduce(StrEnum):
    """How the kernel-extent loops are folded; `NONE` needs all their counts to be 1."""

    NONE = "none"
    ADD = "add"
    MAX = "max"
    MIN = "min"
    MUL = "mul"

    @property
    def identity(self) -> float:
        """The value that changes nothing: what padding reads as."""
        return {"none": 0.0, "add": 0.0, "max": -math.inf, "min": math.inf, "mul": 1.0}[self.value]


def partial_type(acc: str, reduce: Reduce, terms: int) -> str:
    """NumPy name of the type that main, mid and a reduction of `terms` values compute in before a cast to `acc`.

    Float64 holds every product of two float32 words, and its roundings of sums are rarely seen once these are rounded
    to float32: results do not depend on the order of summation, but for few last places.
    """
    is_rounded_once = reduce in (Reduce.ADD, Reduce.MUL) and terms > 1 and acc in ("float16", "float32")
    return "float64" if is_rounded_once else acc


PASS = "pass"
"""The main operator of a link without a kernel: the input value itself."""


@dataclass(frozen=True)
class Dim:
    """One dimension: four loop counts, and how output and kernel positions address the input.

    `up` is the input dilation (a transposed convolution's stride); a negative `pad` crops.
    """

    name: str
    g: int = 1
    op: int = 1
    opc: int = 1
    ks: int = 1
    stride: int = 1
    dilation: int = 1
    pad: int = 0
    up: int = 1

    def count(self, kind: LoopKind) -> int:
        """The loop count of one kind."""
        # asked for very often
        if kind is LoopKind.G:
            return self.g
        if kind is LoopKind.OP:
            return self.op
        return self.opc if kind is LoopKind.OPC else self.ks

    @property
    def output_extent(self) -> int:
        return self.g * self.op * self.opc

    @property
    def kernel_extent(self) -> int:
        return self.g * self.op * self.ks

    @property
    def window(self) -> tuple[int, int]:
        """First and last position read in the dilated input of one group, padding included."""
        return -self.pad, (self.opc - 1) * self.stride + (self.ks - 1) * self.dilation - self.pad

    @property
    def is_window(self) -> bool:
        """Whether neighbouring outputs can share input words."""
        return self.ks > 1 and self.opc > 1

    @property
    def is_plain(self) -> bool:
        """Whether input positions are just the output or kernel index (no stride, dilation, padding)."""
        return self.stride == self.dilation == self.up == 1 and self.pad == 0 and not self.is_window


@dataclass(frozen=True)
class Step:
    """One scalar function of `pre`, `mid` or `post`; `operand` indexes the link's extra operands (post only)."""

    function: str
    parameters: tuple[float, ...] = ()
    operand: int | None = None


BIT_CASTS = {"bits_to_int32": "int32", "bits_to_float32": "float32"}
"""The scalar functions that keep the 32 bits of a word and read them as another type, and NumPy's name of that type."""

CASTS = {
    **{
        f"to_{name}": name
        for name in ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32")
    },
    **BIT_CASTS,
}
"""The scalar functions that change the type of what flows through a link, and NumPy's name of that type."""


def cast_of(step: Step) -> str | None:
    """The type that a step casts to, None if it keeps the type."""
    return CASTS.get(step.function)


def cast_to(dtype: str) -> Step | None:
    """The step that casts to a type, None if there is none."""
    return Step(f"to_{dtype}") if f"to_{dtype}" in CASTS else None


@dataclass(frozen=True)
class GConv:
    """A general convolution without its tensors."""

    dims: tuple[Dim, ...]
    main: str = PASS
    reduce: Reduce = Reduce.NONE
    pre: tuple[Step, ...] = ()
    mid: tuple[Step, ...] = ()
    post: tuple[Step, ...] = ()
    pad_value: float | None = None
    acc: str | None = None
    """NumPy name of the type before post; the input's unless stated."""

    @property
    def bare(self) -> GConv:
        """The same loops, main operator and reduction without scalar functions: all that a mapping depends on."""
        return GConv(self.dims, self.main, self.reduce)

    @property
    def padding(self) -> float:
        """The value that stands for pre(I) outside the input: the reduction's identity unless stated."""
        return self.reduce.identity if self.pad_value is None else self.pad_value

    @property
    def output_shape(self) -> tuple[int, ...]:
        return tuple(dim.output_extent for dim in self.dims)

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        return tuple(dim.kernel_extent for dim in self.dims)

    def worked(self, dim: Dim, kind: LoopKind) -> int:
        """The indices of a loop that are worked through: without a kernel, `op` only repeats what is done already."""
        return 1 if kind is LoopKind.OP and self.main == PASS else dim.count(kind)

    @property
    def trips(self) -> int:
        """Executions of the innermost body: the product of all loop counts that are worked through."""
        return math.prod(self.worked(dim, kind) for dim in self.dims for kind in LoopKind)

    @property
    def words(self) -> int:
        """The words of its larger end: of the result, or of the input with all that the windows span around it."""
        spans = (last - first + 1 for first, last in (dim.window for dim in self.dims))
        padded = math.prod(dim.g * span for dim, span in zip(self.dims, spans, strict=True))
        return max(padded, math.prod(self.output_shape))

    def partial_type(self, input: str) -> str:
        """NumPy name of the type that main, mid and the reduction compute in, for an input of type `input`."""
        return partial_type(self.acc or input, self.reduce, math.prod(dim.ks for dim in self.dims))

    def flow(self, input: str) -> str:
        """The type of what post makes, before it is cast to the output's, for an input of type `input`."""
        casts = [result for step in self.post if (result := cast_of(step)) is not None]
        return casts[-1] if casts else self.acc or input

    @property
    def is_multiply_accumulate(self) -> bool:
        """Whether a trip is a MAC (otherwise it counts as one other operation)."""
        return self.main == "mul" and self.reduce is Reduce.ADD
