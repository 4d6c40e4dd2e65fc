"""Effects held against the turns of a fused group: whether an emulator does all in them, and each on its whole box."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from backends.effects import NO_WORDS, NOTHING, Cut, Effect, Ints, Shown, cut_of
from backends.spatial.codes import Kind
from compiler.localising.expectation import Expectation
from compiler.localising.group_turns import GroupTurn, GroupTurns
from compiler.localising.sequence import Sequence
from compiler.localising.turns import LayerLoops
from compiler.localising.wrong import WrongEffectError

_MAKING = frozenset((Shown.FLOW, Shown.RESULT))
_OF_PASSES = frozenset((Shown.TILE, Shown.WINDOWS, Shown.KERNEL))
"""What passes show before their sums, of operands that they find in holds."""


@dataclass(frozen=True)
class _Extents:
    counts: tuple[int, int, int, int]


class GroupSequence:
    """The turns of a group, as effects come; `layers` are its members, by number."""

    def __init__(
        self, turns: GroupTurns, layers: Mapping[int, Expectation], loops: Mapping[int, LayerLoops] | None = None
    ) -> None:
        """`loops` are those of layers that run as they come."""
        self._addresses, self._runs, self._turns, self._layers = turns.addresses, turns.runs, turns.all, layers
        self._loops = loops or {}
        self._read: set[int] = set()
        self._inside: Sequence | None = None
        """What comes in the run at work."""
        self._coming = next(self._turns, None)
        self._made: list[Cut] = []
        """Results of the layer at work since the last transfer or run was done."""
        self._worked = False

    def note_read(self, address: int) -> None:
        """The machine has read an instruction; what it does comes later, in its turn."""
        self._read.add(address)

    def check(self, effect: Effect) -> None:
        """Raise `WrongEffectError` for an effect that does not come now, or a run that is done and left results out."""
        turn = self._coming
        is_read = effect.address in self._addresses & self._read
        reads = not effect.cut.groups.size or not self._addresses <= self._read
        if effect.shown is Shown.STOP and reads and not is_read:
            # It stops before the turns, or where they are read.
            return
        if turn is None:
            what = "executes it once more than the loops say"
            raise WrongEffectError(effect, what, "", "the end of the group", f"instruction {effect.address}")
        if not self._belongs(effect, turn):
            raise self._other(turn, effect)
        self._check_inside(effect, turn)
        if effect.shown is Shown.DONE:
            if turn.is_run:
                self._check_box(turn)
            self._coming, self._made, self._worked = next(self._turns, None), [], False
        elif effect.shown in _MAKING:
            self._made.append(effect.cut)
        self._worked |= effect.shown is not Shown.DONE

    def end(self) -> None:
        """Raise `WrongEffectError` if more should have come."""
        if self._coming is not None:
            raise self._other(self._coming, None)

    def _check_inside(self, effect: Effect, turn: GroupTurn) -> None:
        """The loops of a layer run in its box as its code says."""
        loops = self._loops.get(turn.layer) if turn.is_run else None
        if loops is None or (effect.shown is Shown.DONE and self._inside is None):
            # A run that does nothing at all makes none of its box.
            return
        if self._inside is None:
            self._inside = Sequence(loops.within(turn.box), turn.layer, self._layers[turn.layer])
        if effect.shown is Shown.DONE:
            self._inside.end()
            self._inside = None
        elif effect.shown not in _OF_PASSES or effect.address in loops.loads:
            if effect.shown is not Shown.STOP and self._inside.begins_elsewhere(effect):
                layer = self._layers[turn.layer]
                box = layer.ranges(self._box(turn)), layer.ranges(effect.cut)
                raise _wrong(turn, "executes it on another box", "", box[0] or "all results", box[1] or "all results")
            self._inside.check(effect)

    def _belongs(self, effect: Effect, turn: GroupTurn) -> bool:
        """Whether an effect is one of what comes: inside a run, instructions of its layer are at work."""
        if effect.address in self._addresses:
            return effect.address == turn.address
        return turn.is_run and effect.layer == turn.layer

    def _other(self, turn: GroupTurn, effect: Effect | None) -> WrongEffectError:
        """Something else comes, or the end: a loop is blamed that does not go on, else what is left out."""
        expected = f"instruction {turn.address}"
        found = "the end of the group" if effect is None else f"instruction {effect.address}"
        places = frozenset[int]()
        if effect is not None:
            is_step = effect.address in self._addresses
            places = frozenset((effect.address,)) if is_step else self._runs.get(effect.layer, places)
        if turn.loop and not any(place in turn.loop for place in places):
            what = "executes it wrong: something else than the loops say comes next"
            return _wrong(turn, what, "", expected, found, address=turn.loop.start)
        return _wrong(turn, "does not execute it when it is its turn", "", expected, found)

    def _box(self, turn: GroupTurn) -> Cut:
        """The words that the box of a run is about."""
        dims, kinds = self._layers[turn.layer].spec.dims, len(Kind)
        ranges = [turn.box[kinds * dim : kinds * (dim + 1)] for dim in range(len(dims))]
        extents = [_Extents((dim.g, dim.op, dim.opc, dim.ks)) for dim in dims]
        return cut_of(
            extents, [[r.start for r in each] for each in ranges], [[len(r) for r in each] for each in ranges]
        )

    def _check_box(self, turn: GroupTurn) -> None:
        """All results of a run's box are made, and no others; sums that go on later are there at all."""
        layer, kinds = self._layers[turn.layer], len(Kind)
        ranges = [turn.box[kinds * dim : kinds * (dim + 1)] for dim in range(len(layer.spec.dims))]
        box = self._box(turn)
        if any(each[Kind.KS].stop != dim.ks for each, dim in zip(ranges, layer.spec.dims, strict=True)):
            if not self._worked:
                raise _wrong(turn, "does nothing at it", layer.ranges(box), "sums", "none", box)
            return
        made = np.zeros((len(box.groups), len(box.kernels), len(box.outputs)), np.bool_)
        for cut in self._made:
            within = [np.isin(*pair) for pair in _of_results(box, cut)]
            made[np.ix_(*within)] = True
            others = [np.isin(cut_of_kind, of_box) for of_box, cut_of_kind in _of_results(box, cut)]
            if not all(each.all() for each in others):
                what = "executes it on more than its box"
                raise _wrong(turn, what, "", layer.ranges(box) or "all results", layer.ranges(cut) or "all results")
        if not made.all():
            missing = int((~made).sum())
            group, kernel, output = (int(each) for each in np.argwhere(~made)[0])
            first = Cut(box.groups[[group]], box.kernels[[kernel]], box.outputs[[output]], NO_WORDS.terms)
            what = f"does not execute it on its whole box: {missing:,} of {made.size:,} results are not made"
            raise _wrong(turn, what, layer.ranges(first), "results", "none", box)


def _of_results(box: Cut, cut: Cut) -> tuple[tuple[Ints, Ints], ...]:
    return (box.groups, cut.groups), (box.kernels, cut.kernels), (box.outputs, cut.outputs)


def _wrong(
    turn: GroupTurn,
    what: str,
    place: str,
    expected: str,
    found: str,
    cut: Cut = NO_WORDS,
    *,
    address: int | None = None,
) -> WrongEffectError:
    place_of_blame = turn.address if address is None else address
    blamed = Effect(turn.layer, 0, place_of_blame, Shown.DONE, cut, NOTHING)
    return WrongEffectError(blamed, what, place, expected, found)
