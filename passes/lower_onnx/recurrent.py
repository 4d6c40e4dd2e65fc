"""RNN, GRU and LSTM: one product of all inputs, then the time steps one after another.

Both directions of a bidirectional operator run in the same links, a `g` loop over the directions, unless they have
different activations: what they read at one step lies at opposite times, which is one strided view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dialects.gconv import Dim, GConv, Reduce, Step, View
from passes.lower_onnx.broadcasting import binary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import attribute_is
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.post import Post
from passes.lower_onnx.recurrent_activations import Steps, activations_of, known_activations
from passes.lower_onnx.recurrent_cells import Cell, GruCell, LstmCell, RnnCell
from passes.lower_onnx.tensor import Tensor

_DIRECTION = attribute_is("direction", "forward", "reverse", "bidirectional")

MOST_STEPS = 1 << 13
"""Time steps, each of which becomes links of its own."""


@constraint(hint="give the network shorter sequences")
def steps_within_limit(node: Node) -> str | None:
    """the sequence has at most 8192 time steps, which run one after another"""
    steps = node.shape(0)[1 if node.integer("layout") else 0]
    return None if steps <= MOST_STEPS else f"{steps} time steps"


_RULES = (_DIRECTION, steps_within_limit)


@dataclass(frozen=True)
class _Lane:
    """Directions of the operator that run together; `backwards` says which of them start at the end."""

    directions: tuple[int, ...]
    backwards: tuple[bool, ...]

    def of(self, tensor: Tensor) -> Tensor:
        """The lane's part of a tensor (direction, ...)."""
        return tensor.slice(0, self.directions[0], len(self.directions))

    def at(self, step: int, tensor: Tensor) -> Tensor:
        """What the lane reads at a step: (direction, ...) of a tensor (time, direction, ...)."""
        steps, (over_time, over_directions, *strides) = tensor.shape[0], tensor.view.strides
        places = [
            (steps - 1 - step if backwards else step) * over_time + direction * over_directions
            for direction, backwards in zip(self.directions, self.backwards, strict=True)
        ]
        shape = (len(places), *tensor.shape[2:])
        return Tensor(tensor.base, View(shape, (places[-1] - places[0], *strides), tensor.view.offset + places[0]))


