"""One time step of RNN, GRU and LSTM.

Everything has four dimensions: (direction, batch, gate, hidden) for what the inputs contribute to the gates,
(direction, batch, 1, hidden) for states, (direction, batch, 1, 1) for a mask that is 1 in sequences still running.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from dialects.gconv import Dim, GConv, Reduce, Step
from passes.lower_onnx.broadcasting import binary, unary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.post import Post
from passes.lower_onnx.recurrent_activations import Steps
from passes.lower_onnx.tensor import Tensor

Gates = tuple[int, int, int]
"""Some gates in the order of the weights: first, number, distance."""


@dataclass(frozen=True)
class Cell(ABC):
    """What all cells have: recurrent weights (direction, previous hidden, gate, hidden), activations, and the steps
    that clip before an activation."""

    chain: Chain
    weights: Tensor
    activations: tuple[Steps, ...]
    clip: Steps

    @abstractmethod
    def step(self, x: Tensor, states: Sequence[Tensor], mask: Tensor | None) -> list[Tensor]:
        """The next states, 0 where the mask is 0; `x` is what the inputs contribute."""

    def product(self, hidden: Tensor, gates: Gates, post: Post) -> Tensor:
        """`hidden` times the weights of some gates, then `post`."""
        kernel = self.weights.slice(2, *gates).insert(1)
        directions, _, previous, count, size = kernel.shape
        batch = hidden.shape[1]
        dims = (
            Dim("D", g=directions),
            Dim("B", opc=batch),
            Dim("K", ks=previous),
            Dim("G", op=count),
            Dim("H", op=size),
        )
        spec = GConv(dims, "mul", Reduce.ADD, post=post.steps)
        hidden = hidden.permute((0, 1, 3, 2)).insert(4)
        result = self.chain.link(spec, hidden, kernel, [extra.insert(2) for extra in post.extras])
        return self.chain.reshape(result, (directions, batch, count, size))


class RnnCell(Cell):
    """H = f(x + R h)"""

    def step(self, x: Tensor, states: Sequence[Tensor], mask: Tensor | None) -> list[Tensor]:
        (f,) = self.activations
        return [
            self.product(states[0], (0, 1, 1), Post().combined("add", x).then(*self.clip, *f).combined("keep", mask))
        ]


@dataclass(frozen=True)
class GruCell(Cell):
    """Gates z (update), r (reset), h (hidden). `late_bias` (direction, 1, gate, hidden) is given if the reset gate
    works on the product of the hidden gate, that is with linear_before_reset; a tensor of no bias is None."""

    linear_before_reset: bool
    late_bias: Tensor | None

    def step(self, x: Tensor, states: Sequence[Tensor], mask: Tensor | None) -> list[Tensor]:
        (hidden,), (f, g) = states, self.activations
        early, last = (0, 2, 1), (2, 1, 1)
        post = Post().combined("add", x.slice(2, *early)).combined("add", self._bias(early))
        gates = self.product(hidden, early, post.then(*self.clip, *f))
        update, reset = gates.slice(2, 0, 1), gates.slice(2, 1, 1)
        if self.linear_before_reset:
            post, source = Post().combined("add", self._bias(last)).combined("mul", reset), hidden
        else:
            post, source = Post(), binary(self.chain, "mul", hidden, reset)
        proposed = self.product(source, last, post.combined("add", x.slice(2, *last)).then(*self.clip, *g))
        # (1 - z) * proposed + z * hidden = (hidden - proposed) * z + proposed
        post = Post().combined("mul", update).combined("add", proposed).combined("keep", mask)
        return [binary(self.chain, "rsub", proposed, hidden, post.steps, post.extras)]

    def _bias(self, gates: Gates) -> Tensor | None:
        return None if self.late_bias is None else self.late_bias.slice(2, *gates)


@dataclass(frozen=True)
class LstmCell(Cell):
    """Gates i (input), o (output), f (forget), c (cell). `peepholes` (direction, 1, i o f, hidden) let gates see the
    cell; with `coupled` (input_forget) f is 1 - i."""

    peepholes: Tensor | None
    coupled: bool

    def step(self, x: Tensor, states: Sequence[Tensor], mask: Tensor | None) -> list[Tensor]:
        hidden, cell = states
        _, g, h = self.activations
        # The output gate's peephole sees the new cell, so only without peepholes it comes with the others.
        first = (0, 2 - self.coupled, 2) if self.peepholes is not None else (0, 3 - self.coupled, 1)
        gates = self._gates(x, hidden, first, cell)
        entering = gates.slice(2, 0, 1)
        if self.coupled:
            kept = binary(self.chain, "mul", cell, entering, (Step("rsub", operand=0),), [cell])
        else:
            kept = binary(self.chain, "mul", cell, gates.slice(2, first[1] - 1, 1))
        post = Post().combined("add", x.slice(2, 3, 1)).then(*self.clip, *g)
        post = post.combined("mul", entering).combined("add", kept).combined("keep", mask)
        cell = self.product(hidden, (3, 1, 1), post)
        leaving = gates.slice(2, 1, 1) if self.peepholes is None else self._gates(x, hidden, (1, 1, 1), cell)
        # ONNX Runtime clips what enters the gates, not the cell.
        post = Post().then(*h).combined("mul", leaving).combined("keep", mask)
        return [unary(self.chain, cell, post.steps, extras=post.extras), cell]

    def _gates(self, x: Tensor, hidden: Tensor, gates: Gates, cell: Tensor) -> Tensor:
        post = Post().combined("add", x.slice(2, *gates))
        if self.peepholes is not None:
            post = post.combined("add", binary(self.chain, "mul", cell, self.peepholes.slice(2, *gates)))
        return self.product(hidden, gates, post.then(*self.clip, *self.activations[0]))
