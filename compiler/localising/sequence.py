"""Effects held against what comes next: whether an emulator follows the loops of a layer and executes all in them."""

from __future__ import annotations

from collections import deque
from itertools import islice

import numpy as np

from backends.effects import NOTHING, Cut, Effect, Shown
from backends.spatial.codes import Kind, Tensor
from compiler.localising.expectation import Expectation
from compiler.localising.turns import Turn, Turns
from compiler.localising.wrong import WrongEffectError
from dialects.gconv import LoopKind

_OPERANDS = {Shown.TILE: Tensor.INPUT, Shown.WINDOWS: Tensor.INPUT, Shown.KERNEL: Tensor.KERNEL}


class Sequence:
    """The turns of the layer of a number, as effects come."""

    def __init__(self, turns: Turns, number: int, layer: Expectation) -> None:
        self._number, self._addresses, self._layer = number, turns.addresses, layer
        self._turns = turns.all
        self._has_begun = False
        self._coming: deque[Turn] = deque(islice(self._turns, 1))

    def begins_elsewhere(self, effect: Effect) -> bool:
        """Whether it is the one that comes, before any loop has begun, but on other ranges than the layer's."""
        if not self._coming or self._has_begun:
            return False
        turn = self._coming[0]
        return not turn.loops and turn.address == effect.address and not _is(turn, effect)

    def check(self, effect: Effect) -> None:
        """Raise `WrongEffectError` for an effect that does not come now."""
        if effect.shown is Shown.STOP and effect.address not in self._addresses:
            # It stops at an instruction that shows nothing: that it got there is right.
            return
        if not self._coming or not _is(self._coming[0], effect):
            raise self._wrong(effect)
        operand = self._coming[0].operand
        if effect.shown in _OPERANDS and operand is not None and operand is not _OPERANDS[effect.shown]:
            what = "executes it wrong: it brings another operand"
            raise WrongEffectError(effect, what, "", operand.name.lower(), _OPERANDS[effect.shown].name.lower())
        self._has_begun |= bool(self._coming[0].loops)
        self._coming.popleft()
        self._coming.extend(islice(self._turns, not self._coming))

    def end(self) -> None:
        """Raise `WrongEffectError` if more should have come."""
        if self._coming:
            raise self._wrong(None)

    def _skips(self, turn: Turn, effect: Effect) -> bool:
        """Whether an effect would come later in the same turn of all loops, or right after it in no other loops."""
        repeats, begins = any(step.repeats for step in turn.loops), any(step.begins for step in turn.loops)
        for number, later in enumerate(self._turns):
            if _is(later, effect):
                is_inside = all(step.begins for step in later.loops)
                return not later.loops or (not number and not repeats and (is_inside or not begins))
            if later.loops:
                return False
        return False

    def _is_last(self, turn: Turn) -> bool:
        """Whether a turn is the last one, behind loops that end: if nothing comes, it is what is left out."""
        return not any(step.repeats or step.begins for step in turn.loops) and next(self._turns, None) is None

    def _wrong(self, effect: Effect | None) -> WrongEffectError:
        found = "the end of the layer" if effect is None else self._text(effect.address, effect.cut)
        if not self._coming:
            assert effect is not None
            what = "executes it once more than the loops say"
            return WrongEffectError(effect, what, "", "the end of the layer", found)
        turn = self._coming[0]
        expected = self._text(turn.address, turn.cut)
        address, what = turn.address, "does not execute it when it is its turn"
        if turn.loops and not (self._is_last(turn) if effect is None else self._skips(turn, effect)):
            address = self._blamed_step(turn, effect)
            what = "executes it wrong: something else than the loops say comes next"
        blamed = Effect(self._number, 0, address, Shown.STOP, turn.cut, NOTHING)
        return WrongEffectError(blamed, what, "", expected, found)

    def _blamed_step(self, turn: Turn, effect: Effect | None) -> int:
        """The loop or end before a turn that does not lead to it: the last of the loops that stand at other indices.

        Where the layer ended instead, it is the end after which there should be another turn.
        """
        steps = turn.loops
        if effect is None:
            wrong = [step for step in steps if step.repeats]
        else:
            other = _other_kind(turn.cut, effect.cut)
            alike = [step for step in steps if step.kind is other]
            moved = () if other is None else self._layer.moved(turn.cut, effect.cut, LoopKind[other.name])
            wrong = [step for step in alike if step.dim in moved] or alike
        return (wrong or steps)[-1].address

    def _text(self, address: int, cut: Cut) -> str:
        ranges = self._layer.ranges(cut)
        return f"instruction {address}" + (f" in the turn of {ranges}" if ranges else "")


def _is(turn: Turn, effect: Effect) -> bool:
    """Whether an effect is the one that comes: of results, as many parallel kernels are not compared as repeat them."""
    pairs = [(turn.cut.groups, effect.cut.groups), (turn.cut.outputs, effect.cut.outputs)]
    if effect.shown not in (Shown.RESULT, Shown.FLOW):
        pairs += [(turn.cut.kernels, effect.cut.kernels), (turn.cut.terms, effect.cut.terms)]
    return turn.address == effect.address and all(np.array_equal(*pair) for pair in pairs)


def _other_kind(expected: Cut, found: Cut) -> Kind | None:
    """The first kind of loop that stands at other indices; None if all stand at the same."""
    pairs = {
        Kind.KS: (expected.terms, found.terms),
        Kind.OPC: (expected.outputs, found.outputs),
        Kind.OP: (expected.kernels, found.kernels),
        Kind.G: (expected.groups, found.groups),
    }
    return next((kind for kind, pair in pairs.items() if not np.array_equal(*pair)), None)