@dataclass(frozen=True)
class _Layer:
    """What the three operators share: `gates` weight matrices a direction; the node's inputs in the default layout."""

    node: Node
    chain: Chain
    gates: int

    @property
    def directions(self) -> int:
        return self.node.shape(1)[0]

    @property
    def hidden(self) -> int:
        return self.node.shape(2)[2]

    @property
    def batch_first(self) -> bool:
        return bool(self.node.integer("layout"))

    @property
    def inputs(self) -> Tensor:
        """(time, batch, input)"""
        x = self.chain.input(self.node, 0)
        return x.permute((1, 0, 2)) if self.batch_first else x

    def lanes(self, activations: Sequence[tuple[Steps, ...]]) -> list[_Lane]:
        """The directions, together where their activations are the same."""
        reverse = self.node.text("direction", "forward") == "reverse"
        backwards = (False, True) if self.directions == 2 else (reverse,)
        if self.directions == 2 and activations[0] != activations[1]:
            return [_Lane((d,), (backwards[d],)) for d in range(2)]
        return [_Lane(tuple(range(self.directions)), backwards)]

    def bias(self, half: int) -> Tensor | None:
        """The biases of the inputs (0) or of the recurrence (1): (direction, 1, gate, hidden)."""
        bias, size = self.chain.optional_input(self.node, 3), self.gates * self.hidden
        if bias is None:
            return None
        return self.chain.reshape(bias.slice(1, half * size, size), (self.directions, 1, self.gates, self.hidden))

    def projected(self, with_recurrent_bias: bool) -> Tensor:
        """What the inputs and biases contribute to every gate: (time, direction, batch, gate, hidden)."""
        x, weights = self.inputs, self.chain.input(self.node, 1)
        steps, batch, _ = x.shape
        directions, size, inputs = weights.shape
        post = Post()
        for half in (0, 1) if with_recurrent_bias else (0,):
            bias = self.bias(half)
            post = post.combined("add", None if bias is None else self._biases_in_a_row(bias))
        dims = (
            Dim("T", opc=steps),
            Dim("B", opc=batch),
            Dim("K", ks=inputs),
            Dim("D", op=directions),
            Dim("G", op=size),
        )
        spec = GConv(dims, "mul", Reduce.ADD, post=post.steps)
        result = self.chain.link(spec, x.insert(3, 4), weights.permute((2, 0, 1)).insert(0, 1), post.extras)
        shape = (steps, batch, directions, self.gates, self.hidden)
        return self.chain.reshape(result, shape).permute((0, 2, 1, 3, 4))

    def _biases_in_a_row(self, bias: Tensor) -> Tensor:
        """Biases as an operand of the product of the inputs: (1, 1, 1, direction, gate * hidden)."""
        return self.chain.reshape(bias, (1, 1, 1, self.directions, self.gates * self.hidden))

    def weights(self, lane: _Lane) -> Tensor:
        """The recurrent weights: (direction, previous hidden, gate, hidden)."""
        weights = lane.of(self.chain.input(self.node, 2))
        shape = (len(lane.directions), self.gates, self.hidden, self.hidden)
        return self.chain.reshape(weights, shape).permute((0, 3, 1, 2))

    def initial(self, index: int, lane: _Lane, mask: Tensor | None) -> Tensor:
        """An initial state, 0 if it is not given: (direction, batch, 1, hidden)."""
        given = self.chain.optional_input(self.node, index)
        if given is None:
            shape = (len(lane.directions), self.inputs.shape[1], 1, self.hidden)
            return self.chain.constant(np.zeros(shape, self.node.dtype(0)))
        state = lane.of(given.permute((1, 0, 2)) if self.batch_first else given).insert(2)
        # The last state of a sequence of no steps is 0, as in ONNX Runtime.
        return state if mask is None else binary(self.chain, "keep", state, mask.select(0, 0))

    def mask(self) -> Tensor | None:
        """1 where a sequence is still running, None if all fill the tensor: (time, 1, batch, 1, 1)."""
        steps, batch, _ = self.inputs.shape
        lengths, known = self.chain.optional_input(self.node, 4), self.node.constant_integers(4)
        if lengths is None or (known is not None and min(known) >= steps):
            return None
        times = self.chain.constant(np.arange(steps, dtype=self.node.dtype(4))[:, np.newaxis])
        running = binary(self.chain, "gt", lengths, times, element_type=self.inputs.element_type)
        return self.chain.reshape(running, (steps, 1, batch, 1, 1))

    @property
    def clip(self) -> Steps:
        """The steps before an activation."""
        limit = self.node.number("clip", 0.0)
        return (Step("clip", (-limit, limit)),) if limit > 0 else ()

    def unrolled(
        self,
        activations: Sequence[tuple[Steps, ...]],
        cell_of: Callable[[_Lane, tuple[Steps, ...]], Cell],
        projected: Tensor,
        initial: Sequence[int],
    ) -> list[Tensor | None]:
        """The results: all hidden states, then the last of every state; `initial` are the inputs of the first."""
        lanes, mask = self.lanes(activations), self.mask()
        histories: list[list[Tensor]] = []
        finals: list[list[Tensor]] = []
        for lane in lanes:
            cell = cell_of(lane, activations[lane.directions[0]])
            states, history = [self.initial(index, lane, mask) for index in initial], list[Tensor]()
            for step in range(projected.shape[0]):
                running = None if mask is None else lane.at(step, mask)
                following = cell.step(lane.at(step, projected), states, running)
                history.append(following[0])
                states = following if running is None else self._held(states, following, running)
            histories.append(history)
            finals.append(states)
        every = self._sequences(lanes, histories) if self.node.wants(0) else None
        last = [
            self._last(parts) if self.node.wants(1 + i) else None for i, parts in enumerate(zip(*finals, strict=True))
        ]
        return [every, *last]

    def _held(self, states: Sequence[Tensor], following: Sequence[Tensor], mask: Tensor) -> list[Tensor]:
        """The states after a step, unchanged where the sequence has ended."""
        return [
            binary(self.chain, "drop", old, mask, (Step("add", operand=0),), [new])
            for old, new in zip(states, following, strict=True)
        ]

    def _last(self, parts: Sequence[Tensor]) -> Tensor:
        """A final state of all lanes in the node's layout."""
        whole = self.chain.concat(parts, 0)
        return whole.permute((1, 0, 2, 3)) if self.batch_first else whole

    def _sequences(self, lanes: Sequence[_Lane], histories: Sequence[Sequence[Tensor]]) -> Tensor:
        """The hidden states of all steps: (time, direction, batch, hidden), or (batch, time, direction, hidden)."""
        if self.directions == 1:
            parts = list(reversed(histories[0])) if lanes[0].backwards[0] else histories[0]
            # (1, batch, 1, hidden) is (batch, 1, 1, hidden) as well.
            shape = (
                (parts[0].shape[1], 1, 1, self.hidden) if self.batch_first else (1, *parts[0].shape[:2], self.hidden)
            )
            return self.chain.concat([self.chain.reshape(part, shape) for part in parts], int(self.batch_first))
        each: list[Tensor] = []
        for lane, history in zip(lanes, histories, strict=True):
            steps = len(history)
            shape = (1, *history[0].shape[:2], self.hidden)
            stacked = self.chain.concat([self.chain.reshape(part, shape) for part in history], 0)
            for index, backwards in enumerate(lane.backwards):
                one = stacked.slice(1, index, 1)
                one = one.slice(0, steps - 1, steps, -1) if backwards else one
                each.append(one.permute((2, 0, 1, 3)) if self.batch_first else one)
        return self.chain.concat(each, 2 if self.batch_first else 1)


