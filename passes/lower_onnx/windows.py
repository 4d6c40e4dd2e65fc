"""Sliding windows of convolutions and pools: stride, dilation and padding of every spatial dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dialects.gconv import Dim
from passes.lower_onnx.constraints import attribute_is
from passes.lower_onnx.lowering import constraint
from passes.lower_onnx.node import Node

SPATIAL_NAMES = {1: ("W",), 2: ("H", "W"), 3: ("D", "H", "W")}

AUTO_PAD = attribute_is("auto_pad", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


@constraint(hint="fold the extra dimensions into the batch, or split the kernel")
def spatial_rank(node: Node) -> str | None:
    """the input has one to three spatial dimensions"""
    rank = len(node.shape(0)) - 2
    return None if rank in SPATIAL_NAMES else f"{max(rank, 0)} spatial dimensions"


@dataclass(frozen=True)
class Window:
    """A window along one spatial dimension; `low` and `high` are the words padded before and after the input."""

    name: str
    kernel: int
    stride: int
    dilation: int
    low: int
    high: int
    input: int
    output: int

    @property
    def is_strided_point(self) -> bool:
        """Whether the window only picks every `stride`-th input word."""
        return self.kernel == 1 and self.stride > 1 and self.low == 0 and (self.output - 1) * self.stride < self.input

    @property
    def dim(self) -> Dim:
        """The window as a dimension of a link; padding after the input follows from the output extent."""
        return Dim(
            self.name,
            opc=self.output,
            ks=self.kernel,
            stride=self.stride if self.output > 1 else 1,
            dilation=self.dilation if self.kernel > 1 else 1,
            pad=self.low,
        )


def windows_of(node: Node, kernel: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]) -> list[Window]:
    """The windows of a convolution or pool from spatial extents `inputs` to `outputs`.

    `auto_pad` SAME pads what the output extent needs, the odd word after the input (UPPER) or before it (LOWER).
    """
    rank = len(kernel)
    strides = node.integers("strides") or (1,) * rank
    dilations = node.integers("dilations") or (1,) * rank
    pads = node.integers("pads") or (0,) * (2 * rank)
    mode = node.text("auto_pad", "NOTSET")
    windows: list[Window] = []
    for axis, name in enumerate(SPATIAL_NAMES[rank]):
        low, high = pads[axis], pads[rank + axis]
        if mode != "NOTSET":
            reach = (outputs[axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1
            total = 0 if mode == "VALID" else max(0, reach - inputs[axis])
            low = total - total // 2 if mode == "SAME_LOWER" else total // 2
            high = total - low
        windows.append(
            Window(name, kernel[axis], strides[axis], dilations[axis], low, high, inputs[axis], outputs[axis])
        )
    return windows