@lowering("RNN", constraints=(*_RULES, known_activations(1)), results=2)
def rnn(node: Node, chain: Chain) -> list[Tensor | None]:
    """one link for the inputs of all time steps, one a step; with `sequence_lens` one more, and one a step"""
    layer = _Layer(node, chain, 1)

    def cell_of(lane: _Lane, functions: tuple[Steps, ...]) -> Cell:
        return RnnCell(chain, layer.weights(lane), functions, layer.clip)

    return layer.unrolled(activations_of(node, ("Tanh",), layer.directions), cell_of, layer.projected(True), (5,))


@lowering("GRU", constraints=(*_RULES, known_activations(2)), results=2)
def gru(node: Node, chain: Chain) -> list[Tensor | None]:
    """one link for the inputs of all time steps, four a step, three with `linear_before_reset`; with `sequence_lens`
    one more, and one a step"""
    layer, linear = _Layer(node, chain, 3), bool(node.integer("linear_before_reset"))
    bias = layer.bias(1) if linear else None

    def cell_of(lane: _Lane, functions: tuple[Steps, ...]) -> Cell:
        late = None if bias is None else lane.of(bias)
        return GruCell(chain, layer.weights(lane), functions, layer.clip, linear, late)

    activations = activations_of(node, ("Sigmoid", "Tanh"), layer.directions)
    return layer.unrolled(activations, cell_of, layer.projected(not linear), (5,))


@lowering("LSTM", constraints=(*_RULES, known_activations(3)), results=3)
def lstm(node: Node, chain: Chain) -> list[Tensor | None]:
    """one link for the inputs of all time steps, four a step, seven with peepholes; with `sequence_lens` one more, and
    two a step"""
    layer, given = _Layer(node, chain, 4), chain.optional_input(node, 7)
    peepholes = None if given is None else chain.reshape(given, (layer.directions, 1, 3, layer.hidden))

    def cell_of(lane: _Lane, functions: tuple[Steps, ...]) -> Cell:
        seen = None if peepholes is None else lane.of(peepholes)
        coupled = bool(node.integer("input_forget"))
        return LstmCell(chain, layer.weights(lane), functions, layer.clip, seen, coupled)

    activations = activations_of(node, ("Sigmoid", "Tanh", "Tanh"), layer.directions)
    return layer.unrolled(activations, cell_of, layer.projected(True), (5, 6))


RECURRENT = (*rnn, *gru, *lstm)
